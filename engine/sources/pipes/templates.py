"""What a pipe's input templates make of a record, and what its dynamic parameters read of it. Pure.

EventBridge user guide, "Amazon EventBridge Pipes input transformation": a template has paths (<$.body.id>) and reserved
variables (<aws.pipes.pipe-name>); as a JSON value a path is put in as JSON, within a text bare and unescaped. A path
that leads nowhere leaves nothing: its member vanishes. Fields that hold encoded data (`body` of a queue's message,
`data` of Kinesis and MQ, `key` and `value` of Kafka) are read as the JSON that they hold.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from ... import wire
from ...routing.inputs import VANISHES, at, is_absent, pruned, text_at

_BASE64 = ("data", "key", "value")
_TOKEN = re.compile(r'<((?:\$|aws\.pipes\.)[^<>]*)>|\\.|"', re.DOTALL)


def seen(record: Any) -> Any:
    """A record as paths see it: its encoded fields as the JSON that they hold, where they hold any."""
    if not isinstance(record, dict):
        return record
    source = record.get("eventSource", "")
    if source == "aws:sqs":
        return {**record, "body": _json(record.get("body"), record.get("body"))}
    if source in ("aws:kinesis", "aws:mq", "aws:amq", "aws:rmq") or "kafka" in str(source).lower():
        return {**record, **{name: _decoded(record[name]) for name in _BASE64 if name in record}}
    return record


def _json(text: Any, otherwise: Any) -> Any:
    try:
        return wire.decode(text.encode() if isinstance(text, str) else text)
    except (ValueError, RecursionError, AttributeError, TypeError):
        return otherwise


def _decoded(value: Any) -> Any:
    """Base64 of JSON as that; else as it is."""
    try:
        return _json(base64.b64decode(value, validate=True), value)
    except (binascii.Error, ValueError, TypeError):
        return value


def rendered(template: str, record: Any, variables: Mapping[str, str]) -> Any:
    """A template's value for one record: what its JSON says, or, where it is none, a text. variables: the reserved
    ones, but for those of the event."""
    viewed = seen(record)
    quoted = vanished = False

    def value_of(name: str) -> Any:
        if name.startswith("$"):
            return at(viewed, name)
        if name == "aws.pipes.event":
            return record
        if name == "aws.pipes.event.json":
            return viewed
        return variables.get(name, VANISHES)

    def put(found: re.Match[str]) -> str:
        nonlocal quoted, vanished
        if (name := found[1]) is None:
            if found[0] == '"':
                quoted = not quoted
            return found[0]
        value = value_of(name.strip())
        absent = is_absent(value) or value == VANISHES
        if quoted:
            return "" if absent else value if isinstance(value, str) else wire.encode(value).decode()
        if absent:
            vanished = True
            value = VANISHES
        return wire.encode(value).decode()

    text = _TOKEN.sub(put, template)
    try:
        made = wire.decode(text.encode())
    except (ValueError, RecursionError):
        return _TOKEN.sub(lambda found: _bare(found, value_of), template)
    return pruned(made) if vanished else made


def _bare(found: re.Match[str], value_of: Any) -> str:
    """In a template that is no JSON, everything is text."""
    if found[1] is None:
        return found[0]
    value = value_of(found[1].strip())
    if is_absent(value) or value == VANISHES:
        return ""
    return value if isinstance(value, str) else wire.encode(value).decode()


def dynamic(parameter: str, record: Any) -> str:
    """A parameter of a target's: a path reads the record, anything else is what it says."""
    return text_at(seen(record), parameter) if parameter.startswith("$.") or parameter == "$" else parameter
