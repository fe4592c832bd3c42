"""The operations on subscriptions: made, confirmed, described, changed, ended."""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...aws.faults import Fault
from ...aws.service import Caller
from ...durable.queue import QueueFull
from ...durable.state import Record
from . import filters
from .catalog import PENDING, SUBSCRIPTIONS, TOPICS, Catalog, Topic, page, place_of
from .delivery import Delivery
from .faults import invalid, no_subscription, not_here
from .notifications import CONFIRMATION, UNSUBSCRIBED, confirmation
from .retries import checked as checked_delivery
from .retries import effective, of_subscription

_HTTP = ("http", "https")
_MAIL = ("email", "email-json")  # never confirmed: there is no mail
_ELSEWHERE = ("sms", "application", "firehose")
_ENDPOINTS = {
    "sqs": re.compile(r"arn:aws[\w-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?", re.ASCII),
    "lambda": re.compile(r"arn:aws[\w-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_$.:-]+", re.ASCII),
}
_BAD = {"sqs": "SQS endpoint ARN", "lambda": "Lambda endpoint ARN"}
_BOOLEANS = ("RawMessageDelivery",)
_NAMES = (
    "DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy", "SubscriptionRoleArn",
)  # fmt: skip
_QUEUE = _ENDPOINTS["sqs"]
Members = dict[str, Any]


