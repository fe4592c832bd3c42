"""python -m bench.run: every comparison in one process run, as a table, JSON and docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from bench import document, report
from bench.comparisons import ALL
from bench.document import DOCUMENT
from bench.harness import FULL, QUICK, Effort, each, save
from bench.machine import interrupted
from bench.report import Outcome
from engine.load import machine


def timed(name: str, effort: Effort) -> Outcome:
    """One comparison, and on stderr how long it took."""
    begin = time.perf_counter()
    try:
        return ALL[name](effort)
    finally:
        print(f"{name}: {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a look")
    parser.add_argument("--only", action="append", choices=ALL, help="this comparison alone (repeatable)")
    parser.add_argument(
        "--out", type=Path, help="the document (default: docs/benchmarks.md, unless --quick or --only)"
    )
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else FULL
    described = {**machine.describe(), "its own noise, before": interrupted()}
    steal, begin = machine.Ticks.now().steal, time.perf_counter()
    outcomes, missing, broken = each(options.only or ALL, lambda name: timed(name, effort))
    took = time.perf_counter() - begin
    stolen = (machine.Ticks.now().steal - steal) / os.sysconf("SC_CLK_TCK")
    how = {
        "measured": time.strftime("%Y-%m-%d %H:%M %Z"),
        "by": f"{' '.join(['python -m bench.run', *(arguments or sys.argv[1:])])}, {took:.0f} s",
        "rounds": f"{effort.rounds}, of up to {effort.calls:,} calls per subject",
        "time stolen by the host": f"{stolen:.2f} s over all cores",
        "its own noise, after": interrupted(),
    }
    figures = [figure for outcome in outcomes.values() for figure in outcome.figures]
    if figures:
        print(report.text_table(figures))
    for outcome in outcomes.values():
        for note in outcome.notes:
            print(f"  {note}")
    for name, why in missing.items():
        print(f"not measured: {name}: {why}")
    promised = [figure for figure in figures if figure.passed is not None]
    print(f"{sum(figure.passed is True for figure in promised)} of {len(promised)} promises kept")
    path = save("run", {"machine": described, "how": how, "missing": missing, **report.as_json(outcomes)})
    print(f"series: {path}")
    out = options.out or (DOCUMENT if not (options.quick or options.only) else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        old = out.read_text() if out.exists() else ""
        out.write_text(
            document.with_section(report.markdown(described, how, outcomes, missing), document.section(old))
        )
        print(f"document: {out}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
