"""The gate's judgement, with made-up figures: what it keeps, what it fails, and what it leaves out."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from bench import gate, hotpath, report
from bench.gate import Verdict, judge, ratios
from bench.harness import GATE, Comparison, Effort, Series
from bench.report import Figure, Outcome, single
from bench.subject import options
from engine.load import machine


def figure(
    value: float, target: float | None, want: Literal["high", "low"] = "high", name: str = "made up"
) -> Figure:
    return Figure(name, "ours", "theirs", single(value), target, want, "command")


def series(microseconds: float) -> Series:
    return Series(array("q", [int(microseconds * 1000)] * 100), 100, int(microseconds * 100_000))


def against_a_peer(ours: float, theirs: float) -> Figure:
    """A promise of 30 times, from microseconds a call."""
    comparison = Comparison("made up", [{"ours": series(ours), "theirs": series(theirs)}] * 3)
    ratio = comparison.ratio("theirs", "ours")
    return Figure("p50 vs a peer", "", "", ratio, 30, "high", "command")


@pytest.mark.parametrize(
    ("value", "target", "want", "name", "kept"),
    [
        (30.0, 30, "high", "p50 vs a peer", True),
        (24.1, 30, "high", "p50 vs a peer", True),  # a quarter for noise
        (23.9, 30, "high", "p50 vs a peer", False),
        (7.4, 6, "low", "payload", True),
        (7.6, 6, "low", "payload", False),
        (5.9, 4, "low", "warm p99 / p50", True),  # tails vary more
        (6.1, 4, "low", "warm p99 / p50", False),
        (0.91, 0.95, "high", "goodput", True),  # a share of one gets a twentieth, not a quarter
        (0.90, 0.95, "high", "goodput", False),
        (1.31, 1.2, "low", "p50 with 256 warm functions", True),
        (1.33, 1.2, "low", "p50 with 256 warm functions", False),
        (2.0, 1, "low", "anything but an answer", False),
    ],
)
def test_a_promise_with_its_slack(
    value: float, target: float, want: Literal["high", "low"], name: str, kept: bool
) -> None:
    assert judge(figure(value, target, want, name)).kept is kept


@pytest.mark.promise(59)
def test_a_path_slowed_by_20_us_fails() -> None:
    """What `--slow 20` does to a call of 5 µs, against a peer of 200 µs."""
    assert judge(against_a_peer(5, 200)).kept
    slowed = judge(against_a_peer(5 + 20, 200))
    assert slowed.kept is False
    assert "8x at best" in slowed.line
    assert "promised ≥ 30x, gate at 24x" in slowed.line


def test_one_lucky_round_does_not_keep_a_promise() -> None:
    """Each side's best round counts: not the one round in which the peer was disturbed."""
    comparison = Comparison(
        "made up",
        [
            {"ours": series(10), "theirs": series(200)},
            {"ours": series(10), "theirs": series(900)},
        ],
    )
    ratio = comparison.ratio("theirs", "ours")
    assert (ratio.best, ratio.bests) == (90, 20)
    assert judge(Figure("p50 vs a peer", "", "", ratio, 30, "high", "command")).kept is False


def test_a_figure_without_a_promise_is_neither_kept_nor_broken() -> None:
    free = figure(0.1, None)
    assert free.passed is None
    assert judge(free).kept is None
    assert judge(free).line.endswith("no promise")
    assert report.rows([free])[0][-3:] == ("no promise", "", "")
    assert [row[-1] for row in report.rows([figure(2, 1), figure(0.5, 1)])] == ["pass", "FAIL"]


