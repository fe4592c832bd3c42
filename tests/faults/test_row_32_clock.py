"""Row 32: a wall clock that jumps a day."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import ManualClock

from engine import Engine, FunctionCrashed, FunctionError, FunctionTimeout
from engine.control.backoff import BASE_NS, CAP_NS, TRIPS_AFTER, Breaker

from .conftest import MISBEHAVE, wait_until
from .wall_clock import JUMPING, wall_clock

DAY = 86_400

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
    result = {"jumps": jumps()}
    with Engine(logs=False) as engine:
        fn = engine.function(handler, timeout=0.5, name="hit")
        result["seen"] = [fn.invoke() for _ in range(50)] + list(fn.map(range(50)))
        took = []
        for call in (fn.invoke, lambda event: fn.submit(event).result(), lambda event: list(fn.map([event]))):
            began = time.monotonic()
            try: call("hang")
            except FunctionTimeout: took.append(time.monotonic() - began)
        result["took"] = took
        crashes = 0
        began = time.monotonic()
        for _ in range(5):
            try: fn.invoke("die")
            except FunctionCrashed: crashes += 1
            fn.invoke()
        result["crashes"], result["recovering"] = crashes, time.monotonic() - began
        stats = engine.stats()["hit"]
        result["counted"] = [stats.timeouts, stats.crashes, stats.latency_max]
        began = time.monotonic()
    result["closing"] = time.monotonic() - began
    print(json.dumps(result))
"""


@pytest.mark.promise(24)
def test_row_32_a_wall_clock_that_jumps_a_day_at_every_look(script: Any, tmp_path: Path) -> None:
    """In the engine, the zygote and the workers, in Python and in C: all intervals are what they were."""
    library = wall_clock(tmp_path, JUMPING)
    done = subprocess.run(
        script(UNDER_IT), env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["jumps"], "the library is in force"
    assert all(jumps for jumps, _ in result["seen"]), "in the workers too"
    assert all(0 < left <= 500 for _, left in result["seen"])
    assert len(result["took"]) == 3
    assert all(0.5 <= took < 1.2 for took in result["took"]), result["took"]
    assert (result["crashes"], result["counted"][:2]) == (5, [3, 5])
    assert result["counted"][2] < 5
    assert result["recovering"] < 5
    assert result["closing"] < 5


@pytest.mark.promise(24)
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


@pytest.mark.promise(24)
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
    assert wait_until(lambda: result_or_none(fn, 2)) == 2
    assert time.monotonic() - started < 2


def result_or_none(fn: Any, event: Any) -> Any:
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
