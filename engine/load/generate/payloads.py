"""What is sent: fixed bytes, a template filled in anew for each request, or lines drawn from a file; and which reply is
the right one: a wrong one that comes quickly is an error, not a short latency.

Payloads are made in the order of the schedule from a seed, so the n-th is the same in every run.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

_FIELD = re.compile(r"\{\{\s*([a-z]+)(?::([^{}]*))?\s*\}\}")
FIELDS = "number, function, duration, uuid, integer:FROM:TO, text:LENGTH, choice:A|B|C"
# Of the payload sent and the reply to it: "" when that is right, else why not.
Check = Callable[[bytes, bytes], str]
EXPECTATIONS = "json, echo, any, or a table of what members must be"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_LONGEST = 120  # characters of a reply in an error
# Seconds, of the n-th request. To be called in order, as a payload is.
Durations = Callable[[int], float]


class Payloads(Protocol):
    """The n-th payload, for the function of that number. To be called in order, from 0."""

    def make(self, number: int, function: int) -> bytes: ...


class Fixed:
    """The same each time."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def make(self, number: int, function: int) -> bytes:
        return self._payload


class Template:
    """A text with fields in double braces: {{number}} and {{function}} of the request, {{duration}} of a trace's
    invocation (seconds, as it took in the original), and drawn anew each time {{uuid}}, {{integer:1:6}} (both
    included), {{text:LENGTH}} (of letters and digits), {{choice:A|B|C}}."""

    def __init__(self, text: str, seed: int | str = 0, durations: Durations | None = None) -> None:
        """Raises ValueError for a field that there is not."""
        self._draw = random.Random(f"payloads {seed}")
        self._durations = durations
        self._parts: list[Callable[[int, int], str]] = []
        at = 0
        for match in _FIELD.finditer(text):
            self._parts += [_constant(text[at : match.start()]), self._field(match[0], match[1], match[2])]
            at = match.end()
        self._parts.append(_constant(text[at:]))

    def make(self, number: int, function: int) -> bytes:
        return "".join([part(number, function) for part in self._parts]).encode()

    def _field(self, whole: str, name: str, argument: str | None) -> Callable[[int, int], str]:
        draw, durations = self._draw, self._durations
        try:
            match name, argument:
                case "number", None:
                    return lambda number, function: str(number)
                case "function", None:
                    return lambda number, function: str(function)
                case "duration", None if durations is not None:
                    return lambda number, function: repr(durations(number))
                case "uuid", None:
                    return lambda number, function: str(uuid.UUID(int=draw.getrandbits(128), version=4))
                case "integer", str():
                    least, most = map(int, argument.split(":"))
                    if least <= most:
                        return lambda number, function: str(draw.randint(least, most))
                case "text", str() if (length := int(argument)) >= 0:
                    return lambda number, function: "".join(draw.choices(_LETTERS, k=length))
                case "choice", str() if argument:
                    choices = argument.split("|")
                    return lambda number, function: draw.choice(choices)
        except ValueError:
            pass
        if (name, argument) == ("duration", None):
            raise ValueError(f"{whole} is of a trace's invocations, and there is no trace")
        raise ValueError(f"no such field: {whole}. There are {FIELDS}")


class Sampled:
    """Lines of a file, each drawn with the same probability; empty ones are left out."""

    def __init__(self, path: Path, seed: int | str = 0) -> None:
        """Raises OSError, ValueError."""
        self._lines = [line for line in path.read_bytes().splitlines() if line.strip()]
        if not self._lines:
            raise ValueError(f"{path}: there is no line to send in it")
        self._draw = random.Random(f"payloads {seed}")

    def make(self, number: int, function: int) -> bytes:
        return self._draw.choice(self._lines)


class PerFunction:
    """Each function's own, taken modulo how many there are."""

    def __init__(self, each: Sequence[Payloads]) -> None:
        self._each = each

    def make(self, number: int, function: int) -> bytes:
        return self._each[function % len(self._each)].make(number, function)


def _constant(text: str) -> Callable[[int, int], str]:
    if "{{" in text:
        raise ValueError(f"a field that is not closed in {text[-80:]!r}. There are {FIELDS}")
    return lambda number, function: text


def expectation(expected: str | dict[str, Any]) -> Check:
    """json: the reply is a JSON document; echo: it is the same one as was sent; any: whatever it is; a table: it is an
    object that has these members. Raises ValueError."""
    if isinstance(expected, dict):
        return _members(expected)
    checks: dict[str, Check] = {"json": _members(None), "echo": _echo, "any": lambda sent, reply: ""}
    if expected not in checks:
        raise ValueError(f"no such expectation: {expected!r}. There are {EXPECTATIONS}")
    return checks[expected]


def _echo(sent: bytes, reply: bytes) -> str:
    if sent == reply:
        return ""
    try:
        if msgspec.json.decode(sent) == msgspec.json.decode(reply):
            return ""
    except msgspec.DecodeError:
        pass
    return f"not what was sent: {_short(reply)}"


def _members(expected: dict[str, Any] | None) -> Check:
    """None: any JSON document will do."""

    def check(sent: bytes, reply: bytes) -> str:
        try:
            document = msgspec.json.decode(reply)
        except msgspec.DecodeError as error:
            return f"not JSON ({error}): {_short(reply)}"
        if expected is None:
            return ""
        if not isinstance(document, dict):
            return f"not an object: {_short(reply)}"
        for name, value in expected.items():
            if name not in document:
                return f"without {name!r}: {_short(reply)}"
            if document[name] != value:
                return f"{name!r} is {document[name]!r}, not {value!r}"[:_LONGEST]
        return ""

    return check


def _short(data: bytes) -> str:
    text = data[: _LONGEST + 1].decode("utf-8", "replace")
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")
