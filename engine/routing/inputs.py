"""What a rule's target gets of an event: all of it, a part, a constant, or what a template makes of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import wire

_STEP = re.compile(r"\.([\w\-/$@:]+)|\['([^']+)'\]|\[\"([^\"]+)\"\]|\[(\d+|\*)\]")
_TOKEN = re.compile(r'<([\w.\-]+)>|\\.|"', re.DOTALL)
_ABSENT = object()
VANISHES = "\0absent\0"  # stands where a member is to vanish
RESERVED = "aws.events."


@dataclass(frozen=True, slots=True)
class Source:
    """The event as JSON, the rule that it matched, and when it came (ISO)."""

    event: bytes
    rule_arn: str
    ingested: str


def rendered(target: Mapping[str, Any], source: Source) -> bytes:
    """A target's input. Raises ValueError when the template makes no JSON where it must."""
    if (constant := target.get("Input")) is not None:
        return str(constant).encode()
    if (path := target.get("InputPath")) is not None:
        value = at(wire.decode(source.event), path)
        return b"null" if value is _ABSENT else wire.encode(value)
    if (transformer := target.get("InputTransformer")) is not None:
        return _transformed(transformer, source)
    return source.event


def at(event: Any, path: str) -> Any:
    """The value at a path ("$.detail.items[0].id", "$.detail.items[*].id"), or what `is_absent` is true of."""
    if path == "$":
        return event
    position, steps = 1, []
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            return _ABSENT
        steps.append(found)
        position = found.end()
    return _walk(event, steps)


def is_absent(value: Any) -> bool:
    return value is _ABSENT


def text_at(event: Any, path: str) -> str:
    """The value at a path as bare text, "" where there is none."""
    value = at(event, path)
    return "" if value is _ABSENT else _bare(value)


def _walk(value: Any, steps: list[re.Match[str]]) -> Any:
    for n, step in enumerate(steps):
        name, quoted, double, index = step.groups()
        name = name or quoted or double
        if name is not None:
            if not isinstance(value, dict) or name not in value:
                return _ABSENT
            value = value[name]
        elif not isinstance(value, list):
            return _ABSENT
        elif index == "*":
            each = [_walk(one, steps[n + 1 :]) for one in value]
            return [one for one in each if one is not _ABSENT]
        elif int(index) >= len(value):
            return _ABSENT
        else:
            value = value[int(index)]
    return value


def _transformed(transformer: Mapping[str, Any], source: Source) -> bytes:
    event = wire.decode(source.event)
    variables = {name: at(event, path) for name, path in (transformer.get("InputPathsMap") or {}).items()}
    without = {name: value for name, value in event.items() if name != "detail"}
    variables |= {
        "aws.events.rule-arn": source.rule_arn,
        "aws.events.rule-name": source.rule_arn.rpartition("/")[2],
        "aws.events.event.ingestion-time": source.ingested,
        "aws.events.event": without,
        "aws.events.event.json": event,
    }
    quoted = vanished = False

    def put(found: re.Match[str]) -> str:
        nonlocal quoted, vanished
        if (name := found[1]) is None:
            if found[0] == '"':
                quoted = not quoted
            return found[0]
        value = variables.get(name, _ABSENT)
        if quoted:
            return "" if value is _ABSENT else _bare(value)
        if value is _ABSENT:
            vanished = True
            value = VANISHES
        return wire.encode(value).decode()

    text = _TOKEN.sub(put, transformer["InputTemplate"])
    return wire.encode(pruned(wire.decode(text.encode()))) if vanished else text.encode()


def _bare(value: Any) -> str:
    return value if isinstance(value, str) else wire.encode(value).decode()


def pruned(value: Any) -> Any:
    """Without the members that vanish."""
    if isinstance(value, dict):
        return {name: pruned(inner) for name, inner in value.items() if inner != VANISHES}
    if isinstance(value, list):
        return [pruned(inner) for inner in value if inner != VANISHES]
    return None if value == VANISHES else value
