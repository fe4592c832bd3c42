"""Recursive loops: how often a chain of invocations has come to each function, in the trace header that it hands on.

A handler's SDK sends the header that its invocation came with (botocore does so by itself), so the field Lineage of
X-Amzn-Trace-Id goes from one invocation to those that it causes: "hash:count" of each function in the chain, joined
by "|"."""

from __future__ import annotations

import time
from urllib.parse import unquote

from .. import wire
from ..aws.faults import Fault
from ..aws.traces import LINEAGE as _FIELD
from ..aws.traces import begin, function_hash
from ..hosting.placements import Placement

MOST = 16  # invocations of one function in a chain
_MOST_FUNCTIONS = 64  # in a chain's lineage; the first ones are forgotten
_MESSAGE = (
    "Lambda has detected your function being invoked in a recursive loop with other AWS resources and stopped your "
    "function's invocation."
)


def hop(trace: str, arn: str) -> tuple[str, int]:
    """The header for an invocation of this function that was caused with `trace`, and how many there were before
    it."""
    mine = function_hash(arn)
    if _FIELD not in trace:
        return f"{trace};{_FIELD}{mine}:1", 0
    trace = unquote(trace)
    fields = [field for field in trace.split(";") if field]
    lineage = next((field for field in fields if field.startswith(_FIELD)), _FIELD)
    counts = dict(_pairs(lineage.removeprefix(_FIELD)))
    before = counts.pop(mine, 0)
    counts[mine] = before + 1
    kept = list(counts.items())[-_MOST_FUNCTIONS:]
    fields = [field for field in fields if not field.startswith(_FIELD)]
    return ";".join([*fields, _FIELD + "|".join(f"{hash}:{count}" for hash, count in kept)]), before


def check(placement: Placement, name: str, extras: wire.Extras) -> None:
    """One more hop for an invocation that its caller waits for. Raises Fault when it would be one too many."""
    if _FIELD in extras.trace:
        extras.trace, before = hop(extras.trace, placement.place.function(name))
        if before >= MOST and not allowed(placement, name):
            raise Fault("RecursiveInvocationException", _MESSAGE, Type="User")


def traced(
    placement: Placement, name: str, extras: wire.Extras | None, id: bytes, sampled: bool
) -> wire.Extras:
    """The first hop of what a function has called."""
    extras = extras or wire.Extras()
    extras.trace, _ = hop(begin(id, time.time(), sampled), placement.place.function(name))
    return extras


def allowed(placement: Placement, name: str) -> bool:
    """May this function recur as often as it likes?"""
    record = placement.state.get("recursion", name)
    return record is not None and record["RecursiveLoop"] == "Allow"


def _pairs(text: str) -> list[tuple[str, int]]:
    pairs = []
    for part in text.split("|"):
        hash, _, count = part.partition(":")
        if count.isascii() and count.isdigit() and len(count) < 6:
            pairs.append((hash, int(count)))
    return pairs
