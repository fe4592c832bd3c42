"""The open-loop measurements: scenarios that can be read, peers that end as they should, a section that is kept."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import document, load, machine
from bench import run as closed
from bench.open_loop import capacity, peers, scenarios, section, stall
from bench.open_loop.part import Part, Picture, Run
from bench.open_loop.quiet import quiet
from bench.peers.base import Unavailable
from bench.peers.http import EVENT, TEXT
from bench.peers.open_loop import OneAtATime, bare_pipe, check_serves, process_pool
from bench.report import Outcome
from engine.load.generate.record import Response
from engine.load.result import Distribution, Noise, Result, read
from engine.load.scenario.target import Embedded, Function

OLD = f"# Benchmarks\n\nfigures\n\n{document.BEGIN}\n\nold\n\n{document.END}\n"


class TestTheScenarios:
    @pytest.mark.parametrize("name", scenarios.ALL)
    def test_each_can_be_run_and_says_what_it_shows(self, name: str) -> None:
        scenario = scenarios.read(name)
        assert scenario.name == name
        assert len(list(itertools.islice(scenario.schedule, 100))) == 100
        payloads = scenario.payloads()
        made = [payloads.make(number, number % scenario.functions) for number in range(3)]
        assert all(made) and len(scenario.checks()) in (1, scenario.functions)
        assert len(scenarios.shows(name)) > 60
        if name in scenarios.SHORT:
            assert 5 <= scenario.schedule.duration <= 15

    def test_there_is_none_without_a_name(self) -> None:
        assert {path.stem for path in scenarios.FOLDER.glob("*.toml")} == set(scenarios.ALL)

    @pytest.mark.parametrize("name", scenarios.ALL)
    def test_a_short_one_asks_at_the_same_rates(self, name: str) -> None:
        scenario = scenarios.read(name)
        short = scenarios.shortened(scenario, 1.0)
        assert short.schedule.duration == pytest.approx(1.0)
        rates = sorted({stage.rate for stage in scenario.schedule.stages})
        assert sorted({stage.rate for stage in short.schedule.stages}) == pytest.approx(rates, rel=0.001)

    def test_a_mebibyte_is_one(self) -> None:
        assert len(scenarios.read("large-payload").payloads().make(0, 0)) == 1 << 20

    def test_a_peer_that_only_echoes_is_asked_for_nothing_else(self) -> None:
        check_serves("rie", scenarios.read("steady"))
        check_serves("process-pool", scenarios.read("mixed"))
        for name in ("mixed", "overload"):
            with pytest.raises(Unavailable, match=f"{name} asks .* rie serves an echo alone"):
                check_serves("rie", scenarios.read(name))


class TestTheSection:
    def test_it_is_replaced_and_the_rest_is_not(self) -> None:
        new = f"{document.BEGIN}\n\nnew\n\n{document.END}"
        assert document.with_section(OLD, new) == OLD.replace("old", "new")
        assert document.section(OLD) in OLD

    def test_it_comes_last_where_there_is_none(self) -> None:
        assert document.section("# Benchmarks\n") == ""
        assert document.with_section("", document.section(OLD)) == f"{document.section(OLD)}\n"
        assert document.with_section("# Benchmarks\n", document.section(OLD)) == (
            f"# Benchmarks\n\n{document.section(OLD)}\n"
        )

    def test_half_of_one_is_none(self) -> None:
        assert document.section(OLD.replace(document.END, "")) == ""

    @pytest.mark.slow
    def test_bench_run_keeps_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(closed, "ALL", {"made-up": lambda effort: Outcome(notes=["measured anew"])})
        monkeypatch.setattr(closed, "save", lambda name, body: tmp_path / name)
        out = tmp_path / "benchmarks.md"
        out.write_text(OLD)
        assert closed.main(["--quick", "--out", str(out)]) == 0
        text = out.read_text()
        assert "- measured anew" in text and not text.startswith("# Benchmarks\n\nfigures")
        assert document.section(text) == document.section(OLD)
        assert text.endswith(f"{document.END}\n")

    def test_it_shows_what_was_measured(self) -> None:
        part = Part("one", "What it shows.", "command", [run(), run(void=["the generator slipped"])])
        part.pictures.append(
            Picture.of("one", '<svg xmlns="http://www.w3.org/2000/svg" aria-label="A [b]"/>')
        )
        text = section.markdown({"CPU": "a|b"}, [part], {"two": "it broke"})
        assert text.startswith(document.BEGIN) and text.endswith(document.END)
        for line in (
            "| CPU | a\\|b |",
            "- **void**: one, subject: the generator slipped",
            "![A (b)](pictures/load-one.svg)",
            "- two: it broke",
        ):
            assert line in text


@pytest.mark.slow
def test_one_scenario_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "RESULTS", tmp_path / "results")
    out = tmp_path / "docs" / "benchmarks.md"
    (out.parent / section.PICTURES).mkdir(parents=True)
    gone = out.parent / section.PICTURES / "load-of-the-last-time.svg"
    gone.write_text("")
    out.write_text(OLD)
    assert load.main(["--quick", "--only", "large-payload", "--out", str(out)]) == 0
    text = out.read_text()
    assert text.startswith("# Benchmarks\n\nfigures\n") and "\nold\n" not in text
    assert "`stoker load bench/scenarios/large-payload.toml`" in text
    assert scenarios.shows("large-payload") in text
    [picture] = (out.parent / section.PICTURES).iterdir()
    assert f"]({section.PICTURES}/{picture.name})" in text
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    [found] = [read(path) for path in (tmp_path / "results").glob("*.json")]
    assert found.offered and found.ended["ok"] == found.offered  # every MiB came back as it was


def many_parts() -> list[Part]:
    """One of each name, with a picture of its name."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" aria-label="caption"/>'
    return [Part(name, "", "", pictures=[Picture.of(name, svg)]) for name in load.USUAL]


