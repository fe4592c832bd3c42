"""Reads segments of log groups without the store: what a part of a job names, a piece at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from ..disk import StoredEvent, decode
from .job import Extent, Part

PIECE = 1 << 20  # bytes that are in memory at once


def pieces(part: Part, extents: Iterable[Extent]) -> Iterator[Iterator[StoredEvent]]:
    """Events of those extents of a part's, of whatever time."""
    for extent in extents:
        with contextlib.suppress(FileNotFoundError):  # dropped since
            yield from _pieces(extent, part.gone)


def _pieces(extent: Extent, gone: dict[str, int]) -> Iterator[Iterator[StoredEvent]]:
    offset, end, sequence, rest = extent.offset, extent.offset + extent.length, extent.sequence, b""
    with open(extent.path, "rb") as file:
        while offset < end and (data := os.pread(file.fileno(), min(PIECE, end - offset), offset)):
            offset += len(data)
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield decode(whole + newline, sequence, gone)
                sequence += whole.count(b"\n") + 1


def find(part: Part, sequence: int) -> StoredEvent | None:
    """The event of that sequence."""
    before = [extent for extent in part.extents if extent.sequence <= sequence]
    for events in pieces(part, before[-1:]):
        for event in events:
            if event.sequence >= sequence:
                return event if event.sequence == sequence else None
    return None


def latest(part: Part, most: int) -> Iterator[StoredEvent]:
    """Events of a part's time, of its last extents: of so many bytes, and of what remains of the last of these."""
    size = 0
    for extent in reversed(part.extents):
        for events in pieces(part, [extent]):
            yield from (event for event in events if part.low <= event.timestamp < part.high)
        size += extent.length
        if size > most:
            return
