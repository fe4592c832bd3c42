"""The `stoker` command: what it prints where, its exit statuses, and that it leaves no process behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import engine
from engine.cli import embedded, findings, main, probes, texts
from engine.errors import UnsupportedPlatform

HANDLERS = Path(__file__).resolve().parents[3] / "handlers"
MARK = "STOKER_CLI_TEST"  # in the environment of everything that a test starts
COMMAND = [sys.executable, "-m", "engine.cli"]

HANDLER = """\
import os, subprocess, sys, time

def handler(event, context):
    print("printed")
    os.write(2, b"written\\n")
    subprocess.run(["echo", "by a child"])
    return {"event": event, "size": os.environ.get("SIZE"), "memory": context.memory_limit_in_mb,
            "left": context.get_remaining_time_in_millis(), "name": context.function_name}

def fails(event, context):
    raise ValueError("no such thing: " + event["thing"])

def sometimes(event, context):
    sometimes.calls += 1
    if sometimes.calls % 4 == 0:
        raise ValueError("every fourth")
sometimes.calls = 0

def sleeps(event, context):
    subprocess.Popen(["sleep", "1000"])
    open(event["file"], "w").close()
    time.sleep(1000)

def shout(payload, context):
    return bytes(payload).upper()

def large(event, context):
    return "x" * (5 << 20)
