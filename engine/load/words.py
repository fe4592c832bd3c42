"""Figures as people read and write them: durations, rates, shares, and numbers with a unit."""

from __future__ import annotations

import math
import re

NONE = "\u2013"  # for what was not measured
_SHOWN = ((1, "ns"), (10**3, "µs"), (10**6, "ms"), (10**9, "s"))
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zµμ%/]*)", re.ASCII)
_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "h": 3600.0}
# Both signs that look like µ.
_NANOSECONDS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9}


def duration(ns: float) -> str:
    """850 ns, 1.23 µs, 12.3 ms, 1,200 s."""
    if not math.isfinite(ns):
        return NONE
    for size, unit in _SHOWN[:-1]:
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
    return trimmed(_three(per_second)) + "/s"


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
    return trimmed(_three(fraction * 100)) + " %"


def plain(value: float) -> str:
    """2000.0 is "2,000", 0.25 is "0.25"."""
    if isinstance(value, int):
        return f"{value:,}"
    text = trimmed(f"{value:,.6f}")
    return text if float(text.replace(",", "")) or not value else f"{value:g}"


def quantity(text: str) -> tuple[float, str]:
    """A number and the unit behind it, "" for none. Raises ValueError."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError("write a number and its unit")
    return float(match[1]), match[2]


def seconds(value: object) -> float:
    """90, "90", "90s", "1.5m", "500ms" or "2h" in seconds. Raises ValueError."""
    try:
        if isinstance(value, str):
            number, unit = quantity(value)
            return number * _SECONDS[unit]
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= float(value) < math.inf:
            return float(value)
    except (KeyError, ValueError, OverflowError):
        pass
    raise ValueError("write a duration: 90 (seconds), 90s, 1.5m, 500ms or 2h")


def nanoseconds(text: str) -> float:
    """ "5ms" in nanoseconds. Raises ValueError."""
    try:
        number, unit = quantity(text)
        return number * _NANOSECONDS[unit]
    except (KeyError, ValueError):
        raise ValueError("write a latency and its unit: 800ns, 50us, 5ms or 1.5s") from None


def _three(value: float) -> str:
    """Three significant digits, or all those before the point."""
    size = abs(value)
    return f"{value:,.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"


def trimmed(number: str) -> str:
    """Without the zeros behind its point."""
    return number.rstrip("0").rstrip(".") if "." in number else number
