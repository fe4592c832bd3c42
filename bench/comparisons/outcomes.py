"""What an invocation costs that is more than a result: its reply whole, its failure, its output, its future."""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

from bench.harness import Comparison, Effort, interleave, make_events, time_calls
from bench.report import Figure, Outcome, duration, latency, single
from bench.subject import FUNCTIONS, Stoker
from engine import Engine, FunctionError

RAW = (
    b'{"id": "00000000-0000-4000-8000-000000000000", "key": "photos/cat.jpg", "n": 1, "ok": true, "f": 0.25}'
)
COMMAND = "python -m bench.run --only outcomes"
ALLOWED_US = {"a failing handler": 60, "100 prints": 120, "submit().result()": 25}


def outcomes(effort: Effort) -> Outcome:
    """Each against a plain invocation in the same rounds; the absolute ones are ratios to what is allowed."""
    rounds, events = effort.rounds, make_events(effort.calls // 5)
    with Engine(logs=False) as engine, Stoker() as stoker:
        assert isinstance(stoker, Stoker)
        code = str(FUNCTIONS)
        plain = stoker.function
        failing, printing = (engine.function(f"ends:{name}", code=code) for name in ("fail", "chatter"))

        def fail(event: Any) -> Any:
            try:
                failing.invoke(event)
            except FunctionError:
                return event
            raise AssertionError("it did not fail")

        subjects = {
            "invoke": plain.invoke,
            "invoke_raw": lambda event: (plain.invoke_raw(RAW), event)[1],
            "a failing handler": fail,
            "100 prints": printing.invoke,
            "submit().result()": lambda event: plain.submit(event).result(),
        }
        timed = {name: partial(time_calls, call, events, warmup=100) for name, call in subjects.items()}
        comparison = interleave("outcomes", rounds, timed)
    return Outcome(
        [comparison], [raw(comparison), *(bounded(comparison, *each) for each in ALLOWED_US.items())]
    )


def raw(comparison: Comparison) -> Figure:
    ours, plain = "invoke_raw", "invoke"
    return Figure(
        "invoke_raw vs invoke",
        latency(comparison, ours),
        latency(comparison, plain),
        comparison.ratio(ours, plain, want="low"),
        2,
        "low",
        COMMAND,
    )


def bounded(comparison: Comparison, name: str, allowed_us: int) -> Figure:
    best, middle = min(comparison.values(name)), statistics.median(comparison.values(name))
    share = single(middle / (allowed_us * 1e3))
    note = f"best round {duration(best)}"
    return Figure(name, latency(comparison, name), f"{allowed_us} µs", share, 1, "low", COMMAND, note=note)
