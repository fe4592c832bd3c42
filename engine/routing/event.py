"""An accepted event: what the queue keeps of it beside its payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .. import wire
from ..aws.names import LATEST
from ..hosting.placements import Placement

SERVICE = "lambda"  # of the queues' names


class AcceptedEvent(msgspec.Struct, array_like=True):
    """id: the request's, of every attempt; accepted: epoch seconds, for people only: its age is the queue's
    business."""

    name: str
    qualifier: str | None
    partition: str  # of its place
    id: bytes
    accepted: float
    extras: wire.Extras | None = None
    invocations: int = 0  # that ended: AWS's approximateInvokeCount
    failures: int = 0  # of those, the function's errors
    faults: int = 0  # system errors in a row
    begun: float = 0.0  # epoch seconds of its first attempt, where it is traced

    def config(self, placement: Placement) -> Mapping[str, Any]:
        """The function's EventInvokeConfig for the qualifier that was invoked."""
        return placement.state.get("invoke-config", self.name, self.qualifier or LATEST) or {}


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(AcceptedEvent).decode


def queue_of(partition: str, name: str) -> str:
    """The queue of a function's events."""
    return f"{SERVICE}:{partition}/{name}"


def function_of(queue: str) -> tuple[str, str]:
    """A queue's partition and function."""
    partition, _, name = queue.partition(":")[2].rpartition("/")
    return partition, name
