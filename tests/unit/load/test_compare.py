"""Comparisons of two runs: equal ones are seldom called different, slower ones nearly always, others not at all."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from engine.load import conclude
from engine.load.compare import Comparison, NotComparable, Row, compare, text
from engine.load.conclude import estimates
from engine.load.generate.record import Interval, Tally
from engine.load.result import Cpu, Distribution, Estimate, Knee, Noise, Result, Series

MS = 1_000_000


def interval(value: float, part: float) -> Estimate:
    return Estimate(value, value * (1 - part), value * (1 + part))


def result(**more: Any) -> Result:
    """Ten thousand requests in ten seconds, with intervals of 1 % and noise of 1 %."""
    made = Result(
        stoker="1", name="steady", target="echo", arrivals="Poisson, 1,000/s", payload="1 byte", seed=1,
        started="2026-01-01T00:00:00Z", duration=11.0, warmup=1.0, offered=10_000, rate=1000.0, goodput=1000.0,
        ended={"ok": 10_000},
        latency=Distribution(10_000, 1.1 * MS, MS // 2, MS, 2 * MS, 4 * MS, 8 * MS, 9 * MS),
        estimates={
            "p50": interval(MS, 0.01), "p90": interval(2 * MS, 0.01), "p99": interval(4 * MS, 0.01),
            "p99.9": interval(8 * MS, 0.01), "goodput": interval(1000, 0.01),
        },
        noise=Noise(5.0, 1.01, 1.01),
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


def row(comparison: Comparison, figure: str) -> Row:
    [found] = [it for it in comparison.rows if it.figure == figure]
    return found


def slower(by: float, **more: Any) -> Result:
    """The same run with a median that is so many times as large."""
    one = result()
    latency = msgspec.structs.replace(one.latency, p50=round(one.latency.p50 * by))
    return result(latency=latency, estimates=one.estimates | {"p50": interval(MS * by, 0.01)}, **more)


class Machine:
    """Runs of a made-up target: latencies are log-normal with a long tail, seconds differ by 3 %, runs by 1 %."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.pool = [math.exp(self.draw.gauss(13.8, 0.4)) for _ in range(20_000)]
        self.pool += [it * 4 for it in self.pool[:600]]

    def seconds(self, count: int, slower: float) -> list[Interval]:
        draw, made = self.draw, []
        whole = slower * math.exp(draw.gauss(0, 0.01))
        for _ in range(count):
            level = whole * math.exp(draw.gauss(0, 0.03))
            tally = Tally(round(it * level) for it in draw.choices(self.pool, k=1050))
            made.append(Interval(offered=1050, ended=Counter(ok=1050), latency=tally))
        return made

    def run(self, slower: float = 1.0) -> Result:
        first, second = (merged(self.seconds(4, slower)) for _ in range(2))
        both = zip(first.quantiles(0.5, 0.99), second.quantiles(0.5, 0.99), strict=True)
        ratios = [max(pair) / min(pair) for pair in both]
        seconds = self.seconds(10, slower)
        whole = merged(seconds)
        latency = Distribution(len(whole), whole.mean(), *whole.quantiles(0.0, 0.5, 0.9, 0.99, 0.999, 1.0))
        return result(latency=latency, estimates=estimates(seconds), noise=Noise(4.0, *ratios))


def merged(seconds: list[Interval]) -> Tally:
    whole = Tally()
    for it in seconds:
        whole.merge(it.latency)
    return whole


