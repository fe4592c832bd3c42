"""Whether run B is better or worse than run A, or the difference is no more than what chance and the machine make.

A figure has changed when ln(B/A) exceeds, in size, both a floor and what two causes together (in quadrature, as they
are independent) may well make:

- chance: half the widths, in logarithms, of both 95 % intervals, in quadrature; widened for the number of figures that
  are judged (Bonferroni), so that two equal runs are called different once in twenty comparisons and not once in
  twenty figures;
- the machine: twice the larger of what either run's own A/A comparison differed by. Intervals come from within a run
  and know nothing of what two runs differ by; two A/A comparisons tell how much that is, though only roughly: two equal
  runs differ by more than the larger of two such differences one time in three, by more than twice it one in eight.

The floor is FLOOR; NO_NOISE where neither run has an A/A comparison; NO_INTERVAL where a figure has no interval, as its
run was too short for one. In simulation, of equal runs of ten seconds one comparison in fifty is wrong where a run's
level varies by 1 % from run to run, one in twenty where by 2 %, one in fourteen where by 3 %.

A quantile that fewer than ten requests of either run lie beyond is not judged, and neither is one without latencies.
Wrong answers are compared by the difference of their shares against its standard error, seconds being the unit (errors
come in bunches) and nought counted as something (Agresti and Caffo, "Simple and effective confidence intervals", The
American Statistician 54, 2000); where both runs have wrong answers, their ratio has to exceed the rest of the rule too.
CPU time has no interval. That of the generator is not the target's, and is not compared. A ramp's knee has moved when
it did so by more than one of its steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import Literal

import msgspec

from . import words
from .conclude import BEYOND, CONFIDENCE, enough
from .report.summary import aligned, printable
from .result import QUANTILES, Estimate, Knee, Result

FLOOR = 0.02
NO_NOISE = 0.10
NO_INTERVAL = 0.25
NOISES = 2.0  # times the noise
_OF_THE_MOMENT = {"load before"}  # what differs on the same machine

Verdict = Literal["better", "worse", "within noise"]


class NotComparable(ValueError):
    """Two runs whose figures cannot be compared."""


class Row(msgspec.Struct, frozen=True):
    """One figure of both runs. ratio: B to A, None where A is 0; least: the change that it would have taken (0.05: by
    5 %, up or down), None where it was not judged by its ratio."""

    figure: str
    unit: Literal["ns", "per second", "share", "us"]
    a: float
    b: float
    ratio: float | None
    least: float | None
    verdict: Verdict
    why: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """a, b: the runs in words; notes: what else one should know."""

    a: str
    b: str
    rows: list[Row]
    verdict: Verdict
    notes: list[str] = []

    @property
    def exit_code(self) -> int:
        """1 when anything is worse, else 0."""
        return int(any(row.verdict == "worse" for row in self.rows))


def compare(a: Result, b: Result) -> Comparison:
    """Raises NotComparable."""
    _comparable(a, b)
    rows = list(_rows(a, b))
    verdicts = {row.verdict for row in rows}
    one, other = (printable(f"{it.name}, {it.target}, {it.started}, stoker {it.stoker}") for it in (a, b))
    verdict = _verdict("better" in verdicts, "worse" in verdicts)
    return Comparison(one, other, rows, verdict, list(_notes(a, b)))


def _verdict(better: bool, worse: bool) -> Verdict:
    return "worse" if worse else "better" if better else "within noise"


def _comparable(a: Result, b: Result) -> None:
    reasons = [f"{name} is void: {'; '.join(run.void)}" for name, run in (("A", a), ("B", b)) if run.void]
    for what in ("loop", "arrivals", "payload", "functions", "warmup", "polled"):
        if getattr(a, what) != getattr(b, what):
            reasons.append(f"{what}: {getattr(a, what)} in A, {getattr(b, what)} in B")
    if a.loop == b.loop == "open":
        # The same rate, drawn with another seed, is not the same number: five standard deviations of Poisson's.
        drawn = 5 * math.sqrt(sum(1 / max(1, run.offered) for run in (a, b)))
        if abs(_log(b.rate, a.rate)) > max(math.log1p(FLOOR), drawn):
            reasons.append(f"rate: {words.rate(a.rate)} in A, {words.rate(b.rate)} in B")
    if reasons:
        advice = "Compare two runs of one scenario, neither of them void"
        raise NotComparable(". ".join(["these runs cannot be compared", *reasons, advice]))


def _notes(a: Result, b: Result) -> Iterator[str]:
    for name, run in (("A", a), ("B", b)):
        if run.noise is None:
            yield f"{name} has no A/A comparison: what the machine's noise was is not known"
        if not run.estimates:
            yield f"{name} has no confidence intervals, as short runs have none: a change must be {NO_INTERVAL:.0%}"
        if run.steal > 0.01:
            yield f"the hypervisor took {words.share(run.steal)} of the CPU time from {name}"
    if a.noise is None and b.noise is None:
        yield f"without any A/A comparison, only changes of {NO_NOISE:.0%} are told"
    for what in sorted((a.machine.keys() | b.machine.keys()) - _OF_THE_MOMENT):
        one, other = a.machine.get(what, words.NONE), b.machine.get(what, words.NONE)
        if one != other:
            yield f"the machines differ in {what}: {one} in A, {other} in B"


def _rows(a: Result, b: Result) -> Iterator[Row]:
    count = len(QUANTILES) + 2  # with goodput and wrong answers; the rest has no interval to widen
    for name, which in QUANTILES.items():
        member = name.replace(".", "")
        one, other = float(getattr(a.latency, member)), float(getattr(b.latency, member))
        if not (a.latency.count and b.latency.count):
            row = _unjudged(name, "ns", one, other, "no answers")
        elif not (enough(which, a.latency.count) and enough(which, b.latency.count)):
            row = _unjudged(name, "ns", one, other, f"fewer than {BEYOND} requests beyond it")
        else:
            tail = which >= 0.99
            row = _judged(name, "ns", one, other, _intervals(name, a, b), _noise(a, b, tail), count)
        yield row
    intervals = _intervals("goodput", a, b)
    yield _judged("goodput", "per second", a.goodput, b.goodput, intervals, _noise(a, b), count, more=True)
    yield _wrong(a, b, count)
    for part in ("engine", "workers"):
        used, uses = getattr(a.cpu, part), getattr(b.cpu, part)
        if used is not None and uses is not None:
            yield _judged(f"CPU, {part}", "us", used, uses, [], _noise(a, b), count, floor=NO_NOISE)
    if a.knee is not None and b.knee is not None:
        yield _knee(a.knee, b.knee)


def _judged(
    figure: str, unit: Literal["ns", "per second", "us"], a: float, b: float,
    intervals: Sequence[Estimate], noise: float | None, count: int, *, more: bool = False, floor: float | None = None,
) -> Row:  # fmt: skip
    """more: it is better to have more of it; floor: of a figure that has no intervals in any run."""
    limit = _usual(noise)
    if intervals and all(it.low > 0 for it in intervals):
        halves = (math.log(it.high / it.low) / 2 for it in intervals)
        chance = _wider(count) * math.hypot(*halves)
        limit = max(limit, math.hypot(chance, NOISES * (noise or 0.0)))
    else:
        limit = max(limit, math.log1p(NO_INTERVAL if floor is None else floor))
    change = _log(b, a) if more else -_log(b, a)
    verdict = _verdict(change > limit, change < -limit)
    return Row(figure, unit, a, b, b / a if a else None, math.expm1(limit), verdict)


def _unjudged(figure: str, unit: Literal["ns", "per second"], a: float, b: float, why: str) -> Row:
    return Row(figure, unit, a, b, b / a if a else None, None, "within noise", f"not judged: {why}")


def _wrong(a: Result, b: Result, count: int) -> Row:
    """Of all that ended, the share that ended in anything but a right answer."""
    (one, error), (other, error_too) = _share(a), _share(b)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * _wider(count)
    chance = abs(other - one) <= z * math.hypot(error, error_too)
    usual = abs(_log(other, one)) <= _usual(_noise(a, b))
    changed = not chance and not usual
    verdict = _verdict(changed and other < one, changed and other > one)
    return Row("wrong answers", "share", one, other, other / one if one else None, None, verdict)


def _share(run: Result) -> tuple[float, float]:
    """Of wrong answers, and its standard error: the larger of that of independent requests and that of seconds."""
    total = sum(run.ended.values())
    if not total:
        return 0.0, 0.0
    share, nearly = run.wrong / total, (run.wrong + 1) / (total + 2)
    error = math.sqrt(nearly * (1 - nearly) / total)
    seconds = list(zip(run.series.ok, run.series.failed, run.series.throttled, strict=True))
    seconds = seconds[math.ceil(run.warmup) :]
    if len(seconds) < 2:
        return share, error
    spread = sum((failed + refused - share * (ok + failed + refused)) ** 2 for ok, failed, refused in seconds)
    return share, max(error, math.sqrt(spread * len(seconds) / (len(seconds) - 1)) / total)


def _knee(a: Knee, b: Knee) -> Row:
    """What is lost at a rate that the other keeps with one to spare has moved."""
    up = a.lost is not None and b.kept > a.lost
    down = b.lost is not None and a.kept > b.lost
    ratio = b.kept / a.kept if a.kept else None
    return Row("knee", "per second", a.kept, b.kept, ratio, None, _verdict(up, down and not up))


def _intervals(name: str, a: Result, b: Result) -> list[Estimate]:
    """Of both runs, or none."""
    found = [run.estimates[name] for run in (a, b) if name in run.estimates]
    return found if len(found) == 2 else []


def _noise(a: Result, b: Result, tail: bool = False) -> float | None:
    """The larger of both runs', as a logarithm; None when neither has any."""
    noises = [run.noise.p99 if tail else run.noise.p50 for run in (a, b) if run.noise is not None]
    return max((abs(math.log(it)) for it in noises if it > 0), default=None)


