"""Figures as people read them: durations, rates and shares, to three significant digits."""

from __future__ import annotations

import math

NONE = "\u2013"  # of what is not known
_UNITS = ((1, "ns"), (10**3, "µs"), (10**6, "ms"), (10**9, "s"))


def duration(ns: float) -> str:
    """850 ns, 1.23 µs, 12.3 ms, 1,200 s."""
    if not math.isfinite(ns):
        return NONE
    for size, unit in _UNITS[:-1]:
        # What would be rounded to a thousand of this unit is one of the next.
        if abs(ns) < 999.5 * size:
            return f"{ns:.0f} ns" if size == 1 else f"{_three(ns / size)} {unit}"
    return f"{_three(ns / 1e9)} s"


def rate(per_second: float) -> str:
    """20,000/s, 12.5/s, 0.25/s, 0.0028/s."""
    if not math.isfinite(per_second):
        return NONE
    if 0 < abs(per_second) < 0.1:
        return f"{per_second:.2g}/s"
    text = _three(per_second)
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "/s"


def share(fraction: float) -> str:
    """12.3 %. Nothing but none is 0 %, and nothing but all is 100 %."""
    if not math.isfinite(fraction):
        return NONE
    if 0 < fraction < 0.0001:
        return "< 0.01 %"
    if 0.9999 < fraction < 1:
        return "> 99.99 %"
    if 0.99 < fraction < 1:
        return f"{fraction * 100:.2f} %"
    text = _three(fraction * 100)
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def _three(value: float) -> str:
    """Three significant digits, or all those before the point."""
    size = abs(value)
    return f"{value:,.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"
