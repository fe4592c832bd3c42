"""Records of a shard, and the rules by which a mapping hands them to its function. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..batches import FRAME, Encoded


class Record(Encoded, gc=False):
    """id: its sequence number; group: its partition key; arrived: epoch seconds; done: nothing is left to do."""

    arrived: float
    done: bool = False


class Rules(NamedTuple):
    """As Settings has them: seconds, and -1 for no limit of retries and age. frame: bytes of an event beside its
    records."""

    batch_size: int = 100
    window: float = 0.0
    parallel: int = 1
    bisect: bool = False
    retries: int = -1
    max_age: float = -1.0
    tumbling: float = 0.0
    frame: int = FRAME


@dataclass(slots=True)
class Piece:
    """Records that are to be tried together. attempts: retries that were consumed; invoked: how often they were
    invoked with; last: the last invocation's request id, version, and whether the function failed."""

    records: list[Record]
    attempts: int = 0
    invoked: int = 0
    last: tuple[str, str, bool] = ("", "", False)


class GivenUp(NamedTuple):
    """A piece that the function will not see again. condition: AWS's."""

    lane: int
    piece: Piece
    condition: str


EXHAUSTED, TOO_OLD = "RetryAttemptsExhausted", "RecordAgeExceeded"
TOO_LARGE = "MaximumPayloadSizeExceeded"
