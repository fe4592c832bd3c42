"""Row 17: an import that fails, hangs, crash-loops. AWS's init errors; bounded time; no spawn storm."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionNotFound, InitError

from .conftest import MISBEHAVE, text_of, wait_until

BOTH = pytest.mark.parametrize("init", ["snapshot", "fresh"])


def failing(engine: Engine, sin: str, **options: Any) -> InitError:
    with pytest.raises(InitError) as caught:
        engine.function(
            "fails_on_import:handler",
            code=MISBEHAVE,
            environment={"SIN": sin, **options.pop("environment", {})},
            **options,
        )
    return caught.value


@pytest.mark.promise(27)
@BOTH
@pytest.mark.parametrize(
    ("sin", "kind", "message"),
    [
        (
            "missing",
            "Runtime.ImportModuleError",
            "Unable to import module 'fails_on_import': No module named 'a_module_that_does_not_exist'",
        ),
        ("raises", "LookupError", "not today"),
        ("exits", "Runtime.ExitError", "Error: Runtime exited with error: exit status 3"),
        ("exits cleanly", "Runtime.ExitError", "Error: Runtime exited without providing a reason"),
        ("sys.exit", "Runtime.ExitError", "Error: Runtime exited with error: exit status 4"),
        (
            "segfaults",
            "Runtime.ExitError",
            "Error: Runtime exited with error: signal: segmentation fault (SIGSEGV)",
        ),
        ("killed", "Runtime.ExitError", "Error: Runtime exited with error: signal: killed (SIGKILL)"),
    ],
)
def test_row_17_each_failure_has_awss_type(
    stoker: Engine, init: str, sin: str, kind: str, message: str
) -> None:
    error = failing(stoker, sin, init=init)
    assert (error.error_type, error.error_message) == (kind, message)


@BOTH
def test_row_17_what_an_init_prints_before_it_fails_is_logged(
    stoker: Engine, logs: list[Any], tmp_path: Path, init: str
) -> None:
    (tmp_path / "says.py").write_text("print('printed before')\nraise LookupError('not today')\n")
    with pytest.raises(InitError) as caught:
        stoker.function("says:handler", code=tmp_path, init=init)
    assert any("says.py" in line for line in caught.value.stack_trace)
    wait_until(
        lambda: "printed before" in text_of(logs) and "[ERROR] LookupError: not today" in text_of(logs)
    )


@BOTH
def test_row_17_syntax_error_missing_handler_and_handler_that_is_no_function(
    stoker: Engine, tmp_path: Path, init: str
) -> None:
    (tmp_path / "wrong.py").write_text("def handler(:\n")
    for reference, kind in [
        ("wrong:handler", "Runtime.UserCodeSyntaxError"),
        ("sys:exit", "Runtime.BuiltInModuleConflict"),
    ]:
        with pytest.raises(InitError) as caught:
            stoker.function(reference, code=tmp_path, init=init, name="wrong")
        assert caught.value.error_type == kind
    for attribute, ending in [("absent", "missing on module"), ("not_callable", "is not callable")]:
        with pytest.raises(InitError) as caught:
            stoker.function(
                f"fails_on_import:{attribute}",
                code=MISBEHAVE,
                environment={"SIN": "none"},
                init=init,
                name="wrong",
            )
        assert caught.value.error_type == "Runtime.HandlerNotFound"
        assert ending in caught.value.error_message


@pytest.mark.promise(27)
@BOTH
@pytest.mark.alone
def test_row_17_an_import_that_hangs_and_ignores_sigterm(stoker: Engine, init: str) -> None:
    started = time.monotonic()
    error = failing(stoker, "hangs", init=init, init_timeout=0.3)
    assert (error.error_type, error.error_message) == (
        "Sandbox.Timedout",
        "Error: Init timed out after 0.30 seconds",
    )
    assert 0.3 <= time.monotonic() - started < 2.0


@pytest.mark.promise(27)
def test_row_17_the_limit_is_awss_ten_seconds() -> None:
    import inspect

    from engine import AsyncEngine

    for made in (Engine, AsyncEngine):
        assert inspect.signature(made.function).parameters["init_timeout"].default == 10.0


@BOTH
def test_row_17_a_function_that_did_not_come_up_is_not_there(
    stoker: Engine, tmp_path: Path, init: str
) -> None:
    note = tmp_path / "note"
    failing(stoker, "raises", init=init, environment={"SIN_NOTE": str(note)})
    assert stoker.stats() == {}
    with pytest.raises(FunctionNotFound):
        stoker._runtime.remove("fails_on_import")
    assert len(note.read_text().splitlines()) == 1


@pytest.mark.promise(28)
@BOTH
@pytest.mark.alone
def test_row_17_a_crash_loop_is_answered_and_its_forks_are_few(
    stoker: Engine, tmp_path: Path, init: str
) -> None:
    """Comes up once; then every start fails. Callers hear the init's error, starts get rarer and rarer."""
    note, gate = tmp_path / "note", tmp_path / "gate"
    fn = stoker.function(
        "fails_on_import:handler",
        code=MISBEHAVE,
        init=init,
        environment={"SIN": "recovers", "SIN_NOTE": str(note), "SIN_WHILE": str(gate)},
    )
    gate.touch()
    worker = fn.workers()[0]
    victim = worker if init == "fresh" else parent(worker)
    os.kill(victim, 9)
    wait_until(lambda: len(note.read_text().splitlines()) >= 2)
    started, failures = time.monotonic(), 0
    while time.monotonic() - started < 0.6:
        with pytest.raises(InitError) as caught:
            fn.invoke(1)
        assert (caught.value.error_type, caught.value.error_message) == ("LookupError", "not yet")
        failures += 1
    tries = len(note.read_text().splitlines())
    assert failures > tries, "an open breaker fails calls at once"
    assert tries <= 8, "0.05 s, 0.1 s, 0.2 s, 0.4 s, ... apart"
    gate.unlink()
    wait_until(fn.workers)
    assert wait_until(lambda: recovered(fn)) == 1


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def recovered(fn: Any) -> Any:
    try:
        return fn.invoke(1)
    except InitError:
        return None


@pytest.mark.promise(20)
def test_row_17_an_init_that_leaves_a_thread_is_run_in_each_worker_instead(stoker: Engine) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fn = stoker.function("leaves_thread_in_init:handler", code=MISBEHAVE, concurrency=2, warm=2)
        assert fn.invoke("x") == ["x", 2]
    assert sum("left 1 thread running" in str(w.message) for w in caught) == 1, "warned once"