class TestThePictures:
    def test_four_are_kept_of_many(self) -> None:
        parts = many_parts()
        section.choose(parts)
        kept = [picture.file for part in parts for picture in part.pictures]
        assert sorted(kept) == [f"load-{name}.svg" for name in ("knee", "overload", "peers", "stall")]

    def test_a_few_are_all_kept(self) -> None:
        parts = many_parts()[: section.MOST]
        section.choose(parts)
        assert [len(part.pictures) for part in parts] == [1] * section.MOST

    def test_those_of_the_document_are_four_at_most_and_the_document_has_each(self) -> None:
        text = document.DOCUMENT.read_text()
        files = {path.name for path in (document.DOCUMENT.parent / section.PICTURES).iterdir()}
        assert 0 < len(files) <= section.MOST == 4
        assert {name for name in files if f"]({section.PICTURES}/{name})" in text} == files
        assert text.count(f"]({section.PICTURES}/") == len(files)


def test_what_compares_already_takes_no_peer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load.main(["--only", "stall", "--against", "rie"])
    assert "stall compares already" in capsys.readouterr().err


def run(
    p50: int = 100,
    p99: int = 200,
    *,
    p999: int = 400,
    subject: str = "subject",
    ok: int = 1000,
    void: list[str] | None = None,
) -> Run:
    """Of a second and a thousand requests."""
    latency = Distribution(count=ok, p50=p50, p99=p99, p999=p999, most=2 * p999)
    found = Result(
        stoker="0", name="one", target="t", arrivals="a", payload="p", seed=1, started="", duration=1.0, warmup=0.0,
        offered=1000, rate=1000.0, goodput=float(ok), ended={"ok": ok, "error": 1000 - ok}, latency=latency,
        void=void or [], noise=Noise(1.0, 1.1, 1.3),
    )  # fmt: skip
    return Run("one", subject, found)


