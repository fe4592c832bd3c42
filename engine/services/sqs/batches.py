"""Batches: up to ten entries with ids of their own, each with a result or a fault."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from ... import limits
from ...aws.faults import Fault
from .faults import missing
from .protocols import entry_code

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ID_FORM = (
    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
    "It can be at most 80 letters long."
)
Entries = Sequence[Mapping[str, Any]]


def check(entries: Entries, kind: str, *required: str) -> None:
    """Raises Fault. kind: of the entries, as the query protocol calls it; required: what each must have."""
    if not entries:
        raise Fault("EmptyBatchRequest", f"There should be at least one {kind} in the request.")
    if len(entries) > limits.SQS_ENTRIES:
        raise Fault(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {limits.SQS_ENTRIES}. You have sent {len(entries)}.",
        )
    seen = set()
    for number, entry in enumerate(entries, 1):
        for name in ("Id", *required):
            if entry.get(name) is None:
                raise missing(f"{kind}.{number}.{name}")
        id = entry["Id"]
        if not _ID.fullmatch(id):
            raise Fault("InvalidBatchEntryId", _ID_FORM)
        if id in seen:
            raise Fault("BatchEntryIdsNotDistinct", f"Id {id} repeated.")
        seen.add(id)


def failed(id: str, fault: Fault) -> dict[str, Any]:
    sender = not fault.code.startswith(("RequestThrottled", "Service", "Internal"))
    return {"Id": id, "SenderFault": sender, "Code": entry_code(fault), "Message": fault.message or ""}


async def gathered(
    entries: Entries, outcomes: Sequence[Awaitable[Mapping[str, Any]] | Fault]
) -> dict[str, Any]:
    """The result of a batch, from what each of its entries began."""
    done: list[Mapping[str, Any] | Fault] = []
    for outcome in outcomes:
        try:
            done.append(outcome if isinstance(outcome, Fault) else await outcome)
        except Fault as fault:
            done.append(fault)
    return result(entries, done)


def result(entries: Entries, outcomes: Sequence[Mapping[str, Any] | Fault]) -> dict[str, Any]:
    """Of a batch, from what each of its entries came to."""
    good, bad = [], []
    for entry, outcome in zip(entries, outcomes, strict=True):
        if isinstance(outcome, Fault):
            bad.append(failed(entry["Id"], outcome))
        else:
            good.append({"Id": entry["Id"], **outcome})
    return {"Successful": good, "Failed": bad}
