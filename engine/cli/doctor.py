"""`stoker doctor`: what this machine offers the engine, measured now, and how to get what is missing."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from .status import FAILED, OK, option
from .texts import microseconds

if TYPE_CHECKING:
    from .findings import Findings
    from .probes import Check

_DESCRIPTION = """\
Measures and lists what this machine offers the engine: cores, what a wake and a spin cost, kernel
features, limits; and how to get what is missing.

exit status:
  0  the engine can run here
  1  it cannot; the lines marked MISSING say why
"""


PARSER = {"help": "say what this machine offers", "description": _DESCRIPTION}
OPTIONS = (option("--json", "print it as JSON"),)
TRAITS = {"elsewhere": FAILED}


def run(options: argparse.Namespace) -> int:
    """0: the engine can run here."""
    import json
    from dataclasses import asdict

    from .findings import examine

    found = examine()
    if options.json:
        json.dump(asdict(found), sys.stdout, indent=2)
        print()
    else:
        print(text(found))
    return OK if found.can_run else FAILED


def text(found: Findings) -> str:
    """The findings for a reader at a terminal."""
    lines = [f"stoker {found.stoker} on {found.system}, {found.python}", ""]
    if found.cores:
        lines += ["Cores", *_core_lines(found.cores), ""]
    if found.latency:
        title = "Measured now (on a busy machine, more than it could be)"
        lines += [title, *_latency_lines(found.latency), ""]
    for title, checks in (
        ("What the engine stands on", found.needed),
        ("Limits", found.limits),
        ("For isolation beyond processes (the engine runs without)", found.isolation),
    ):
        if checks:
            lines += [title, *(line for check in checks for line in _check_lines(check)), ""]
    verdict = "The engine can run here." if found.can_run else f"The engine cannot run here: {found.why_not}"
    return "\n".join([*lines, verdict])


def _core_lines(cores: dict[str, Any]) -> list[str]:
    usable = cores["usable"]
    lines = [
        _line("ok", "usable", f"{len(usable)} of {cores['present']}: {', '.join(map(str, usable))}"),
        _line("low", "physical", f"{cores['physical']}: two threads of one core slow each other down")
        if cores["physical"] < len(usable)
        else _line("ok", "physical", "each has its own"),
        _line("ok", "cgroup quota", "none below that")
        if cores["time"] >= len(usable)
        else _line("low", "cgroup quota", f"time of {cores['time']} core{'s' * (cores['time'] > 1)}"),
        _line("ok", "pinning", "works")
        if cores["pinning"]
        else _line("absent", "pinning", "not allowed: workers run wherever the kernel puts them"),
    ]
    if cores["time"] < 2:
        lines.append(_line("low", "spinning", "off: on one core each call costs a wake"))
        lines.append(f"{'':10}to get it: allow two cores (taskset, cpuset, a container's --cpus)")
    return lines


_LATENCIES = {
    "wake_two_cores": "sleep and wake, there and back, two cores",
    "wake_one_core": "the same on one core",
    "spin_two_cores": "spin round trip, two cores",
    "spin_budget": "chosen: spin so long before sleeping",
    "engine_start": "start an engine and a function",
    "cold_call": "first call, a fork included",
    "warm_call_p50": "warm call, p50",
    "warm_call_p99": "warm call, p99",
}


def _latency_lines(latency: dict[str, int | None]) -> list[str]:
    lines = []
    for name, ns in latency.items():
        figure = "not measurable here" if ns is None else microseconds(ns) if ns else "none"
        lines.append(f"  {_LATENCIES[name]:<44}{figure:>10}")
    return lines


def _check_lines(check: Check) -> list[str]:
    mark = "ok" if check.ok else "MISSING" if check.needed else "absent"
    remedy = [f"{'':10}to get it: {check.remedy}"] if check.remedy and not check.ok else []
    return [_line(mark, check.name, check.detail), *remedy]


def _line(mark: str, name: str, detail: str) -> str:
    return f"  {mark:<8}{name:<18}{detail}"