@pytest.mark.slow
@pytest.mark.promise(85)
def test_two_runs_of_the_same_are_seldom_called_different_and_slower_ones_nearly_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conclude, "REPLICATES", 400)
    machine, count = Machine(7), 80
    equal = [machine.run() for _ in range(count)]
    slow = [machine.run(1.2) for _ in range(count // 3)]
    # Each with the five after it.
    pairs = [(equal[n], equal[(n + gap) % count]) for n in range(count) for gap in range(1, 6)]
    called = sum(compare(a, b).verdict != "within noise" for a, b in pairs)
    seen = [compare(a, b) for a, b in zip(equal, slow, strict=False)]
    found = sum(it.verdict == "worse" for it in seen)
    better = sum(compare(b, a).verdict == "better" for a, b in zip(equal, slow, strict=False))
    print(f"{called} of {len(pairs)} equal pairs called different; {found} of {len(seen)} slower ones seen")
    assert called / len(pairs) < 0.05
    assert found >= 0.95 * len(seen)
    assert better >= 0.95 * len(seen)


def test_a_run_is_within_the_noise_of_itself() -> None:
    found = compare(result(), result())
    assert (found.verdict, found.exit_code) == ("within noise", 0)
    assert {it.verdict for it in found.rows} == {"within noise"}
    assert [it.figure for it in found.rows] == ["p50", "p90", "p99", "p99.9", "goodput", "wrong answers"]


@pytest.mark.parametrize(
    ("by", "noise", "verdict"),
    [
        (1.05, 1.01, "worse"), (0.95, 1.01, "better"),
        (1.018, 1.0, "within noise"),  # intervals of 1 %, 1.9 % together when six are judged; a floor of 2 %
        (1.03, 1.0, "worse"),
        (1.05, 1.03, "within noise"),  # 6 %
        (1.07, 1.03, "worse"),
    ],
)  # fmt: skip
def test_a_change_exceeds_chance_noise_and_floor(by: float, noise: float, verdict: str) -> None:
    found = compare(result(noise=Noise(5.0, 1.0, 1.0)), slower(by, noise=Noise(5.0, noise, 1.0)))
    assert row(found, "p50").verdict == verdict
    assert found.exit_code == (verdict == "worse")
    assert {it.verdict for it in found.rows if it.figure != "p50"} == {"within noise"}


def test_the_noise_of_the_tail_is_not_that_of_the_median() -> None:
    assert row(compare(result(), slower(1.2, noise=Noise(5.0, 1.0, 3.0))), "p50").verdict == "worse"
    assert row(compare(result(), slower(1.2, noise=Noise(5.0, 1.2, 1.0))), "p50").verdict == "within noise"


def test_one_that_is_worse_outweighs_what_is_better() -> None:
    found = compare(result(cpu=Cpu(workers=10.0)), slower(0.5, cpu=Cpu(workers=20.0)))
    assert [row(found, it).verdict for it in ("p50", "CPU, workers")] == ["better", "worse"]
    assert (found.verdict, found.exit_code) == ("worse", 1)
    assert text(found).endswith("B is worse in CPU, workers; B is better in p50.\n")


def test_less_goodput_is_worse() -> None:
    one = result(goodput=800.0, estimates=result().estimates | {"goodput": interval(800, 0.01)})
    assert row(compare(result(), one), "goodput").verdict == "worse"
    assert row(compare(one, result()), "goodput").verdict == "better"


def test_short_runs_tell_great_changes_only_and_say_so() -> None:
    short = result(estimates={})
    assert row(compare(short, slower(1.2)), "p50").verdict == "within noise"
    found = compare(short, slower(1.3))
    assert row(found, "p50").verdict == "worse"
    assert row(found, "p50").least == pytest.approx(0.25)
    assert "A has no confidence intervals" in text(found)


def test_without_the_machines_noise_small_changes_are_not_told() -> None:
    found = compare(result(noise=None), slower(1.08, noise=None))
    assert row(found, "p50").verdict == "within noise"
    assert row(found, "p50").least == pytest.approx(0.10)
    assert "only changes of 10% are told" in text(found)
    assert row(compare(result(), slower(1.08, noise=None)), "p50").verdict == "worse"  # one of them knows it


def test_quantiles_of_few_requests_are_not_judged() -> None:
    few = result(latency=msgspec.structs.replace(result().latency, count=999, p999=80 * MS))
    found = row(compare(result(), few), "p99.9")
    assert (found.verdict, found.ratio) == ("within noise", 10)
    assert found.why == "not judged: fewer than 10 requests beyond it"
    none = compare(result(), result(latency=Distribution(), goodput=0.0, ended={"failure": 10_000}))
    assert row(none, "p50").why == "not judged: no answers"
    assert [row(none, it).verdict for it in ("goodput", "wrong answers")] == ["worse", "worse"]
    assert row(none, "goodput").ratio == 0
    assert none.exit_code == 1


class TestWrongAnswers:
    def verdict(self, a: int, b: int, **more: Any) -> str:
        one, other = (result(ended={"ok": 10_000 - wrong, "error": wrong}) for wrong in (a, b))
        return row(compare(one, msgspec.structs.replace(other, **more)), "wrong answers").verdict

    def test_where_there_were_none(self) -> None:
        assert self.verdict(0, 0) == "within noise"
        assert self.verdict(0, 2) == "within noise"
        assert self.verdict(0, 30) == "worse"
        assert self.verdict(30, 0) == "better"

    def test_where_there_were_some(self) -> None:
        assert self.verdict(100, 120) == "within noise"
        assert self.verdict(100, 200) == "worse"
        assert self.verdict(9000, 9100) == "within noise"  # by a hundredth: chance is less, the floor is more
        assert self.verdict(0, 10_000) == "worse"

    def test_one_bunch_is_not_as_much_as_many_alone(self) -> None:
        spread = Series(ok=[1000] + [990] * 10, failed=[0] + [10] * 10, throttled=[0] * 11)
        bunch = Series(ok=[1000, *[1000] * 9, 900], failed=[0, *[0] * 9, 100], throttled=[0] * 11)
        assert self.verdict(0, 100, series=spread) == "worse"
        assert self.verdict(0, 100, series=bunch) == "within noise"


def test_a_knee_moves_by_more_than_a_step() -> None:
    def verdict(a: Knee, b: Knee) -> str:
        return row(compare(result(knee=a), result(knee=b)), "knee").verdict

    knee = Knee(500, 600, "p99")
    assert verdict(knee, Knee(400, 500, "p99")) == "within noise"
    assert verdict(knee, Knee(300, 400, "p99")) == "worse"
    assert verdict(knee, Knee(600, 700, "p99")) == "within noise"
    assert verdict(knee, Knee(700, 800, "p99")) == "better"
    assert verdict(knee, Knee(0, 100, "p99")) == "worse"
    assert verdict(Knee(0, 100, "p99"), Knee(800, None, "")) == "better"
    assert verdict(Knee(800, None, ""), Knee(800, None, "")) == "within noise"


def test_cpu_is_compared_where_both_have_it_and_never_the_generators() -> None:
    found = compare(result(cpu=Cpu(1.0, 2.0, None)), result(cpu=Cpu(9.0, 2.1, 3.0)))
    assert [it.figure for it in found.rows if "CPU" in it.figure] == ["CPU, engine"]
    assert row(found, "CPU, engine").verdict == "within noise"
    assert (
        row(compare(result(cpu=Cpu(engine=2.0)), result(cpu=Cpu(engine=2.3))), "CPU, engine").verdict
        == "worse"
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"void": ["the generator slipped", "steal"]}, "B is void: the generator slipped; steal"),
        ({"arrivals": "constant"}, "arrivals: Poisson, 1,000/s in A, constant in B"),
        ({"payload": "2 bytes"}, "payload: 1 byte in A, 2 bytes in B"),
        ({"loop": "closed"}, "loop: open in A, closed in B"),
        ({"functions": 3}, "functions: 1 in A, 3 in B"),
        ({"warmup": 0.0}, "warmup: 1.0 in A, 0.0 in B"),
        ({"rate": 1100.0}, "rate: 1,000/s in A, 1,100/s in B"),
    ],
)
def test_what_cannot_be_compared_says_why(more: dict[str, Any], message: str) -> None:
    with pytest.raises(
        NotComparable, match="Compare two runs of one scenario, neither of them void"
    ) as caught:
        compare(result(), result(**more))
    assert message in str(caught.value)


def test_another_seed_draws_another_number_of_arrivals() -> None:
    assert compare(result(), result(seed=2, rate=1015.0)).verdict == "within noise"
    assert compare(result(loop="closed"), result(loop="closed", rate=2000.0)).verdict == "within noise"


def test_machines_that_differ_are_noted_and_their_load_is_not() -> None:
    found = compare(
        result(machine={"CPU": "one", "load before": "1"}), result(machine={"CPU": "two", "load before": "2"})
    )
    assert found.notes == ["the machines differ in CPU: one in A, two in B"]


def test_the_table() -> None:
    lines = text(compare(result(target="evil\x1b[2J"), slower(1.25))).splitlines()
    assert lines[0] == "A: steady, evil·[2J, 2026-01-01T00:00:00Z, stoker 1"
    assert [it.split() for it in lines[3:5]] == [
        ["A", "B", "B/A", "told", "from"],
        ["p50", "1.00", "ms", "1.25", "ms", "1.250", "±2.8", "%", "worse"],
    ]
    assert lines[-1] == "B is worse in p50."
    assert max(map(len, lines)) <= 100
    assert text(compare(result(), result())).endswith("B is within the noise of A.\n")


def test_it_goes_through_json() -> None:
    found = compare(result(), slower(2))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found
