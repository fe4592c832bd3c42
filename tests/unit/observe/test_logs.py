"""What handlers print: whose it is, how much is kept, and Lambda's START, END and REPORT lines."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine._native import lib
from support import FUNCTIONS, Gate, Logs, script, until

from engine import Engine
from engine.calls.dispatch import FunctionEntry, Outcome
from engine.limits import LOG_TAIL_BYTES
from engine.observe import report
from engine.worker import handler, output

Function = Callable[..., Any]
KINDS = ["printed", "to stderr", "logged", "native", "child", "context"]


@pytest.mark.promise(36)
def test_everything_that_is_said_arrives(function: Function, logs: Logs) -> None:
    speak = function("speak")
    reply = speak.invoke_raw(b'"now"')
    assert reply.function_error is None
    for kind in KINDS:
        assert f"{kind} now\n" in reply.log_tail
    text = until(lambda: (t := logs.of(speak.name)).count("now\n") >= 6 and t)
    assert text.index("printed") < text.index("to stderr") < text.index("logged")
    assert set(logs.by_request(speak.name)) == {reply.request_id}


@pytest.mark.parametrize("way", ["invoke", "submit", "map"])
def test_of_every_way_to_call(function: Function, logs: Logs, way: str) -> None:
    speak = function("speak_once")
    if way == "invoke":
        speak.invoke("a")
    elif way == "submit":
        speak.submit("a").result(20)
    else:
        list(speak.map(["a"]))
    assert until(lambda: logs.of(speak.name)) == "<a>\n"


def test_each_invocation_has_its_own(function: Function, logs: Logs) -> None:
    speak = function("speak_once", concurrency=2, warm=2)
    replies = [speak.invoke_raw(str(n).encode()) for n in range(50)]
    assert logs.by_request(speak.name) == {r.request_id: f"<{n}>\n" for n, r in enumerate(replies)}


@pytest.mark.promise(36)
def test_pipelined_invocations_have_their_own(function: Function, logs: Logs) -> None:
    speak = function("speak_once", concurrency=2, warm=2)
    list(speak.map(range(300)))
    assert sorted(logs.by_request(speak.name).values()) == sorted(f"<{n}>\n" for n in range(300))


def test_a_logging_line_is_lambdas(function: Function, logs: Logs) -> None:
    log = function("evaluate")
    reply = log.invoke_raw(b"\"__import__('logging').getLogger('a.b').error('text %d', 5)\"")
    line = logs.by_request(log.name)[reply.request_id]
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"\[ERROR\]\t{stamp}\t{reply.request_id}\ttext 5\n", line)


def test_below_warning_nothing_is_logged(function: Function, logs: Logs) -> None:
    log = function("evaluate")
    log.invoke("__import__('logging').info('quiet')")
    log.invoke("__import__('logging').warning('loud')")
    assert logs.of(log.name).count("\n") == 1
    assert "loud" in logs.of(log.name)


@pytest.mark.parametrize("init", ["snapshot", "fresh"])
def test_a_basic_config_at_import_does_not_say_everything_twice(
    engine: Any, write: Callable[..., Path], logs: Logs, init: Any
) -> None:
    """On Lambda the root logger has its handler before the function is imported, so basicConfig does nothing."""
    source = (
        "import logging\nlogging.basicConfig(level=logging.INFO)\n"
        "def handler(e, c): logging.getLogger('mine').warning('once')\n"
    )
    name = f"basic-{init}"
    basic = engine.function("basic:handler", code=write(basic=source), name=name, init=init)
    tail = basic.invoke_raw().log_tail
    assert tail.count("once") == 1
    assert "\tonce\n" in tail


def test_what_utf8_cannot_hold_is_escaped(function: Function, logs: Logs) -> None:
    odd = function("evaluate")
    odd.invoke(r"print('a\ud800b')")
    assert logs.of(odd.name) == "a\\ud800b\n"


def test_bytes_that_are_no_text(function: Function, logs: Logs) -> None:
    odd = function("evaluate")
    odd.invoke(r"sys.stdout.buffer.write(b'\xff\xfeok\n')")
    assert logs.of(odd.name) == "\ufffd\ufffdok\n"


def test_the_streams_are_as_usual(function: Function) -> None:
    look = function("evaluate")
    assert look.invoke("[sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding]") == [1, 2, "utf-8"]
    assert look.invoke("sys.stdout is sys.__stdout__") is True
    assert look.invoke("[sys.stdout.isatty(), sys.stdout.writable()]") == [False, True]


def test_stdin_is_empty(function: Function) -> None:
    assert function("evaluate").invoke("os.read(0, 10).decode()") == ""


@pytest.mark.promise(38)
def test_an_unfinished_line_is_said_before_a_death(function: Function, logs: Logs) -> None:
    dies = function("evaluate")
    with pytest.raises(Exception, match="killed"):
        dies.invoke("(print('last words', end=''), os.kill(os.getpid(), 9))")
    until(lambda: "last words" in logs.of(dies.name))


class TestTheTail:
    @pytest.mark.promise(37)
    def test_a_silent_one(self, function: Function) -> None:
        r = function("echo", memory=256).invoke_raw(b"1")
        pattern = (
            rf"START RequestId: {r.request_id} Version: \$LATEST\n"
            rf"END RequestId: {r.request_id}\n"
            rf"REPORT RequestId: {r.request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\t"
            r"Memory Size: 256 MB\tMax Memory Used: \d+ MB\t\n"
        )
        assert re.fullmatch(pattern, r.log_tail), r.log_tail

    def test_what_is_said_is_between(self, function: Function) -> None:
        r = function("speak_once").invoke_raw(b'"x"')
        first, own, end, last = r.log_tail.splitlines()
        assert (first[:5], own, end[:3], last[:6]) == ("START", "<x>", "END", "REPORT")

    def test_a_missing_line_break_is_made_up_for(self, function: Function) -> None:
        r = function("evaluate").invoke_raw(b"\"print('open', end='')\"")
        assert "\nopen\nEND RequestId" in r.log_tail

    def test_a_cold_one_says_how_long_init_took(self, function: Function) -> None:
        speak = function("speak_once", warm=0)
        cold, warm = speak.invoke_raw(b"1"), speak.invoke_raw(b"1")
        assert (cold.cold, warm.cold) == (True, False)
        assert re.search(r"\tInit Duration: \d+\.\d\d ms\t\n$", cold.log_tail)
        assert "Init Duration" not in warm.log_tail

    def test_without_a_snapshot_it_is_the_workers_own_init(
        self, engine: Any, write: Callable[..., Path]
    ) -> None:
        """Each worker's, and not the template's, which does not run it."""
        source = "import os, time\ntime.sleep(0.3)\ndef handler(e, c): return os.getpid()\n"
        slow = engine.function("slowly:handler", code=write(slowly=source), init="fresh", warm=0)
        for _ in range(2):
            cold = slow.invoke_raw(b"1")
            took = re.search(r"\tInit Duration: (\d+\.\d\d) ms\t\n$", cold.log_tail)
            assert took
            assert 0.3 <= float(took[1]) / 1e3 <= cold.timings.total
            assert "Init Duration" not in slow.invoke_raw(b"1").log_tail
            os.kill(int(cold.payload), 9)
            until(lambda: not slow.workers())

    @pytest.mark.slow
    @pytest.mark.parametrize("end", ["raise ValueError", "os._exit(3)", "time.sleep(60)"])
    def test_an_init_that_fails_says_what_it_used(
        self, engine: Any, write: Callable[..., Path], end: str
    ) -> None:
        source = f"import os, time\nkept = b'x' * (64 << 20)\n{end}\n"
        code, name = write(fails=source), f"fails-{end[:2]}"
        fails = engine.function("fails:handler", code=code, name=name, init="fresh", warm=0, init_timeout=1.0)
        r = fails.invoke_raw(b"1")
        assert r.function_error
        used = re.search(r"\tMax Memory Used: (\d+) MB\tInit Duration: ", r.log_tail)
        assert used
        assert 64 <= int(used[1]) < 200
        assert r.memory == int(used[1])
        assert r.log_tail.endswith("\tStatus: error\n")

    @pytest.mark.promise(37)
    @pytest.mark.parametrize("size", [10, 3000, LOG_TAIL_BYTES, 10_000, 100_000])
    def test_it_is_the_last_four_kib(self, function: Function, size: int) -> None:
        tail = function("speak_much").invoke_raw(str(size).encode()).log_tail
        whole = size + 400 < LOG_TAIL_BYTES
        assert tail.startswith("START") == whole
        assert len(tail) == LOG_TAIL_BYTES if size > LOG_TAIL_BYTES else len(tail) <= LOG_TAIL_BYTES
        assert "aEND\nEND RequestId" in tail
        assert tail.endswith("MB\t\n")

    def test_it_is_cut_between_characters(self, function: Function) -> None:
        tail = function("evaluate").invoke_raw("\"print('€' * 3000)\"".encode()).log_tail
        assert LOG_TAIL_BYTES - 3 <= len(tail.encode()) <= LOG_TAIL_BYTES
        assert tail.startswith("€")

    def test_a_timeout(self, function: Function) -> None:
        r = function("forever", timeout=0.2).invoke_raw()
        assert r.log_tail.endswith("MB\tStatus: timeout\n")

    def test_a_crash(self, function: Function) -> None:
        r = function("exit_hard").invoke_raw(b"1")
        assert r.log_tail.endswith("\tStatus: error\tError Type: Runtime.ExitError\n")

    def test_a_failure_has_no_status(self, function: Function) -> None:
        r = function("fail").invoke_raw(b'"x"')
        assert r.log_tail.endswith(" MB\t\n")
        assert "[ERROR] Trouble: x\n" in r.log_tail


class TestReportLines:
    """Without a process."""

    entry = FunctionEntry(0, "f", 3.0, False, 128, "$LATEST", 0.1101)

    @staticmethod
    def outcome(status: int = lib.STK_OK, cold: bool = False, **members: int) -> Outcome:
        values = {"submitted": 100, "dispatched": 200, "started": 300, "ended": 3_010_300, "done": 3_010_500}
        values |= members
        return Outcome(status=status, detail=values.pop("detail", 0), data=b"1", log="", log_dropped=0,
                       request_id="RID", peak_kib=values.pop("peak_kib", 36 * 1024), cold=cold, **values)  # fmt: skip

    def test_as_lambda_prints_it(self) -> None:
        start, end = report.start_and_report(self.entry, self.outcome(cold=True))
        assert start == "START RequestId: RID Version: $LATEST\n"
        assert end == (
            "END RequestId: RID\n"
            "REPORT RequestId: RID\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t"
            "Max Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n"
        )

    def test_out_of_memory(self) -> None:
        _, end = report.start_and_report(
            self.entry, self.outcome(lib.STK_MEMORY, detail=150 * 1024, peak_kib=0)
        )
        assert end.endswith("Max Memory Used: 150 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n")

    def test_an_init_that_failed(self) -> None:
        fresh = FunctionEntry(0, "f", 3.0, False, 128, "$LATEST", None)
        o = self.outcome(lib.STK_INIT, cold=True, detail=50 * 1024, peak_kib=0, started=0, ended=0)
        _, end = report.start_and_report(fresh, o)
        assert end.endswith("Max Memory Used: 50 MB\tInit Duration: 3.01 ms\tStatus: error\n")

    def test_what_did_not_happen_takes_no_time(self) -> None:
        t = report.timings(self.outcome(lib.STK_CLOSED, dispatched=0, started=0, ended=0, done=1100))
        assert (t.queue, t.dispatch, t.execute, t.reply, t.total) == (1e-6, 0, 0, 0, 1e-6)

    def test_stamps(self) -> None:
        t = report.timings(self.outcome())
        assert (t.queue, t.dispatch, t.execute, t.reply) == (1e-7, 1e-7, 3.01e-3, 2e-7)
        assert t.total == pytest.approx(sum((t.queue, t.dispatch, t.execute, t.reply)))


class TestErrorLines:
    def test_it_is_indented_as_aws_does(self) -> None:
        error = {
            "errorType": "T",
            "errorMessage": "a\nb",
            "stackTrace": ['  File "x", line 1, in f\n    code\n'],
        }
        assert handler.error_record(error, "\u00a0") == (
            "[ERROR] T: a\nb\nTraceback (most recent call last):\n"
            '\u00a0\u00a0File "x", line 1, in f\n\u00a0\u00a0\u00a0\u00a0code'
        )

    def test_without_a_trace(self) -> None:
        error = {"errorType": "T", "errorMessage": "m", "stackTrace": []}
        assert handler.error_record(error) == "[ERROR] T: m"


class TestTheStream:
    def test_a_write_is_one_append(self) -> None:
        got: list[bytes] = []
        stream = output.Output(1)
        stream.append = got.append
        assert stream.write(b"abc") == 3
        assert stream.write(memoryview(b"d")) == 1
        assert (got, stream.fileno(), stream.writable()) == ([b"abc", b"d"], 1, True)

    def test_a_record_that_cannot_be_formatted_does_not_raise(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lambda_handler = output.LambdaLogHandler(output.Records(output.Output(1), False))
        lambda_handler.emit(logging.LogRecord("n", logging.INFO, "f", 1, "%d", ("x",), None))
        assert "Logging error" in capsys.readouterr().err
        lambda_handler.request_id = lambda: "RID"
        lambda_handler.emit(logging.LogRecord("n", logging.WARNING, "f", 1, "m %s", ("x",), None))
        assert capsys.readouterr().out.endswith("\tRID\tm x\n")


class TestSinks:
    @pytest.mark.slow
    def test_the_default_is_stderr(self, tmp_path: Path) -> None:
        source = (
            "import os, subprocess, sys\nfrom engine import Engine\n"
            "if len(sys.argv) == 1:\n"
            "    done = subprocess.run([sys.executable, __file__, 'x'], capture_output=True, text=True)\n"
            "    print(repr(done.stdout), repr(done.stderr))\n"
            "else:\n"
            "    with Engine() as engine:\n"
            "        engine.function('app:speak_once', code=os.environ['FUNCTIONS']).invoke('v')\n"
        )
        assert script(source, directory=tmp_path) == "'' '<v>\\n'\n"

    def test_none(self, capfd: pytest.CaptureFixture[str]) -> None:
        with Engine(logs=False) as engine:
            engine.function("app:speak", code=FUNCTIONS).invoke(1)
        assert capfd.readouterr() == ("", "")

    @pytest.mark.promise(41)
    def test_one_that_raises_breaks_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        def sink(name: str, request_id: str, text: str) -> None:
            raise RuntimeError("broken sink")

        with Engine(logs=sink) as engine:
            speak = engine.function("app:speak_once", code=FUNCTIONS)
            assert speak.invoke("v") is None
            assert speak.submit("v").result(20) is None
            assert list(speak.map(["v", "w"])) == [None, None]
        assert "the log sink raised RuntimeError('broken sink')" in capsys.readouterr().err

    @pytest.mark.promise(41)
    def test_one_that_calls_the_engine(self) -> None:
        """From the caller's thread a sink may invoke: no lock is held."""
        seen: list[Any] = []

        def sink(name: str, request_id: str, text: str) -> None:
            seen.append(echo.invoke(text))

        with Engine(logs=sink) as engine:
            echo = engine.function("app:echo", code=FUNCTIONS)
            engine.function("app:speak_once", code=FUNCTIONS).invoke("v")
        assert seen == ["<v>\n"]


