"""What a log group has on disk: its folder's name, what is kept beside the events, and a line per event.

An invocation that has nothing but its START, END and REPORT is one line, with two empty ones before it: so the number
of a line is still that of an event, its sequence.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from ...observe.log import Plain

META = "group.json"
Key = tuple[int, int]  # timestamp, sequence: the order of events
Raw = tuple[int, int, str, str]  # timestamp, ingested, stream, message: a line
EMPTY = msgspec.Raw(b"")
Line = Raw | Plain | msgspec.Raw


Stamp = tuple[int, int, str]  # timestamp, ingested, stream


class StoredEvent(msgspec.Struct, array_like=True, gc=False):
    """One log event. Times in epoch ms; sequence is its place in the group, from 1, never used twice."""

    timestamp: int
    ingested: int
    stream: str
    message: str
    sequence: int = 0  # not on disk: the segment's name and the line's number give it


class Filter(msgspec.Struct):
    """A subscription filter or a metric filter. members: the others of its description; created: epoch ms; id: told
    apart from one of the same name later; after: the sequence behind which it begins."""

    name: str
    pattern: str
    members: dict[str, Any]
    created: int
    id: str
    after: int = 0


class Meta(msgspec.Struct):
    """What is kept of a group beside its events. Times in epoch ms."""

    name: str
    created: int
    retention_days: int | None = None
    log_class: str = "STANDARD"
    tags: dict[str, str] = {}
    streams: dict[str, int] = {}  # made without an event: when
    gone: dict[str, int] = {}  # deleted streams: events up to this sequence are not there
    subscriptions: list[Filter] = []
    metrics: list[Filter] = []


class Stream(msgspec.Struct):
    """One stream, summed up from its group's events; None: it has no event. Times in epoch ms."""

    name: str
    created: int
    first: int | None = None
    last: int | None = None
    ingested: int | None = None


class Block(NamedTuple):
    """A run of lines in one segment."""

    segment: int
    offset: int
    length: int
    sequence: int  # of the first event
    events: int
    earliest: int
    latest: int
    streams: frozenset[str]


_decode = msgspec.json.Decoder(Raw).decode
_decode_plain = msgspec.json.Decoder(Plain).decode
_encode_lines = msgspec.json.Encoder().encode_lines
_decode_meta = msgspec.json.Decoder(Meta).decode


def encode(lines: Sequence[Line]) -> bytes:
    try:
        return _encode_lines(lines)
    except UnicodeEncodeError:  # lone surrogates, which no UTF-8 has
        return _encode_lines([_clean(line) for line in lines])


def rendered(lines: Iterable[Line]) -> Iterator[Raw]:
    """As events."""
    for line in lines:
        if isinstance(line, tuple):
            yield line
        elif isinstance(line, Plain):
            for at, message in line.events():
                yield at, line.ingested, line.stream, message


def stamps(lines: Iterable[Line]) -> list[Stamp]:
    """When, and in which stream."""
    found: list[Stamp] = []
    for line in lines:
        if isinstance(line, tuple):
            found.append(line[:3])
        elif isinstance(line, Plain):
            found += ((at, line.ingested, line.stream) for at in line.times)
    return found


def decode(data: bytes, sequence: int, gone: dict[str, int]) -> Iterator[StoredEvent]:
    """The events of whole lines; a line that is broken is skipped, its number not used again."""
    for n, line in enumerate(data.split(b"\n")[:-1], sequence):
        try:
            if line[1:2] == b'"':
                plain = _decode_plain(line)
                if n > gone.get(plain.stream, 0):
                    for number, (at, message) in enumerate(plain.events(), n - 2):
                        yield StoredEvent(at, plain.ingested, plain.stream, message, number)
                continue
            timestamp, ingested, stream, message = _decode(line)
        except (ValueError, RecursionError):
            continue
        if n > gone.get(stream, 0):
            yield StoredEvent(timestamp, ingested, stream, message, n)


def _clean(line: Line) -> Line:
    if isinstance(line, tuple):
        timestamp, ingested, stream, message = line
        return timestamp, ingested, utf8(stream), utf8(message)
    if isinstance(line, Plain):
        return msgspec.structs.replace(line, stream=utf8(line.stream))
    return line


def utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def folder_name(name: str) -> str:
    """A group's folder: its name with "/" and what else a file may not have encoded, or a hash for a long one."""
    safe = quote(name, safe="").replace("~", "%7E")
    safe = "%2E" + safe[1:] if safe.startswith(".") else safe
    return safe if len(safe) <= 200 else f"{safe[:120]}~{hashlib.sha256(name.encode()).hexdigest()}"


def name_of(folder: Path) -> str | None:
    """The group of a folder; None: it is not a group's."""
    if "~" not in folder.name:
        return unquote(folder.name)
    meta = read_meta(folder)
    return meta.name if meta else None


def read_meta(folder: Path) -> Meta | None:
    """None: there is none that can be read."""
    try:
        return _decode_meta((folder / META).read_bytes())
    except (OSError, ValueError):
        return None


def write_meta(folder: Path, meta: Meta, sync: bool = False) -> None:
    """All of it or nothing. sync: it is on the disk then."""
    new = folder / (META + ".new")
    with new.open("wb") as file:
        file.write(msgspec.json.encode(meta))
        if sync:
            file.flush()
            os.fsync(file.fileno())
    new.replace(folder / META)


def is_subscribed(folder: Path) -> bool:
    """Has the group a subscription filter?"""
    try:
        return b'"subscriptions":[{' in (folder / META).read_bytes()
    except OSError:
        return False
