"""Rows 18 to 20: an invocation that ends otherwise than by returning."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionCrashed, FunctionError, FunctionTimeout

from .conftest import MISBEHAVE, alive, wait_until


@pytest.mark.alone
@pytest.mark.promise(22)
@pytest.mark.parametrize("how", ["invoke", "submit"])
def test_row_18_timeout_with_sigterm_ignored(stoker: Engine, tmp_path: Path, how: str) -> None:
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, timeout=0.3)
    began = tmp_path / "began"
    started = time.monotonic()
    with pytest.raises(FunctionTimeout) as caught:
        fn.invoke({"began": str(began)}) if how == "invoke" else fn.submit({"began": str(began)}).result()
    took = time.monotonic() - started
    assert 0.3 <= took < 0.8
    error = caught.value
    assert error.error_type == "Sandbox.Timedout"
    assert error.error_message == f"RequestId: {error.request_id} Error: Task timed out after 0.30 seconds"
    assert isinstance(error, TimeoutError)
    pids = [int(pid) for pid in began.read_text().split()]
    assert len(pids) == 1
    wait_until(lambda: not alive(pids[0]))
    assert stoker.stats()["outlasts"].timeouts == 1


@pytest.mark.alone
def test_row_18_timeout_awaited(awaited: Any) -> None:
    async def main(engine: Any) -> None:
        fn = await engine.function("outlasts:handler", code=MISBEHAVE, timeout=0.3)
        started = time.monotonic()
        with pytest.raises(FunctionTimeout):
            await fn.invoke({})
        assert 0.3 <= time.monotonic() - started < 0.8

    awaited(main)


@pytest.mark.promise(23)
def test_row_18_waiting_in_line_does_not_use_up_the_time(stoker: Engine, tmp_path: Path) -> None:
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, timeout=0.3)
    gate = tmp_path / "gate"
    gate.touch()
    first = fn.submit({})
    second = fn.submit({"until": str(gate), "result": 2})
    with pytest.raises(FunctionTimeout):
        first.result()
    assert second.result() == 2


def test_row_18_the_deadline_is_the_functions_not_the_next_ones(stoker: Engine, tmp_path: Path) -> None:
    """A timed-out worker's late success is nobody's result."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, timeout=0.3, concurrency=2, warm=2)
    gate = tmp_path / "gate"
    running = [fn.submit({"until": str(gate), "result": i}) for i in range(2)]
    errors = [future.exception() for future in running]
    gate.touch()
    assert all(isinstance(error, FunctionTimeout) for error in errors)
    assert fn.invoke({"until": str(gate), "result": "mine"}) == "mine"


@pytest.mark.promise(7)
@pytest.mark.parametrize(
    ("event", "status", "cause"),
    [
        (["os._exit", 0], 0, "Runtime exited without providing a reason"),
        (["os._exit", 7], 7, "Runtime exited with error: exit status 7"),
        (["sys.exit", 0], 0, "Runtime exited without providing a reason"),
        (["sys.exit", None], 0, "Runtime exited without providing a reason"),
        (["sys.exit", 3], 3, "Runtime exited with error: exit status 3"),
        (["sys.exit", "bye"], 1, "Runtime exited with error: exit status 1"),
        (["BaseException", "x"], 1, "Runtime exited with error: exit status 1"),
        (["KeyboardInterrupt", "x"], 1, "Runtime exited with error: exit status 1"),
        (["GeneratorExit", "x"], 1, "Runtime exited with error: exit status 1"),
    ],
)
def test_row_19_an_end_without_a_reply_is_never_success(
    stoker: Engine, event: list[Any], status: int, cause: str
) -> None:
    fn = stoker.function("exits:handler", code=MISBEHAVE)
    for call in (fn.invoke, lambda e: fn.submit(e).result()):
        with pytest.raises(FunctionCrashed) as caught:
            call(event)
        error = caught.value
        assert (error.error_type, error.exit_status, error.signal) == ("Runtime.ExitError", status, None)
        assert error.error_message == f"RequestId: {error.request_id} Error: {cause}"


@pytest.mark.promise(38)
def test_row_19_what_it_said_before_it_ended_is_kept(stoker: Engine) -> None:
    fn = stoker.function("exits:handler", code=MISBEHAVE)
    reply = fn.invoke_raw(b'["BaseException", "my last words"]')
    assert reply.function_error == "Unhandled"
    assert "Unheard: my last words" in reply.log_tail
    assert "bye" in fn.invoke_raw(b'["sys.exit", "bye"]').log_tail


@pytest.mark.promise(7, 18)
@pytest.mark.parametrize(
    ("sin", "signal", "words"),
    [
        ("segfaults", "SIGSEGV", "segmentation fault"),
        ("aborts", "SIGABRT", "aborted"),
        ("overflows", "SIGSEGV", "segmentation fault"),
    ],
)
def test_row_20_the_signals_name_and_no_core_file(stoker: Engine, sin: str, signal: str, words: str) -> None:
    before = set(os.listdir(MISBEHAVE))
    fn = stoker.function(f"{sin}:handler", code=MISBEHAVE)
    with pytest.raises(FunctionCrashed) as caught:
        fn.invoke()
    error = caught.value
    assert (error.error_type, error.exit_status, error.signal) == ("Runtime.ExitError", None, signal)
    assert error.error_message.endswith(f"Runtime exited with error: signal: {words} ({signal})")
    left = set(os.listdir(MISBEHAVE)) - before
    assert not [name for name in left if name.startswith("core")]


@pytest.mark.promise(18)
def test_row_20_no_core_even_where_the_shell_allows_them(stoker: Engine, tmp_path: Path) -> None:
    (tmp_path / "limits.py").write_text(
        "import resource\ndef handler(event, context): return resource.getrlimit(resource.RLIMIT_CORE)\n"
    )
    assert stoker.function("limits:handler", code=tmp_path).invoke() == [0, 0]


def test_row_20_recursion_in_python_is_an_ordinary_error(stoker: Engine) -> None:
    fn = stoker.function("recurses:handler", code=MISBEHAVE)
    old = fn.workers()
    with pytest.raises(FunctionError) as caught:
        fn.invoke()
    assert caught.value.error_type == "RecursionError"
    assert fn.workers() == old, "the worker lives on"
