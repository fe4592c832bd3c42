"""The operations on queues themselves: made, found, listed, described, changed, tagged, purged, deleted."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Mapping
from typing import Any

from ... import limits
from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.queue import Queues as Rows
from . import attributes, permissions, redrive
from .call import Call
from .deduplication import Deduplication
from .faults import invalid, invalid_value, missing, no_queue
from .queues import Catalog, Queue

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NAMES = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
_FIFO_NAMES = (
    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
    "must end with .fifo suffix and be 1 to 80 in length."
)
Members = Mapping[str, Any]
Result = dict[str, Any]


class Operations:
    """Of every place."""

    def __init__(self, catalog: Catalog, rows: Rows, deduplication: Deduplication) -> None:
        self._catalog = catalog
        self._rows = rows
        self._deduplication = deduplication

    # Of no queue, or of one by its name.

    async def create_queue(self, members: Members, call: Call) -> Result:
        name = members["QueueName"]
        given, tags = members.get("Attributes") or {}, members.get("tags") or {}
        fifo = _check_name(name, given)
        _check_tags(tags, name)
        async with self._catalog.lock:
            existing = self._catalog.get(call.place, name)
            if existing is not None:
                self._check_same(existing, given)
                return {"QueueUrl": url(call, existing)}
            fresh = attributes.checked(given, attributes.defaults(fifo), fifo)
            self._check_redrive(call.place, name, given, fifo)
            deleted = self._catalog.deleted_at(call.place, name)
            if deleted is not None and self._rows.now() - deleted < limits.SQS_RECREATE * 1e9:
                raise Fault(
                    "QueueDeletedRecently",
                    "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
                )
            queue = await self._catalog.create(call.place, name, fresh, dict(tags))
        return {"QueueUrl": url(call, queue)}

    def _check_same(self, queue: Queue, given: Mapping[str, str]) -> None:
        """Raises Fault for attributes that a queue of this name has otherwise."""
        wanted = attributes.checked(given, queue.attributes, queue.fifo)
        for name in given:
            if wanted.get(name) != queue.attributes.get(name):
                raise Fault(
                    "QueueNameExists",
                    f"A queue already exists with the same name and a different value for attribute {name}",
                )

    def _check_redrive(self, place: Place, name: str, given: Mapping[str, str], fifo: bool) -> None:
        if text := given.get("RedriveAllowPolicy"):
            redrive.check_allow(text)
        text = given.get("RedrivePolicy")
        if not text:
            return
        policy = redrive.parsed(text)
        target = self._catalog.by_arn(policy.target)
        if target is None or target.place != place:
            raise invalid_value(text, "RedrivePolicy", "Dead letter target does not exist.")
        if target.fifo is not fifo:
            reason = "Dead-letter queue must be same type of queue as the source."
            raise invalid_value(text, "RedrivePolicy", reason)
        if not redrive.allows(target.attributes, redrive.arn(place, name)):
            reason = f"Queue {redrive.arn(place, name)} is not allowed to use {policy.target} as a dead-letter queue."
            raise invalid_value(text, "RedrivePolicy", reason)

    async def get_queue_url(self, members: Members, call: Call) -> Result:
        owner = members.get("QueueOwnerAWSAccountId") or call.place.account
        place = Place(call.place.region, owner)
        queue = self._catalog.get(place, members["QueueName"])
        if queue is None or not self.allowed(queue, call, "GetQueueUrl"):
            raise no_queue()
        return {"QueueUrl": url(call, queue)}

    def allowed(self, queue: Queue, call: Call, action: str) -> bool:
        """May the caller do this to a queue?"""
        account = call.place.account
        return queue.place.account == account or permissions.allows(
            queue.attributes.get("Policy"), account, action, queue.arn
        )

    async def list_queues(self, members: Members, call: Call) -> Result:
        prefix = members.get("QueueNamePrefix") or ""
        names = [name for name in self._catalog.names(call.place) if name.startswith(prefix)]
        page, token = _paged(names, members)
        urls = [f"{call.base}/{call.place.account}/{name}" for name in page]
        return {"QueueUrls": urls or None, "NextToken": token}

    # Of a queue.

    async def list_dead_letter_source_queues(self, queue: Queue, members: Members, call: Call) -> Result:
        names = [each.name for each in self._catalog.sources(queue)]
        page, token = _paged(names, members)
        return {
            "queueUrls": [f"{call.base}/{queue.place.account}/{name}" for name in page],
            "NextToken": token,
        }

    async def get_queue_attributes(self, queue: Queue, members: Members, call: Call) -> Result:
        names = members.get("AttributeNames") or []
        for name in names:
            if name != "All" and name not in attributes.NAMES:
                raise attributes.unknown(name)
        if not names:
            return {}
        found = {
            **queue.attributes,
            "QueueArn": queue.arn,
            "CreatedTimestamp": str(queue.record["Created"]),
            "LastModifiedTimestamp": str(queue.record["Modified"]),
        }
        if "All" in names or not set(attributes.COUNTS).isdisjoint(names):
            counts = [self._rows.counts(line) for line in queue.messages.lines()]
            found["ApproximateNumberOfMessages"] = str(sum(each.ready for each in counts))
            found["ApproximateNumberOfMessagesDelayed"] = str(sum(each.delayed for each in counts))
            found["ApproximateNumberOfMessagesNotVisible"] = str(sum(each.leased for each in counts))
        if "All" not in names:
            found = {name: value for name, value in found.items() if name in names}
        return {"Attributes": found or None}

    async def set_queue_attributes(self, queue: Queue, members: Members, call: Call) -> Result:
        given = members["Attributes"]
        if not given:
            raise missing("Attribute.Name")
        async with self._catalog.lock:
            self._check_alive(queue)
            if "FifoQueue" in given and queue.fifo and given["FifoQueue"].lower() != "true":
                raise Fault(
                    "InvalidAttributeValue",
                    "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
                )
            changed = attributes.checked(given, queue.attributes, queue.fifo)
            self._check_redrive(queue.place, queue.name, given, queue.fifo)
            more = {}
            if queue.fifo and int(changed["DelaySeconds"]) < queue.settings.delay:
                more["_floor"] = self._rows.now() + queue.settings.delay * 1_000_000_000
            await self._catalog.change(queue, Attributes=changed, Modified=int(time.time()), **more)
        return {}

    async def delete_queue(self, queue: Queue, members: Members, call: Call) -> Result:
        async with self._catalog.lock:
            self._check_alive(queue)
            await self._catalog.delete(queue)
            self._deduplication.forget(queue.id)
        return {}

    async def purge_queue(self, queue: Queue, members: Members, call: Call) -> Result:
        now = time.monotonic()
        if queue.purged is not None and now - queue.purged < limits.SQS_PURGE:
            raise Fault(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds.",
            )
        queue.purged = now
        await self._catalog.purge(queue)
        return {}

    async def add_permission(self, queue: Queue, members: Members, call: Call) -> Result:
        label = members["Label"]
        if not _NAME.fullmatch(label):
            raise invalid_value(label, "Label", _NAMES)
        async with self._catalog.lock:
            self._check_alive(queue)
            policy = queue.attributes.get("Policy")
            accounts, actions = members["AWSAccountIds"], members["Actions"]
            text = permissions.added(policy, queue.arn, label, accounts, actions)
            await self._catalog.change(queue, Attributes={**queue.attributes, "Policy": text})
        return {}

    async def remove_permission(self, queue: Queue, members: Members, call: Call) -> Result:
        async with self._catalog.lock:
            self._check_alive(queue)
            text = permissions.removed(queue.attributes.get("Policy"), members["Label"])
            kept = {name: value for name, value in queue.attributes.items() if name != "Policy"}
            await self._catalog.change(queue, Attributes=kept | ({"Policy": text} if text else {}))
        return {}

    async def tag_queue(self, queue: Queue, members: Members, call: Call) -> Result:
        tags = members["Tags"]
        if not tags:
            raise missing("Tags")
        async with self._catalog.lock:
            self._check_alive(queue)
            merged = {**queue.record["Tags"], **tags}
            _check_tags(merged, queue.name)
            await self._catalog.change(queue, Tags=merged)
        return {}

    async def untag_queue(self, queue: Queue, members: Members, call: Call) -> Result:
        keys = members["TagKeys"]
        if not keys:
            raise invalid("Tag keys must be between 1 and 128 characters in length.")
        async with self._catalog.lock:
            self._check_alive(queue)
            kept = {key: value for key, value in queue.record["Tags"].items() if key not in keys}
            await self._catalog.change(queue, Tags=kept)
        return {}

    async def list_queue_tags(self, queue: Queue, members: Members, call: Call) -> Result:
        return {"Tags": queue.record["Tags"] or None}

    def _check_alive(self, queue: Queue) -> None:
        """Whoever waited for the lock may have waited for the queue's end."""
        if not self._catalog.alive(queue):
            raise no_queue()


