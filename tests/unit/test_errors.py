"""Every error that a caller can meet, its members and AWS's texts."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import FUNCTIONS, Gate, Logs, until

from engine import (
    Engine,
    EngineClosed,
    EngineError,
    FunctionCrashed,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
    InitError,
    InvalidConfiguration,
    TooManyRequests,
)
from engine.errors import signal_description, signal_name

Function = Callable[..., Any]
WAYS = ["invoke", "submit", "map"]


def call(function: Any, event: Any, way: str = "invoke") -> Any:
    if way == "invoke":
        return function.invoke(event)
    if way == "submit":
        return function.submit(event).result(30)
    return next(function.map([event]))


class TestTheHandlersOwn:
    @pytest.mark.parametrize("way", WAYS)
    def test_members(self, function: Function, way: str) -> None:
        with pytest.raises(FunctionError) as caught:
            call(function("fail"), "some text", way)
        error = caught.value
        assert type(error) is FunctionError
        assert error.error_type == "Trouble"
        assert error.error_message == "some text"
        assert error.function_error == "Unhandled"
        assert str(error) == "Trouble: some text"
        assert len(error.request_id) == 36
        assert "raise Trouble(event)" in str(error.__cause__)

    def test_the_stack_trace_has_the_users_frames_only(self, function: Function) -> None:
        with pytest.raises(FunctionError) as caught:
            function("fail").invoke("x")
        file = FUNCTIONS / "app.py"
        lines = file.read_text().splitlines()

        def at(text: str) -> int:
            return lines.index(text) + 1

        assert [entry.splitlines()[0] for entry in caught.value.stack_trace] == [
            f'  File "{file}", line {at("    inner(event)")}, in fail',
            f'  File "{file}", line {at("    raise Trouble(event)")}, in inner',
        ]
        assert caught.value.stack_trace[0].splitlines()[1] == "    inner(event)"
        assert all(entry.endswith("\n") for entry in caught.value.stack_trace)

    def test_of_a_chain_the_last_one_counts(self, function: Function) -> None:
        with pytest.raises(FunctionError) as caught:
            function("fail_chained").invoke()
        assert (caught.value.error_type, caught.value.error_message) == ("ValueError", "outer")

    def test_a_text_that_cannot_be_had(self, function: Function) -> None:
        with pytest.raises(FunctionError, match=r"^Unprintable: <exception str\(\) failed>$"):
            function("fail_unprintable").invoke()

    def test_a_text_that_utf8_cannot_hold(self, function: Function) -> None:
        with pytest.raises(FunctionError) as caught:
            function("fail_surrogate").invoke()
        assert caught.value.error_type == "Trouble"
        assert "lone" in caught.value.error_message
        caught.value.error_message.encode("utf-8", "surrogatepass")

    def test_no_message(self, function: Function) -> None:
        with pytest.raises(FunctionError) as caught:
            function("evaluate").invoke("(_ for _ in ()).throw(KeyError)")
        assert str(caught.value) == "KeyError"

    @pytest.mark.parametrize("size", [100_000, 7_000_000])
    def test_a_large_text_does_not_break_the_reply(self, function: Function, size: int) -> None:
        fail = function("fail_large", memory=512)
        reply = fail.invoke_raw(json.dumps(size).encode())
        error = json.loads(reply.payload)
        assert error["errorType"] == "Trouble"
        assert set(error["errorMessage"]) == {"x"}
        assert fail.invoke_raw(b"1").function_error == "Unhandled"

    def test_it_is_logged_as_lambda_does(self, function: Function, logs: Logs) -> None:
        fail = function("fail")
        with pytest.raises(FunctionError):
            fail.invoke("text")
        text = until(lambda: logs.of(fail.name))
        assert text.startswith("[ERROR] Trouble: text\nTraceback (most recent call last):\n  File ")
        assert text.endswith("    raise Trouble(event)\n")

    def test_a_closed_stdout_hides_nothing(self, function: Function) -> None:
        broken = function("close_stdout")
        for _ in range(2):
            with pytest.raises(FunctionError) as caught:
                broken.invoke()
            assert caught.value.error_message == "after close"

    def test_the_worker_lives_on(self, function: Function) -> None:
        evaluate = function("evaluate")
        pid = evaluate.invoke("os.getpid()")
        for _ in range(3):
            with pytest.raises(FunctionError, match="^ZeroDivisionError: division by zero$"):
                evaluate.invoke("1/0")
        assert evaluate.invoke("os.getpid()") == pid


class TestResultsThatCannotBeSent:
    @pytest.mark.parametrize("expression", ["object()", "{(1, 2): 3}", "open", "[lambda: 0]"])
    def test_is_lambdas_marshal_error(self, function: Function, expression: str) -> None:
        with pytest.raises(FunctionError) as caught:
            function("evaluate").invoke(expression)
        assert caught.value.error_type == "Runtime.MarshalError"
        assert caught.value.error_message.startswith("Unable to marshal response: ")
        assert caught.value.stack_trace == []

    def test_what_contains_itself(self, function: Function) -> None:
        evaluate = function("evaluate")
        with pytest.raises(FunctionError, match=r"^Runtime.MarshalError: Unable to marshal response: "):
            evaluate.invoke("(lambda x: (x.append(x), x)[1])([])")
        assert evaluate.invoke("1") == 1


class TestTimeout:
    @pytest.mark.parametrize("way", WAYS)
    def test_members(self, function: Function, way: str) -> None:
        slow = function("forever", timeout=0.25)
        with pytest.raises(FunctionTimeout) as caught:
            call(slow, None, way)
        error = caught.value
        assert isinstance(error, FunctionError)
        assert isinstance(error, TimeoutError)
        assert error.error_type == "Sandbox.Timedout"
        assert (
            error.error_message == f"RequestId: {error.request_id} Error: Task timed out after 0.25 seconds"
        )
        assert error.timeout == 0.25
        assert error.stack_trace == []

    def test_as_a_response(self, function: Function) -> None:
        reply = function("forever", timeout=0.2).invoke_raw()
        assert reply.function_error == "Unhandled"
        assert json.loads(reply.payload) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {reply.request_id} Error: Task timed out after 0.20 seconds",
        }
        assert 0.2 <= reply.timings.execute < 5


class TestCrash:
    @pytest.mark.parametrize("way", WAYS)
    def test_an_exit_status(self, function: Function, way: str) -> None:
        with pytest.raises(FunctionCrashed) as caught:
            call(function("exit_hard"), 127, way)
        error = caught.value
        assert error.error_type == "Runtime.ExitError"
        assert error.error_message == (
            f"RequestId: {error.request_id} Error: Runtime exited with error: exit status 127"
        )
        assert (error.exit_status, error.signal) == (127, None)

    def test_no_reason(self, function: Function) -> None:
        reply = function("exit_hard").invoke_raw(b"0")
        assert json.loads(reply.payload) == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {reply.request_id} Error: Runtime exited without providing a reason",
        }

    @pytest.mark.parametrize(("argument", "status"), [(3, 3), (None, 0), ("a text", 1), (300, 300 & 0xFF)])
    def test_sys_exit(self, function: Function, argument: Any, status: int) -> None:
        with pytest.raises(FunctionCrashed) as caught:
            function("exit_with").invoke(argument)
        assert caught.value.exit_status == status

    def test_an_exception_that_is_none(self, function: Function) -> None:
        with pytest.raises(FunctionCrashed) as caught:
            function("interrupt").invoke()
        assert caught.value.exit_status == 1

    @pytest.mark.parametrize(("name", "text"), [("SIGKILL", "killed"), ("SIGSEGV", "segmentation fault")])
    def test_a_signal(self, function: Function, name: str, text: str) -> None:
        with pytest.raises(FunctionCrashed) as caught:
            function("kill_with").invoke(name)
        error = caught.value
        assert (error.exit_status, error.signal) == (None, name)
        assert error.error_message == (
            f"RequestId: {error.request_id} Error: Runtime exited with error: signal: {text} ({name})"
        )

    def test_the_next_call_has_a_new_worker(self, function: Function) -> None:
        evaluate = function("evaluate")
        pid = evaluate.invoke("os.getpid()")
        with pytest.raises(FunctionCrashed):
            evaluate.invoke("os._exit(9)")
        assert evaluate.invoke("os.getpid()") != pid


class TestInit:
    @pytest.mark.parametrize("init", ["snapshot", "fresh"])
    @pytest.mark.parametrize(
        ("source", "kind", "message"),
        [
            ("import no_such_module", "Runtime.ImportModuleError",
             "Unable to import module 'broken': No module named 'no_such_module'"),
            ("def handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'broken': invalid syntax"),
            ("x = 1", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'broken'"),
            ("handler = 5", "Runtime.HandlerNotFound", "Handler 'handler' on module 'broken' is not callable"),
            ("raise RuntimeError('at import')", "RuntimeError", "at import"),
            ("import sys; sys.exit(4)", "Runtime.ExitError", "Error: Runtime exited with error: exit status 4"),
            ("import os; os._exit(4)", "Runtime.ExitError", "Error: Runtime exited with error: exit status 4"),
        ],
    )  # fmt: skip
    def test_types_and_texts(
        self, engine: Any, write: Callable[..., Any], init: Any, source: str, kind: str, message: str
    ) -> None:
        code = write(broken=source + "\n")
        with pytest.raises(InitError) as caught:
            engine.function("broken:handler", code=code, init=init)
        assert caught.value.error_type == kind
        assert caught.value.error_message.startswith(message)
        assert caught.value.request_id == ""
        assert "broken" not in engine.stats()

    def test_the_stack_trace_starts_in_the_users_module(self, engine: Any, write: Callable[..., Any]) -> None:
        code = write(broken="import other\n", other="def f():\n    1 / 0\nf()\n")
        with pytest.raises(InitError) as caught:
            engine.function("broken:handler", code=code)
        assert [entry.splitlines()[0] for entry in caught.value.stack_trace] == [
            f'  File "{code}/broken.py", line 1, in <module>',
            f'  File "{code}/other.py", line 3, in <module>',
            f'  File "{code}/other.py", line 2, in f',
        ]

    def test_a_syntax_error_says_where(self, engine: Any, write: Callable[..., Any]) -> None:
        code = write(broken="x = 1\ndef (:\n")
        with pytest.raises(InitError) as caught:
            engine.function("broken:handler", code=code)
        assert caught.value.stack_trace == [f'  File "{code}/broken.py" Line 2\n    def (:']

    def test_a_built_in_module(self, engine: Any) -> None:
        with pytest.raises(InitError) as caught:
            engine.function("sys:exit", code=FUNCTIONS)
        assert caught.value.error_type == "Runtime.BuiltInModuleConflict"
        assert caught.value.error_message == "Cannot use built-in module sys as a handler module"

    @pytest.mark.parametrize("init", ["snapshot", "fresh"])
    def test_a_hang_ends(self, engine: Any, write: Callable[..., Any], init: Any) -> None:
        code = write(hangs="import signal\nwhile True: signal.pause()\n")
        with pytest.raises(InitError) as caught:
            engine.function("hangs:handler", code=code, init=init, init_timeout=0.3)
        assert caught.value.error_type == "Sandbox.Timedout"
        assert "0.30 seconds" in caught.value.error_message

    def test_what_it_printed_is_not_lost(self, engine: Any, write: Callable[..., Any], logs: Logs) -> None:
        code = write(chatty="print('before the end')\nraise ValueError('end')\n")
        with pytest.raises(InitError):
            engine.function("chatty:handler", code=code)
        text = until(lambda: "ValueError" in logs.of("chatty") and logs.of("chatty"))
        assert text.startswith("before the end\n")
        assert "[ERROR] ValueError: end\nTraceback" in text


class TestNotAccepted:
    def test_a_full_line(self, engine: Any, function: Function, gate: Gate) -> None:
        held = function("gated", waiting=2)
        running = held.submit(gate.event(0))
        gate.wait()
        waiting = [held.submit(gate.event(n)) for n in (1, 2)]
        for way in (held.invoke, held.submit, lambda e: next(held.map([e])), lambda _: held.invoke_raw(b"1")):
            with pytest.raises(TooManyRequests, match=r"^Rate Exceeded") as caught:
                way(gate.event(3))
            assert caught.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert engine.stats()[held.name].throttles == 4
        gate.open()
        assert [f.result(20) for f in (running, *waiting)] == [0, 1, 2]
        assert gate.arrived() == [0, 1, 2]
        assert held.invoke(gate.event(4)) == 4
        assert engine.stats()[held.name].invocations == 4

    def test_no_line_at_all(self, function: Function, gate: Gate) -> None:
        held = function("gated", waiting=0)
        running = held.submit(gate.event(0))
        gate.wait()
        with pytest.raises(TooManyRequests):
            held.invoke(gate.event(1))
        gate.open()
        assert running.result(20) == 0
        assert held.invoke(gate.event(2)) == 2

    def test_a_line_too_heavy(self, gate: Gate) -> None:
        with Engine(waiting_bytes=10_000) as engine:
            held = engine.function("app:gated", code=FUNCTIONS)
            first = held.submit(gate.event(0))
            gate.wait()
            second = held.submit(gate.event("x" * 6000))
            with pytest.raises(TooManyRequests):
                held.submit(gate.event("y" * 6000))
            gate.open()
            assert (first.result(20), second.result(20)) == (0, "x" * 6000)

    def test_a_removed_function(self, engine: Any, function: Function) -> None:
        echo = function("echo", name="goes")
        assert echo.invoke(1) == 1
        pid = echo.workers()[0]
        echo.remove()
        for way in (echo.invoke, echo.submit, lambda _: echo.invoke_raw(b"1"), lambda e: next(echo.map([e]))):
            with pytest.raises(FunctionNotFound, match="Function not found: goes"):
                way(1)
        with pytest.raises(FunctionNotFound):
            echo.remove()
        with pytest.raises(FunctionNotFound):
            echo.workers()
        assert "goes" not in engine.stats()
        until(lambda: not _lives(pid))

    def test_what_waits_for_a_removed_function(self, function: Function, gate: Gate) -> None:
        held = function("gated", name="leaves")
        running = held.submit(gate.event(0))
        gate.wait()
        waiting = held.submit(gate.event(1))
        failed: list[BaseException] = []

        def caller() -> None:
            try:
                held.invoke(gate.event(2))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=caller)
        thread.start()
        until(lambda: held._runtime.stats()["leaves"].queue_depth == 2)
        held.remove()
        held._runtime.supervisor.call(lambda: None)  # the control loop has heard of it
        gate.open()
        assert running.result(20) == 0  # what ran ends well
        thread.join(20)
        assert [type(error) for error in failed] == [FunctionNotFound]
        with pytest.raises(BaseException) as caught:
            waiting.result(20)
        assert type(caught.value).__name__ in ("CancelledError", "FunctionNotFound")
        assert gate.arrived() == [0]


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class TestTheTree:
    def test_bases(self) -> None:
        assert issubclass(FunctionTimeout, FunctionError)
        assert issubclass(FunctionTimeout, TimeoutError)
        assert issubclass(InvalidConfiguration, ValueError)
        assert issubclass(FunctionNotFound, LookupError)
        assert issubclass(EngineClosed, EngineError)

    @pytest.mark.parametrize(
        "error",
        [
            FunctionError("T", "m", ["line\n"], "id"),
            FunctionTimeout("id", 3),
            FunctionCrashed("id", 1, None),
            FunctionCrashed("id", None, "SIGKILL", oom=True),
            InitError("Runtime.ImportModuleError", "no"),
            TooManyRequests("full", "why"),
            EngineClosed("closed"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_they_survive_pickle_and_copy(self, error: EngineError) -> None:
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(twin) is type(error)
            assert str(twin) == str(error)
            assert twin.__dict__ == error.__dict__

    def test_out_of_memory(self) -> None:
        error = FunctionCrashed("id", None, "SIGKILL", oom=True)
        assert error.error_type == "Runtime.OutOfMemory"
        assert error.error_message == "RequestId: id Error: Runtime exited with error: signal: killed"
        assert error.payload() == {"errorType": error.error_type, "errorMessage": error.error_message}

    def test_the_text_of_three_seconds(self) -> None:
        assert (
            FunctionTimeout("r", 3).error_message == "RequestId: r Error: Task timed out after 3.00 seconds"
        )

    def test_signals_in_words(self) -> None:
        assert signal_name(11) == "SIGSEGV"
        assert signal_name(250) == "signal 250"
        assert signal_description("SIGABRT") == "aborted"
        assert signal_description("SIGUSR1") == "SIGUSR1"
