"""The knee: near what a target can serve, and nowhere else because of one slow stage."""

from __future__ import annotations

import msgspec
import pytest
from virtual import LoopTimer, Station, simulate

from engine.load.conclude import knee, stages
from engine.load.generate.arrivals import Stages, ramp
from engine.load.generate.generator import OpenLoop
from engine.load.generate.payloads import Fixed, expectation
from engine.load.generate.record import Record
from engine.load.result import Knee, StageResult

MS = 1_000_000


def ramped(schedule: Stages, capacity: float) -> Knee | None:
    """What is found of a ramp against one server in simulated time."""
    record = Record(stages=schedule.stages)

    async def main() -> None:
        target = Station(service=1 / capacity)
        await OpenLoop(target, schedule, Fixed(b"1"), expectation("any"), record, LoopTimer).run(60)

    simulate(main())
    return knee(stages(record, schedule.stages, 0.0))


def stage(rate: float, p99: float = 1.0, **more: object) -> StageResult:
    """Ten seconds, all answered. p99 in ms."""
    count, p99 = round(rate * 10), round(p99 * MS)
    made = StageResult(
        begin=0.0, end=10.0, rate=rate, offered=count, ok=count, failed=0, throttled=0,
        p50=MS // 2, p99=p99, p999=p99, most=p99,
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("capacity", [50.0, 200.0, 500.0])
def test_it_lies_near_what_a_server_can_serve(capacity: float, seed: int) -> None:
    dwell = 2 + 400 / capacity  # of few requests in a stage, chance makes much
    found = ramped(ramp(0.1 * capacity, 1.5 * capacity, 0.1 * capacity, dwell, seed=seed), capacity)
    assert found is not None
    assert found.lost is not None
    assert 0.75 <= found.kept / capacity <= 1.05
    assert found.lost == pytest.approx(found.kept + 0.1 * capacity)
    assert "p99" in found.why


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_ramp_above_the_capacity_from_its_start_has_none(seed: int) -> None:
    found = ramped(ramp(300, 600, 50, 4, seed=seed), 200)
    assert found is not None
    assert (found.kept, found.lost) == (0, 300)
    assert "longer and longer" in found.why


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_ramp_below_the_capacity_keeps_all(seed: int) -> None:
    assert ramped(ramp(20, 120, 20, 4, seed=seed), 200) == Knee(120, None, "")


def test_one_slow_stage_is_no_limit() -> None:
    for slow in range(8):
        ramp_ = [stage(100 * n, 80 if n == slow + 1 else 1) for n in range(1, 10)]
        assert knee(ramp_) == Knee(900, None, "")


def test_slow_first_stages_set_no_low_limit_and_hide_no_knee() -> None:
    """Workers that sleep between calls; then one that is busy is quicker; then too much."""
    p99s = [3, 3, 2, 1, 1, 1, 4, 40, 400]
    found = knee([stage(100 * n, p99) for n, p99 in enumerate(p99s, 1)])
    assert found == Knee(700, 800, "p99 40.0 ms, more than 5 times the 3.00 ms of the first stages")


def test_what_is_not_answered_is_not_kept_however_quick_the_rest_is() -> None:
    found = knee(
        [stage(100), stage(200), stage(300, ok=2900, throttled=100), stage(400, ok=3000, throttled=1000)]
    )
    assert found == Knee(200, 300, "96.7 % of what was offered was answered rightly")


def test_fewer_arrivals_than_scheduled_are_no_failure() -> None:
    """Poisson's own variation."""
    assert knee([stage(100, offered=950, ok=950), stage(200)]) == Knee(200, None, "")


def test_a_run_that_was_cut_short_ends_where_it_was() -> None:
    assert knee([stage(100), stage(200), stage(300, offered=0, ok=0, p50=0, p99=0)]) == Knee(200, None, "")


def test_what_is_no_ramp_has_none() -> None:
    assert knee([]) is None
    assert knee([stage(100)]) is None
    assert knee([stage(100), stage(100)]) is None
    assert knee([stage(100), stage(1000), stage(100)]) is None
    assert knee([stage(100, offered=0, ok=0), stage(200, offered=0, ok=0)]) is None