class TestTheFigures:
    def test_the_ratio_is_of_the_same_round(self) -> None:
        turns = [{"ours": run(p99=10), "theirs": run(p99=100)}, {"ours": run(p99=20), "theirs": run(p99=80)}]
        figure = peers.ratio("ours", "theirs", turns, 1000.0, 5, "command")
        assert (figure.ratio.rounds, figure.ratio.median, figure.passed) == ([10.0, 4.0], 7.0, True)

    def test_a_void_round_does_not_count(self) -> None:
        slipped = run(p99=1000, void=["the generator slipped"])
        turns = [{"ours": run(p99=10), "theirs": run(p99=30)}, {"ours": run(p99=10), "theirs": slipped}]
        figure = peers.ratio("ours", "theirs", turns, 1000.0, 5, "command")
        assert (figure.ratio.rounds, figure.passed) == ([3.0], False)
        assert figure.note == "by round 3x; 1 of 2 rounds are void and left out"
        alone = peers.ratio("ours", "theirs", turns[1:], 1000.0, 5, "command")
        assert (alone.passed, alone.note) == (
            None,
            "by round 100x; all rounds are void, so nothing is kept or broken",
        )

    def test_nothing_is_promised_against_who_did_not_hold_the_rate(self) -> None:
        for theirs in (run(p99=900, ok=970), run(p50=1, p99=200_000_000)):
            figure = peers.ratio("ours", "theirs", [{"ours": run(), "theirs": theirs}], 1000.0, 5, "command")
            assert figure.passed is None
            assert figure.note.endswith("x; theirs did not hold the rate in every round")

    def test_the_slowest_to_the_usual_and_the_noise(self) -> None:
        figure = capacity.Rounds("one", [run(), run(void=["it slipped"])]).spread("command", 4)
        assert (figure.ratio.rounds, figure.passed) == ([4.0], True)
        assert figure.note == "by round 4x; two equal runs differed by up to 10 % in p50 and 30 % in p99"
        assert capacity.Rounds("one", [run(void=["it slipped"])]).spread("command", 4).passed is None

    def test_no_round_is_left_out_for_what_its_floor_did(self) -> None:
        runs, floors = [run(), run(p999=500), run(p999=600)], [run(), run(p999=900), run()]
        figure = capacity.Rounds("one", runs, floors).spread("command", 4)
        assert (figure.ratio.rounds, figure.ratio.median, figure.passed) == ([4.0, 5.0, 6.0], 5.0, False)
        assert figure.note.endswith("a bare pipe, by round 4x, 9x, 4x")

    def test_against_the_floor(self) -> None:
        runs = [run(p999=p999) for p999 in (180, 900, 500)]
        floors = [run(p999=200) for _ in range(3)]
        figure = capacity.Rounds("one", runs, floors).above("command", capacity.ABOVE)
        assert (figure.ratio.rounds, figure.ratio.median, figure.passed) == ([0.9, 4.5, 2.5], 2.5, False)
        floors[1] = floors[2] = run(void=["it slipped"])
        assert capacity.Rounds("one", runs, floors).above("command", capacity.ABOVE).passed is True
        assert capacity.Rounds("one", runs[1:], floors[1:]).above("command", capacity.ABOVE).passed is None


def held() -> list[Path]:
    """What this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that the listing itself took
            found.append(Path(f"/proc/self/fd/{fd}").readlink())
    return found


class TestAQuietMachine:
    def test_it_lasts_as_long_as_it_is_wanted(self, tmp_path: Path) -> None:
        device = tmp_path / "cpu_dma_latency"
        device.touch()
        before = os.sched_getscheduler(0)
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            os.sched_setscheduler(0, before, os.sched_param(0))
        except PermissionError:
            pytest.skip("needs the right to real-time priority")
        with quiet(str(device)) as machine:
            assert (machine.whole, os.sched_getscheduler(0)) == (True, os.SCHED_FIFO)
            assert device in held()
        assert device.read_bytes() == bytes(4)
        assert os.sched_getscheduler(0) == before and device not in held()

    def test_what_cannot_be_had_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*of: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "sched_setscheduler", refused)
        with quiet(str(tmp_path / "none")) as machine:
            assert not machine.whole and machine.kept == ()
        assert "No such file or directory" in machine.words
        assert machine.words.endswith("no real-time priority (Operation not permitted)")


def test_what_a_core_is_away() -> None:
    before = os.sched_getaffinity(0)
    count, share = machine.interruptions(min(before), 0.05)
    assert count >= 0
    assert 0 <= share < 1
    assert os.sched_getaffinity(0) == before
    assert machine.interrupted().count("core ") == len(before)


APP = """
import os
def right(event, context):
    return {"event": event, "size": os.environ.get("SIZE")}
