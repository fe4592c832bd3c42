"""A queue's policy: statements by label, and what it lets another account do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...aws.faults import Fault
from .faults import invalid_value, missing

_MAX_ACTIONS = 7
# What only a queue's owner may do.
_OWNERS = frozenset(
    {
        "AddPermission", "CancelMessageMoveTask", "CreateQueue", "DeleteQueue", "ListMessageMoveTasks", "ListQueueTags",
        "ListQueues", "RemovePermission", "SetQueueAttributes", "StartMessageMoveTask", "TagQueue", "UntagQueue",
    }
)  # fmt: skip
_SHARED = frozenset(
    {
        "*", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "DeleteMessage", "DeleteMessageBatch",
        "GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue", "ReceiveMessage",
        "SendMessage", "SendMessageBatch",
    }
)  # fmt: skip


def added(policy: str | None, arn: str, label: str, accounts: Sequence[str], actions: Sequence[str]) -> str:
    """The policy with one statement more. Raises Fault."""
    if not actions:
        raise missing("Actions")
    if not accounts:
        raise invalid_value("[]", "PrincipalId", "Unable to verify.")
    if len(actions) > _MAX_ACTIONS:
        raise Fault("OverLimit", f"{len(actions)} Actions were found, maximum allowed is {_MAX_ACTIONS}.")
    for action in actions:
        if action in _OWNERS:
            raise invalid_value(
                f"SQS:{action}", "ActionName", "Only the queue owner is allowed to invoke this action."
            )
        if action not in _SHARED:
            reason = "Please refer to the appropriate WSDL for a list of valid actions."
            raise invalid_value(f"SQS:{action}", "ActionName", reason)
    for account in accounts:
        if len(account) != 12 or not (account.isascii() and account.isdigit()):
            raise invalid_value(f"[{account}]", "PrincipalId", "Unable to verify.")
    document = json.loads(policy) if policy else {"Version": "2008-10-17", "Id": f"{arn}/SQSDefaultPolicy"}
    statements = _statements(document)
    if any(each.get("Sid") == label for each in statements):
        raise invalid_value(label, "Label", "Already exists.")
    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    names = [f"SQS:{action}" for action in actions]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principals if len(principals) > 1 else principals[0]},
        "Action": names if len(names) > 1 else names[0],
        "Resource": arn,
    }
    return json.dumps({**document, "Statement": [*statements, statement]}, separators=(",", ":"))


def removed(policy: str | None, label: str) -> str:
    """The policy without a label's statement, "" without any. Raises Fault."""
    document = json.loads(policy) if policy else {}
    statements = _statements(document)
    kept = [each for each in statements if each.get("Sid") != label]
    if len(kept) == len(statements):
        raise invalid_value(label, "Label", "can't find label.")
    return json.dumps({**document, "Statement": kept}, separators=(",", ":")) if kept else ""


def allows(policy: str | None, account: str, action: str, arn: str, service: str = "sqs") -> bool:
    """Does it let another account do this? Conditions are not evaluated: what has one lets nobody in. service: whose
    action it is."""
    statements = _statements(json.loads(policy)) if policy else []
    found = [
        each["Effect"]
        for each in statements
        if _names(each.get("Principal"), account)
        and _covers(each.get("Action"), f"{service}:{action}".lower())
        and _covers(each.get("Resource", arn), arn.lower())
        and (each.get("Effect") == "Deny" or (each.get("Effect") == "Allow" and "Condition" not in each))
    ]
    return "Allow" in found and "Deny" not in found


def _statements(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = document.get("Statement", [])
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def _names(principal: object, account: str) -> bool:
    if isinstance(principal, dict):
        principal = principal.get("AWS")
    each = principal if isinstance(principal, list) else [principal]
    return any(one in ("*", account, f"arn:aws:iam::{account}:root") for one in each)


def _covers(pattern: object, name: str) -> bool:
    """A pattern, or several, that may end in a star."""
    for each in pattern if isinstance(pattern, list) else [pattern]:
        if isinstance(each, str):
            text = each.lower()
            if text == name or (text.endswith("*") and name.startswith(text[:-1])):
                return True
    return False
