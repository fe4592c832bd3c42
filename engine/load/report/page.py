"""One self-contained HTML page of a run's result: it loads nothing, and is whole without a script.

Names, reasons and whatever else came from elsewhere are escaped, and the page's policy allows no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from .. import words
from ..result import Distribution, Estimate, Result
from . import charts
from .picture import NARROW, STYLE, WIDE, Form, escape

# The script shows the tips: a browser's own come late, and on a phone never.
_STYLE, _SCRIPT = (Path(__file__).with_name(it).read_text(encoding="utf-8") for it in ("page.css", "page.js"))
# Of those that are not spelled as they are.
_ENDINGS = {
    "ok": "right answer",
    "throttle": "throttled",
    "timeout": "timed out",
    "failure": "no valid answer",
}
_QUANTILES = (
    ("mean", "mean"), ("min", "least"), ("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99.9", "p999"),
    ("max", "most"),
)  # fmt: skip


def render(result: Result, against: Result | None = None) -> str:
    """The page. against: another run, to be beside this one."""
    body = (
        f"{_header(result, against)}{_banner(result)}{_tiles(result, against)}{_charts(result, against)}"
        f'<div class="columns">{_quantiles(result)}{_endings(result)}{_noise(result)}{_machine(result)}</div>'
        f"<footer>Written by stoker {escape(result.stoker)}. Latencies are kept to three digits.</footer>"
    )
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    title = ("VOID: " if result.void else "") + result.name
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}, load test</title><style>{STYLE}{_STYLE}</style></head>\n"
        f"<body><main>{body}</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _header(result: Result, against: Result | None) -> str:
    closed = "closed loop: latency from the sending, a slow target is asked less"
    warmup = f", of which {_span(result.warmup)} warm-up" if result.warmup else ""
    facts = [
        ("Target", result.target),
        ("Arrivals", result.arrivals),
        ("Loop", "" if result.loop == "open" else closed),
        ("Generator", "polls: a core is kept busy" if result.polled else ""),
        ("Payload", result.payload),
        ("Functions", f"{result.functions:,}" if result.functions > 1 else ""),
        ("When", _when(result.started)),
        ("Duration", f"{_span(result.duration)}{warmup}"),
        ("Seed", str(result.seed)),
        ("Compared with", f"{against.name}, {_when(against.started)}" if against else ""),
    ]
    return f'<header><p class="kicker">Load test</p><h1>{escape(result.name)}</h1>{_facts(facts)}</header>'


def _banner(result: Result) -> str:
    if not result.void:
        return ""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result.void)
    return (
        '<section class="void" role="alert"><h2>This run is void</h2>'
        f"<p>Its figures mean nothing, because:</p><ul>{reasons}</ul></section>"
    )


def _tiles(result: Result, against: Result | None) -> str:
    def tile(name: str, value: str, *under: str, bad: bool = False) -> str:
        lines = "".join(f"<small>{_bound(line)}</small>" for line in under if line)
        kind = "tile bad" if bad else "tile"
        return f'<div class="{kind}"><dt>{name}</dt><dd>{escape(value)}{lines}</dd></div>'

    def other(value: Callable[[Result], str]) -> str:
        return f"compared with {value(against)}" if against else ""

    def quantile(name: str, field: str, least: int) -> str:
        count = result.latency.count
        interval = _interval(result.estimates.get(name), words.duration) if count else ""
        few = f"of {count:,} only" if 0 < count < least else ""
        compared = other(lambda it: _latency(it.latency, field))
        return tile(name, _latency(result.latency, field), interval, few, compared)

    total, throttled = sum(result.ended.values()), result.ended.get("throttle", 0)
    wrong, lag, goodput = result.wrong - throttled, result.lag, result.estimates.get("goodput")
    names = ("engine", "workers", "generator")
    cpu = {name: value for name in names if (value := getattr(result.cpu, name)) is not None}
    target = [cpu[name] for name in names[:2] if name in cpu]
    shares = [f"{name} {words.duration(value * 1e3)}" for name, value in cpu.items()]
    cold, timed = result.cold.count, result.cold.count + result.warm.count
    tiles = [
        tile(
            "Offered", words.rate(result.rate), f"{result.offered:,} requests",
            other(lambda it: words.rate(it.rate)),
        ),
        tile(
            "Goodput", words.rate(result.goodput), _interval(goodput, words.rate),
            other(lambda it: words.rate(it.goodput)),
        ),
        tile("Errors", f"{wrong:,}", words.share(wrong / total) if total else "", bad=wrong > 0),
        tile("Throttled", f"{throttled:,}", words.share(throttled / total) if total else "", bad=throttled > 0),
        quantile("p50", "p50", 0),
        quantile("p99", "p99", 100),
        quantile("p99.9", "p999", 1000),
        quantile("Max", "most", 0),
        tile("In flight, at most", f"{result.most_in_flight:,}"),
        tile("Cold starts", f"{cold:,}" if timed else words.NONE, words.share(cold / timed) if timed else "unreported"),
        tile("Generator lag p99", _latency(lag, "p99"), f"max {words.duration(lag.most)}" if lag.count else ""),
        tile("CPU per invocation", words.duration(sum(target) * 1e3) if target else words.NONE, ", ".join(shares)),
    ]  # fmt: skip
    return f'<section aria-label="Main figures"><dl class="tiles">{"".join(tiles)}</dl></section>'


def _charts(result: Result, against: Result | None) -> str:
    def percentiles(result: Result, form: Form) -> str:
        return charts.latency_by_percentile(result, against, form)

    pictures = [percentiles, charts.latency_over_time, charts.throughput]
    pictures += [charts.latency_by_load] * bool(charts.ramp(result)) + [charts.concurrency]
    pictures += [charts.parts] * any(it.count for it in result.parts.values())
    drawn = "".join(
        f'<figure><div class="wide">{draw(result, WIDE)}</div><div class="narrow">{draw(result, NARROW)}</div></figure>'
        for draw in pictures
    )
    return f'<section class="charts" aria-label="Charts">{drawn}</section>'


def _quantiles(result: Result) -> str:
    every = [
        ("warm", result.warm),
        ("cold", result.cold),
        ("throttled", result.refused),
        *result.parts.items(),
    ]
    columns = [("all", result.latency), *(column for column in every if column[1].count)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in columns)
    rows = [("requests", [f"{it.count:,}" for _, it in columns])]
    rows += [(name, [_latency(it, field) for _, it in columns]) for name, field in _QUANTILES]
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, cells in rows
    )
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
    region = 'class="scroll" tabindex="0" role="region" aria-label="Table of quantiles"'
    return _section("Quantiles", f"<div {region}>{table}</div>")


def _endings(result: Result) -> str:
    total = sum(result.ended.values())
    if not total:
        return _section("How requests ended", "<p>No request ended.</p>")
    items = []
    for kind, count, reasons in result.endings():
        listed = "".join(
            f"<li><b>{n:,}</b> <bdi>{escape(why) or '(no reason)'}</bdi></li>" for why, n in reasons
        )
        items.append(
            f'<li class="{"ok" if kind == "ok" else "bad"}"><span>{escape(_ENDINGS.get(kind, kind))}</span>'
            f"<span>{count:,} · {words.share(count / total)}</span>"
            f'<p><i style="width:{100 * count / total:.2f}%"></i></p>'
            + (f"<ul>{listed}</ul>" if listed else "")
            + "</li>"
        )
    return _section("How requests ended", f'<ul class="endings">{"".join(items)}</ul>')


def _noise(result: Result) -> str:
    text = "No two runs of the same were compared, so the noise of the machine is not known."
    if (noise := result.noise) is not None:
        text = (
            f"Two runs of the same, {_span(noise.seconds)} each, differed by a factor of {noise.p50:,.3g} at p50 and "
            f"{noise.p99:,.3g} at p99. A difference that is smaller than that says nothing."
        )
    steal = f"The hypervisor took {words.share(result.steal)} of all CPU time during the run."
    return _section("Noise", f"<p>{escape(text)}</p><p>{escape(steal)}</p>")


def _machine(result: Result) -> str:
    return _section("Machine", _facts(result.machine.items())) if result.machine else ""


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts if value
    )
    return f'<dl class="facts">{items}</dl>'


def _latency(it: Distribution, field: str) -> str:
    return words.duration(getattr(it, field)) if it.count else words.NONE


def _interval(estimate: Estimate | None, spell: Callable[[float], str]) -> str:
    return f"95 %: {spell(estimate.low)} to {spell(estimate.high)}" if estimate else ""


def _bound(text: str) -> str:
    """With each unit on the line of its number."""
    return re.sub(r"(?<=\d) (?=(?:ns|µs|ms|s)\b|%)", "&nbsp;", escape(text))


def _span(seconds: float) -> str:
    """Of a run: 30 s, 1 min 30 s, 2 h."""
    if not 60 <= seconds < 1e9:
        return f"{seconds:,.4g} s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return " ".join(f"{n:,} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if n)


def _when(started: str) -> str:
    try:
        at = datetime.fromisoformat(started)
    except ValueError:
        return started
    return f"{at:%-d %B %Y, %H:%M:%S} {at.tzname() or ''}".strip()
