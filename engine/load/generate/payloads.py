"""What is sent: fixed bytes, a template filled in anew for each request, or lines drawn from a file.

Payloads are made in the order of the schedule from a seed, so the n-th is the same in every run.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

_FIELD = re.compile(r"\{\{\s*([a-z]+)(?::([^{}]*))?\s*\}\}")
FIELDS = "number, function, duration, uuid, integer:FROM:TO, text:LENGTH, choice:A|B|C"
# Seconds, of the n-th request. To be asked in order, as a payload is.
Durations = Callable[[int], float]


class Payloads(Protocol):
    """The n-th payload, for the function of that number. To be asked in order, from 0."""

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
            self._parts.append(_constant(text[at : match.start()]))
            self._parts.append(self._field(match[0], match[1], match[2]))
            at = match.end()
        self._parts.append(_constant(text[at:]))

    def make(self, number: int, function: int) -> bytes:
        return "".join([part(number, function) for part in self._parts]).encode()

    def _field(self, whole: str, name: str, argument: str | None) -> Callable[[int, int], str]:
        draw = self._draw
        try:
            if name == "number" and argument is None:
                return lambda number, function: str(number)
            if name == "function" and argument is None:
                return lambda number, function: str(function)
            if name == "duration" and argument is None:
                durations = self._durations
                if durations is None:
                    raise _NoTrace
                return lambda number, function: repr(durations(number))
            if name == "uuid" and argument is None:
                return lambda number, function: str(uuid.UUID(int=draw.getrandbits(128), version=4))
            if name == "integer" and argument is not None:
                least, most = map(int, argument.split(":"))
                if least <= most:
                    return lambda number, function: str(draw.randint(least, most))
            if name == "text" and argument is not None and int(argument) >= 0:
                length = int(argument)
                return lambda number, function: "".join(draw.choices(_LETTERS, k=length))
            if name == "choice" and argument:
                choices = argument.split("|")
                return lambda number, function: draw.choice(choices)
        except _NoTrace:
            raise ValueError(f"{whole} is of a trace's invocations, and there is no trace") from None
        except ValueError:
            pass
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


class _NoTrace(Exception):
    pass


_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def _constant(text: str) -> Callable[[int, int], str]:
    if "{{" in text:
        raise ValueError(f"a field that is not closed in {text[-80:]!r}. There are {FIELDS}")
    return lambda number, function: text
