"""The functions of expressions, by name. They return None for what makes no sense."""

from __future__ import annotations

import datetime
import ipaddress
import math
import time
from collections.abc import Callable
from typing import Any

from .... import wire
from .values import Time, number, text

Function = Callable[..., Any]
TEXT = 1 << 20  # characters of a text that is made
ANY = 1 << 10
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _numeric(apply: Callable[[Any], Any]) -> Function:
    def applied(value: Any) -> Any:
        found = number(value)
        if found is None:
            return None
        try:
            return apply(found)
        except (ValueError, OverflowError):
            return None

    return applied


def _extreme(choose: Callable[..., Any]) -> Function:
    def chosen(*values: Any) -> Any:
        found = [each for each in map(number, values) if each is not None]
        return choose(found) if found else None

    return chosen


def _textual(apply: Callable[..., Any]) -> Function:
    """Of texts: None if one of them is not there."""

    def applied(*values: Any) -> Any:
        return None if None in values else apply(*map(text, values))

    return applied


def _substr(value: Any, start: Any, length: Any = ANY * TEXT) -> Any:
    first, most = number(start), number(length)
    if value is None or first is None or most is None:
        return None
    begin = max(int(first), 0)
    return text(value)[begin : begin + max(int(most), 0)]


def _replace(value: str, old: str, new: str) -> str | None:
    if not old:
        return value
    grown = len(value) + value.count(old) * (len(new) - len(old))
    return value.replace(old, new) if grown <= TEXT else None


def _concat(*values: Any) -> str:
    return "".join(map(text, values))[:TEXT]


def floor_of(value: Any, ms: int, months: int, up: bool = False) -> Time | None:
    """The beginning of the period that a time is in; with up, of the next one, unless it is one itself."""
    at = number(value)
    if at is None or (ms <= 0 and months <= 0):
        return None
    if ms:
        low = int(at // ms) * ms
        return Time(low + ms if up and low != at else low)
    try:
        moment = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC)
        index = (moment.year * 12 + moment.month - 1) // months * months
        found = _month(index)
        return Time(_month(index + months) if up and found != at else found)
    except (ValueError, OverflowError, OSError):
        return None


def _month(index: int) -> int:
    moment = datetime.datetime(max(index // 12, 1), index % 12 + 1, 1, tzinfo=datetime.UTC)
    return int(moment.timestamp() * 1000)


def _to_time(value: Any) -> Time | None:
    found = number(value)
    return None if found is None else Time(found)


def _to_ms(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _address(value: Any) -> _Address | None:
    try:
        return ipaddress.ip_address(text(value))
    except ValueError:
        return None


def _valid(version: int | None) -> Function:
    def valid(value: Any) -> bool:
        found = _address(value)
        return found is not None and version in (None, found.version)

    return valid


def _in_subnet(version: int | None) -> Function:
    def inside(value: Any, subnet: Any) -> bool:
        found = _address(value)
        try:
            network = ipaddress.ip_network(text(subnet), strict=False)
        except ValueError:
            return False
        return (
            found is not None
            and found.version == network.version
            and version in (None, found.version)
            and found in network
        )

    return inside


def _json_parse(value: Any) -> Any:
    try:
        return wire.decode(text(value).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _json_stringify(value: Any) -> str | None:
    return None if value is None else wire.encode(value).decode()


# Name, in lower case: fewest and most arguments, and the function.
FUNCTIONS: dict[str, tuple[int, int, Function]] = {
    "abs": (1, 1, _numeric(abs)),
    "ceil": (1, 1, _numeric(math.ceil)),
    "floor": (1, 1, _numeric(math.floor)),
    "greatest": (1, ANY, _extreme(max)),
    "least": (1, ANY, _extreme(min)),
    "log": (1, 1, _numeric(math.log)),
    "sqrt": (1, 1, _numeric(math.sqrt)),
    "frommillis": (1, 1, _to_time),
    "tomillis": (1, 1, _to_ms),
    "now": (0, 0, lambda: int(time.time())),
    "ispresent": (1, 1, lambda value: value is not None),
    "coalesce": (1, ANY, lambda *values: next((each for each in values if each is not None), None)),
    "isempty": (1, 1, lambda value: not text(value)),
    "isblank": (1, 1, lambda value: not text(value).strip()),
    "concat": (1, ANY, _concat),
    "ltrim": (1, 2, _textual(lambda value, *cut: value.lstrip(*cut))),
    "rtrim": (1, 2, _textual(lambda value, *cut: value.rstrip(*cut))),
    "trim": (1, 2, _textual(lambda value, *cut: value.strip(*cut))),
    "strlen": (1, 1, _textual(len)),
    "toupper": (1, 1, _textual(str.upper)),
    "tolower": (1, 1, _textual(str.lower)),
    "substr": (2, 3, _substr),
    "replace": (3, 3, _textual(_replace)),
    "strcontains": (2, 2, lambda value, part: int(value is not None and text(part) in text(value))),
    "isvalidip": (1, 1, _valid(None)),
    "isvalidipv4": (1, 1, _valid(4)),
    "isvalidipv6": (1, 1, _valid(6)),
    "isipinsubnet": (2, 2, _in_subnet(None)),
    "isipv4insubnet": (2, 2, _in_subnet(4)),
    "isipv6insubnet": (2, 2, _in_subnet(6)),
    "jsonparse": (1, 1, _json_parse),
    "jsonstringify": (1, 1, _json_stringify),
}