class Subscriptions:
    def __init__(self, catalog: Catalog, delivery: Delivery) -> None:
        self._catalog = catalog
        self._delivery = delivery

    async def subscribe(self, members: Members, caller: Caller) -> Members:
        protocol, endpoint = members["Protocol"], members.get("Endpoint") or ""
        given = {name: value for name, value in (members.get("Attributes") or {}).items() if value != ""}
        async with self._catalog.changes.lock:
            topic, record = self._catalog.topic(members["TopicArn"], caller, "Subscribe")
            _check_endpoint(topic, protocol, endpoint)
            _check(topic, protocol, given, "Attributes Reason: ")
            for id, each in self._catalog.subscriptions(topic).items():
                if (each["Protocol"], each["Endpoint"]) == (protocol, endpoint):
                    if any(each["Attributes"].get(name, "false") != value for name, value in given.items()):
                        text = "Subscription already exists with different attributes"
                        raise invalid("Attributes", text)
                    if each.get("_token"):
                        await self._confirm(topic, id, each, record, CONFIRMATION)
                    return {"SubscriptionArn": self._shown(topic, id, each, members)}
            id = str(uuid.uuid4())
            made: Record = {
                "Owner": caller.place.account, "Protocol": protocol, "Endpoint": endpoint, "Attributes": given,
                "Principal": f"arn:aws:iam::{caller.place.account}:root",
            }  # fmt: skip
            if protocol in _HTTP or protocol in _MAIL:
                made["_token"] = secrets.token_hex(128)
            await self._catalog.write(topic.place, (SUBSCRIPTIONS, topic.name, id, made))
            if protocol in _HTTP:
                await self._confirm(topic, id, made, record, CONFIRMATION)
        return {"SubscriptionArn": self._shown(topic, id, made, members)}

    def _shown(self, topic: Topic, id: str, record: Record, members: Members) -> str:
        if record.get("_token") and not members.get("ReturnSubscriptionArn"):
            return "pending confirmation"
        return topic.subscription(id)

    async def _confirm(self, topic: Topic, id: str, subscription: Record, record: Record, kind: str) -> None:
        """A message about the subscription is on its way to its endpoint. Raises Fault."""
        if subscription["Protocol"] not in _HTTP:
            return
        named = topic.arn if kind == CONFIRMATION else topic.subscription(id)
        token = subscription.get("_token") or subscription["_confirmed"]
        message = confirmation(kind, topic.arn, named, token, str(uuid.uuid4()), time.time())
        policy = record["Attributes"].get("DeliveryPolicy")
        try:
            await self._delivery.put(topic, id, subscription, policy, message)
        except QueueFull as full:
            raise Fault("ThrottledException", f"The server's {full}.") from None

    async def confirm_subscription(self, members: Members, _caller: Caller) -> Members:
        """By its token, which is what lets one do it."""
        async with self._catalog.changes.lock:
            topic = Topic(place_of(members["TopicArn"]), members["TopicArn"].rpartition(":")[2])
            if self._catalog.record(topic) is None:
                raise Fault("NotFoundException", "Topic does not exist")
            for found, record in self._catalog.subscriptions(topic).items():
                token = record.get("_token") or record.get("_confirmed") or ""
                if token and secrets.compare_digest(token.encode(), members["Token"].encode()):
                    id = found
                    break
            else:
                raise invalid("Token")
            if record.get("_token"):
                kept = {name: value for name, value in record.items() if name != "_token"}
                authenticated = members.get("AuthenticateOnUnsubscribe", "false").lower() == "true"
                made = {**kept, "_confirmed": token, "_authenticated": authenticated}
                await self._catalog.write(topic.place, (SUBSCRIPTIONS, topic.name, id, made))
        return {"SubscriptionArn": topic.subscription(id)}

    async def unsubscribe(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            try:
                topic, id, record = self._catalog.subscription(members["SubscriptionArn"], caller)
            except Fault as fault:
                if fault.message == no_subscription().message:
                    return
                raise
            await self._remove(topic, id, record)

    async def unsubscribe_by_link(self, members: Members, _caller: Caller) -> None:
        """Whoever has the link may, unless the subscription was confirmed otherwise."""
        owner = Caller(place_of(members["SubscriptionArn"]))
        async with self._catalog.changes.lock:
            topic, id, record = self._catalog.subscription(members["SubscriptionArn"], owner)
            if record.get("_authenticated"):
                raise Fault("AuthorizationErrorException", "Unsubscribing needs a signature.")
            await self._remove(topic, id, record)

    async def _remove(self, topic: Topic, id: str, record: Record) -> None:
        of_topic = self._catalog.record(topic) or {"Attributes": {}}
        counted = {**of_topic, "_deleted": of_topic.get("_deleted", 0) + 1}
        await self._catalog.write(
            topic.place, (SUBSCRIPTIONS, topic.name, id, None), (TOPICS, topic.name, "", counted)
        )
        if record.get("_confirmed"):
            await self._confirm(topic, id, record, of_topic, UNSUBSCRIBED)

    async def get_subscription_attributes(self, members: Members, caller: Caller) -> Members:
        topic, id, record = self._catalog.subscription(members["SubscriptionArn"], caller)
        own = record["Attributes"]
        attributes = {
            "SubscriptionArn": topic.subscription(id), "TopicArn": topic.arn, "Owner": record["Owner"],
            "Protocol": record["Protocol"], "Endpoint": record["Endpoint"],
            "SubscriptionPrincipal": record["Principal"], "RawMessageDelivery": "false",
            "ConfirmationWasAuthenticated": "false" if "_confirmed" in record else "true",
            "PendingConfirmation": "true" if record.get("_token") else "false",
        }  # fmt: skip
        if record.get("_token"):
            attributes["ConfirmationWasAuthenticated"] = "false"
        if "FilterPolicy" in own:
            attributes["FilterPolicyScope"] = filters.ATTRIBUTES
        if record["Protocol"] in _HTTP:
            of_topic = (self._catalog.record(topic) or {"Attributes": {}})["Attributes"]
            policy = of_subscription(effective(of_topic.get("DeliveryPolicy"), own.get("DeliveryPolicy")))
            attributes["EffectiveDeliveryPolicy"] = json.dumps(policy, separators=(",", ":"))
        return {"Attributes": {**attributes, **own}}

    async def set_subscription_attributes(self, members: Members, caller: Caller) -> None:
        name, value = members["AttributeName"], members.get("AttributeValue") or ""
        if name not in _NAMES:
            raise invalid("AttributeName")
        async with self._catalog.changes.lock:
            topic, id, record = self._catalog.subscription(members["SubscriptionArn"], caller)
            attributes = {each: before for each, before in record["Attributes"].items() if each != name}
            if name in _BOOLEANS or (value and (name != "FilterPolicy" or value.strip() != "{}")):
                attributes[name] = value
            _check(topic, record["Protocol"], attributes, "")
            await self._catalog.write(
                topic.place, (SUBSCRIPTIONS, topic.name, id, {**record, "Attributes": attributes})
            )

    async def list_subscriptions(self, members: Members, caller: Caller) -> Members:
        found = {
            topic.subscription(id): _listed(topic, id, record)
            for topic, id, record in self._catalog.all_subscriptions(caller.place)
        }
        arns, token = page(list(found), members)
        return {"Subscriptions": [found[arn] for arn in arns], "NextToken": token}

    async def list_subscriptions_by_topic(self, members: Members, caller: Caller) -> Members:
        topic, _ = self._catalog.topic(members["TopicArn"], caller, "ListSubscriptionsByTopic")
        owned = self._catalog.subscriptions(topic)
        ids, token = page(list(owned), members)
        return {"Subscriptions": [_listed(topic, id, owned[id]) for id in ids], "NextToken": token}


def _listed(topic: Topic, id: str, record: Mapping[str, Any]) -> Members:
    arn = PENDING if record.get("_token") else topic.subscription(id)
    shown = {name: record[name] for name in ("Owner", "Protocol", "Endpoint")}
    return {"SubscriptionArn": arn, "TopicArn": topic.arn, **shown}


def _check_endpoint(topic: Topic, protocol: str, endpoint: str) -> None:
    """Raises Fault."""
    if protocol in _ELSEWHERE:
        raise not_here(f"Protocol Reason: {protocol} is")
    if protocol not in (*_ENDPOINTS, *_HTTP, *_MAIL):
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    if topic.fifo and protocol != "sqs":
        raise invalid("Protocol", f"{protocol} can not be subscribed to FIFO SNS topics")
    form = _ENDPOINTS.get(protocol)
    if form is not None and not form.fullmatch(endpoint):
        raise invalid(_BAD[protocol])
    if protocol == "sqs" and endpoint.endswith(".fifo") and not topic.fifo:
        text = "FIFO SQS Queues can not be subscribed to standard SNS topics"
        raise invalid("Invalid parameter: Endpoint", text)
    if protocol in _HTTP:
        try:
            parts = urlsplit(endpoint)
            right = parts.scheme == protocol and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            right = False
        if not right:
            raise invalid("Endpoint must match the specified protocol")
    if protocol in _MAIL and not re.fullmatch(r"[^@\s]+@[^@\s]+", endpoint):
        raise invalid("Email address")


def _check(topic: Topic, protocol: str, attributes: Mapping[str, str], where: str) -> None:
    """Raises Fault."""
    for name, value in attributes.items():
        if name not in _NAMES:
            raise invalid(f"{where}Unknown attribute {name}" if where else "AttributeName")
        if name in _BOOLEANS and value.lower() not in ("true", "false"):
            raise invalid(f"{where}{name}: Invalid value [{value}]. Must be true or false.")
    if attributes.get("RawMessageDelivery", "false").lower() == "true" and protocol not in ("sqs", *_HTTP):
        text = f"Delivery protocol [{protocol}] does not support raw message delivery."
        raise invalid(f"{where}RawMessageDelivery: {text}")
    scope = attributes.get("FilterPolicyScope", filters.ATTRIBUTES)
    if scope not in (filters.ATTRIBUTES, filters.BODY):
        text = (
            f"FilterPolicyScope: Invalid value [{scope}]. Please use either MessageBody or MessageAttributes"
        )
        raise invalid(f"{where}{text}")
    if policy := attributes.get("FilterPolicy"):
        try:
            filters.check(policy, scope)
        except Fault as fault:
            raise invalid(f"{where}{(fault.message or '').partition(': ')[2]}") from None
    if policy := attributes.get("DeliveryPolicy"):
        checked_delivery(policy)
    if policy := attributes.get("RedrivePolicy"):
        _check_redrive(topic, policy, where)


def _check_redrive(topic: Topic, text: str, where: str) -> None:
    try:
        found = json.loads(text)
        arn = found["deadLetterTargetArn"] if isinstance(found, dict) else None
    except (ValueError, KeyError, RecursionError):
        arn = None
    if arn is None:
        raise invalid(f"{where}RedrivePolicy: failed to parse JSON.")
    if not isinstance(arn, str) or not _QUEUE.fullmatch(arn):
        raise invalid(f"{where}RedrivePolicy: deadLetterTargetArn is an invalid arn")
    if arn.endswith(".fifo") != topic.fifo:
        text = "a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."
        raise invalid(
            f"{where}RedrivePolicy: must use {text if topic.fifo else 'a standard queue as DLQ for a standard topic'}"
        )