def _usual(noise: float | None) -> float:
    """What two equal runs may well differ by, as a logarithm."""
    return math.log1p(NO_NOISE) if noise is None else max(math.log1p(FLOOR), NOISES * noise)


def _wider(count: int) -> float:
    """How much wider an interval is that is one of so many and still misses in one case of twenty in all."""
    normal, miss = NormalDist(), 1 - CONFIDENCE
    return normal.inv_cdf(1 - miss / 2 / count) / normal.inv_cdf(1 - miss / 2)


def _log(b: float, a: float) -> float:
    """ln(b/a); what was nothing and is something has changed without bounds."""
    if a > 0 and b > 0:
        return math.log(b / a)
    return 0.0 if a == b else math.copysign(math.inf, b - a)


_HEADS = ("", "A", "B", "B/A", "told from", "")
_SHOW: dict[str, Callable[[float], str]] = {
    "ns": words.duration,
    "per second": words.rate,
    "share": words.share,
    "us": lambda value: words.duration(value * 1000),
}


def text(comparison: Comparison) -> str:
    """For a terminal or a log: a table, what else one should know, and the verdict as the last line."""
    cells = [_HEADS, *(_cells(row) for row in comparison.rows)]
    columns = aligned([it[:-1] for it in cells])
    lines = [f"{line}  {cell[-1]}".rstrip() for line, cell in zip(columns, cells, strict=True)]
    notes = (f"Note: {note}." for note in comparison.notes)
    found = []
    for verdict in ("worse", "better"):
        if figures := [row.figure for row in comparison.rows if row.verdict == verdict]:
            found.append(f"B is {verdict} in {', '.join(figures)}")
    summary = "; ".join(found) or "B is within the noise of A"
    return "\n".join([f"A: {comparison.a}", f"B: {comparison.b}", "", *lines, "", *notes, f"{summary}.\n"])


def _cells(row: Row) -> tuple[str, ...]:
    show = _SHOW[row.unit]
    ratio = words.NONE if row.ratio is None else f"{row.ratio:.3f}"
    least = words.NONE if row.least is None else f"±{row.least * 100:.1f} %"
    verdict = row.verdict if row.verdict != "within noise" else row.why or row.verdict
    return row.figure, show(row.a), show(row.b), ratio, least, verdict
