"""Whether a reply is the right one. A wrong answer that comes quickly is an error, not a short latency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

# Of the payload sent and the payload that came: "" when it is right, else why not.
Check = Callable[[bytes, bytes], str]
KINDS = "json, echo, any, or a table of what members must be"
_SHOWN = 120


def expectation(wanted: str | dict[str, Any]) -> Check:
    """json: the reply is a JSON document; echo: it is the same one as was sent; any: whatever it is; a table: it is an
    object that has these members. Raises ValueError."""
    if isinstance(wanted, dict):
        return _members(wanted)
    try:
        return {"json": _json, "echo": _echo, "any": _any}[wanted]
    except KeyError:
        raise ValueError(f"no such expectation: {wanted!r}. There are {KINDS}") from None


def _any(sent: bytes, came: bytes) -> str:
    return ""


def _json(sent: bytes, came: bytes) -> str:
    try:
        msgspec.json.decode(came)
    except msgspec.DecodeError as error:
        return f"not JSON ({error}): {_short(came)}"
    return ""


def _echo(sent: bytes, came: bytes) -> str:
    if sent == came:
        return ""
    try:
        if msgspec.json.decode(sent) == msgspec.json.decode(came):
            return ""
    except msgspec.DecodeError:
        pass
    return f"not what was sent: {_short(came)}"


def _members(wanted: dict[str, Any]) -> Check:
    def check(sent: bytes, came: bytes) -> str:
        try:
            said = msgspec.json.decode(came)
        except msgspec.DecodeError as error:
            return f"not JSON ({error}): {_short(came)}"
        if not isinstance(said, dict):
            return f"not an object: {_short(came)}"
        for name, value in wanted.items():
            if name not in said:
                return f"without {name!r}: {_short(came)}"
            if said[name] != value:
                return f"{name!r} is {said[name]!r}, not {value!r}"[:_SHOWN]
        return ""

    return check


def _short(data: bytes) -> str:
    text = data[: _SHOWN + 1].decode("utf-8", "replace")
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
