"""A result as text: what stands in the terminal when a run is over."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from .. import words
from ..result import QUANTILES, Distribution, Result

WIDTH = 96
_REASONS = 3  # of each ending
_STAGES = 40
_LABEL = 14  # columns


def text(result: Result) -> str:
    """Blocks with a blank line between them; a void run says so before and after its figures."""
    void = list(_void(result))
    blocks = [_head(result), void, _counts(result), _latencies(result)]
    blocks += [_stages(result), _conditions(result), void[:1]]
    return "\n\n".join(block for lines in blocks if (block := "\n".join(lines))) + "\n"


def _head(result: Result) -> Iterator[str]:
    yield from _wrapped(f"{result.name}: {result.target}", "")
    counted = f", of which the first {result.warmup:g} s do not count" if result.warmup else ""
    polled = "; the generator polls" if result.polled else ""
    yield from _wrapped(f"{result.arrivals}; {result.duration:g} s{counted}{polled}", "arrivals")
    functions = f"; {result.functions:,} functions" if result.functions > 1 else ""
    yield from _wrapped(f"{result.payload}; seed {result.seed}{functions}", "payload")


def _void(result: Result) -> Iterator[str]:
    if result.void:
        yield "*** VOID: this run's figures mean nothing ***"
        for why in result.void:
            yield from textwrap.wrap(printable(why), WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _counts(result: Result) -> Iterator[str]:
    total = sum(result.ended.values())
    endings = list(result.endings())
    most = f"at most {result.most_in_flight:,} in flight"
    yield _labelled("offered", f"{result.offered:,} requests, {words.rate(result.rate)}, {most}")
    good = f"{words.rate(result.goodput)} right answers"
    if "goodput" in result.estimates:
        it = result.estimates["goodput"]
        good += f" (95 %: {words.rate(it.low)} to {words.rate(it.high)})"
    yield _labelled("goodput", good)
    ended = (f"{kind} {count:,} ({words.share(count / total)})" for kind, count, _ in endings)
    yield _labelled("ended", ", ".join(ended) or "nothing did")
    for kind, _, reasons in endings:
        for number, (why, count) in enumerate(reasons[:_REASONS]):
            yield _clipped(_labelled(f"  {kind}" if not number else "", f"{count:,}  {printable(why)}"))
        if more := sum(count for _, count in reasons[_REASONS:]):
            yield _labelled("", f"{more:,}  for other reasons")


def _latencies(result: Result) -> list[str]:
    """All kinds of times under each other."""
    head = ["count", *QUANTILES, "max"]
    lines = [["latency", *head], *_quantiles("all", result.latency)]
    if any(name in result.estimates for name in QUANTILES):
        for side in ("low", "high"):
            ends = {name: words.duration(getattr(it, side)) for name, it in result.estimates.items()}
            cells = [ends.get(name, words.NONE) for name in QUANTILES]
            lines.append([f"  95 % {'from' if side == 'low' else 'to'}", "", *cells, ""])
    for name, distribution in (("cold", result.cold), ("warm", result.warm), ("refused", result.refused)):
        lines += _quantiles(name, distribution)
    parts = [line for name, it in result.parts.items() for line in _quantiles(f"  {name}", it)]
    if parts:
        lines += [["where it went", *head], *parts]
    lines += _quantiles("generator lag", result.lag)
    return aligned(lines) if len(lines) > 1 else []


def _quantiles(name: str, it: Distribution) -> list[list[str]]:
    if not it.count:
        return []
    return [[name, f"{it.count:,}", *map(words.duration, (it.p50, it.p90, it.p99, it.p999, it.most))]]


def _stages(result: Result) -> Iterator[str]:
    if len(result.stages) > 1:
        lines = [["from", "scheduled", "offered", "goodput", "wrong", "p50", "p99", "p99.9", "max", ""]]
        for stage in result.stages[:_STAGES]:
            knee = "< knee" if result.knee is not None and stage.rate == result.knee.kept else ""
            wrong = f"{stage.failed + stage.throttled:,}"
            rates = map(words.rate, (stage.rate, stage.offered_rate, stage.goodput))
            times = map(words.duration, (stage.p50, stage.p99, stage.p999, stage.most))
            lines.append([f"{stage.begin:g} s", *rates, wrong, *times, knee])
        yield from aligned(lines)
        if more := len(result.stages[_STAGES:]):
            yield f"… and {more:,} more"
    if (knee_ := result.knee) is not None:
        kept = words.rate(knee_.kept) if knee_.kept else "none of these rates"
        all_kept = "and this was all it was offered"
        lost = all_kept if knee_.lost is None else f"not with {words.rate(knee_.lost)}: "
        yield from _wrapped(f"keeps up with {kept}, {lost}{knee_.why}", "knee")


def _conditions(result: Result) -> Iterator[str]:
    """What made the figures, and how far they can be trusted."""
    cpu = msgspec.structs.asdict(result.cpu)
    if used := [f"{who} {words.duration(us * 1000)}" for who, us in cpu.items() if us is not None]:
        yield _labelled("CPU", f"per invocation: {', '.join(used)}")
    if (noise := result.noise) is not None:
        differed = f"by {words.share(noise.p50 - 1)} in p50 and {words.share(noise.p99 - 1)} in p99"
        yield _labelled("noise", f"two equal runs of {noise.seconds:g} s differed {differed}")
    yield _labelled("steal", f"{words.share(result.steal)} of the CPU time, by the hypervisor")


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells as columns: the first flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths[0] = max(widths[0], _LABEL - 2)
    made = []
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        made.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return made


def printable(text: str) -> str:
    """What others wrote, on one line and without anything that a terminal would obey."""
    return "".join(it if it.isprintable() else "·" for it in " ".join(text.split()))


def _labelled(label: str, text: str) -> str:
    return label.ljust(_LABEL) + text


def _clipped(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _wrapped(text: str, label: str) -> Iterable[str]:
    start = label.ljust(_LABEL) if label else ""
    return textwrap.wrap(printable(text), WIDTH, initial_indent=start, subsequent_indent=" " * _LABEL)
