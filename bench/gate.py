"""python -m bench.gate: fails when a promised ratio or count is not kept; a line for each."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import hotpath
from bench.comparisons import ALL
from bench.harness import GATE, Effort
from bench.report import Figure
from engine.load import machine

# How far noise may move each figure. A gate compares each side's best round, which noise can only make
# worse, so little slack is needed; tails and wakes vary more between hosts.
SLACK = 1.25
OTHERS = {"p99 / p50": 1.5, "after 2 ms idle": 1.4, "after overload": 1.4, "warm functions": 1.1}


@dataclass(frozen=True)
class Verdict:
    """kept: None where there is no promise or no way to measure; such a line does not count."""

    kept: bool | None
    line: str


Gate = Callable[[Effort], Iterator[Verdict]]


def _slack(figure_name: str) -> float:
    return next((slack for part, slack in OTHERS.items() if part in figure_name), SLACK)


def judge(figure: Figure) -> Verdict:
    """Each side's best round against the promise, with slack for noise."""
    measured = (
        f"{figure.name}: {figure.ratio.bests:.3g}x at best, {figure.ratio.median:.3g}x median "
        f"({figure.measured} against {figure.against}); "
    )
    if figure.target is None:
        return Verdict(None, measured + figure.promise)
    slack = _slack(figure.name)
    # Goodput and the like are shares of one: a quarter of slack would be no gate.
    slack = min(slack, 1.05) if figure.want == "high" and figure.target <= 1 else slack
    limit = figure.target / slack if figure.want == "high" else figure.target * slack
    return Verdict(
        figure.keeps(figure.ratio.bests, slack), f"{measured}promised {figure.promise}, gate at {limit:.3g}x"
    )


def ratios(name: str) -> Gate:
    """The figures of one comparison, as a gate. One that is not kept is measured once more."""

    def attempt(effort: Effort) -> list[Verdict]:
        return [judge(figure) for figure in ALL[name](effort).figures]

    def gate(effort: Effort) -> Iterator[Verdict]:
        verdicts = attempt(effort)
        if any(verdict.kept is False for verdict in verdicts):
            print(f"  {name}: not kept, measured once more", flush=True)
            again = attempt(effort)
            # Per promise: kept in either of the two runs is kept.
            verdicts = [old if new.kept is False else new for new, old in zip(again, verdicts, strict=True)]
        yield from verdicts

    gate.__name__ = name
    return gate


def instructions(_: Effort) -> Iterator[Verdict]:
    """Instructions of an invocation in the native code, by callgrind: without noise, so counted once."""
    verdict = hotpath.check()
    yield Verdict(verdict.kept, "; ".join(verdict.lines))


# Not those whose peers' disks are busy with others' work, nor what starts daemons.
GATES: list[Gate] = [
    *(ratios(name) for name in ALL if not name.startswith(("ray", "events", "mapping"))),
    instructions,
]
MARKS = {True: "ok  ", False: "FAIL", None: "--  "}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.gate", description=__doc__)
    parser.add_argument(
        "--slow",
        type=float,
        metavar="MICROSECONDS",
        help="busy-wait that long in the engine's echo handler: shows that the gate fails",
    )
    parser.add_argument("--only", action="append", choices=[gate.__name__ for gate in GATES])
    options = parser.parse_args(arguments)
    if options.slow:
        os.environ["STOKER_BENCH_SLOW_US"] = str(options.slow)
        print(f"slowed on purpose by {options.slow:g} µs a call")
    if len(machine.cores()) < 2:
        print("gate: needs two cores; nothing was checked")
        return 1
    failed = checked = 0
    for gate in GATES:
        if options.only and gate.__name__ not in options.only:
            continue
        begin = time.perf_counter()
        try:
            verdicts = list(gate(GATE))
        except Exception as error:  # what cannot be measured is not kept
            verdicts = [Verdict(False, f"{gate.__name__}: {type(error).__name__}: {error}")]
        for verdict in verdicts:
            checked += verdict.kept is not None
            failed += verdict.kept is False
            print(f"{MARKS[verdict.kept]} {verdict.line}", flush=True)
        print(f"  {gate.__name__}: {time.perf_counter() - begin:.1f} s", flush=True)
    print(f"gate: {checked - failed} of {checked} kept")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
