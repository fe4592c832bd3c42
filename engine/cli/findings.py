"""What this machine offers the engine, measured now: cores, costs, kernel features, limits."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import time
from dataclasses import dataclass, field
from typing import Any

from .. import __version__
from .probes import Check, isolation, needed, read

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_WAKES, _SPINS, _CALLS = 501, 5001, 2000
_DESCRIPTORS = 4096  # that a process should be allowed


@dataclass(slots=True)
class Findings:
    """Everything that is examined. Latencies in ns; None: cannot be measured here."""

    stoker: str = __version__
    system: str = f"{platform.system()} {platform.release()} {platform.machine()}"
    python: str = f"{platform.python_implementation()} {platform.python_version()}"
    can_run: bool = False
    why_not: str = ""
    cores: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, int | None] = field(default_factory=dict)
    needed: list[Check] = field(default_factory=list)
    limits: list[Check] = field(default_factory=list)
    isolation: list[Check] = field(default_factory=list)


def examine() -> Findings:
    """Try everything. Takes about a second."""
    found = Findings(needed=needed(), isolation=isolation())
    lacking = [check.name for check in found.needed if check.needed and not check.ok]
    try:
        found.cores = _cores()
        found.latency = _costs(found.cores["usable"])
        workers, calls = _engine()
    except Exception as error:  # whatever it is, it is a finding
        kind = "the native part is not built" if isinstance(error, ImportError) else type(error).__name__
        found.why_not = f"{kind}: {error}"
    else:
        found.latency |= calls
        found.limits = [_descriptors(workers), _processes()]
    if lacking:
        details = f" ({found.why_not})" if found.why_not else ""
        found.why_not = f"this machine lacks {', '.join(lacking)}{details}"
    found.can_run = not found.why_not
    return found


def _cores() -> dict[str, Any]:
    from ..control import cores as core_map

    usable = core_map.usable()
    # The hardware threads of a core's core, or the core itself when the kernel does not list them.
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = {read(topology.format(core)) or str(core) for core in usable}
    return {
        "present": os.cpu_count(),
        "usable": usable,
        "time": core_map.spinners(usable),
        "physical": len(siblings),
        "pinning": _pins(usable),
    }


def _pins(cores: list[int]) -> bool:
    """Can this thread be bound to one core?"""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cores[-1]})
        return os.sched_getaffinity(0) == {cores[-1]}
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


def _costs(cores: list[int]) -> dict[str, int | None]:
    """Round trips between two threads, and the spin budget that the engine chooses from them."""
    from .._native import lib
    from ..runtime import spin_budget

    first, last = cores[0], cores[-1]
    two = len(cores) > 1
    return {
        "wake_two_cores": lib.stk_wake_cost(_WAKES, first, last) or None if two else None,
        "wake_one_core": lib.stk_wake_cost(_WAKES, first, first) or None,
        "spin_two_cores": lib.stk_spin_cost(_SPINS, first, last) or None if two else None,
        "spin_budget": spin_budget(),
    }


def _engine() -> tuple[int, dict[str, int | None]]:
    """Run a real engine: descriptors that a worker takes, and how long calls last (ns)."""
    from ..sync import Engine

    now = time.perf_counter_ns
    begin = now()
    with Engine(logs=False) as engine:
        echo = engine.function("engine.cli.echo:handler", code=os.path.dirname(_PACKAGE), warm=0)
        started = now() - begin
        before = _open_descriptors()
        begin = now()
        if echo.invoke({"n": 0}) != {"n": 0}:
            raise RuntimeError("the engine did not give an event back unchanged")
        cold = now() - begin
        each = _open_descriptors() - before
        took = []
        for n in range(_CALLS):
            begin = now()
            echo.invoke({"n": n})
            took.append(now() - begin)
    took = sorted(took[_CALLS // 10 :])
    return max(1, each), {
        "engine_start": started,
        "cold_call": cold,
        "warm_call_p50": took[len(took) // 2],
        "warm_call_p99": took[len(took) * 99 // 100],
    }


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _descriptors(each: int) -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ok = soft >= _DESCRIPTORS
    detail = f"{soft} (at most {hard}), {each} a worker: enough for about {max(0, soft - 64) // each} workers"
    return Check("file descriptors", ok, detail, remedy=f"ulimit -n {max(_DESCRIPTORS, soft)}")


def _processes() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    ok = soft == resource.RLIM_INFINITY or soft >= 1024
    detail = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    return Check("processes", ok, detail, remedy="ulimit -u 4096")
