"""The pictures of a run, each of them from its result alone.

Each is a whole SVG document; with a form that has no style it is for a page that has picture.STYLE.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from .. import words
from ..result import Distribution, Result, StageResult
from . import axes
from .axes import Spans
from .picture import STANDALONE, Form, Panel, Picture, escape, fitted, number, tip, wide

_PARTS = ("queue", "dispatch", "execute", "reply")  # in the order in which an invocation goes through them
_HIT = 4  # points of latency by percentile that have one tip
_OPEN = "From the intended time of each request. The largest of all is the plateau at the right end."
_CLOSED = "From the sending of each request: a closed loop asks a slow target less."


def latency_by_percentile(result: Result, against: Result | None = None, form: Form = STANDALONE) -> str:
    """Each percentile's latency, the rarer the wider apart."""
    lines = [("all", "all requests", result.latency)]
    if result.cold.count and result.warm.count:
        lines += [("warm", "warm", result.warm), ("cold", "cold", result.cold)]
    if against is not None:
        lines.append(("against", f"compared: {fitted(against.name, form.width / 3)}", against.latency))
    lines = [line for line in lines if line[2].count]
    every = (f"{name}: {_times(it)}".replace("\n", ", ") for _, name, it in lines)
    caption = "; ".join(every) or "Nothing was answered."
    picture = Picture(form, "Latency by percentile", caption, _OPEN if result.loop == "open" else _CLOSED)
    picture.legend([(kind, f"{name}, {it.count:,}") for kind, name, it in lines])
    x = axes.percentiles(max((it.count for _, _, it in lines), default=0))
    if not lines:
        picture.panel(x, axes.blank("latency")).note("nothing was answered")
        return picture.svg()
    y = axes.latency(min(it.least for *_, it in lines), max(it.most for *_, it in lines))
    panel = picture.panel(x, y)
    grid = [x.high ** (point / form.points) for point in range(form.points + 1)]  # values of 1/(1-p)
    found = [(kind, name, _quantiles(it, grid)) for kind, name, it in lines]
    for kind, _, values in reversed(found):
        panel.line(list(zip(grid, values, strict=True)), kind)
    for first in range(0, len(grid) - _HIT, _HIT):
        middle = first + _HIT // 2
        text = f"p{_percentile(grid[middle])}\n" + tip((name, values[middle]) for _, name, values in found)
        panel.hit(grid[first], grid[first + _HIT], text)
    return picture.svg()


def latency_over_time(result: Result, form: Form = STANDALONE) -> str:
    """The median, the 99th percentile and the worst of each second."""
    spans = Spans.of(result, form.points)
    p50, p99, most = (spans.most(it) for it in (result.series.p50, result.series.p99, result.series.most))
    lines = [("p50", "p50", p50), ("p99", "p99", p99), ("most", "max", most)]
    answered = [number for number, value in enumerate(most) if value]
    caption, y = "Nothing was answered.", axes.blank("latency")
    if answered:
        worst = max(answered, key=lambda number: most[number])
        medians = [p50[number] for number in answered]
        low, high, slowest = map(words.duration, (min(medians), max(medians), most[worst]))
        second = f"{spans[worst].begin:.0f}"
        caption = f"The worst is {slowest}, in the second {second}; the median is between {low} and {high}."
        y = axes.latency(min(medians), max(most))
    picture = Picture(form, "Latency over time", caption, spans.note("the worst of its seconds"))
    picture.legend([(kind, name) for kind, name, _ in lines] + _shaded(result))
    panel = picture.panel(axes.seconds(spans.end, form.ticks), y)
    _warmup(panel, result)
    for kind, _, values in reversed(lines):
        points = zip(spans, values, most, strict=True)
        panel.line([(span.middle, value if worst else None) for span, value, worst in points], kind)
    if not answered:
        panel.note("nothing was answered")
    for at in answered:
        text = f"{spans[at]}\n" + tip((name, values[at]) for _, name, values in lines)
        panel.hit(spans[at].begin, spans[at].end, text)
    return picture.svg()


def throughput(result: Result, form: Form = STANDALONE) -> str:
    """Goodput against offered load, of a ramp; else what was offered and what became of it, over time."""
    return (_throughput_by_load if ramp(result) else _throughput_over_time)(result, form)


