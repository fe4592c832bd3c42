"""A queue's attributes: which there are, what values they may have, and what they mean to its messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ... import limits
from ...aws.faults import Fault
from . import redrive

_RANGES = {
    "DelaySeconds": (0, limits.SQS_DELAY),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (limits.SQS_MESSAGE_BYTES_MIN, limits.SQS_MESSAGE_BYTES),
    "MessageRetentionPeriod": limits.SQS_RETENTION,
    "ReceiveMessageWaitTimeSeconds": (0, limits.SQS_WAIT),
    "VisibilityTimeout": (0, limits.SQS_VISIBILITY),
}
_CHOICES = {
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_FLAGS = ("ContentBasedDeduplication", "FifoQueue", "SqsManagedSseEnabled")
_DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": str(limits.SQS_MESSAGE_BYTES),
    "MessageRetentionPeriod": str(limits.SQS_RETENTION_DEFAULT),
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": str(limits.SQS_VISIBILITY_DEFAULT),
}
_FIFO_DEFAULTS = {
    "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoQueue": "true",
    "FifoThroughputLimit": "perQueue",
}  # fmt: skip
_TEXTS = ("KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "RedrivePolicy")
COUNTS = (
    "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible",
)  # fmt: skip
_READ = (*COUNTS, "CreatedTimestamp", "LastModifiedTimestamp", "QueueArn")
_SETTABLE = {*_RANGES, *_CHOICES, *_FLAGS, *_TEXTS}
NAMES = {*_SETTABLE, *_READ}
_GONE_IF = {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300", "Policy": "", "RedrivePolicy": "",
            "RedriveAllowPolicy": ""}  # fmt: skip
_ENCRYPTION = (
    "You can use one type of server-side encryption (SSE) at one time. "
    "You can either enable KMS SSE or SQS SSE."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Attributes as the handling of messages needs them; seconds and bytes."""

    fifo: bool
    visibility: int
    delay: int
    wait: int
    retention: int
    size: int
    by_content: bool
    by_group: bool

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> Settings:
        each = {**_DEFAULTS, **_FIFO_DEFAULTS, "FifoQueue": "false", **attributes}
        return cls(
            fifo=each["FifoQueue"] == "true",
            visibility=int(each["VisibilityTimeout"]),
            delay=int(each["DelaySeconds"]),
            wait=int(each["ReceiveMessageWaitTimeSeconds"]),
            retention=int(each["MessageRetentionPeriod"]),
            size=int(each["MaximumMessageSize"]),
            by_content=each["ContentBasedDeduplication"] == "true",
            by_group=each["DeduplicationScope"] == "messageGroup",
        )


def defaults(fifo: bool) -> dict[str, str]:
    return {**_DEFAULTS, **(_FIFO_DEFAULTS if fifo else {})}


def checked(given: Mapping[str, str], current: Mapping[str, str], fifo: bool) -> dict[str, str]:
    """All attributes of a queue after `given` was set. Raises Fault; the redrive policies are checked elsewhere."""
    result = dict(current)
    for name, value in given.items():
        if name not in _SETTABLE or (not fifo and name in ("FifoQueue", "ContentBasedDeduplication")):
            raise unknown(name)
        if not fifo and name in _CHOICES:
            raise Fault(
                "InvalidAttributeName", f"You can specify the {name} only when FifoQueue is set to true."
            )
        result[name] = _checked(name, value)
    if given.get("KmsMasterKeyId"):
        if result_of(given, "SqsManagedSseEnabled"):
            raise Fault("InvalidAttributeName", _ENCRYPTION)
        result["SqsManagedSseEnabled"] = "false"
    elif result_of(given, "SqsManagedSseEnabled") and result.get("KmsMasterKeyId"):
        raise Fault("InvalidAttributeName", _ENCRYPTION)
    if result.get("FifoThroughputLimit") == "perMessageGroupId" and result["DeduplicationScope"] == "queue":
        raise _wrong(
            "FifoThroughputLimit",
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.",
        )
    return {name: value for name, value in result.items() if _GONE_IF.get(name) != value}


def result_of(given: Mapping[str, str], flag: str) -> bool:
    return given.get(flag, "").lower() == "true"


def unknown(name: str) -> Fault:
    return Fault("InvalidAttributeName", f"Unknown Attribute {name}.")


def _wrong(name: str, reason: str = "") -> Fault:
    text = f"Invalid value for the parameter {name}."
    return Fault("InvalidAttributeValue", f"{text} Reason: {reason}" if reason else text)


def _checked(name: str, value: str) -> str:
    """One value, as it is kept."""
    if name in _FLAGS:
        if value.lower() not in ("true", "false"):
            raise _wrong(name)
        return value.lower()
    if name in _CHOICES and value not in _CHOICES[name]:
        raise _wrong(name)
    if name in _RANGES:
        low, high = _RANGES[name]
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            raise _wrong(name)
        if not low <= int(value) <= high:
            raise _wrong(name, f"Must be between {low} and {high}." if name.startswith("Kms") else "")
        return str(int(value))
    if name == "RedrivePolicy" and value:
        return redrive.normal(value)
    if name == "Policy" and value:
        try:
            if not isinstance(json.loads(value), dict):
                raise _wrong(name)
        except (ValueError, RecursionError):
            raise _wrong(name) from None
    return value
