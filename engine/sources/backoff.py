"""How long to wait after failures in a row. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST, MOST = 0.2, 30.0  # seconds; AWS publishes no figures


def delay(failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds, growing exponentially, with jitter so that many do not come back at the same moment."""
    if failures <= 0:
        return 0.0
    return min(MOST, FIRST * 2.0 ** min(failures - 1, 30)) * uniform(0.5, 1.0)
