"""CloudWatch's statistics, of a point: Average, Sum, Minimum, Maximum, SampleCount, p99, tm90, TM(10%:90%), IQM, …"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ...observe.points import Point, percentile, rank, trimmed

Statistic = Callable[[Point], float | None]  # None: the point does not have it
BASIC: dict[str, Statistic] = {
    "Average": lambda point: point.sum / point.count if point.count else None,
    "Maximum": lambda point: point.high if point.count else None,
    "Minimum": lambda point: point.low if point.count else None,
    "SampleCount": lambda point: point.count,
    "Sum": lambda point: point.sum,
}
_PERCENT = re.compile(r"(p|tm|wm|tc|ts)(\d{1,2}(?:\.\d{1,10})?|100)", re.IGNORECASE)
_NUMBER = r"\d+(?:\.\d+)?"
_RANGE = re.compile(
    rf"(TM|WM|TC|TS|PR)\((?:(?P<low>{_NUMBER})(?P<lp>%?))?:(?:(?P<high>{_NUMBER})(?P<hp>%?))?\)",
    re.IGNORECASE,
)


@lru_cache(1024)
def statistic(name: str) -> Statistic | None:
    """None: there is none of that name."""
    if name in BASIC:
        return BASIC[name]
    if name.upper() == "IQM":
        return _ranged("TM", (25.0, True), (75.0, True))
    if found := _PERCENT.fullmatch(name):
        kind, percent = found[1].lower(), float(found[2])
        if kind == "p":
            return lambda point: percentile(point, percent) if point.count and point.whole else None
        return _ranged(kind.upper(), None, (percent, True))
    if found := _RANGE.fullmatch(name):
        low = (float(found["low"]), bool(found["lp"])) if found["low"] else None
        high = (float(found["high"]), bool(found["hp"])) if found["high"] else None
        if (low is None and high is None) or any(each and each[1] and each[0] > 100 for each in (low, high)):
            return None
        kind = found[1].upper()
        if kind == "PR" and any(each and each[1] for each in (low, high)):
            return None
        return _ranged(kind, low, high)
    return None


Bound = tuple[float, bool] | None  # a value, or a percentage


def _ranged(kind: str, low: Bound, high: Bound) -> Statistic:
    def value(point: Point) -> float | None:
        if not point.count or not point.whole:
            return None
        first, last = _rank(point, low, 0.0), _rank(point, high, point.count)
        count, total = trimmed(point, first, last)
        if kind == "PR":
            return 100 * count / point.count
        if kind == "TC":
            return count
        if kind == "TS":
            return total
        if kind == "TM":
            return total / count if count else None
        below = percentile(point, 100 * first / point.count)
        above = percentile(point, 100 * last / point.count)
        return (total + first * below + (point.count - last) * above) / point.count

    return value


def _rank(point: Point, bound: Bound, otherwise: float) -> float:
    if bound is None:
        return otherwise
    number, percent = bound
    return number / 100 * point.count if percent else rank(point, number)
