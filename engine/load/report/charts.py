"""The pictures of a run, each of them from its result alone.

Each is a whole SVG document, to be written to a file as it is; with a form that has no style it is for a page that has
picture.STYLE.
"""

from __future__ import annotations

import math

from .. import words
from ..result import Distribution, Result
from . import axes, ramp_charts
from .picture import STANDALONE, Form, Panel, Picture, escape, fitted, number, said, wide
from .spans import Spans

_PARTS = ("queue", "dispatch", "execute", "reply")  # in the order in which an invocation goes through them


def latency_by_percentile(result: Result, against: Result | None = None, form: Form = STANDALONE) -> str:
    """Each percentile's latency, the rarer the wider apart."""
    lines = [("all", "all requests", result.latency)]
    if result.cold.count and result.warm.count:
        lines += [("warm", "warm", result.warm), ("cold", "cold", result.cold)]
    if against is not None and against.latency.count:
        name = fitted(against.name, form.width / 3)
        lines.append(("against", f"compared: {name}", against.latency))
    lines = [line for line in lines if line[2].count]
    told = "; ".join(f"{name}: {_in_words(them)}" for _, name, them in lines)
    picture = Picture(
        form,
        "Latency by percentile",
        told or "Nothing was answered.",
        "From the intended time of each request. The largest of all is the plateau at the right end."
        if result.loop == "open"
        else "From the sending of each request: a closed loop asks a slow target less.",
    )
    picture.legend([(kind, f"{name}, {them.count:,}") for kind, name, them in lines])
    count = max((them.count for _, _, them in lines), default=0)
    x = axes.percentiles(count)
    if not lines:
        picture.panel(x, axes.blank("latency")).note("nothing was answered")
        return picture.svg()
    y = axes.latency(min(them.least for *_, them in lines), max(them.most for *_, them in lines))
    panel = picture.panel(x, y)
    grid = _grid(x.high, form.points)
    found = [(name, _quantiles(them, grid)) for _, name, them in lines]
    for (kind, _, _), (_, values) in reversed(list(zip(lines, found, strict=True))):
        panel.line(list(zip(grid, values, strict=True)), kind)
    every = 4
    panel.hits(
        (begin, end, f"p{_percentile(at)}\n" + said((name, values[number]) for name, values in found))
        for begin, at, end, number in zip(
            grid[:-every:every],
            grid[every // 2 :: every],
            grid[every::every],
            range(every // 2, len(grid), every),
            strict=False,
        )
    )
    return picture.svg()


def latency_over_time(result: Result, form: Form = STANDALONE) -> str:
    """The median, the 99th percentile and the worst of each second."""
    series = result.series
    spans = Spans.of(result, form.points)
    lines = [
        ("most", "max", [max(series.most[it.first : it.last]) for it in spans]),
        ("p99", "p99", [max(series.p99[it.first : it.last]) for it in spans]),
        ("p50", "p50", [max(series.p50[it.first : it.last]) for it in spans]),
    ]
    most = lines[0][2]
    answered = [number for number, value in enumerate(most) if value]
    told = "Nothing was answered."
    if answered:
        worst = max(answered, key=lambda number: most[number])
        told = (
            f"The worst is {words.duration(most[worst])}, in the second {spans[worst].begin:.0f}; the median is "
            f"between {words.duration(min(lines[2][2][it] for it in answered))} and "
            f"{words.duration(max(lines[2][2][it] for it in answered))}."
        )
    picture = Picture(form, "Latency over time", told, spans.told("the worst of its seconds"))
    picture.legend([(kind, name) for kind, name, _ in reversed(lines)] + _shaded(result))
    y = axes.blank("latency")
    if answered:
        y = axes.latency(min(lines[2][2][it] for it in answered), max(most))
    panel = picture.panel(axes.seconds(spans.end, form.ticks), y)
    _warmup(panel, result)
    for kind, _, values in lines:
        panel.line(
            [
                (span.middle, value if worst else None)
                for span, value, worst in zip(spans, values, most, strict=True)
            ],
            kind,
        )
    if not answered:
        panel.note("nothing was answered")
    panel.hits(
        (span.begin, span.end, f"{span}\n" + said((name, values[it]) for _, name, values in reversed(lines)))
        for it, span in enumerate(spans)
        if most[it]
    )
    return picture.svg()


def throughput(result: Result, form: Form = STANDALONE) -> str:
    """Goodput against offered load, of a ramp; else what was offered and what became of it, over time."""
    return (
        ramp_charts.throughput_by_load(result, form)
        if ramp_charts.ramp(result)
        else _throughput_over_time(result, form)
    )


def latency_by_load(result: Result, form: Form = STANDALONE) -> str:
    """The median and the 99th percentile at each rate of a ramp."""
    return ramp_charts.latency_by_load(result, form)


def concurrency(result: Result, form: Form = STANDALONE) -> str:
    """Requests in flight and, if the target tells, cold starts, over time."""
    series = result.series
    spans = Spans.of(result, form.points)
    flight = [max(series.in_flight[it.first : it.last]) for it in spans]
    cold = [sum(series.cold[it.first : it.last]) for it in spans]
    tells = bool(sum(cold) or result.cold.count or result.warm.count)
    told = f"At most {max(flight, default=0):,} in flight" + (
        f"; {sum(cold):,} cold starts." if tells else "."
    )
    picture = Picture(
        form,
        "Cold starts and concurrency" if tells else "Concurrency",
        told,
        spans.told("the most in flight and the sum of cold starts")
        + ("" if tells else " The target does not say which starts were cold."),
    )
    if result.warmup > 0:
        picture.legend(
            [("flight", "in flight"), *([("bar cold", "cold starts")] if tells else []), *_shaded(result)]
        )
    x = axes.seconds(spans.end, form.ticks)
    top = axes.amount(max(flight, default=1), "requests in flight, at most", whole=True)
    panel = picture.panel(x, top, form.height * (0.6 if tells else 0.8), last=not tells)
    _warmup(panel, result)
    panel.area(spans.across(flight), "flight")
    panel.line(spans.across(flight), "flight")
    panels = [panel]
    if tells:
        name = "cold starts per second" if spans.each == 1 else f"cold starts per {spans.each} s"
        panels.append(
            picture.panel(x, axes.amount(max(cold, default=1), name, whole=True), form.height * 0.36)
        )
        _warmup(panels[1], result)
        panels[1].bars(((it.begin, it.end, value) for it, value in zip(spans, cold, strict=True)), "cold")
        if spans and not sum(cold):
            panels[1].note("no cold start")
    if not spans:
        panel.note("nothing was sent")
    for one in panels:
        one.hits(
            (span.begin, span.end, f"{span}\nin flight {n:,}" + (f"\ncold starts {k:,}" if tells else ""))
            for span, n, k in zip(spans, flight, cold, strict=True)
        )
    return picture.svg()


def parts(result: Result, form: Form = STANDALONE) -> str:
    """The median of each part of a request's time, one after the other."""
    told = {name: result.parts[name] for name in _PARTS if name in result.parts}
    told |= {name: them for name, them in sorted(result.parts.items()) if name not in told}
    told = {name: them for name, them in told.items() if them.count}
    total = sum(them.p50 for them in told.values())
    picture = Picture(
        form,
        "Where the time went",
        "; ".join(f"{name} {words.duration(them.p50)}" for name, them in told.items())
        or "The target does not say.",
        f"Medians of {max((them.count for them in told.values()), default=0):,} requests that the target timed.",
    )
    kinds = {name: f"part{number % 4}" for number, name in enumerate(told)}
    picture.legend([(f"part {kinds[name]}", f"{name} {words.duration(it.p50)}") for name, it in told.items()])
    picture.y += 16
    x, y = 0.0, picture.y
    for name, them in told.items():
        share = them.p50 / total if total else 1 / len(told)
        if not share:
            continue
        width = share * form.width
        text = f"{name}\np50 {words.duration(them.p50)}\np99 {words.duration(them.p99)}"
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
    spans = Spans.of(result, form.points)
    series = result.series
    columns = [("offered", series.offered), ("ok", series.ok)]
    columns += [
        (name, column)
        for name, column in (("failed", series.failed), ("throttled", series.throttled))
        if any(column)
    ]
    lines = [
        (name, [sum(column[it.first : it.last]) / (it.end - it.begin) for it in spans])
        for name, column in columns
    ]
    told = (
        f"{words.rate(result.rate)} offered, {words.rate(result.goodput)} answered rightly, "
        f"{result.wrong:,} requests were not."
    )
    picture = Picture(form, "Throughput over time", told, spans.told("the mean of its seconds"))
    picture.legend([(name, name) for name, _ in lines] + _shaded(result))
    top = max((max(values) for _, values in lines if values), default=1)
    panel = picture.panel(axes.seconds(spans.end, form.ticks), axes.amount(top, "requests per second"))
    _warmup(panel, result)
    for name, values in lines:
        if name == "offered":
            panel.area(spans.across(values), name)
        panel.line(spans.across(values), name)
    if not spans:
        panel.note("nothing was sent")
    panel.hits(
        (span.begin, span.end, f"{span}\n" + "\n".join(f"{name} {words.rate(n[it])}" for name, n in lines))
        for it, span in enumerate(spans)
    )
    return picture.svg()


def _warmup(panel: Panel, result: Result) -> None:
    if result.warmup > 0:
        panel.band(0.0, result.warmup)


def _shaded(result: Result) -> list[tuple[str, str]]:
    return [("band warmup", "warm-up")] if result.warmup > 0 else []


def _grid(high: float, points: int) -> list[float]:
    """Values of 1/(1-p), equally far apart on their axis."""
    return [high ** (number / points) for number in range(points + 1)]


def _quantiles(them: Distribution, grid: list[float]) -> list[int | None]:
    tally = them.tally()
    found = iter(tally.quantiles(*(1 - 1 / it for it in grid)))
    last = 2 * len(tally) * (1 + 1e-9)
    return [value if it <= last else None for it, value in zip(grid, found, strict=True)]


def _percentile(at: float) -> str:
    return f"{100 * (1 - 1 / at):.{max(1, int(math.log10(at)))}f}".rstrip("0").rstrip(".")


def _in_words(them: Distribution) -> str:
    return ", ".join(
        f"{name} {words.duration(value)}"
        for name, value in (("p50", them.p50), ("p99", them.p99), ("p99.9", them.p999), ("max", them.most))
    )