def wrong(event, context):
    raise ValueError("no")
def odd(event, context):
    return object()
def dies(event, context):
    os._exit(3)
"""


def pooled(code: Path, asks: list[tuple[str, bytes]], **more: Any) -> list[Response]:
    """What a ProcessPoolExecutor says to each, one after the other."""
    (code / "app.py").write_text(APP)
    names = list(dict.fromkeys(name for name, _ in asks))
    target = Embedded(tuple(Function(reference=f"app:{name}", code=code, **more) for name in names))

    async def main() -> list[Response]:
        responses = []
        async with process_pool(target) as pool:
            for name, payload in asks:
                future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
                pool.send(payload, names.index(name), future.set_result)
                responses.append(await asyncio.wait_for(future, 30))
        return responses

    return asyncio.run(main())


def test_a_bare_pipe_answers_each_with_what_was_sent() -> None:
    async def main() -> list[bytes]:
        found: list[bytes] = []
        async with bare_pipe(scenarios.read("steady").target) as pipe:
            over = asyncio.Event()
            for number in range(1000):
                pipe.send(b"%d" % number, 0, lambda response: found.append(response.payload))
            pipe.send(b"last", 0, lambda _: over.set())
            await asyncio.wait_for(over.wait(), 30)
        return found

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    assert asyncio.run(main()) == [b"%d" % number for number in range(1000)]


class TestTheProcessPool:
    def test_a_reply(self, tmp_path: Path) -> None:
        [response] = pooled(tmp_path, [("right", b'{"n": 1}')], environment={"SIZE": "64"})
        assert response == Response("ok", b'{"event":{"n":1},"size":"64"}')

    def test_what_a_function_raises_or_cannot_say(self, tmp_path: Path) -> None:
        asks = [("wrong", b"{}"), ("odd", b"{}"), ("right", b"{"), ("right", b"1")]
        wrong, odd, broken, right = pooled(tmp_path, asks)
        assert (wrong.ending, wrong.why) == ("error", "ValueError: no")
        assert (odd.ending, odd.why) == ("error", "TypeError: Object of type object is not JSON serializable")
        assert broken.ending == "error" and broken.why.startswith("JSONDecodeError: ")
        assert right.ending == "ok"

    def test_a_worker_that_dies_takes_the_pool_along(self, tmp_path: Path) -> None:
        died, after = pooled(tmp_path, [("dies", b"{}"), ("right", b"{}")])
        assert died.ending == after.ending == "failure"
        assert "terminated abruptly" in died.why

    def test_a_function_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(BrokenProcessPool):
            pooled(tmp_path, [("nothing_like_it", b"{}")])


def test_one_at_a_time_is_one_at_a_time_and_in_order() -> None:
    flying: list[tuple[bytes, int, Callable[[Response], None]]] = []
    came: list[bytes] = []

    class Slow:
        def send(self, payload: bytes, function: int, done: Callable[[Response], None]) -> None:
            flying.append((payload, function, done))

    target = OneAtATime(Slow())
    for number in range(3):
        target.send(b"%d" % number, number, lambda response: came.append(response.payload))
    for number in range(3):
        [(payload, function, done)] = flying
        assert function == number
        flying.clear()
        done(Response("ok", payload))
    assert came == [b"0", b"1", b"2"] and not flying


def test_the_stalling_server_echoes_while_it_does_not() -> None:
    with stall.Stalling(3600.0, 0.0) as peer:
        assert peer.request("POST", "/", EVENT + TEXT) == EVENT + TEXT
