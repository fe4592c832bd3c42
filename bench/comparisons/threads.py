"""Calling threads: what eight of them get done together, against what one does alone."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.harness import Effort, Series, check, interleave, make_events, quiet_gc
from bench.report import Figure, Outcome, rate
from bench.subject import Stoker

THREADS = (1, 2, 8)


def time_threads(stoker: Stoker, events: Sequence[Any], count: int) -> Series:
    """Each calls with its share of the events, one after the other. That is in one piece, as is the one that has all of
    them: events that lie apart are read from memory more slowly."""
    call, results = stoker.function.invoke, [None] * len(events)
    ready = threading.Barrier(count + 1)

    def calls(first: int) -> None:
        ready.wait()
        for number in range(first * len(events) // count, (first + 1) * len(events) // count):
            results[number] = call(events[number])

    threads = [threading.Thread(target=calls, args=(first,)) for first in range(count)]
    with quiet_gc():
        for thread in threads:
            thread.start()
        ready.wait()
        begin = time.perf_counter_ns()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter_ns() - begin
    check(events, results)
    return Series(array("q"), len(events), elapsed)


def threads(effort: Effort) -> Outcome:
    """The rate of one function with one worker, called by one thread and by several."""
    events = make_events(effort.calls * 4)
    with Stoker() as stoker:
        assert isinstance(stoker, Stoker)
        names = {count: f"{count} thread{'s' * (count > 1)}" for count in THREADS}
        comparison = interleave(
            "threads",
            effort.rounds,
            {name: partial(time_threads, stoker, events, count) for count, name in names.items()},
        )
    one = names[1]
    return Outcome(
        [comparison],
        [
            Figure(
                f"rate of {name} vs {one}",
                rate(comparison.median(name, "rate")),
                rate(comparison.median(one, "rate")),
                comparison.ratio(name, one, "rate"),
                1,
                "high",
                "python -m bench.run --only threads",
            )
            for name in (names[2], names[8])
        ],
    )
