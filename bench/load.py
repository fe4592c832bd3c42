"""python -m bench.load: the short set of scenarios, what is compared, and docs/benchmarks.md's open-loop section."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import document
from bench.harness import RESULTS, each
from bench.machine import interrupted
from bench.open_loop import scenarios, section
from bench.open_loop.capacity import capacity
from bench.open_loop.part import FULL, QUICK, Effort, Part, line
from bench.open_loop.peers import endpoints, process_pool
from bench.open_loop.stall import stall
from bench.peers.open_loop import AGAINST
from bench.report import text_table
from engine.load import machine
from engine.load.result import write

COMPARED: dict[str, Callable[[Effort], Part]] = {
    "stall": stall,
    "capacity": capacity,
    "process-pool": process_pool,
    "peers": endpoints,
}
USUAL = (*scenarios.SHORT, *COMPARED)
NAMES = (*scenarios.ALL, *COMPARED)


def measure(name: str, effort: Effort, against: str | None) -> Part:
    compared = COMPARED.get(name)
    return compared(effort) if compared else scenarios.measured(name, effort, against)


def publish(out: Path, new: str, parts: Sequence[Part]) -> None:
    """Write the section into its document, and its pictures instead of those of the last time."""
    folder = out.parent / section.PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("load-*.svg"):
        old.unlink()
    for part in parts:
        for picture in part.pictures:
            (folder / picture.file).write_text(picture.svg, encoding="utf-8")
    text = out.read_text() if out.exists() else ""
    out.write_text(document.with_section(text, new))


def keep(parts: Sequence[Part]) -> None:
    """Every result as stoker load compare reads it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / ".gitignore").write_text("*\n")
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for part in parts:
        for number, run in enumerate(part.runs, 1):
            write(RESULTS / f"{stamp}-load-{part.name}-{number}.json", run.result)
    print(f"results: {RESULTS}/{stamp}-load-*.json")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second or so of each: does it work?")
    parser.add_argument("--only", action="append", choices=NAMES, help="this one alone (repeatable)")
    parser.add_argument(
        "--against", choices=AGAINST, help="turn the scenarios to this instead of the engine embedded"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the document (default: docs/benchmarks.md, unless --quick, --only or --against)",
    )
    options = parser.parse_args(arguments)
    names = options.only or (scenarios.SHORT if options.against else USUAL)
    if options.against and (fixed := [name for name in names if name in COMPARED]):
        parser.error(
            f"--against: {', '.join(fixed)} compares already; use it with {', '.join(scenarios.ALL)}"
        )
    described, ticks, begin = machine.describe(), machine.Ticks.now(), time.perf_counter()
    effort = QUICK if options.quick else FULL
    print(line(), flush=True)
    found, missing, broken = each(names, lambda name: measure(name, effort, options.against))
    parts = list(found.values())
    took, stolen = time.perf_counter() - begin, machine.stolen(ticks, machine.Ticks.now())
    figures = [figure for part in parts for figure in part.figures]
    if figures:
        print(f"\n{text_table(figures)}\n")
    for part in parts:
        for note in [*part.notes, *(f"{it.name}: {it.note}" for it in part.figures if it.note)]:
            print(f"  {part.name}: {note}")
        for run in part.runs:
            for why in run.result.void:
                print(f"  void: {part.name}, {run.name}, {run.subject}: {why}")
    for name, why in missing.items():
        print(f"not measured: {name}: {why}")
    keep(parts)
    written = not (options.quick or options.only or options.against)
    if out := options.out or (document.DOCUMENT if written else None):
        how = {
            **described,
            "measured": time.strftime("%Y-%m-%d %H:%M %Z"),
            "by": f"{' '.join(['python -m bench.load', *(arguments or sys.argv[1:])])}, {took:.0f} s",
            "time stolen by the host": f"{stolen:.2%} of {len(machine.cores())} cores",
            "its own noise": interrupted(),
        }
        section.choose(parts)
        publish(out, section.markdown(how, parts, missing), parts)
        print(f"document: {out}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
