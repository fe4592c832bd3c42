"""The operations on topics: made, described, changed, deleted, their policies and their tags."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.state import Record
from .catalog import SUBSCRIPTIONS, TOPICS, Catalog, Topic, page
from .faults import invalid, no_resource, no_topic, not_here
from .retries import checked as checked_delivery
from .retries import effective

TAGS = 50
DISPLAY_CHARACTERS = 100
_STANDARD = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_FIFO = re.compile(r"[A-Za-z0-9_-]{1,251}\.fifo", re.ASCII)
_FEEDBACK = re.compile(
    r"(HTTP|SQS|Lambda|Firehose|Application)(Success|Failure)Feedback(RoleArn|SampleRate)", re.ASCII
)
_CHOICES = {
    "ContentBasedDeduplication": ("true", "false"), "FifoThroughputScope": ("Topic", "MessageGroup"),
    "FifoTopic": ("true", "false"), "SignatureVersion": ("1", "2"), "TracingConfig": ("PassThrough", "Active"),
}  # fmt: skip
_BOOLEANS = ("ContentBasedDeduplication", "FifoTopic")  # in letters of either case
_OF_FIFO = ("ContentBasedDeduplication", "FifoThroughputScope")
_KEPT = ("KmsMasterKeyId",)
_DEFAULTS = {
    "DisplayName": "", "ContentBasedDeduplication": "false", "FifoThroughputScope": "Topic", "FifoTopic": "false",
}  # fmt: skip
_ACTIONS = (
    "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic", "Subscribe",
    "ListSubscriptionsByTopic", "Publish",
)  # fmt: skip
_SHARED = {"*", *_ACTIONS, "Receive"}
Members = dict[str, Any]


class Topics:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def create_topic(self, members: Members, caller: Caller) -> Members:
        name = members["Name"]
        given = {each: _plain(each, value) for each, value in (members.get("Attributes") or {}).items()}
        tags = _tags({}, members.get("Tags"))
        fifo = given.get("FifoTopic", "false") == "true"
        if not (_FIFO if fifo else _STANDARD).fullmatch(name):
            raise invalid("Topic Name")
        if members.get("DataProtectionPolicy"):
            raise not_here("DataProtectionPolicy is")
        topic = Topic(caller.place, name)
        for each, value in given.items():
            _check(topic, each, value, "Attributes")
        async with self._catalog.changes.lock:
            record = self._catalog.record(topic)
            if record is None:
                kept = {each: value for each, value in given.items() if each != "FifoTopic" or fifo}
                made = {"Name": name, "Attributes": kept, "Tags": tags, "_id": uuid.uuid4().hex}
                await self._catalog.write(caller.place, (TOPICS, name, "", made))
            else:
                before = {**_DEFAULTS, **record["Attributes"]}
                if any(before.get(each) != value for each, value in given.items()):
                    raise invalid("Attributes", "Topic already exists with different attributes")
                if members.get("Tags") and tags != record["Tags"]:
                    raise invalid("Tags", "Topic already exists with different tags")
        return {"TopicArn": topic.arn}

    async def delete_topic(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            try:
                topic, _ = self._catalog.topic(members["TopicArn"], caller, "DeleteTopic")
            except Fault as fault:
                if fault.code == "NotFoundException":
                    return
                raise
            gone = [(SUBSCRIPTIONS, topic.name, id, None) for id in self._catalog.subscriptions(topic)]
            await self._catalog.write(topic.place, *gone, (TOPICS, topic.name, "", None))

    async def list_topics(self, members: Members, caller: Caller) -> Members:
        names, token = page([topic.name for topic in self._catalog.topics(caller.place)], members)
        return {
            "Topics": [{"TopicArn": Topic(caller.place, name).arn} for name in names],
            "NextToken": token,
        }

    async def get_topic_attributes(self, members: Members, caller: Caller) -> Members:
        topic, record = self._catalog.topic(members["TopicArn"], caller, "GetTopicAttributes")
        own = record["Attributes"]
        found = self._catalog.subscriptions(topic).values()
        policy = {"http": effective(own.get("DeliveryPolicy"))}
        pending = sum(bool(each.get("_token")) for each in found)
        attributes = {
            "TopicArn": topic.arn, "Owner": topic.place.account, "DisplayName": "",
            "SubscriptionsConfirmed": str(len(found) - pending), "SubscriptionsPending": str(pending),
            "SubscriptionsDeleted": str(record.get("_deleted", 0)),
            "EffectiveDeliveryPolicy": json.dumps(policy, separators=(",", ":")),
        }  # fmt: skip
        if topic.fifo:
            attributes |= {name: _DEFAULTS[name] for name in _OF_FIFO}
        return {"Attributes": {**attributes, "Policy": _default_policy(topic), **own}}

    async def set_topic_attributes(self, members: Members, caller: Caller) -> None:
        name = members["AttributeName"]
        value = _plain(name, members.get("AttributeValue") or "")
        async with self._catalog.changes.lock:
            topic, record = self._catalog.topic(members["TopicArn"], caller, "SetTopicAttributes")
            if name == "FifoTopic":
                raise invalid("AttributeName")
            _check(topic, name, value, "AttributeName")
            attributes = {each: before for each, before in record["Attributes"].items() if each != name}
            if value:
                attributes[name] = value
            await self._put(topic, {**record, "Attributes": attributes})

    async def _put(self, topic: Topic, record: Record) -> None:
        await self._catalog.write(topic.place, (TOPICS, topic.name, "", record))

    # Policies.

    async def add_permission(self, members: Members, caller: Caller) -> None:
        label, accounts, actions = members["Label"], members["AWSAccountId"], members["ActionName"]
        if not actions or any(action not in _SHARED for action in actions):
            raise invalid("Policy statement action out of service scope!")
        if not accounts or any(not re.fullmatch(r"\d{12}", account, re.ASCII) for account in accounts):
            raise invalid("Policy Error: PrincipalNotFound")
        async with self._catalog.changes.lock:
            topic, record = self._catalog.topic(members["TopicArn"], caller, "AddPermission")
            policy = json.loads(record["Attributes"].get("Policy") or _default_policy(topic))
            statements = _statements(policy)
            if any(each.get("Sid") == label for each in statements):
                raise invalid("Statement already exists")
            principals = [f"arn:aws:iam::{account}:root" for account in accounts]
            statement = {
                "Sid": label, "Effect": "Allow", "Principal": {"AWS": _one(principals)},
                "Action": _one([f"SNS:{action}" for action in actions]), "Resource": topic.arn,
            }  # fmt: skip
            await self._policy(topic, record, policy, [*statements, statement])

    async def remove_permission(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            topic, record = self._catalog.topic(members["TopicArn"], caller, "RemovePermission")
            policy = json.loads(record["Attributes"].get("Policy") or _default_policy(topic))
            kept = [each for each in _statements(policy) if each.get("Sid") != members["Label"]]
            await self._policy(topic, record, policy, kept)

    async def _policy(self, topic: Topic, record: Record, policy: Members, statements: list[Members]) -> None:
        text = json.dumps({**policy, "Statement": statements}, separators=(",", ":"))
        await self._put(topic, {**record, "Attributes": {**record["Attributes"], "Policy": text}})

    # Tags.

    async def tag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            topic, record = self._tagged(members, caller)
            await self._put(topic, {**record, "Tags": _tags(record["Tags"], members["Tags"])})
        return {}

    async def untag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            topic, record = self._tagged(members, caller)
            kept = {key: value for key, value in record["Tags"].items() if key not in members["TagKeys"]}
            await self._put(topic, {**record, "Tags": kept})
        return {}

    async def list_tags_for_resource(self, members: Members, caller: Caller) -> Members:
        _, record = self._tagged(members, caller)
        return {"Tags": [{"Key": key, "Value": value} for key, value in record["Tags"].items()]}

    def _tagged(self, members: Members, caller: Caller) -> tuple[Topic, Record]:
        try:
            return self._catalog.topic(members["ResourceArn"], caller, "TagResource", "ResourceArn")
        except Fault as fault:
            raise (no_resource() if fault.message == no_topic().message else fault) from None


def _plain(name: str, value: str) -> str:
    return value.lower() if name in _BOOLEANS else value


def _check(topic: Topic, name: str, value: str, parameter: str) -> None:
    """Raises Fault: there is no such attribute, or it cannot be this."""
    where = f"{parameter} Reason: {name}" if parameter == "Attributes" else "AttributeValue"
    if name in _CHOICES:
        if name in _OF_FIFO and not topic.fifo:
            raise invalid(parameter, f"{name} is only valid for FIFO topics")
        if value not in _CHOICES[name]:
            raise invalid(f"{where}: {value} is none of {', '.join(_CHOICES[name])}")
    elif name == "DisplayName":
        if len(value) > DISPLAY_CHARACTERS:
            raise invalid(f"{where}: it is longer than {DISPLAY_CHARACTERS} characters")
    elif name == "DeliveryPolicy":
        if value:
            checked_delivery(value, "http")
    elif name == "Policy":
        if value:
            _check_policy(value)
    elif name in ("ArchivePolicy", "DataProtectionPolicy"):
        raise not_here(f"{name} is")
    elif name not in _KEPT and not _FEEDBACK.fullmatch(name):
        raise invalid(parameter, f"Unknown attribute {name}" if parameter == "Attributes" else "")


def _check_policy(text: str) -> None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not _statements(found):
        raise invalid("Policy Error: null")


def _statements(policy: Mapping[str, Any]) -> list[Members]:
    found = policy.get("Statement") or []
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def _default_policy(topic: Topic) -> str:
    """As AWS shows it of a topic that was given none: the owner's account may do everything."""
    owner: Place = topic.place
    statement = {
        "Sid": "__default_statement_ID", "Effect": "Allow", "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in _ACTIONS], "Resource": topic.arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": owner.account}},
    }  # fmt: skip
    policy = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    return json.dumps(policy, separators=(",", ":"))


def _one(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _tags(before: Mapping[str, str], given: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    added: dict[str, str] = {}
    for each in given or ():
        if each["Key"] in added:
            raise invalid("Duplicated keys are not allowed.")
        if each["Key"].lower().startswith("aws:"):
            raise invalid("aws: prefixed tag key names are not allowed for external use.")
        added[each["Key"]] = each["Value"]
    tags = {**before, **added}
    if len(tags) > TAGS:
        text = "Could not complete request: tag quota of per resource exceeded"
        raise Fault("TagLimitExceededException", text)
    return tags