class Turns:
    """A comparison that gives other figures each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *turns: list[float]) -> None:
        self.left = list(turns)
        monkeypatch.setitem(gate.ALL, "made up", self)

    def __call__(self, effort: Effort) -> Outcome:
        first, second = self.left.pop(0)
        return Outcome([], [figure(first, 10), figure(second, 10), figure(1.0, None)])


@pytest.mark.parametrize(
    ("turns", "kept"),
    [
        ([[10, 10]], [True, True, None]),
        ([[10, 1], [10, 10]], [True, True, None]),
        ([[10, 1], [1, 10]], [True, True, None]),  # each promise for itself
        ([[10, 1], [10, 1]], [True, False, None]),
        ([[1, 1], [10, 1]], [True, False, None]),
    ],
)
def test_what_is_not_kept_is_measured_once_more(
    monkeypatch: pytest.MonkeyPatch, turns: list[list[float]], kept: list[bool | None]
) -> None:
    comparison = Turns(monkeypatch, *turns)
    assert [verdict.kept for verdict in ratios("made up")(GATE)] == kept
    assert comparison.left == [], "and only then"


def run(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict, arguments: Any = ()) -> int:
    def made_up(_: Effort) -> Iterator[Verdict]:
        yield from verdicts

    monkeypatch.setattr(gate, "GATES", [made_up])
    monkeypatch.setattr(machine, "cores", lambda: [0, 1])
    return gate.main(list(arguments))


def test_it_ends_with_1_when_anything_was_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, free, bad = Verdict(True, "good"), Verdict(None, "free"), Verdict(False, "bad")
    assert run(monkeypatch, good, free) == 0
    assert "ok   good\n--   free\n" in (out := capsys.readouterr().out)
    assert "gate: 1 of 1 kept" in out
    assert run(monkeypatch, good, free, bad) == 1
    assert "FAIL bad\n" in (out := capsys.readouterr().out)
    assert "gate: 1 of 2 kept" in out


def test_what_cannot_be_measured_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Effort) -> Iterator[Verdict]:
        raise OSError("no such peer")

    monkeypatch.setattr(gate, "GATES", [broken])
    monkeypatch.setattr(machine, "cores", lambda: [0, 1])
    assert gate.main([]) == 1
    assert "FAIL broken: OSError: no such peer" in capsys.readouterr().out


@pytest.mark.promise(59)
def test_slow_reaches_the_engines_handler_and_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKER_BENCH_SLOW_US", "0")  # so that it is put back
    assert run(monkeypatch, Verdict(True, "good"), arguments=["--slow", "20"]) == 0
    assert os.environ["STOKER_BENCH_SLOW_US"] == "20.0"
    assert options()["environment"]["STOKER_BENCH_SLOW_US"] == "20.0"
    peers = Path(gate.__file__).parent / "peers"
    assert not [path for path in peers.glob("*.py") if "STOKER_BENCH_SLOW_US" in path.read_text()]


BASE = {"submit": 400, "next": 100, "reply": 200, "reap": 300, "total": 1000}


class TestInstructions:
    """The count itself is tested in tests/native; here only the verdict."""

    @pytest.fixture(autouse=True)
    def made_up(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        baseline = tmp_path / "hotpath.json"
        baseline.write_text(json.dumps({"pdp11-gcc-2": BASE}))
        monkeypatch.setattr(hotpath, "BASELINE", baseline)
        monkeypatch.setattr(hotpath, "compiler", lambda: "pdp11-gcc-2")
        monkeypatch.setattr(hotpath.shutil, "which", lambda name: name)

    @pytest.mark.parametrize(("total", "kept"), [(900, True), (1000, True), (1030, True), (1031, False)])
    def test_three_in_a_hundred_are_allowed(
        self, monkeypatch: pytest.MonkeyPatch, total: int, kept: bool
    ) -> None:
        counted = {**BASE, "total": total}
        monkeypatch.setattr(hotpath, "instructions_per_invocation", lambda sources: counted)
        (verdict,) = gate.instructions(GATE)
        assert verdict.kept is kept
        assert f"total: {total} instructions, 1000 in the baseline" in verdict.line

    def test_without_valgrind_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hotpath.shutil, "which", lambda name: None if name == "valgrind" else name)
        (verdict,) = gate.instructions(GATE)
        assert verdict.kept is None
        assert verdict.line == "instructions not counted: not found: valgrind (apt-get install valgrind)"

    def test_another_compiler_is_not_compared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hotpath, "compiler", lambda: "vax-gcc-3")
        (verdict,) = gate.instructions(GATE)
        assert verdict.kept is None
        assert "no baseline for vax-gcc-3, only pdp11-gcc-2" in verdict.line


def test_every_comparison_but_a_few_is_a_gate_and_so_is_the_count() -> None:
    """Ray's, which is large to install, that of events, which wants redis-server, and those of mappings, whose servers'
    disks are busy with others' work."""
    mappings = {name for name in gate.ALL if name.startswith("mapping")}
    left_out = {"ray", "events", "made up", *mappings}
    assert {each.__name__ for each in gate.GATES} == {*gate.ALL, "instructions"} - left_out
