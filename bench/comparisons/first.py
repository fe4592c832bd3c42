"""From nothing to the first result: a fresh interpreter, with what it imports and starts until then."""

from __future__ import annotations

import os
import subprocess
import time
from array import array
from pathlib import Path

from bench.harness import Effort, Series, WrongResult, interleave
from bench.peers.base import interpreter
from bench.peers.fork_floor import FUNCTIONS
from bench.report import Figure, Outcome, latency

COMMAND = "python -m bench.run --only first"
PROGRAMS = Path(__file__).parents[1] / "peers" / "first_result"
STARTS = 3  # a round
# Bytecode files are written, as they are for a user: in many containers they are not, and each start compiles.
VARIABLES = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "STOKER_FIRST_CODE": str(FUNCTIONS)
}


def first_results(program: str, *arguments: str) -> Series:
    """Start it, read its result; how it ends is not timed."""
    samples = array("q")
    for _ in range(STARTS):
        begin = time.perf_counter_ns()
        with subprocess.Popen(
            interpreter(str(PROGRAMS / program), *arguments), env=VARIABLES, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            line = child.stdout.readline()
            samples.append(time.perf_counter_ns() - begin)
        if line != b"1\n" or child.returncode:
            raise WrongResult(f"{program} {arguments}: {line!r}, status {child.returncode}")
    return Series(samples, STARTS, sum(samples))


def first(effort: Effort) -> Outcome:
    """An engine, a function, one invocation, against the same by ProcessPoolExecutor, each in a new interpreter."""
    ours, server, fork = "Stoker", "ProcessPoolExecutor, forkserver", "ProcessPoolExecutor, fork"
    for program, *arguments in (
        ("stoker.py",),
        ("process_pool.py", "fork"),
        ("process_pool.py", "forkserver"),
    ):
        first_results(program, *arguments)  # writes the .pyc files
    comparison = interleave(
        "first",
        effort.rounds,
        {
            ours: lambda: first_results("stoker.py"),
            server: lambda: first_results("process_pool.py", "forkserver"),
            fork: lambda: first_results("process_pool.py", "fork"),
        },
    )
    return Outcome(
        [comparison],
        [
            Figure(
                "first result of a fresh interpreter, vs forkserver",
                latency(comparison, ours),
                latency(comparison, server),
                comparison.ratio(ours, server, want="low"),
                0.9,
                "low",
                COMMAND,
            ),
            Figure(
                "first result of a fresh interpreter, vs fork",
                latency(comparison, ours),
                latency(comparison, fork),
                comparison.ratio(ours, fork, want="low"),
                2,
                "low",
                COMMAND,
            ),
        ],
    )
