"""What an invocation costs that is more than a result: its reply whole, its failure, its output, its future."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.harness import Comparison, Effort, interleave, make_events, time_calls
from bench.report import Figure, Outcome, latency
from bench.subject import FUNCTIONS, Stoker
from engine import Engine, FunctionError

RAW = (
    b'{"id": "00000000-0000-4000-8000-000000000000", "key": "photos/cat.jpg", "n": 1, "ok": true, "f": 0.25}'
)
COMMAND = "python -m bench.run --only outcomes"
PLAIN = "invoke"
# Times a plain invocation's, which takes 2.4 us on a quiet machine.
MOST = {"invoke_raw": 1.4, "a failing handler": 25.0, "100 prints": 50.0, "submit().result()": 6.0}


def outcomes(effort: Effort) -> Outcome:
    """Each against a plain invocation in the same rounds."""
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
            PLAIN: plain.invoke,
            "invoke_raw": lambda event: (plain.invoke_raw(RAW), event)[1],
            "a failing handler": fail,
            "100 prints": printing.invoke,
            "submit().result()": lambda event: plain.submit(event).result(),
        }
        timed = {name: partial(time_calls, call, events, warmup=100) for name, call in subjects.items()}
        comparison = interleave("outcomes", rounds, timed)
    return Outcome([comparison], [figure(comparison, *each) for each in MOST.items()])


def figure(comparison: Comparison, name: str, most: float) -> Figure:
    return Figure(
        f"{name} vs invoke",
        latency(comparison, name),
        latency(comparison, PLAIN),
        comparison.ratio(name, PLAIN, want="low"),
        most,
        "low",
        COMMAND,
    )