"""


def environment(**more: str) -> dict[str, str]:
    # The engine under test, wherever it was imported from, but not the test's own directory.
    return {**os.environ, "PYTHONPATH": os.path.dirname(engine.__path__[0]), **more}


def stoker(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> SimpleNamespace:
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        cwd=cwd,
        env=environment(),
        check=False,
    )
    return SimpleNamespace(status=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "broken.py").write_text("def handler(:\n")
    return tmp_path


# stoker invoke: what it prints


def test_the_response_is_on_stdout_and_lambdas_lines_around_the_log_on_stderr(code: Path) -> None:
    done = stoker("invoke", "app:handler", '{"n": [1, "é"]}', "--code", str(code))
    assert done.status == 0
    assert json.loads(done.out)["event"] == {"n": [1, "é"]}
    lines = done.err.splitlines()
    request = re.fullmatch(r"START RequestId: ([0-9a-f-]{36}) Version: \$LATEST", lines[0])
    assert request is not None
    assert sorted(lines[1:-2]) == ["by a child", "printed", "written"]
    assert lines[-2] == f"END RequestId: {request[1]}"
    assert re.fullmatch(
        rf"REPORT RequestId: {request[1]}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t",
        lines[-1],
    )


def test_the_event_is_an_empty_object_unless_given(code: Path) -> None:
    done = stoker("invoke", "app.handler", cwd=code)
    assert (done.status, json.loads(done.out)["event"]) == (0, {})


@pytest.mark.slow
def test_the_event_comes_from_a_file_or_from_stdin_byte_for_byte(code: Path) -> None:
    text = '{"a":1.0,"b":"é","c":null}'
    (code / "event.json").write_text(text)
    echo = str(HANDLERS / "echo")
    for event in (f"@{code / 'event.json'}", "-", text):
        done = stoker("invoke", "app:handler", event, "--code", echo, stdin=text.encode())
        assert (done.status, done.out) == (0, text + "\n")


@pytest.mark.slow
def test_options_may_stand_before_the_event_and_reach_the_function(code: Path) -> None:
    done = stoker(
        "invoke", "--memory", "256", "app:handler", "--env", "SIZE=a=b", "--timeout", "7", "--init", "fresh",
        "--name", "other", "--code", str(code), "[2]",
    )  # fmt: skip
    response = json.loads(done.out)
    assert done.status == 0
    assert 5000 < response.pop("left") <= 7000
    assert response == {"event": [2], "size": "a=b", "memory": "256", "name": "other"}
    assert "Memory Size: 256 MB" in done.err


@pytest.mark.slow
def test_a_raw_function_gets_bytes_and_its_bytes_are_all_that_is_on_stdout(code: Path) -> None:
    done = stoker("invoke", "app:shout", "-", "--raw", "--code", str(code), stdin=b"no json {")
    assert (done.status, done.out) == (0, "NO JSON {")


@pytest.mark.slow
def test_a_response_of_several_megabytes_arrives_whole(code: Path) -> None:
    done = stoker("invoke", "app:large", "--code", str(code))
    assert (done.status, len(done.out)) == (0, (5 << 20) + 3)


# stoker invoke: functions that fail


def test_a_function_error_is_lambdas_object_on_stdout_and_status_1(code: Path) -> None:
    done = stoker("invoke", "app:fails", '{"thing": "x"}', "--code", str(code))
    body = json.loads(done.out)
    assert done.status == 1
    assert (body["errorType"], body["errorMessage"]) == ("ValueError", "no such thing: x")
    assert re.search(r'app\.py", line \d+, in fails', body["stackTrace"][0])
    assert body["requestId"] in done.err
    assert "[ERROR] ValueError: no such thing: x\nTraceback (most recent call last):" in done.err


@pytest.mark.slow
def test_a_timeout_is_a_function_error(code: Path) -> None:
    event = json.dumps({"file": str(code / "began")})
    done = stoker("invoke", "app:sleeps", event, "--timeout", "0.5", "--code", str(code))
    body = json.loads(done.out)
    assert done.status == 1
    assert body["errorType"] == "Sandbox.Timedout"
    assert body["errorMessage"].endswith("Task timed out after 0.50 seconds")
    assert "Status: timeout" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("init", ["snapshot", "fresh"])
@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        ("nowhere:handler", "Runtime.ImportModuleError"),
        ("app:nothing", "Runtime.HandlerNotFound"),
        ("broken:handler", "Runtime.UserCodeSyntaxError"),
    ],
)
def test_a_failed_init_is_a_function_error_with_awss_type(
    code: Path, reference: str, kind: str, init: str
) -> None:
    done = stoker("invoke", reference, "--init", init, "--code", str(code))
    body = json.loads(done.out)
    assert (done.status, body["errorType"], body["requestId"]) == (1, kind, "")
    assert kind in done.err
    assert ("modules are looked for in" in done.err) == (kind == "Runtime.ImportModuleError")


# stoker invoke: what is not invoked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["app"], "write module:function, for example app:handler"),
        (["app:"], "write module:function"),
        (["app:handler", "{n: 1}"], "is not JSON"),
        (["app:handler", "event.json"], "write @event.json to read that file"),
        (
            ["app:handler", "@missing.json"],
            "cannot read the event from missing.json: No such file or directory",
        ),
        (["app:handler", "@."], "cannot read the event from .: Is a directory"),
        (["app:handler", "--code", "missing"], "--code missing: there is no such directory"),
        (["app:handler", "--memory", "5"], "from 128 to 10240 MB"),
        (["app:handler", "--timeout", "0"], "from 0.001 to 900 seconds"),
        (["app:handler", "--env", "SIZE"], "--env SIZE: write NAME=VALUE"),
        (["app:handler", "--env", "AWS_EXECUTION_ENV=1"], "is reserved"),
        (["app:handler", "--repeat", "-1"], "--repeat -1: use 1 or more"),
        (["app:handler", "--name", "a b"], "bad name 'a b'"),
        (["app:handler", "{}", "{}"], "unrecognized arguments: {}"),
        (["app:handler", "--cdoe", "x"], "unrecognized arguments: --cdoe x"),
        (["app:handler", "--init", "warm"], "invalid choice: 'warm'"),
        ([], "REF"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_status_2_and_says_what_would_be_right(
    code: Path, arguments: list[str], message: str
) -> None:
    (code / "event.json").write_text("{}")
    done = stoker("invoke", *arguments, cwd=code)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_an_event_beyond_six_mebibytes_is_refused(code: Path) -> None:
    done = stoker("invoke", "app:handler", "-", "--code", str(code), stdin=b'"' + b"x" * (6 << 20) + b'"')
    assert (done.status, done.out) == (2, "")
    assert "too large" in done.err


@pytest.mark.slow
def test_a_reader_that_leaves_is_not_an_error_worth_a_traceback(code: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "invoke", "app:large", "--code", str(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(30) == 128 + signal.SIGPIPE
    assert "Traceback" not in error


# stoker invoke --repeat


@pytest.mark.slow
def test_repeat_prints_the_first_in_full_and_a_summary_of_the_others(code: Path) -> None:
    done = stoker("invoke", "app:handler", "--repeat", "50", "--code", str(code))
    assert done.status == 0
    assert len(done.out.splitlines()) == 1
    assert done.err.count("printed") == 1
    assert re.search(r"^repeated 50 times, 0 failed, [\d,]+ per second$", done.err, re.MULTILINE)
    assert re.search(r"^latency p50 \S+ \S+  p90 \S+ \S+  p99 \S+ \S+  max \S+ \S+$", done.err, re.MULTILINE)


@pytest.mark.slow
def test_repeat_counts_what_fails(code: Path) -> None:
    done = stoker("invoke", "app:sometimes", "--repeat", "11", "--code", str(code))
    assert (done.status, done.out) == (1, "null\n")
    assert "repeated 11 times, 3 failed" in done.err


def test_the_summary_of_known_latencies() -> None:
    took = [n * 1000 for n in range(1, 101)]
    assert embedded.summary(took, 2, 0.5) == (
        "repeated 100 times, 2 failed, 200 per second\n"
        "latency p50 51.0 µs  p90 91.0 µs  p99 100.0 µs  max 100.0 µs"
    )
    assert embedded.summary([], 0, 0.0) == "repeated 0 times"


@pytest.mark.parametrize(
    ("ns", "text"), [(140, "140 ns"), (2_150, "2.1 µs"), (42_000_000, "42.00 ms"), (1_500_000_000, "1.50 s")]
)
def test_a_duration_is_written_in_the_unit_that_suits_it(ns: int, text: str) -> None:
    assert texts.microseconds(ns) == text


# Signals


def marked(mark: str) -> list[int]:
    """Every live process that was started with this mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended, or is a zombie
            continue
    return found


