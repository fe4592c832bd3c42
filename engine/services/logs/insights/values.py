"""Values in a query: None for what is not there, text, numbers, times; how they compare, sort and are shown."""

from __future__ import annotations

import datetime
import math
import re
from functools import total_ordering
from typing import Any

from .... import wire

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_PARTS = re.compile(r"\d+|\D+", re.ASCII)
DECIMALS = 4
_EPOCH = datetime.datetime(1970, 1, 1)
_LAST = 253_402_300_799_999  # epoch ms: the end of the year 9999


class Time(int):
    """Epoch ms."""


def number(value: Any) -> int | float | None:
    """As a number; None: it is none."""
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    if _INTEGER.fullmatch(value):
        return int(value)
    found = float(value)
    return found if math.isfinite(found) else None


def text(value: Any) -> str:
    """As a result shows it; of None, nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Time):
        if not 0 <= value <= _LAST:
            return str(int(value))
        moment = _EPOCH + datetime.timedelta(milliseconds=value)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 64 else _double(float(min(max(value, -(10**300)), 10**300)))
    return wire.encode(value).decode()


def _double(value: float) -> str:
    """As Java writes it, of four decimals."""
    value = round(value, DECIMALS)
    size = abs(value)
    if not size or 1e-3 <= size < 1e7:
        return repr(value)
    mantissa, _, exponent = f"{value:.17e}".partition("e")
    for digits in range(1, 17):  # the fewest that are this number
        shorter = f"{value:.{digits}e}"
        if float(shorter) == value:
            mantissa, _, exponent = shorter.partition("e")
            break
    return f"{mantissa}E{int(exponent)}"


def equal(a: Any, b: Any) -> bool:
    """What is not there equals nothing."""
    if a is None or b is None:
        return False
    x, y = number(a), number(b)
    return x == y if x is not None and y is not None else text(a) == text(b)


def less(a: Any, b: Any) -> bool:
    """Numbers as numbers, others as text."""
    if a is None or b is None:
        return False
    x, y = number(a), number(b)
    return x < y if x is not None and y is not None else text(a) < text(b)


def true(value: Any) -> bool:
    """As a condition."""
    found = number(value)
    return bool(found) if found is not None else bool(value)


Rank = tuple[Any, ...]


def rank(value: Any) -> Rank:
    """Sorts as AWS documents it: what is not there, then texts naturally (runs of digits by their length, the rest by
    Unicode), then numbers."""
    if value is None:
        return (0,)
    found = number(value)
    if found is not None:
        return (2, found)
    parts = _PARTS.findall(text(value))
    return (1, tuple(("0", len(part), part) if "0" <= part[0] <= "9" else (part, 0, "") for part in parts))


@total_ordering
class Down:
    """A rank that sorts the other way."""

    __slots__ = ("rank",)

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Down) and self.rank == other.rank

    def __lt__(self, other: Down) -> bool:
        return bool(other.rank < self.rank)

    __hash__ = None  # type: ignore[assignment]
