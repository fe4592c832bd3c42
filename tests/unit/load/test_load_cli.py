"""`stoker load`: the scenario that a command line says, its mistakes by their names, what is printed, exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from results import cold, ramped, stalled, unanswered, voided
from support import until

import engine
from engine.cli import load, main
from engine.cli.status import UsageError
from engine.load import result as results
from engine.load.scenario.arrivals import Bursts, Closed, Constant, MadeUp, Ramp, Replay, Steady
from engine.load.scenario.criteria import criterion
from engine.load.scenario.scenario import Scenario
from engine.load.scenario.target import Embedded, Endpoint, Url

ECHO = Path(__file__).resolve().parents[3] / "handlers" / "echo"
TOML = """\
target = { function = "app:handler", code = "code" }
arrivals = { rate = 100, duration = "20s" }
limits = { p99 = "5ms" }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context):\n    return event\n")
    (tmp_path / "event.json").write_text('{"from": "a file"}')
    (tmp_path / "lines").write_text("1\n")
    (tmp_path / "trace.csv").write_text("app,func,end_timestamp,duration\na,b,2,1\na,b,30,1\n")
    (tmp_path / "steady.toml").write_text(TOML)
    (tmp_path / "ramp.toml").write_text(
        TOML.replace("rate = 100, duration", 'kind = "ramp", first = 1, last = 9, step = 4, dwell')
    )
    (tmp_path / "broken.toml").write_text("name = ")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(*arguments: str) -> Scenario:
    return load.scenario(main._parse(["load", *arguments]))


@pytest.mark.parametrize(
    ("line", "arrivals"),
    [
        ("--rate 2000", Steady(rate=2000)),
        ("--rate 0.5 --duration 1.5m --warmup 500ms", Steady(rate=0.5, duration=90, warmup=0.5)),
        ("--rate 10 --constant --duration 2", Constant(rate=10, duration=2)),
        ("--ramp 100:300:100", Ramp(first=100, last=300, step=100)),
        ("--ramp 1:2:.5 --dwell 2s --constant", Ramp(first=1, last=2, step=0.5, dwell=2, process="constant")),
        ("--rate 5 --burst 50:10s:500ms --duration 20", Bursts(rate=5, peak=50, every=10, length=0.5, duration=20)),
        ("--rate 0 --burst 50:4:1 --constant", Bursts(rate=0, peak=50, every=4, length=1, process="constant")),
        ("--trace synthetic:5:100:1h --speed 60", Replay(trace=MadeUp(5, 100, 3600), speed=60)),
        ("--closed 8 --duration 3", Closed(callers=8, duration=3)),
    ],
)  # fmt: skip
def test_arrivals(line: str, arrivals: Any) -> None:
    made = parsed("app:handler", "--code", "code", *line.split())
    assert made.arrivals == arrivals
    assert (made.name, made.seed, made.noise, made.drain, made.limits) == ("app:handler", 1, True, 30.0, ())


def test_a_traces_file(folder: Path) -> None:
    made = parsed("app:handler", "--code", "code", "--trace", "trace.csv", "--speed", "2.5")
    assert made.arrivals == Replay(trace=folder / "trace.csv", speed=2.5)


def test_an_embedded_function(folder: Path) -> None:
    made = parsed(
        "app.handler", "--code", "code", "--memory", "256", "--timeout", "2.5", "--concurrency", "3", "--warm", "0",
        "--waiting", "7", "--init", "fresh", "--env", "A1=b=c", "--env", "B1=", "--rate", "1", "--name", "mine",
        "--seed", "9", "--drain", "2s", "--no-noise", "--poll",
    )  # fmt: skip
    assert isinstance(made.target, Embedded)
    [function] = made.target.functions
    assert function.reference == "app.handler"
    assert function.options == {
        "code": folder / "code", "memory": 256, "timeout": 2.5, "concurrency": 3, "warm": 0, "waiting": 7,
        "init": "fresh", "environment": {"A1": "b=c", "B1": ""},
    }  # fmt: skip
    assert (made.name, made.seed, made.drain, made.noise, made.poll) == ("mine", 9, 2.0, False, True)
    assert made.target_words == "app.handler in code, embedded, 3 workers"
    usual = parsed("app:handler", "--rate", "1")
    assert usual.target_words == "app:handler in ., embedded, 1 worker"