def concurrency(result: Result, form: Form = STANDALONE) -> str:
    """Requests in flight and, if the target reports them, cold starts, over time."""
    spans = Spans.of(result, form.points)
    flight, cold = spans.most(result.series.in_flight), spans.sums(result.series.cold)
    total, top = sum(cold), max(flight, default=0)
    reported = bool(total or result.cold.count or result.warm.count)
    subtitle = spans.note("the most in flight and the sum of cold starts")
    picture = Picture(
        form,
        "Cold starts and concurrency" if reported else "Concurrency",
        f"At most {top:,} in flight" + (f"; {total:,} cold starts." if reported else "."),
        subtitle + ("" if reported else " The target does not say which starts were cold."),
    )
    if result.warmup > 0:
        bars = [("bar cold", "cold starts")] if reported else []
        picture.legend([("flight", "in flight"), *bars, *_shaded(result)])
    x = axes.seconds(spans.end, form.ticks)
    y = axes.amount(max(flight, default=1), "requests in flight, at most", whole=True)
    panels = [picture.panel(x, y, form.height * (0.6 if reported else 0.8), last=not reported)]
    _warmup(panels[0], result)
    panels[0].area(spans.across(flight), "flight")
    panels[0].line(spans.across(flight), "flight")
    if reported:
        name = "cold starts per second" if spans.each == 1 else f"cold starts per {spans.each} s"
        y = axes.amount(max(cold, default=1), name, whole=True)
        panels.append(picture.panel(x, y, form.height * 0.36))
        _warmup(panels[1], result)
        panels[1].bars(((it.begin, it.end, value) for it, value in zip(spans, cold, strict=True)), "cold")
        if spans and not total:
            panels[1].note("no cold start")
    if not spans:
        panels[0].note("nothing was sent")
    for panel in panels:
        for span, n, k in zip(spans, flight, cold, strict=True):
            text = f"{span}\nin flight {n:,}" + (f"\ncold starts {k:,}" if reported else "")
            panel.hit(span.begin, span.end, text)
    return picture.svg()


def parts(result: Result, form: Form = STANDALONE) -> str:
    """The median of each part of a request's time, one after the other."""
    order = [*_PARTS, *sorted(result.parts.keys() - set(_PARTS))]
    timed = {name: result.parts[name] for name in order if name in result.parts and result.parts[name].count}
    total = sum(it.p50 for it in timed.values())
    medians = {name: f"{name} {words.duration(it.p50)}" for name, it in timed.items()}
    picture = Picture(
        form,
        "Where the time went",
        "; ".join(medians.values()) or "The target does not say.",
        f"Medians of {max((it.count for it in timed.values()), default=0):,} requests that the target timed.",
    )
    kinds = {name: f"part{number % 4}" for number, name in enumerate(timed)}
    picture.legend([(f"part {kinds[name]}", text) for name, text in medians.items()])
    picture.y += 16
    x, y = 0.0, picture.y
    for name, it in timed.items():
        share = it.p50 / total if total else 1 / len(timed)
        if not share:
            continue
        width = share * form.width
        text = f"{name}\n" + tip((("p50", it.p50), ("p99", it.p99)))
        picture.add(
            f'<g class="hit"><path d="M{number(x)},{number(y)}h{number(width)}v34h{number(-width)}z" '
            f'class="part {kinds[name]}"/><title>{escape(text)}</title></g>'
        )
        label = words.share(share)
        for short in (f"{name} {label}", label):  # what there is room for
            if width > wide(short) + 18:
                picture.text(x + 9, y + 21, short, "on")
                break
        x += width
    picture.y += 40
    return picture.svg()


def _throughput_over_time(result: Result, form: Form) -> str:
    spans, series = Spans.of(result, form.points), result.series
    columns = {"offered": series.offered, "ok": series.ok}
    columns |= {name: it for name in ("failed", "throttled") if any(it := getattr(series, name))}
    lines = {
        name: [count / (span.end - span.begin) for span, count in zip(spans, spans.sums(column), strict=True)]
        for name, column in columns.items()
    }
    offered, good = words.rate(result.rate), words.rate(result.goodput)
    caption = f"{offered} offered, {good} answered rightly, {result.wrong:,} requests were not."
    picture = Picture(form, "Throughput over time", caption, spans.note("the mean of its seconds"))
    picture.legend([(name, name) for name in lines] + _shaded(result))
    top = max((max(values) for values in lines.values() if values), default=1)
    panel = picture.panel(axes.seconds(spans.end, form.ticks), axes.amount(top, "requests per second"))
    _warmup(panel, result)
    for name, values in lines.items():
        if name == "offered":
            panel.area(spans.across(values), name)
        panel.line(spans.across(values), name)
    if not spans:
        panel.note("nothing was sent")
    for at, span in enumerate(spans):
        rates = (f"{name} {words.rate(values[at])}" for name, values in lines.items())
        panel.hit(span.begin, span.end, "\n".join([str(span), *rates]))
    return picture.svg()


