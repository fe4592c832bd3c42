"""What a publish may have: checked, and made into the message that is delivered."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from ...aws.faults import Fault
from .catalog import Topic
from .faults import invalid, value
from .notifications import Published

MESSAGE_BYTES = 262_144  # of a message with its attributes, and of all of a batch
SUBJECT_CHARACTERS = 100
NAME_BYTES = 256
_STRANGE = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}", re.ASCII)
_SUBJECT = re.compile(r"[\x20-\x7e]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def size(members: Mapping[str, Any]) -> int:
    """What a publish counts for, in bytes."""
    total = len((members.get("Message") or "").encode("utf-8", "replace"))
    for name, each in (members.get("MessageAttributes") or {}).items():
        total += len(name.encode("utf-8", "replace")) + len(each.get("DataType") or "")
        total += len((each.get("StringValue") or "").encode("utf-8", "replace"))
        total += len(each.get("BinaryValue") or b"")
    return total


def made(
    topic: Topic, record: Mapping[str, Any], members: Mapping[str, Any], id: str, at: float
) -> Published:
    """The message of a Publish, or of an entry of a batch. record: the topic's. Raises Fault."""
    text = members["Message"]
    if not text:
        raise invalid("Empty message")
    if size(members) > MESSAGE_BYTES:
        raise invalid("Message too long")
    if _CONTROL.search(text):
        raise invalid("Message", "it has characters that XML cannot have")
    message = Published(id, topic.arn, at, text)
    if members.get("MessageStructure"):
        if members["MessageStructure"] != "json":
            raise invalid("MessageStructure")
        message.structure = _structure(text)
        message.text = message.structure["default"]
    subject = members.get("Subject")
    if subject is not None:
        right = (
            _SUBJECT.fullmatch(subject) and not subject[0].isspace() and len(subject) <= SUBJECT_CHARACTERS
        )
        if not right:
            raise invalid("Subject")
        message.subject = subject
    message.attributes = {
        name: _attribute(name, each) for name, each in (members.get("MessageAttributes") or {}).items()
    }
    message.signature_version = record["Attributes"].get("SignatureVersion", "1")
    _identify(topic, record, members, message)
    return message


def _structure(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise invalid("Message Structure - JSON message body failed to parse")
    texts = {name: each for name, each in found.items() if isinstance(each, str)}
    if "default" not in texts:
        raise invalid("Message Structure - No default entry in JSON message body")
    return texts


def _check_name(name: str) -> None:
    """Raises Fault, in the words that were recorded of AWS."""
    if not 0 < len(name.encode("utf-8", "replace")) <= NAME_BYTES:
        raise value("Length of message attribute name must be less than 256 bytes.")
    if strange := _STRANGE.search(name):
        raise value(
            f"Invalid non-alphanumeric character '#x{ord(strange[0]):X}' was found in the message attribute name. "
            "Can only include alphanumeric characters, hyphens, underscores, or dots."
        )
    if name[0] == ".":
        raise value("Invalid message attribute name starting with character '.' was found.")
    if name[-1] == ".":
        raise value("Invalid message attribute name ending with character '.' was found.")
    if ".." in name:
        raise value("Message attribute name can not have successive '.' character.")


def _attribute(name: str, given: Mapping[str, Any]) -> tuple[str, str]:
    """Its type and its value. Raises Fault."""
    _check_name(name)
    if name.lower().startswith(("aws.", "amazon.")):
        raise value("You can't use message attribute names beginning with 'AWS.' or 'Amazon.'.")
    kind = given.get("DataType") or ""
    base = kind.partition(".")[0]
    if not kind:
        raise value(f"The message attribute '{name}' must contain non-empty message attribute type.")
    if base not in ("Binary", "Number", "String"):
        raise value(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type "
            "prefixes is Binary, Number, and String."
        )
    field, other = ("BinaryValue", "StringValue") if base == "Binary" else ("StringValue", "BinaryValue")
    found = given.get(field)
    if not found:
        if given.get(other):
            raise value(f"The message attribute '{name}' with type '{kind}' must use field '{field[:6]}'.")
        raise value(
            f"The message attribute '{name}' must contain non-empty message attribute value for message attribute "
            f"type '{kind}'."
        )
    if base == "Binary":
        return kind, base64.b64encode(found).decode()
    if base == "Number" and not _NUMBER.fullmatch(found):
        raise value(f"Could not cast message attribute '{name}' value to number.")
    if kind == "String.Array" and not _is_array(found):
        raise value(
            f"The message attribute '{name}' with type 'String.Array' must have a JSON array of scalars."
        )
    return kind, str(found)


def _is_array(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and not any(isinstance(each, list | dict) for each in found)


def _identify(
    topic: Topic, record: Mapping[str, Any], members: Mapping[str, Any], message: Published
) -> None:
    """Its group, and what tells it from others."""
    group, once = members.get("MessageGroupId"), members.get("MessageDeduplicationId")
    for name, each in (("MessageGroupId", group), ("MessageDeduplicationId", once)):
        if each is not None and not _ID.fullmatch(each):
            raise invalid(
                name, f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length"
            )
    message.group = group or ""
    if not topic.fifo:
        if once is not None:
            text = (
                "The request includes MessageDeduplicationId parameter that is not valid for this topic type"
            )
            raise invalid("MessageDeduplicationId", text)
        return
    if not group:
        raise invalid("The MessageGroupId parameter is required for FIFO topics")
    if once is None:
        if record["Attributes"].get("ContentBasedDeduplication") != "true":
            raise invalid(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
                "explicitly"
            )
        once = sha256(members["Message"].encode("utf-8", "replace")).hexdigest()
    message.deduplication = once


def check_batch(entries: list[Mapping[str, Any]]) -> None:
    """Raises Fault."""
    if not entries:
        raise Fault("EmptyBatchRequestException", "The batch request doesn't contain any entries.")
    if len(entries) > 10:
        text = "The batch request contains more entries than permissible."
        raise Fault("TooManyEntriesInBatchRequestException", text)
    ids = [each["Id"] for each in entries]
    if len(set(ids)) < len(ids):
        text = "Two or more batch entries in the request have the same Id."
        raise Fault("BatchEntryIdsNotDistinctException", text)
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", id, re.ASCII) for id in ids):
        text = "The Id of a batch entry in a batch request doesn't abide by the specification."
        raise Fault("InvalidBatchEntryIdException", text)
    if sum(map(size, entries)) > MESSAGE_BYTES:
        text = "The length of all the batch messages put together is more than the limit."
        raise Fault("BatchRequestTooLongException", text)