def test_targets_elsewhere() -> None:
    made = parsed("echo", "--endpoint", "http://127.0.0.1:9001", "--rate", "1", "--sign").target
    assert isinstance(made, Endpoint)
    assert (made.endpoint, made.sign, [it.name for it in made.functions]) == (
        "http://127.0.0.1:9001", True, ["echo"],
    )  # fmt: skip
    assert parsed("http://a/b?c=d", "--rate", "1").target == Url(url="http://a/b?c=d")
    assert parsed("http://a/", "--rate", "1", "--method", "PUT").target == Url(url="http://a/", method="PUT")


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ([], b"{}"),
        (["--payload", "5"], b"5"),
        (["--payload", "@event.json"], b'{"from": "a file"}'),
        (["--template", "[{{number}}]"], b"[0]"),
        (["--template", "@event.json"], b'{"from": "a file"}'),
        (["--sample", "lines"], b"1"),
    ],
)
def test_payloads(options: list[str], sent: bytes) -> None:
    assert parsed("app:handler", "--rate", "1", *options).payloads().make(0, 0) == sent


@pytest.mark.parametrize(
    ("options", "right", "wrong"),
    [
        ([], b"5", b"<html>"),
        (["--expect", "echo"], b"{}", b"5"),
        (["--expect", "n=5", "--expect", "s=text", "--expect", "t=true"], b'{"n":5,"s":"text","t":true}', b'{"n":5}'),
    ],
)  # fmt: skip
def test_expectations(options: list[str], right: bytes, wrong: bytes) -> None:
    [check] = parsed("app:handler", "--rate", "1", *options).checks()
    assert check(b"{}", right) == ""
    assert check(b"{}", wrong)


def test_anything_is_expected_of_a_url_and_where_it_is_said() -> None:
    for line in (["http://a/"], ["app:handler", "--expect", "any"]):
        [check] = parsed(*line, "--rate", "1").checks()
        assert check(b"{}", b"<html>") == ""


def test_limits() -> None:
    made = parsed("app:handler", "--rate", "1", "--fail-if", "p99>5ms", "--fail-if", "goodput<900/s")
    assert list(made.limits) == [criterion("p99<=5ms"), criterion("goodput>=900/s")]


