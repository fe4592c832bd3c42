"""Regular expressions of users: Java's syntax as far as Python's `regex` has it, and none that runs for ever.

`regex` has what `re` has not: (?<name>), (?i) in the middle, classes within classes, and a bound on the time that a
match takes.
"""

from __future__ import annotations

from functools import lru_cache

import regex

SECONDS = 2.0  # of CPU time, that one regular expression may take for one text


class InvalidRegex(ValueError):
    """It is none."""


@lru_cache(256)
def compiled(source: str, nested: bool = True) -> regex.Pattern[str]:
    """nested: [a-z&&[^b]] is of classes within a class. Raises InvalidRegex."""
    try:
        return regex.compile(source, regex.V1 if nested else regex.V0)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise InvalidRegex(str(error)) from None


def search(pattern: regex.Pattern[str], text: str, seconds: float = SECONDS) -> regex.Match[str] | None:
    """Raises TimeoutError."""
    return pattern.search(text, timeout=seconds)


def escaped(literal: str) -> str:
    """What matches this very text."""
    found: str = regex.escape(literal, special_only=True)
    return found