def url(call: Call, queue: Queue) -> str:
    return f"{call.base}/{queue.place.account}/{queue.name}"


def _check_name(name: str, given: Mapping[str, str]) -> bool:
    """Is that the name of a FIFO queue? Raises Fault."""
    fifo = given.get("FifoQueue", "").lower() == "true"
    if fifo and not name.endswith(".fifo"):
        raise invalid(_FIFO_NAMES)
    if len(name) > 80 or not _NAME.fullmatch(name.removesuffix(".fifo") if fifo else name):
        raise invalid(_NAMES)
    return fifo


def _check_tags(tags: Mapping[str, str], queue: str) -> None:
    if len(tags) > limits.SQS_TAGS:
        raise invalid(f"Too many tags added for queue {queue}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128:
            raise invalid("Tag keys must be between 1 and 128 characters in length.")
        if len(value) > 256:
            raise invalid("Tag values must be between 0 and 256 characters in length.")
        if key.lower().startswith("aws:"):
            raise invalid(
                f"Tag key '{key}' is invalid: aws: prefixed tag key names are not allowed for external use."
            )


def _paged(names: list[str], members: Members) -> tuple[list[str], str | None]:
    """The page of names in order that a request asks for, and the token of the next one."""
    n = members.get("MaxResults")
    if n is not None and not 1 <= n <= limits.SQS_LISTED:
        raise invalid_value(
            n, "MaxResults", f"MaxResults must be an integer between 1 and {limits.SQS_LISTED}."
        )
    token = members.get("NextToken")
    if token:
        try:
            last = base64.b64decode(token, validate=True).decode()
        except (binascii.Error, ValueError):
            raise invalid("Invalid or expired next token.") from None
        names = [name for name in names if name > last]
    page = names[: n or limits.SQS_LISTED]
    more = n is not None and len(names) > len(page)
    return page, base64.b64encode(page[-1].encode()).decode() if more else None
