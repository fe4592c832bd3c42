"""Publish and PublishBatch: a message is checked, held against the filters, and acknowledged once a delivery to each
subscription that it is for is on the disk."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.service import Caller
from ...aws.traces import CURRENT
from ...durable.folder import StoreError
from ...durable.queue import QueueFull
from ...durable.store import Step, Store
from ..sqs.deduplication import Deduplication, Taken
from .catalog import Catalog, Topic
from .delivery import Delivery
from .faults import invalid, not_here
from .filters import ATTRIBUTES, matches
from .messages import check_batch, made
from .notifications import Published

_FIRST_SEQUENCE = 10_000_000_000_000_000_000  # of 20 digits, as AWS's are
Members = dict[str, Any]


class Publishing:
    def __init__(
        self, catalog: Catalog, delivery: Delivery, store: Store, deduplication: Deduplication
    ) -> None:
        self._catalog = catalog
        self._delivery = delivery
        self._store = store
        self._deduplication = deduplication
        self._number = 0  # of the last message of any FIFO topic

    async def publish(self, members: Members, caller: Caller) -> Members:
        if members.get("PhoneNumber"):
            raise not_here("PhoneNumber Reason: sms is")
        arn = members.get("TopicArn") or members.get("TargetArn")
        if not arn:
            raise invalid("TopicArn or TargetArn", "no value for required parameter")
        parameter = "TopicArn" if members.get("TopicArn") else "TargetArn"
        topic, record = self._catalog.topic(arn, caller, "Publish", parameter)
        return await self._begun(topic, record, _made(topic, record, members))

    async def publish_batch(self, members: Members, caller: Caller) -> Members:
        entries = members.get("PublishBatchRequestEntries") or []
        check_batch(entries)
        topic, record = self._catalog.topic(members["TopicArn"], caller, "Publish")
        messages = [_made(topic, record, entry) for entry in entries]  # one that is wrong refuses all
        # All are begun, in order, before one is waited for.
        begun: list[Awaitable[Members] | Fault] = []
        for message in messages:
            try:
                begun.append(self._begun(topic, record, message))
            except Fault as fault:
                begun.append(fault)
        good, bad = [], []
        for entry, outcome in zip(entries, begun, strict=True):
            try:
                if isinstance(outcome, Fault):
                    raise outcome
                good.append({"Id": entry["Id"], **await outcome})
            except Fault as fault:
                bad.append(_failed(entry["Id"], fault))
            except StoreError as error:
                bad.append(_failed(entry["Id"], Fault("InternalErrorException", str(error))))
        return {"Successful": good, "Failed": bad}

    def _begun(self, topic: Topic, record: Mapping[str, Any], message: Published) -> Awaitable[Members]:
        """What is awaited then is the disk. Raises Fault."""
        if not topic.fifo:
            return _acknowledged(self._put(topic, record, message, []), message)
        grouped = record["Attributes"].get("FifoThroughputScope") == "MessageGroup"
        key = f"{message.group}\0{message.deduplication}" if grouped else message.deduplication
        owner = f"{topic.arn}/{record['_id']}"
        taken = self._deduplication.find(owner, key)
        if taken is not None:
            return _repeated(taken)
        number = self._number = max(self._number + 1, time.time_ns())
        message.sequence = str(_FIRST_SEQUENCE + number)
        steps = self._deduplication.remember(owner, key, message.id, number)
        try:
            stored = asyncio.ensure_future(self._put(topic, record, message, steps))
        except Fault:
            self._deduplication.drop(owner, key)
            raise
        self._deduplication.storing(owner, key, stored)
        return _acknowledged(stored, message)

    def _put(
        self, topic: Topic, record: Mapping[str, Any], message: Published, steps: list[Step]
    ) -> asyncio.Future[Any]:
        """Done once each delivery is durable, and `steps` are, in the commit of the first. Raises Fault."""
        policy = record["Attributes"].get("DeliveryPolicy")
        stored: list[asyncio.Future[Any]] = []
        try:
            for id, subscription in self._catalog.subscriptions(topic).items():
                if _wants(subscription, message):
                    also = steps if not stored else ()
                    stored.append(self._delivery.put(topic, id, subscription, policy, message, also))
                else:
                    self._delivery.metrics.filtered(message, subscription)
        except QueueFull as full:
            raise Fault("ThrottledException", f"The server's {full}.") from None
        if steps and not stored:
            stored.append(asyncio.wrap_future(self._store.commit(steps)))
        done = asyncio.gather(*stored)
        if self._delivery.metrics.wanted:
            done.add_done_callback(lambda done: self._published(message, done))
        return done

    def _published(self, message: Published, done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._delivery.metrics.published(message)


def _made(topic: Topic, record: Mapping[str, Any], members: Mapping[str, Any]) -> Published:
    message = made(topic, record, members, str(uuid.uuid4()), round(time.time(), 3))
    message.trace = CURRENT.get()
    return message


def _wants(subscription: Mapping[str, Any], message: Published) -> bool:
    if subscription.get("_token"):  # not confirmed
        return False
    attributes: Mapping[str, str] = subscription["Attributes"]
    policy = attributes.get("FilterPolicy")
    if not policy:
        return True
    scope = attributes.get("FilterPolicyScope", ATTRIBUTES)
    return matches(policy, scope, message.attributes, message.body(subscription["Protocol"]))


async def _acknowledged(stored: Awaitable[Any], message: Published) -> Members:
    await stored
    return _result(message.id, message.sequence)


async def _repeated(taken: Taken) -> Members:
    """The response to a message that was taken before: that one's."""
    if taken.stored is not None:
        await asyncio.shield(taken.stored)
    return _result(taken.message, str(_FIRST_SEQUENCE + taken.row))


def _result(id: str, sequence: str) -> Members:
    return {"MessageId": id, "SequenceNumber": sequence or None}


def _failed(id: str, fault: Fault) -> Members:
    """Of an entry that could not be kept: what is wrong with one was refused before."""
    code = fault.code.removesuffix("Exception")
    return {"Id": id, "Code": code, "Message": fault.message or "", "SenderFault": False}
