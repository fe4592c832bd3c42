"""Quantities as people write them: durations, latencies, numbers with a unit."""

from __future__ import annotations

import math
import re

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zµμ%/]*)", re.ASCII)
_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "h": 3600.0}
_NANOSECONDS = {
    "ns": 1.0,
    "us": 1e3,
    "µs": 1e3,
    "μs": 1e3,
    "ms": 1e6,
    "s": 1e9,
}  # both signs that look like µ


def quantity(text: str) -> tuple[float, str]:
    """A number and the unit behind it, "" for none. Raises ValueError."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError("write a number and its unit")
    return float(match[1]), match[2]


def seconds(value: object) -> float:
    """90, "90", "90s", "1.5m", "500ms" or "2h" in seconds. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            span = float(value)
        except OverflowError:
            span = math.inf
        if math.isfinite(span) and span >= 0:
            return span
    elif isinstance(value, str):
        try:
            number, unit = quantity(value)
            return number * _SECONDS[unit]
        except (KeyError, ValueError):
            pass
    raise ValueError("write a duration: 90 (seconds), 90s, 1.5m, 500ms or 2h")


def nanoseconds(text: str) -> float:
    """ "5ms" in nanoseconds. Raises ValueError."""
    try:
        number, unit = quantity(text)
        return number * _NANOSECONDS[unit]
    except (KeyError, ValueError):
        raise ValueError("write a latency and its unit: 800ns, 50us, 5ms or 1.5s") from None


def plain(value: float) -> str:
    """2000.0 is "2,000", 0.25 is "0.25"."""
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return text if float(text.replace(",", "")) or not value else f"{value:g}"