def ramp(result: Result) -> list[StageResult]:
    """The stages of a run whose rate went up; none of any other's."""
    stages = [it for it in result.stages if it.end > it.begin and math.isfinite(it.offered_rate)]
    up = all(a.rate < b.rate for a, b in itertools.pairwise(stages))
    return sorted(stages, key=lambda it: it.offered_rate) if up and len(stages) > 1 else []


def _throughput_by_load(result: Result, form: Form) -> str:
    """The right answers at each rate, beside the requests."""
    stages = ramp(result)
    rates = "; ".join(f"{words.rate(it.offered_rate)}: {words.rate(it.goodput)}" for it in stages)
    knee, found = result.knee, ""
    if knee is not None and knee.lost is None:
        found = f"No knee: every rate up to {words.rate(knee.kept)} was kept."
    elif knee is not None and knee.lost is not None:
        kept = f"{words.rate(knee.kept)} was kept" if knee.kept else "No rate was kept"
        found = f"{kept}, {words.rate(knee.lost)} was not: {knee.why}"
    picture = Picture(form, "Throughput against offered load", f"{found} {rates}".strip(), found)
    picture.legend([("ok", "goodput: right answers"), ("ideal", "ideal: all that is offered")])
    x = _load(stages)
    panel = picture.panel(x, axes.amount(max(it.offered_rate for it in stages), "right answers per second"))
    _knee(panel, result)
    panel.line([(0.0, 0.0), (x.high, x.high)], "ideal")
    panel.line([(it.offered_rate, it.goodput) for it in stages], "ok", dots=True)
    for begin, end, it in _around(stages):
        text = f"{words.rate(it.offered_rate)} offered\nok {words.rate(it.goodput)}\n"
        panel.hit(begin, end, f"{text}failed {it.failed:,}\nthrottled {it.throttled:,}")
    return picture.svg()


def latency_by_load(result: Result, form: Form = STANDALONE) -> str:
    """The median and the 99th percentile at each rate of a ramp."""
    stages = [it for it in ramp(result) if it.most]
    caption = "; ".join(f"{words.rate(it.offered_rate)}: p99 {words.duration(it.p99)}" for it in stages)
    picture = Picture(form, "Latency against offered load", caption or "Nothing was answered.")
    picture.legend([("p50", "p50"), ("p99", "p99")])
    y = axes.blank("latency")
    if stages:
        y = axes.latency(min(it.p50 for it in stages), max(it.p99 for it in stages))
    panel = picture.panel(_load(ramp(result)), y)
    _knee(panel, result, label=False)
    panel.line([(it.offered_rate, it.p99) for it in stages], "p99", dots=True)
    panel.line([(it.offered_rate, it.p50) for it in stages], "p50", dots=True)
    if not stages:
        panel.note("nothing was answered")
    for begin, end, it in _around(stages):
        panel.hit(begin, end, f"{words.rate(it.offered_rate)} offered\n{_times(it)}")
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


def _warmup(panel: Panel, result: Result) -> None:
    if result.warmup > 0:
        panel.band(0.0, result.warmup)


def _shaded(result: Result) -> list[tuple[str, str]]:
    return [("band warmup", "warm-up")] if result.warmup > 0 else []


def _quantiles(distribution: Distribution, grid: list[float]) -> list[int | None]:
    tally = distribution.tally()
    found = tally.quantiles(*(1 - 1 / at for at in grid))
    last = 2 * len(tally) * (1 + 1e-9)
    return [value if at <= last else None for at, value in zip(grid, found, strict=True)]


def _percentile(at: float) -> str:
    return f"{100 * (1 - 1 / at):.{max(1, int(math.log10(at)))}f}".rstrip("0").rstrip(".")


def _times(it: Distribution | StageResult) -> str:
    return tip((("p50", it.p50), ("p99", it.p99), ("p99.9", it.p999), ("max", it.most)))
