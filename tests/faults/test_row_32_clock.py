"""Row 32: a wall clock that jumps a day."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import ManualClock

from engine import Engine, FunctionCrashed, FunctionError, FunctionTimeout
from engine.control.backoff import BASE_NS, CAP_NS, TRIPS_AFTER, Breaker

from .conftest import MISBEHAVE, wait_until

DAY = 86_400

# A library that makes the wall clock of a whole tree of processes jump a day back or forth at each look at it.
JUMPING = """
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static atomic_long looks;
static long jump(void) { return (atomic_fetch_add(&looks, 1) % 3 - 1) * 86400L; }
int clock_gettime(clockid_t clock, struct timespec *t) {
    long failed = syscall(SYS_clock_gettime, clock, t);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += jump();
    return (int)failed;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""

UNDER_IT = """
import itertools, json, time
from engine import Engine, FunctionCrashed, FunctionTimeout

def jumps():
    looks = [time.time() for _ in range(6)]
    return max(looks) - min(looks) > 86_000

def handler(event, context):
    if event == "hang":
        while True: time.sleep(60)
    if event == "die":
        import os; os.kill(os.getpid(), 9)
    return [jumps(), context.get_remaining_time_in_millis()]

if __name__ == "__main__":
    record = {"jumps": jumps()}
    with Engine(logs=False) as engine:
        fn = engine.function(handler, timeout=0.5, name="hit")
        record["seen"] = [fn.invoke() for _ in range(50)] + list(fn.map(range(50)))
        took = []
        for call in (fn.invoke, lambda event: fn.submit(event).result(), lambda event: list(fn.map([event]))):
            began = time.monotonic()
            try: call("hang")
            except FunctionTimeout: took.append(time.monotonic() - began)
        record["took"] = took
        crashes = 0
        began = time.monotonic()
        for _ in range(5):
            try: fn.invoke("die")
            except FunctionCrashed: crashes += 1
            fn.invoke()
        record["crashes"], record["recovering"] = crashes, time.monotonic() - began
        stats = engine.stats()["hit"]
        record["counted"] = [stats.timeouts, stats.crashes, stats.latency_max]
        began = time.monotonic()
    record["closing"] = time.monotonic() - began
    print(json.dumps(record))
"""


def test_row_32_a_wall_clock_that_jumps_a_day_at_every_look(script: Any, tmp_path: Path) -> None:
    """In the engine, the zygote and the workers, in Python and in C: all intervals are what they were."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "jumping.c").write_text(JUMPING)
    library = tmp_path / "jumping.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, tmp_path / "jumping.c"], check=True)
    done = subprocess.run(
        script(UNDER_IT), env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["jumps"], "the library is in force"
    assert all(jumps for jumps, _ in record["seen"]), "in the workers too"
    assert all(0 < left <= 500 for _, left in record["seen"])
    assert len(record["took"]) == 3
    assert all(0.5 <= took < 1.2 for took in record["took"]), record["took"]
    assert (record["crashes"], record["counted"][:2]) == (5, [3, 5])
    assert record["counted"][2] < 5
    assert record["recovering"] < 5
    assert record["closing"] < 5


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_row_32_a_jump_while_it_runs(
    stoker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """The embedder's clock jumps in the middle of an invocation: its deadline stays where it was."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, timeout=0.4, concurrency=2, warm=2)
    began, gate = tmp_path / "began", tmp_path / "gate"
    started = time.monotonic()
    late, early = (
        fn.submit({"began": str(began)}),
        fn.submit({"began": str(began), "until": str(gate), "result": 1}),
    )
    wait_until(lambda: began.exists() and len(began.read_text().split()) == 2)
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + jump * 10**9)
    assert not late.done()
    gate.touch()
    assert early.result(5) == 1, "not ended by the jump"
    with pytest.raises(FunctionTimeout):
        late.result(5)
    assert 0.4 <= time.monotonic() - started < 0.9
    assert fn.invoke({"until": str(gate), "result": 2}) == 2


def test_row_32_a_function_that_does_not_start_is_retried_in_time(
    stoker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-off counts from the failure, whatever the wall clock says in between."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - DAY)
    sick = tmp_path / "sick"
    fn = stoker.function(
        "fails_on_import:handler", code=MISBEHAVE, warm=0, init="fresh",
        environment={"SIN": "recovers", "SIN_WHILE": str(sick)},
    )  # fmt: skip
    sick.touch()
    with pytest.raises(FunctionError, match="not yet"):
        fn.invoke(1)
    sick.unlink()
    monkeypatch.setattr(time, "time", lambda: real() + DAY)
    started = time.monotonic()
    assert wait_until(lambda: invoked(fn, 2)) == 2
    assert time.monotonic() - started < 2


def invoked(fn: Any, event: Any) -> Any:
    try:
        return fn.invoke(event)
    except (FunctionError, FunctionCrashed):
        return None


def test_row_32_back_off_goes_by_the_clock_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, breaker = ManualClock(start=5 * 10**9), Breaker()
    wall = iter([0.0, 1e9, -1e9] * 1000)
    monkeypatch.setattr(time, "time", lambda: next(wall))
    delays = []
    for failures in range(1, 12):
        breaker.failed(clock.now())
        assert breaker.open == (failures >= TRIPS_AFTER)
        assert not breaker.may_start(clock.now())
        delay = breaker.not_before - clock.now()
        clock.advance((delay - 1000) / 1e9)
        assert not breaker.may_start(clock.now())
        clock.advance(0.000002)
        assert breaker.may_start(clock.now())
        delays.append(delay)
    assert delays == [min(CAP_NS, BASE_NS * 2**n) for n in range(11)]
    breaker.succeeded()
    assert not breaker.open
    assert breaker.may_start(clock.now())
