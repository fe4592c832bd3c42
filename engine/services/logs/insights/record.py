"""A record of a query: a log event, with what was discovered in it and what the query made of it; or a row of stats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from .... import wire
from ..disk import StoredEvent
from ..tokens import token
from .values import Time

FIELDS = 200  # of JSON, that are listed of an event
_FRAGMENTS = 8  # places where JSON could begin that are looked at
_UNSET = object()
_decoder = json.JSONDecoder()
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_BOUNDARY = re.compile(rf"(START|END|REPORT) RequestId: ({_ID})")
_WITHIN = re.compile(rf"(?:RequestId: |\t)({_ID})\b")
_REPORTED = re.compile(
    r"\t(Duration|Billed Duration|Memory Size|Max Memory Used|Init Duration): ([\d.]+) (?:ms|MB)"
    r"|(XRAY TraceId|SegmentId): (\S+)"
)
_NAMES = {
    "Duration": "@duration", "Billed Duration": "@billedDuration", "Init Duration": "@initDuration",
    "Memory Size": "@memorySize", "Max Memory Used": "@maxMemoryUsed", "XRAY TraceId": "@xrayTraceId",
    "SegmentId": "@xraySegmentId",
}  # fmt: skip
_BYTES = {"@memorySize": 1_000_000, "@maxMemoryUsed": 1_000_000}


class Source(NamedTuple):
    """A log group. log: what @log is of its events; lambda_: JSON is looked for within messages, too."""

    group: str
    log: str
    lambda_: bool


def source(account: str, group: str) -> Source:
    return Source(group, f"{account}:{group}", group.startswith("/aws/lambda/"))


class Record:
    """values: what the query made; order: smaller ones come first."""

    __slots__ = ("_document", "_lambda", "event", "order", "source", "values")

    def __init__(self, event: StoredEvent | None, source: Source | None) -> None:
        self.event = event
        self.source = source
        self.values: dict[str, Any] = {}
        self.order: tuple[Any, ...] = ()
        self._document: Any = _UNSET
        self._lambda: dict[str, Any] | None = None

    def copy(self) -> Record:
        new = Record(self.event, self.source)
        new.values = dict(self.values)
        new.order = self.order
        new._document, new._lambda = self._document, self._lambda
        return new

    def get(self, name: str) -> Any:
        """None: it has no such field."""
        values = self.values
        if name in values:
            return values[name]
        if self.event is None or self.source is None:
            return within(values, name)
        if name[0] != "@":
            found = within(self.document(), name)
            return found if found is not None or not values else within(values, name, True)
        builtin = _BUILTIN.get(name)
        if builtin is not None:
            return builtin(self.event, self.source)
        if name.startswith("@@"):
            return within(self.document(), name[1:])
        found = self.reported().get(name)
        return found if found is not None or not values else within(values, name, True)

    def document(self) -> dict[str, Any]:
        """What its message is in JSON, or has of it, if that is an object."""
        if self._document is _UNSET:
            assert self.event is not None and self.source is not None
            self._document = _document(self.event.message, self.source.lambda_)
        found: dict[str, Any] = self._document
        return found

    def reported(self) -> dict[str, Any]:
        """What Lambda's lines say."""
        if self._lambda is None:
            assert self.event is not None
            self._lambda = _reported(self.event.message)
        return self._lambda

    def fields(self) -> dict[str, Any]:
        """All of an event's, by their names."""
        assert self.event is not None and self.source is not None
        found = {name: get(self.event, self.source) for name, get in _BUILTIN.items()}
        found |= self.reported()
        for number, (name, value) in enumerate(_flat(self.document(), "")):
            if number >= FIELDS:
                break
            found[f"@{name}" if name.startswith("@") else name] = value
        return found


_BUILTIN: dict[str, Any] = {
    "@timestamp": lambda event, source: Time(event.timestamp),
    "@message": lambda event, source: event.message,
    "@logStream": lambda event, source: event.stream,
    "@log": lambda event, source: source.log,
    "@ingestionTime": lambda event, source: Time(event.ingested),
    "@ptr": lambda event, source: token(source.group, event.timestamp, event.sequence),
}


def _document(message: str, fragments: bool) -> dict[str, Any]:
    at = message.find("{")
    if at < 0:
        return {}
    if not message[:at].strip():
        try:
            found = wire.decode(message.encode("utf-8", "replace"))
            return found if isinstance(found, dict) else {}
        except (ValueError, RecursionError):
            pass
    for _ in range(_FRAGMENTS if fragments else 0):
        try:
            found, _end = _decoder.raw_decode(message, at)
            return found if isinstance(found, dict) else {}
        except (ValueError, RecursionError):
            at = message.find("{", at + 1)
            if at < 0:
                break
    return {}


def _reported(message: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if boundary := _BOUNDARY.match(message):
        found["@type"], found["@requestId"] = boundary.groups()
        if boundary[1] == "REPORT":
            for name, amount, traced, value in _REPORTED.findall(message):
                field = _NAMES[name or traced]
                found[field] = value if traced else float(amount or 0) * _BYTES.get(field, 1)
    elif within := _WITHIN.search(message, 0, 1000):
        found["@requestId"] = within[1]
    return found


def within(value: Any, path: str, made: bool = False) -> Any:
    """What a path of names and numbers leads to, "a.b.0": the longest name that there is goes first. None: to nothing,
    or to what has more within. made: what a function made may be an object or a list itself."""
    if isinstance(value, dict):
        if path in value:
            found = value[path]
            return None if isinstance(found, dict | list) and not made else found
        at = path.rfind(".")
        while at > 0:
            if path[:at] in value:
                found = within(value[path[:at]], path[at + 1 :], made)
                if found is not None:
                    return found
            at = path.rfind(".", 0, at)
    elif isinstance(value, list):
        index, _, rest = path.partition(".")
        if index.isascii() and index.isdigit() and int(index[:9]) < len(value):
            found = value[int(index[:9])]
            if rest:
                return within(found, rest, made)
            return None if isinstance(found, dict | list) and not made else found
    return None


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif value is not None and not isinstance(value, dict | list):
        yield name, value
