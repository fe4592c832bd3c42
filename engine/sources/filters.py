"""FilterCriteria: which records a function gets, by event patterns over the record and its data read as JSON.

A record passes when one of the patterns matches. The part of a pattern for the data (SQS: `body`, Kinesis: `data`) is
an object, for data that is a JSON object, or a list of texts, for data that is none; the other kind of data does not
pass. DynamoDB's records are JSON as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import wire
from ..routing.grammar import InvalidPattern, compiled
from ..routing.patterns import Pattern

DATA = {"sqs": "body", "kinesis": "data", "nats": "data"}  # the member that holds a record's data


class _Filter:
    """One pattern. objects, texts: does it ask for data that is a JSON object, or for a text?"""

    def __init__(self, described: Mapping[str, Any], data: str | None) -> None:
        self.pattern: Pattern = compiled(described)
        kinds = {type(each) for each in _parts(described, data)} if data else set()
        self.objects, self.texts = dict in kinds, list in kinds

    def takes(self, is_object: bool) -> bool:
        if self.objects and self.texts:
            return True
        return is_object if self.objects else not is_object if self.texts else True


class Filters:
    """Of one mapping. Raises InvalidPattern for patterns that a record of this kind cannot have."""

    def __init__(self, kind: str, criteria: Mapping[str, Any] | None) -> None:
        self._data = DATA.get(kind)
        self._filters: list[_Filter] = []
        for each in (criteria or {}).get("Filters") or ():
            described = wire.decode((each.get("Pattern") or "{}").encode())
            if not isinstance(described, dict):
                raise InvalidPattern("Filter is not an object")
            made = _Filter(described, self._data)
            if kind == "kinesis" and made.texts:
                raise InvalidPattern("the data of a stream's record is matched as JSON")
            self._filters.append(made)

    def __bool__(self) -> bool:
        return bool(self._filters)

    def passes(self, record: Mapping[str, Any], text: bytes | str | None = None) -> bool:
        """record: its members, at the top; text: its data."""
        if not self._filters:
            return True
        if self._data is None or text is None:
            return any(each.pattern.matches(record) for each in self._filters)
        found = _object(text)
        is_object = found is not None
        data: Any = found
        if not is_object:
            data = text if isinstance(text, str) else text.decode("utf-8", "replace")
        seen = {**record, self._data: data}
        return any(each.takes(is_object) and each.pattern.matches(seen) for each in self._filters)


def _parts(described: Any, name: str | None) -> Iterator[Any]:
    """What a pattern, or an alternative in it, has under that name."""
    for key, value in described.items():
        if key == name:
            yield value
        elif key == "$or" and isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    yield from _parts(each, name)


def _object(text: bytes | str) -> dict[str, Any] | None:
    try:
        found = wire.decode(text if isinstance(text, bytes) else text.encode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
