"""Traces written to files."""

from __future__ import annotations

import csv
import heapq
from collections.abc import Iterable
from pathlib import Path

from engine.load.generate.arrivals import COLUMNS, Invocation


def write(path: Path, invocations: Iterable[Invocation]) -> int:
    """Write invocations, given in the order in which they began, as a trace's file. How many there were."""
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)

        def line(it: Invocation) -> None:
            out.writerow((it.app, it.func, repr(it.end), repr(it.duration)))

        held: list[tuple[float, Invocation]] = []
        for it in invocations:
            count += 1
            while held and held[0][0] <= it.begin:  # nothing that follows ends before
                line(heapq.heappop(held)[1])
            heapq.heappush(held, (it.end, it))
        while held:
            line(heapq.heappop(held)[1])
    return count