def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("where", ["handler", "init", "repeat"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_signal_ends_it_cleanly(code: Path, number: signal.Signals, where: str, times: int) -> None:
    began = code / "began"
    (code / "slow.py").write_text(f"import time\nopen({str(began)!r}, 'w').close()\ntime.sleep(1000)\n")
    arguments = {
        "handler": ["app:sleeps", json.dumps({"file": str(began)})],
        "init": ["slow:handler"],
        "repeat": ["app:sleeps", json.dumps({"file": str(began)}), "--timeout", "0.2", "--repeat", "1000"],
    }[where]
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    process = subprocess.Popen(
        [*COMMAND, "invoke", *arguments, "--code", str(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**{MARK: mark}),
    )
    until(began.exists)
    if where == "repeat":
        began.unlink()
        until(began.exists)  # the handler makes it anew at each invocation
    assert len(marked(mark)) > 2
    for _ in range(times):
        process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert b"Traceback" not in error
    assert (b"repeated" in error) == (where == "repeat")
    until(lambda: not marked(mark))


# stoker doctor


@pytest.mark.slow
def test_doctor_says_what_there_is_and_ends_with_0() -> None:
    done = stoker("doctor")
    assert done.status == 0
    assert done.err == ""
    for words in (
        "usable, physical, cgroup quota, pinning, spin round trip, chosen, warm call",
        "shared memory, pidfd, eventfd, PDEATHSIG, subreaper, /proc children, close_range, RLIMIT_DATA",
        "file descriptors, processes, cgroup memory, cgroup pids, sandboxes, seccomp, landlock, yama",
    ):
        for word in words.split(", "):
            assert word in done.out
    assert done.out.splitlines()[-1] == "The engine can run here."


@pytest.mark.slow
def test_doctor_as_json_on_one_core() -> None:
    core = str(max(os.sched_getaffinity(0)))
    done = subprocess.run(
        ["taskset", "-c", core, *COMMAND, "doctor", "--json"],
        capture_output=True,
        timeout=60,
        env=environment(),
        check=False,
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["can_run"] is True
    assert (found["cores"]["usable"], found["cores"]["pinning"]) == ([int(core)], True)
    assert (found["latency"]["spin_budget"], found["latency"]["wake_two_cores"]) == (0, None)
    assert 0 < found["latency"]["warm_call_p50"] <= found["latency"]["warm_call_p99"]


@pytest.mark.slow
def test_doctor_names_what_is_missing_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = probes.Check("pidfd", False, "Function not implemented", True, "Linux 5.3 or later")
    monkeypatch.setattr(findings, "needed", lambda: [lacking])
    assert main.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"MISSING +pidfd +Function not implemented\n +to get it: Linux 5.3 or later", out)
    assert out.splitlines()[-1] == "The engine cannot run here: this machine lacks pidfd"


def test_doctor_tells_of_an_engine_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise UnsupportedPlatform("the zygote could not be started: no")

    monkeypatch.setattr(findings, "_engine", fails)
    assert main.main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["can_run"] is False
    assert found["why_not"] == "UnsupportedPlatform: the zygote could not be started: no"


def test_a_probe_of_what_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_cgroup_directories", dict)
    check = probes.cgroup("memory")
    assert (check.ok, check.needed) == (False, False)
    assert "Delegate=yes" in check.remedy

    def refuse(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert (probes.pidfd().ok, probes.pidfd().needed) == (False, True)


# The command itself


@pytest.mark.parametrize(("command", "status"), [("doctor", 1), ("invoke", 2)])
def test_elsewhere_than_on_linux_one_sentence_says_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, status: int
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main.main([command, *(["app:handler"] if command == "invoke" else [])]) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "Linux only" in output.err


def test_version_and_help_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in (
        (["--version"], f"stoker {engine.__version__}"),
        (["--help"], "doctor"),
        (["invoke", "--help"], "stoker invoke app:handler @event.json"),
        (["doctor", "--help"], "exit status"),
    ):
        with pytest.raises(SystemExit) as ended:
            main.main(arguments)
        assert ended.value.code == 0
        assert expected in capsys.readouterr().out


def test_the_commands_signal_handlers_are_gone_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert main.main(["invoke", "app"]) == 2
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


# Imports


def test_importing_the_engine_is_light() -> None:
    """A few modules of its own and of the standard library: what takes longer is imported where it is used."""
    code = "import sys; before = set(sys.modules); import engine; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment())
    assert set(done.stdout.decode().split()) <= {"engine", "engine.errors"}


def test_importing_the_engine_imports_neither_asyncio_nor_the_native_part() -> None:
    code = "import sys, engine; print(sorted({'asyncio', 'uvloop', 'engine._native'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment())
    assert done.stdout == b"[]\n"


def loaded(names: str) -> set[str]:
    """The engine's modules that a parser with these commands imports."""
    code = (
        f"import sys; from engine.cli import main; main.parser({names}); "
        "print(*(name.removeprefix('engine.') for name in sys.modules if name.startswith('engine.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment())
    return set(done.stdout.decode().split())


def test_the_commands_import_nothing_of_the_engine_but_its_ground() -> None:
    modules = loaded("")
    assert {name for name in modules if name[:3] != "cli"} <= {"errors", "limits", "version"}
    assert {"cli.embedded", "cli.findings", "cli.probes"}.isdisjoint(modules)
    assert {f"cli.{name}" for name in main.COMMANDS} <= modules


def test_a_command_imports_no_other() -> None:
    others = {f"cli.{name}" for name in main.COMMANDS} - {"cli.ls"}
    assert others.isdisjoint(loaded("['ls']"))