def test_a_scenarios_file_and_what_is_said_anew(folder: Path) -> None:
    made = parsed("steady.toml")
    assert (made.name, made.seed, made.arrivals) == ("steady", 1, Steady(rate=100, duration=20))
    made = parsed(
        "steady.toml", "--rate", "7", "--duration", "3s", "--warmup", "0", "--seed", "5", "--name", "x", "--drain", "1",
        "--no-noise", "--fail-if", "errors>0",
    )  # fmt: skip
    assert made.arrivals == Steady(rate=7, duration=3, warmup=0)
    assert (made.name, made.seed, made.drain, made.noise) == ("x", 5, 1.0, False)
    assert list(made.limits) == [criterion("p99<=5ms"), criterion("errors<=0")]
    assert isinstance(made.target, Embedded)
    assert made.target.functions[0].code == folder / "code"
    assert parsed(str(folder / "steady.toml")).name == "steady"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("app:handler", "nothing says how requests arrive: use one of --rate, --ramp, --trace, --closed"),
        ("app:handler --rate 1 --closed 2",
         "--rate and --closed at once: use one of --rate, --ramp, --trace, --closed"),
        ("app:handler --rate x", "--rate x: use a number above 0 and at most 10,000,000 per second"),
        ("app:handler --rate 0", "--rate 0: use a number above 0"),
        ("app:handler --rate 1 --duration 1w", "--duration 1w: write a duration: 90 (seconds), 90s, 1.5m, 500ms or 2h"),
        ("app:handler --rate 1 --warmup 10", "a warm-up of 10 s leaves nothing of 10 s"),
        ("app:handler --rate 1 --dwell 5", "--dwell goes with --ramp, not with --rate"),
        ("app:handler --closed 1 --constant", "--constant goes with --rate or --ramp, not with --closed"),
        ("app:handler --ramp 1:2:1 --duration 5", "--duration goes with --rate or --closed, not with --ramp"),
        ("app:handler --ramp 1:2", "--ramp 1:2: write A:B:STEP, as in 500:5000:500"),
        ("app:handler --ramp 1:2:x", "--ramp (STEP) x: use a number above 0"),
        ("app:handler --ramp 2:1:1", "a ramp goes up: from 2.0 to 1.0 by 1.0 it does not"),
        ("app:handler --rate 1 --burst 5", "--burst 5: write PEAK:EVERY:LENGTH, as in 5000:10s:1s"),
        ("app:handler --rate 1 --burst 5:x:1", "--burst (EVERY) x: write a duration"),
        ("app:handler --burst 5:2:1", "nothing says how requests arrive"),
        ("app:handler --trace none", "--trace none: there is no such file"),
        ("app:handler --trace synthetic:1", "--trace synthetic:1: write synthetic:FUNCTIONS:INVOCATIONS:SECONDS"),
        ("app:handler --closed 1.5", "--closed 1.5: use a whole number from 1 to 100,000"),
        ("app:handler --rate 1 --seed x", "--seed x: use a whole number from 0"),
        ("app:handler --rate 1 --memory 64", "--memory 64: use a whole number from 128 to 10,240 MB"),
        ("app:handler --rate 1 --warm 2", "warm=2: use a whole number from 0 to 1"),
        ("app:handler --rate 1 --init slow", "--init slow: use snapshot or fresh"),
        ("app:handler --rate 1 --env A", "--env A: write NAME=VALUE"),
        ("app:handler --rate 1 --env 5=a", "environment: bad name '5'"),
        ("app:handler --rate 1 --code none", "--code none: there is no such directory"),
        ("app:handler --rate 1 --payload @none", "--payload @none: there is no such file"),
        ("app:handler --rate 1 --payload 1 --sample lines",
         "--payload and --sample at once: use one of --payload, --template, --sample"),
        ("app:handler --rate 1 --template {{now}}", "--template {{now}}: no such field: {{now}}. There are number"),
        ("app:handler --rate 1 --template {{duration}}", "it needs arrivals of the kind trace"),
        ("app:handler --rate 1 --expect html", "--expect html: no such expectation: 'html'. There are json, echo"),
        ("app:handler --rate 1 --expect echo --expect any", "--expect echo: write NAME=VALUE"),
        ("app:handler --rate 1 --fail-if p99", "--fail-if p99: write a measure, < or >, and a value: p99<5ms"),
        ("app:handler --rate 1 --fail-if p98>5ms", "--fail-if p98>5ms: there is no measure 'p98'"),
        ("app:handler --rate 1 --sign",
         "--sign does not go with app:handler, a function in this process, which takes --code"),
        ("app --rate 1", "app is no target: write module:function for one in this process, its name and --endpoint"),
        ("code --rate 1", "code is no target: for a function in that directory write app:handler and --code code"),
        ("code/app.py:handler/x --rate 1", "is no target"),
        ("localhost:9001 --rate 1", "localhost:9001 is no function: write http://localhost:9001 for a URL"),
        ("https://a/ --rate 1", "TARGET https://a/: use an http:// URL, as in http://127.0.0.1:9001"),
        ("http://a/ --rate 1 --endpoint http://b",
         "--endpoint does not go with http://a/, a URL, which takes --method"),
        ("http://a/ --rate 1 --memory 256", "--memory does not go with http://a/, a URL"),
        ("echo --endpoint http://a --rate 1 --warm 1",
         "--warm does not go with echo on http://a, which takes --endpoint, --sign"),
        ("echo --endpoint a --rate 1", "--endpoint a: use an http:// URL"),
        ("none.toml", "cannot read {folder}/none.toml: No such file or directory"),
        ("broken.toml", "{folder}/broken.toml is not TOML"),
        ("steady.toml --memory 256",
         "--memory: steady.toml says that. Of a file only --name, --seed, --drain, --no-noise"),
        ("steady.toml --rate x", "{folder}/steady.toml: --rate = 'x': use a number above 0"),
        ("steady.toml --duration 1w", "{folder}/steady.toml: --duration = '1w': write a duration"),
        ("ramp.toml --rate 5", "{folder}/ramp.toml: --rate: there is no such setting. There are: "),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said(folder: Path, line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(*line.split())
    assert message.format_map({"folder": folder}) in str(caught.value) or message in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a:b c:d --rate 1", "one TARGET at a time, not a:b c:d"),
        ("app:handler --rate 1 --json none/x", "cannot write none/x: there is no directory none"),
        ("app:handler --rate 1 --html code", "cannot write code: it is a directory"),
        ("bad:handler --rate 1", "Unable to import module 'bad'"),
        ("http://127.0.0.1:1/ --rate 1", "no connection to 127.0.0.1:1: "),
        ("compare", "compare takes two files that --json wrote: stoker load compare A.json B.json"),
        ("compare a b --rate 1", "compare takes two files, --json, --html and --quiet, not rate"),
        ("compare a b", "cannot read a: No such file or directory"),
        ("compare lines lines", "lines is not what stoker load --json writes"),
    ],
)
def test_what_cannot_be_done_is_said_with_status_2(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert main.main(["load", *line.split()]) == 2
    assert message in capsys.readouterr().err


def reported(found: results.Result, *options: str) -> int:
    parsed = main._parse(["load", "app:handler", "--rate", "1", *options])
    return load.report(found, load.scenario(parsed), parsed)


@pytest.mark.slow
def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(stalled()) == 0
    assert "orders" in capsys.readouterr().out
    assert reported(stalled(), "--fail-if", "p50>1s", "--fail-if", "goodput<1") == 0
    assert capsys.readouterr().err == ""
    assert (
        reported(stalled(), "--fail-if", "p99>5ms", "--fail-if", "p50>1s", "--fail-if", "max>1ms", "--quiet")
        == 1
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(" is ")[0] for line in err.splitlines()] == ["stoker load: p99", "stoker load: max"]
    assert reported(unanswered()) == 1
    assert "stoker load: nothing was answered rightly" in capsys.readouterr().err
    assert reported(voided(), "--fail-if", "p50>1ns") == 3
    assert "stoker load: the run is void: the generator's lag was 38.2 ms at p99" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_written_is_what_was_found(folder: Path) -> None:
    found = cold()
    (folder / "x.json").write_text("an older one")
    assert reported(found, "--json", "x.json", "--html", "x.html", "--quiet") == 0
    assert results.read(folder / "x.json") == found
    page = (folder / "x.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "thumbnails" in page


@pytest.mark.slow
def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = stalled()
    worse = msgspec.structs.replace(a, ended={**a.ended, "error": a.offered // 2, "ok": a.offered // 2})
    results.write(folder / "a.json", a)
    results.write(folder / "b.json", worse)
    results.write(folder / "c.json", ramped())
    assert main.main(["load", "compare", "a.json", "a.json"]) == 0
    assert "within the noise" in capsys.readouterr().out
    assert (
        main.main(["load", "compare", "a.json", "b.json", "--json", "c", "--html", "c.html", "--quiet"]) == 1
    )
    assert capsys.readouterr().out == ""
    assert json.loads((folder / "c").read_text())["verdict"] == "worse"
    assert "<html" in (folder / "c.html").read_text()
    assert main.main(["load", "compare", "a.json", "c.json"]) == 2


def test_the_help_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["load", "--help"])
    text = capsys.readouterr().out
    for word in (
        "--ramp A:B:STEP",
        "compare A.json B.json",
        "examples:",
        "exit status:",
        "the run is void",
        "{{uuid}}",
    ):
        assert word in text


def test_the_examples_of_the_help_are_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each makes a scenario, where its files are."""
    import shlex

    from engine.cli.load_options import _MORE

    (folder / "handlers").mkdir()
    (folder / "handlers" / "echo").symlink_to(ECHO)
    (folder / "bench" / "scenarios").mkdir(parents=True)
    (folder / "bench" / "scenarios" / "steady.toml").write_text(TOML.replace('"code"', '"../../code"'))
    lines = [line.strip() for line in _MORE.splitlines() if line.startswith("  stoker load ")]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line.split("&&")[0])
        assert parsed(*words[2:]).arrivals_words


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "engine.cli", "load", *arguments]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.dirname(engine.__path__[0])}


@pytest.mark.slow
def test_a_run_from_beginning_to_end(folder: Path) -> None:
    done = subprocess.run(
        command(
            "app:handler", "--code", "code", "--rate", "100", "--duration", "1", "--no-noise", "--template",
            '{"n": {{number}}, "id": "{{uuid}}"}', "--expect", "echo", "--json", "a.json", "--fail-if", "errors>0",
        ),
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    found = results.read(folder / "a.json")
    # On a machine that has better things to do the generator may slip, and says so.
    assert done.returncode == (3 if found.void else 0), done.stderr
    assert found.ended == {"ok": found.offered}
    assert found.offered > 0
    assert (found.name, found.target) == ("app:handler", "app:handler in code, embedded, 1 worker")
    assert "app:handler" in done.stdout


@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing(folder: Path) -> None:
    begun = folder / "begun"
    (folder / "code" / "app.py").write_text(
        "import os, pathlib\ndef handler(event, context):\n"
        f"    file = pathlib.Path({str(folder)!r})\n    (file / 'new').write_text(str(os.getpid()))\n"
        "    (file / 'new').rename(file / 'begun')\n    return event\n"
    )
    process = subprocess.Popen(
        command("app:handler", "--code", "code", "--closed", "1", "--duration", "1h", "--no-noise"),
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: begun.exists() or process.poll() is not None)
    worker = int(begun.read_text())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
