"""Redrive policies: where a queue's messages go that nobody can process, and whose messages a queue takes as such."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ... import limits
from ...aws.names import Place
from .faults import invalid_value

_ARN = re.compile(r"arn:aws[a-z-]*:sqs:([a-z0-9-]+):(\d{12}):([A-Za-z0-9_-]{1,80}(?:\.fifo)?)")
_PERMISSIONS = ("allowAll", "denyAll", "byQueue")
_FORMAT = "Amazon SQS can't create the redrive allow policy, as it’s in an unsupported format."  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Redrive:
    """target: the dead-letter queue's ARN; receives: more of them, and a message goes there."""

    target: str
    receives: int


def arn(place: Place, name: str) -> str:
    return f"arn:aws:sqs:{place.region}:{place.account}:{name}"


def parse_arn(text: str) -> tuple[Place, str] | None:
    """The place and the name of a queue. None: that is no queue's ARN."""
    found = _ARN.fullmatch(text)
    return None if found is None else (Place(found[1], found[2]), found[3])


def policy_of(attributes: Mapping[str, str]) -> Redrive | None:
    """A policy that was checked."""
    text = attributes.get("RedrivePolicy")
    if not text:
        return None
    policy = json.loads(text)
    return Redrive(policy["deadLetterTargetArn"], int(policy["maxReceiveCount"]))


def parsed(text: str) -> Redrive:
    """A RedrivePolicy. Raises Fault; whether the target is there, and takes it, is checked elsewhere."""
    policy = _map(text, "RedrivePolicy", "Redrive policy is not a valid JSON map.")
    for name in ("deadLetterTargetArn", "maxReceiveCount"):
        if policy.get(name) in (None, ""):
            reason = f"Redrive policy does not contain mandatory attribute: {name}."
            raise invalid_value(text, "RedrivePolicy", reason)
    if len(policy) > 2:
        reason = "Only following attributes are expected: [deadLetterTargetArn, maxReceiveCount]."
        raise invalid_value(text, "RedrivePolicy", reason)
    target, count = policy["deadLetterTargetArn"], policy["maxReceiveCount"]
    digits = str(count)
    if isinstance(count, bool) or not re.fullmatch(r"\d{1,9}", digits, re.ASCII):
        raise _count(text, count)
    if not 1 <= int(digits) <= limits.SQS_RECEIVES:
        raise _count(text, count)
    if not isinstance(target, str) or parse_arn(target) is None:
        raise invalid_value(text, "RedrivePolicy", "Invalid value for deadLetterTargetArn.")
    return Redrive(target, int(digits))


def _count(text: str, count: object) -> Exception:
    valid = f"valid values are from 1 to {limits.SQS_RECEIVES} both inclusive."
    reason = f"Invalid value for maxReceiveCount: {count}, {valid}"
    return invalid_value(text, "RedrivePolicy", reason)


def normal(text: str) -> str:
    """A policy that was checked, as it is shown."""
    policy = parsed(text)
    return json.dumps(
        {"deadLetterTargetArn": policy.target, "maxReceiveCount": policy.receives}, separators=(",", ":")
    )


def check_allow(text: str) -> None:
    """A RedriveAllowPolicy. Raises Fault."""
    policy = _map(text, "RedriveAllowPolicy", _FORMAT)
    permission, sources = policy.get("redrivePermission"), policy.get("sourceQueueArns")
    wrong = permission not in _PERMISSIONS or not set(policy) <= {"redrivePermission", "sourceQueueArns"}
    if permission == "byQueue":
        wrong = wrong or not isinstance(sources, list) or not 1 <= len(sources) <= limits.SQS_SOURCES
        wrong = wrong or any(not isinstance(each, str) or parse_arn(each) is None for each in sources or ())
    elif sources is not None:
        wrong = True
    if wrong:
        raise invalid_value(text, "RedriveAllowPolicy", _FORMAT)


def allows(attributes: Mapping[str, str], source: str) -> bool:
    """May the queue of that ARN have the queue with these attributes as its dead-letter queue?"""
    text = attributes.get("RedriveAllowPolicy")
    if not text:
        return True
    policy = json.loads(text)
    permission = policy["redrivePermission"]
    return permission == "allowAll" or (permission == "byQueue" and source in policy["sourceQueueArns"])


def _map(text: str, parameter: str, reason: str) -> dict[str, Any]:
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError):
        policy = None
    if not isinstance(policy, dict):
        raise invalid_value(text, parameter, reason)
    return policy