@pytest.mark.promise(40)
def test_much_output_is_kept_to_a_bound_and_counted(engine: Any, function: Function, logs: Logs) -> None:
    """More than the log keeps: what is dropped is counted, and the call goes on."""
    loud = function("evaluate")
    loud.invoke("[print('x' * 8000) for _ in range(200)] and None")
    assert loud.invoke("1") == 1
    kept = logs.of(loud.name).count("x")
    assert 0 < kept <= 256 * 1024
    # What did not even fit the lane is counted when the control loop next looks at it.
    until(lambda: kept + engine.stats()[loud.name].log_bytes_dropped >= 200 * 8000)


def test_output_of_a_child_that_outlives_the_reply_is_not_the_next_ones(
    engine: Any, function: Function, logs: Logs, gate: Gate
) -> None:
    """It belongs to no invocation, or to the one that runs when it is read: never is it lost or doubled."""
    spawn = function("evaluate")
    code = f"import fcntl; fcntl.flock(open({str(gate.path)!r}), fcntl.LOCK_SH); print('late')"
    spawn.invoke(f"__import__('subprocess').Popen([sys.executable, '-S', '-c', {code!r}]).pid")
    gate.open()
    until(lambda: (spawn.invoke("1"), logs.of(spawn.name))[1])
    assert logs.of(spawn.name) == "late\n"


def test_the_name_of_the_function_goes_along(function: Function, logs: Logs) -> None:
    one, two = function("speak_once"), function("speak_once")
    one.invoke(1)
    two.invoke(2)
    assert (logs.of(one.name), logs.of(two.name)) == ("<1>\n", "<2>\n")
    assert sys.stdout is not None
