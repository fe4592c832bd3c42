"""FilterCriteria: which records a function gets, by event patterns over the record and its data read as JSON.

A record passes when one of the patterns matches. The part of a pattern for the data (SQS: `body`, Kinesis and MQ:
`data`, Kafka: `key` and `value`) is an object, for data that is a JSON object, or a list of texts, for data that is
none. Other data of a queue or stream does not pass; of Kafka and MQ, that part of the pattern is left out. DynamoDB's
records are JSON as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import wire
from ..routing.grammar import InvalidPattern, compiled
from ..routing.patterns import Pattern

# The members that hold a record's data.
DATA = {
    "sqs": ("body",), "kinesis": ("data",), "nats": ("data",), "kafka": ("key", "value"), "mq": ("data",),
}  # fmt: skip
_LENIENT = ("kafka", "mq")  # a pattern for other data counts as none
Text = bytes | str | None


class _Filter:
    """One pattern. asked: by the data's member, what kinds of data it asks for: an object, or a text."""

    def __init__(self, described: Mapping[str, Any], members: tuple[str, ...]) -> None:
        self._described = described
        self._patterns: dict[frozenset[str], Pattern | None] = {frozenset(): compiled(described)}
        self.asked = {member: {type(each) for each in _parts(described, member)} for member in members}

    def takes(self, member: str, data: Any) -> bool:
        """Is the data of the kind that is asked for?"""
        asked = self.asked[member] & {dict, list}
        return len(asked) != 1 or (dict in asked) is isinstance(data, dict)

    def matches(self, seen: Mapping[str, Any], without: frozenset[str] = frozenset()) -> bool:
        """without: members that the pattern does not count for."""
        if without not in self._patterns:
            rest = _without(self._described, without)
            self._patterns[without] = compiled(rest) if rest else None
        pattern = self._patterns[without]
        return pattern is None or pattern.matches(seen)


class Filters:
    """Of one mapping. Raises InvalidPattern for patterns that a record of this kind cannot have."""

    def __init__(self, kind: str, criteria: Mapping[str, Any] | None) -> None:
        self._members = DATA.get(kind, ())
        self._lenient = kind in _LENIENT
        self._filters: list[_Filter] = []
        for each in (criteria or {}).get("Filters") or ():
            described = wire.decode((each.get("Pattern") or "{}").encode())
            if not isinstance(described, dict):
                raise InvalidPattern("Filter is not an object")
            made = _Filter(described, self._members)
            if kind == "kinesis" and list in made.asked["data"]:
                raise InvalidPattern("the data of a stream's record is matched as JSON")
            self._filters.append(made)

    def __bool__(self) -> bool:
        return bool(self._filters)

    def passes(self, record: Mapping[str, Any], text: Text | Mapping[str, Text] = None) -> bool:
        """record: its members, at the top; text: its data, by their members where there may be several."""
        if not self._filters:
            return True
        texts = text if isinstance(text, Mapping) else dict.fromkeys(self._members, text)
        data = {member: _data(found, self._lenient) for member, found in texts.items() if found is not None}
        seen = {**record, **data}
        for each in self._filters:
            without = frozenset(m for m, found in data.items() if found is None or not each.takes(m, found))
            if (self._lenient or not without) and each.matches(seen, without):
                return True
        return False


def _parts(described: Any, name: str) -> Iterator[Any]:
    """What a pattern, or an alternative in it, has under that name."""
    for key, value in described.items():
        if key == name:
            yield value
        elif key == "$or" and isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    yield from _parts(each, name)


def _without(described: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """A pattern without what it has under these names; empty, if then everything matches."""
    found: dict[str, Any] = {}
    for key, value in described.items():
        if key in names:
            continue
        if key == "$or" and isinstance(value, list):
            rest = [_without(each, names) if isinstance(each, dict) else each for each in value]
            if not all(rest):
                continue  # one of them matches everything
            found[key] = rest
        else:
            found[key] = value
    return found


def _data(text: bytes | str, lenient: bool) -> Any:
    """A JSON object, or the text; None for bytes that are no text, where that makes a difference."""
    try:
        found = wire.decode(text if isinstance(text, bytes) else text.encode())
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8", "strict" if lenient else "replace")
    except UnicodeDecodeError:
        return None
