"""The pictures of a ramp: what came of each rate, and where the knee is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from .. import words
from ..result import Result, StageResult
from . import axes
from .picture import Form, Panel, Picture, said


def ramp(result: Result) -> list[StageResult]:
    """The stages of a run whose rate went up; none of any other's."""
    stages = [it for it in result.stages if it.end > it.begin and math.isfinite(it.offered_rate)]
    up = all(a.rate < b.rate for a, b in itertools.pairwise(stages))
    return sorted(stages, key=lambda it: it.offered_rate) if up and len(stages) > 1 else []


def throughput_by_load(result: Result, form: Form) -> str:
    """What was answered rightly at each rate, beside what was asked."""
    stages = ramp(result)
    told = "; ".join(f"{words.rate(it.offered_rate)}: {words.rate(it.goodput)}" for it in stages)
    knee = result.knee
    if knee is None:
        found = ""
    elif knee.lost is None:
        found = f"No knee: every rate up to {words.rate(knee.kept)} was kept."
    else:
        kept = f"{words.rate(knee.kept)} was kept" if knee.kept else "No rate was kept"
        found = f"{kept}, {words.rate(knee.lost)} was not: {knee.why}"
    picture = Picture(form, "Throughput against offered load", f"{found} {told}".strip(), found)
    picture.legend([("ok", "goodput: right answers"), ("ideal", "ideal: all that is offered")])
    x = _load(stages)
    panel = picture.panel(x, axes.amount(max(it.offered_rate for it in stages), "right answers per second"))
    _knee(panel, result)
    panel.line([(0.0, 0.0), (x.high, x.high)], "ideal")
    panel.line([(it.offered_rate, it.goodput) for it in stages], "ok", dots=True)
    panel.hits(
        (
            begin,
            end,
            f"{words.rate(it.offered_rate)} offered\nok {words.rate(it.goodput)}\n"
            f"failed {it.failed:,}\nthrottled {it.throttled:,}",
        )
        for begin, end, it in _around(stages)
    )
    return picture.svg()


def latency_by_load(result: Result, form: Form) -> str:
    """The median and the 99th percentile at each rate of a ramp."""
    stages = [stage for stage in ramp(result) if stage.most]
    told = "; ".join(f"{words.rate(stage.offered_rate)}: p99 {words.duration(stage.p99)}" for stage in stages)
    picture = Picture(form, "Latency against offered load", told or "Nothing was answered.")
    picture.legend([("p50", "p50"), ("p99", "p99")])
    y = axes.blank("latency")
    if stages:
        y = axes.latency(min(stage.p50 for stage in stages), max(stage.p99 for stage in stages))
    panel = picture.panel(_load(ramp(result)), y)
    _knee(panel, result, label=False)
    panel.line([(stage.offered_rate, stage.p99) for stage in stages], "p99", dots=True)
    panel.line([(stage.offered_rate, stage.p50) for stage in stages], "p50", dots=True)
    if not stages:
        panel.note("nothing was answered")
    panel.hits(
        (
            begin,
            end,
            f"{words.rate(stage.offered_rate)} offered\n"
            + said((("p50", stage.p50), ("p99", stage.p99), ("p99.9", stage.p999), ("max", stage.most))),
        )
        for begin, end, stage in _around(stages)
    )
    return picture.svg()


def _load(stages: list[StageResult]) -> axes.Axis:
    return axes.amount(max((it.offered_rate for it in stages), default=1), "offered, requests per second")


def _knee(panel: Panel, result: Result, label: bool = True) -> None:
    """A line at the highest rate that was kept, and a band to the one that was not: it lies between them."""
    knee = result.knee
    if knee is None or knee.lost is None:
        return
    offered = {stage.rate: stage.offered_rate for stage in ramp(result)}  # as it came out
    kept, lost = offered.get(knee.kept, knee.kept), offered.get(knee.lost, knee.lost)
    panel.band(kept, lost)
    panel.rule(kept, f"knee: {words.rate(knee.kept)}" if label else "")


def _around(stages: list[StageResult]) -> Iterator[tuple[float, float, StageResult]]:
    """Each stage with the rates to which it is the nearest."""
    rates = [stage.offered_rate for stage in stages]
    borders = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(rates)), math.inf]
    yield from zip(borders, borders[1:], stages, strict=False)
