"""Returns its event; slowed on purpose with STOKER_BENCH_SLOW_US, to show that the gate notices."""

import os
import time
from typing import Any

SLOW_NS = int(float(os.environ.get("STOKER_BENCH_SLOW_US") or 0) * 1000)


def _echo(event: Any, context: Any) -> Any:
    return event


def _slow_echo(event: Any, context: Any) -> Any:
    until = time.perf_counter_ns() + SLOW_NS
    while time.perf_counter_ns() < until:
        pass
    return event


# Chosen once, so that the fast one pays nothing for the choice.
handler = _slow_echo if SLOW_NS else _echo
