"""The summary of a run: what stands in it, in a terminal's width, whatever others wrote."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.load.report.summary import WIDTH, text
from engine.load.result import Cpu, Distribution, Estimate, Knee, Noise, Result, StageResult
from engine.load.words import NONE

MS = 1_000_000


def result(**more: Any) -> Result:
    made = Result(
        stoker="1", name="steady", target="echo, embedded", arrivals="Poisson, 100/s", payload="1 byte", seed=7,
        started="2026-01-01T00:00:00Z", duration=11.0, warmup=1.0, offered=1000, rate=100.0, goodput=98.0,
        ended={"ok": 980, "throttle": 5, "error": 15}, most_in_flight=9,
        latency=Distribution(995, 1.1 * MS, MS // 2, MS, 2 * MS, 4 * MS, 8 * MS, 9 * MS),
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


def line(summary: str, label: str) -> str:
    """The one line that begins with this."""
    [found] = [it for it in summary.splitlines() if it.startswith(label)]
    return " ".join(found.split())


def stages(*goodputs: int) -> list[StageResult]:
    return [
        StageResult(10.0 * n, 10.0 * (n + 1), 100.0 * (n + 1), 1000 * (n + 1), ok, 0, 1000 * (n + 1) - ok, MS, 2 * MS,
                    3 * MS, 4 * MS)
        for n, ok in enumerate(goodputs)
    ]  # fmt: skip


def test_what_was_run_and_what_came_of_it() -> None:
    summary = text(result())
    assert summary.startswith("steady: echo, embedded\n")
    assert line(summary, "arrivals") == "arrivals Poisson, 100/s; 11 s, of which the first 1 s do not count"
    assert line(summary, "payload") == "payload 1 byte; seed 7"
    assert line(summary, "offered") == "offered 1,000 requests, 100/s, at most 9 in flight"
    assert line(summary, "goodput") == "goodput 98/s right answers"
    assert line(summary, "ended") == "ended ok 980 (98 %), error 15 (1.5 %), throttle 5 (0.5 %)"
    assert line(summary, "latency") == "latency count p50 p90 p99 p99.9 max"
    assert line(summary, "all") == "all 995 1.00 ms 2.00 ms 4.00 ms 8.00 ms 9.00 ms"
    for absent in ("VOID", "95 %", "cold", "where it went", "noise", "CPU  ", "knee", "scheduled"):
        assert absent not in summary


def test_a_void_run_says_so_before_and_after_its_figures() -> None:
    lines = text(result(void=["the generator slipped", "no\nmore"])).splitlines()
    heads = [n for n, it in enumerate(lines) if it == "*** VOID: this run's figures mean nothing ***"]
    assert len(heads) == 2
    assert lines[heads[0] + 1 : heads[0] + 3] == ["  - the generator slipped", "  - no more"]
    [figures] = [n for n, it in enumerate(lines) if it.startswith("offered")]
    assert heads[0] < figures < heads[1]


def test_the_most_frequent_reasons_come_first_and_the_rest_is_counted() -> None:
    reasons = {"error": {f"reason {n}": n for n in range(1, 6)}, "throttle": {"Rate exceeded": 5}}
    lines = [" ".join(it.split()) for it in text(result(reasons=reasons)).splitlines()]
    at = lines.index("error 5 reason 5")
    assert lines[at : at + 5] == [
        "error 5 reason 5", "4 reason 4", "3 reason 3", "3 for other reasons", "throttle 5 Rate exceeded",
    ]  # fmt: skip


def test_intervals_stand_under_the_figures_that_have_one() -> None:
    estimates = {"p50": Estimate(MS, 0.9 * MS, 1.1 * MS), "goodput": Estimate(98, 96.5, 99)}
    summary, none = text(result(estimates=estimates)), f" {NONE}" * 3
    assert line(summary, "  95 % from") == f"95 % from 900 µs{none}"
    assert line(summary, "  95 % to") == f"95 % to 1.10 ms{none}"
    assert line(summary, "goodput") == "goodput 98/s right answers (95 %: 96.5/s to 99/s)"
    p50 = summary.index("1.00 ms") - summary.rindex("\n", 0, summary.index("1.00 ms"))
    assert (
        summary.index("900 µs") - summary.rindex("\n", 0, summary.index("900 µs")) == p50 + 1
    )  # flush right


def test_all_kinds_of_times() -> None:
    some = Distribution(10, 5.0, 1, 2000, 3000, 4000, 5000, 6000)
    summary = text(
        result(cold=some, warm=some, refused=some, lag=some, parts={"queue": some, "execute": some})
    )
    for label in ("cold", "warm", "refused", "generator lag", "  queue", "  execute"):
        assert line(summary, label).endswith("10 2.00 µs 3.00 µs 4.00 µs 5.00 µs 6.00 µs")


def test_what_made_the_figures() -> None:
    summary = text(result(cpu=Cpu(12.0, None, 250.0), noise=Noise(5.0, 1.02, 1.5), steal=0.02))
    assert line(summary, "CPU") == "CPU per invocation: generator 12.0 µs, workers 250 µs"
    assert line(summary, "noise") == "noise two equal runs of 5 s differed by 2 % in p50 and 50 % in p99"
    assert line(summary, "steal") == "steal 2 % of the CPU time, by the hypervisor"


def test_a_ramp_shows_its_stages_and_its_knee() -> None:
    ramp = stages(1000, 2000, 2500)
    summary = text(
        result(stages=ramp, knee=Knee(200, 300, "83.3 % of what was offered was answered rightly"))
    )
    assert line(summary, "0 s") == "0 s 100/s 100/s 100/s 0 1.00 ms 2.00 ms 3.00 ms 4.00 ms"
    assert line(summary, "10 s") == "10 s 200/s 200/s 200/s 0 1.00 ms 2.00 ms 3.00 ms 4.00 ms < knee"
    assert line(summary, "20 s") == "20 s 300/s 300/s 250/s 500 1.00 ms 2.00 ms 3.00 ms 4.00 ms"
    whole = " ".join(summary.split())
    assert (
        "knee keeps up with 200/s, not with 300/s: 83.3 % of what was offered was answered rightly" in whole
    )
    assert "keeps up with 300/s, and this was all it was offered" in text(
        result(stages=ramp, knee=Knee(300, None, ""))
    )
    assert "keeps up with none of these rates, not with 100/s: why" in text(
        result(stages=ramp, knee=Knee(0, 100, "why"))
    )


def test_hundreds_of_stages_are_not_all_shown() -> None:
    summary = text(result(stages=stages(*[1000] * 100)))
    assert line(summary, "390 s")
    assert "400 s" not in summary
    assert "… and 60 more" in summary


def test_nothing_that_others_wrote_breaks_the_page() -> None:
    evil = "\x1b[2Jclear\r\nthe screen " + "x" * 300
    made = result(
        target=evil, name=evil, arrivals=evil, payload=evil, void=[evil], reasons={"error": {evil: 15}},
        knee=Knee(1, 2, evil), machine={"x": evil}, stages=stages(1, 2), estimates={"p50": Estimate(1, 1, 10**12)},
    )  # fmt: skip
    lines = text(made).splitlines()
    assert all(it.isprintable() for it in lines)
    assert max(map(len, lines)) <= WIDTH


def test_a_run_in_which_nothing_happened() -> None:
    summary = text(result(offered=0, rate=0.0, goodput=0.0, ended={}, latency=Distribution()))
    assert line(summary, "ended") == "ended nothing did"
    assert "latency" not in summary
