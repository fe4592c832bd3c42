"""Rows 14 to 16: workers that cannot be made, and parents that die."""

from __future__ import annotations

import errno
import itertools
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionCrashed, InitError, TooManyRequests

from .conftest import ECHO, MISBEHAVE, alive, marked, wait_until

ERRORS = pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN], ids=["ENOMEM", "EAGAIN"])


def parent(pid: int) -> int:
    """0 when it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def moments(note: Path) -> list[float]:
    return [float(line) for line in note.read_text().split()]


@pytest.mark.promise(10)
@ERRORS
@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_row_14_a_worker_cannot_be_forked(stoker: Engine, tmp_path: Path, times: int, number: int) -> None:
    """The function comes up all the same, later; the tries are further and further apart."""
    note = tmp_path / "note"
    environment = {"SIN_TIMES": str(times), "SIN_ERRNO": str(number), "SIN_NOTE": str(note)}
    fn = stoker.function("fails_to_fork:handler", code=MISBEHAVE, environment=environment)
    assert fn.invoke("up") == "up"
    tries = moments(note)
    assert len(tries) == times + 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    for i, gap in enumerate(gaps):
        assert gap >= 0.05 * 2**i * 0.95


@pytest.mark.promise(10)
def test_row_14_a_replacement_cannot_be_forked(stoker: Engine, tmp_path: Path) -> None:
    """What waits goes on waiting, and is done when there is a worker again."""
    note, gate = tmp_path / "note", tmp_path / "gate"
    code = tmp_path / "late.py"
    code.write_text(
        f"import os\nfork = os.fork\ndef failing():\n"
        f"    if os.path.exists({str(gate)!r}):\n"
        f"        open({str(note)!r}, 'a').write('x')\n"
        f"        raise OSError({errno.ENOMEM}, 'no')\n"
        f"    return fork()\nos.fork = failing\n"
        f"def handler(event, context): return event\n"
    )
    fn = stoker.function("late:handler", code=tmp_path, waiting=3)
    gate.touch()
    os.kill(fn.workers()[0], signal.SIGKILL)
    wait_until(note.exists)
    waiting: list[Future[Any]] = []
    with pytest.raises(TooManyRequests):
        for i in range(5):
            waiting.append(fn.submit(i))
    assert 3 <= len(waiting) <= 4, "one more while a worker is tried: it would run that one"
    wait_until(lambda: len(note.read_text()) >= 4)
    assert not any(future.done() for future in waiting)
    gate.unlink()
    assert [future.result() for future in waiting] == list(range(len(waiting)))


@pytest.mark.alone
def test_row_14_no_worker_can_ever_be_forked(stoker: Engine, tmp_path: Path) -> None:
    """function() gives up after the init's time, with a clear error."""
    environment = {"SIN_TIMES": "1000", "SIN_ERRNO": str(errno.ENOMEM), "SIN_NOTE": str(tmp_path / "note")}
    started = time.monotonic()
    with pytest.raises(InitError) as caught:
        stoker.function("fails_to_fork:handler", code=MISBEHAVE, environment=environment, init_timeout=0.3)
    assert time.monotonic() - started < 3
    assert caught.value.error_message == "Error: no process could be started: Cannot allocate memory"


@ERRORS
def test_row_14_a_template_cannot_be_forked(
    ledger: Any, nothing_is_left: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    """The zygote's fork fails (patched there by a sitecustomize module): the function comes up later."""
    note = tmp_path / "note"
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nfork, left = os.fork, 3\ndef failing():\n    global left\n"
        f"    if left:\n        left -= 1\n        open({str(note)!r}, 'a').write('x')\n"
        f"        raise OSError({number}, 'no')\n"
        f"    return fork()\nos.fork = failing\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Engine(logs=False) as engine:
        fn = engine.function("app:handler", code=ECHO)
        assert fn.invoke("up") == "up"
        assert note.read_text() == "xxx"


@pytest.mark.promise(10)
@pytest.mark.parametrize("victim", ["zygote", "template", "template, by its worker", "zygote, by a worker"])
def test_row_15_the_zygote_or_a_template_is_killed(stoker: Engine, tmp_path: Path, victim: str) -> None:
    """What runs finishes or fails cleanly, once; then there is a new one."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, concurrency=2, warm=2, timeout=5)
    sinner = stoker.function("kills_parent:handler", code=MISBEHAVE)
    began, gate = tmp_path / "began", tmp_path / "gate"
    template = parent(fn.workers()[0])
    zygote = parent(template)
    running = [fn.submit({"began": str(began), "until": str(gate), "result": i}) for i in range(2)]
    wait_until(lambda: began.exists() and len(began.read_text().split()) == 2)
    queued = fn.submit({"until": str(gate), "result": "queued"})
    old = fn.workers()
    match victim:
        case "zygote":
            os.kill(zygote, signal.SIGKILL)
        case "template":
            os.kill(template, signal.SIGKILL)
        case _:
            generations = 1 if victim.startswith("template") else 2
            try:
                assert sinner.invoke(generations) == "did it"
            except FunctionCrashed as error:
                assert error.signal == "SIGKILL"
    if victim == "template, by its worker":  # the other function's own
        gate.touch()
        assert [future.result() for future in running] == [0, 1]
    else:
        for future in running:
            error = future.exception()
            assert isinstance(error, FunctionCrashed)
            assert error.signal == "SIGKILL"
        gate.touch()
        wait_until(lambda: not any(alive(pid) for pid in old))
    assert queued.result() == "queued"
    assert fn.invoke({"until": str(gate), "result": "again"}) == "again"
    wait_until(lambda: any(alive(parent(pid)) for pid in sinner.workers()))


def living_zygote(stoker: Engine) -> int:
    pid = stoker._runtime.supervisor._environments._zygotes[""].pid
    return pid if pid and alive(pid) else 0


def test_row_15_the_zygote_is_killed_again_and_again(stoker: Engine) -> None:
    """Each time there is a new one; the time until then grows, so that nothing spins."""
    fn = stoker.function("app:handler", code=ECHO)
    for i in range(3):
        pid = wait_until(lambda: living_zygote(stoker))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not alive(pid))
        assert fn.invoke(i) == i


def test_row_15_a_new_zygote_cannot_be_started_at_once(
    stoker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor for it, no memory: what came meanwhile waits until there is one."""
    fn = stoker.function("app:handler", code=ECHO)
    refused = iter([errno.EMFILE, errno.ENOMEM])
    spawn = os.posix_spawn

    def failing(*args: Any, **options: Any) -> int:
        for number in refused:
            raise OSError(number, os.strerror(number))
        return spawn(*args, **options)

    monkeypatch.setattr(os, "posix_spawn", failing)
    zygote = living_zygote(stoker)
    assert zygote
    [worker] = fn.workers()
    os.kill(zygote, signal.SIGKILL)
    wait_until(lambda: not alive(worker))
    assert fn.invoke("later") == "later"
    assert next(refused, None) is None


def test_row_15_a_zygote_that_cannot_start_is_not_started_in_a_storm(
    ledger: Any, nothing_is_left: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    (tmp_path / "sitecustomize.py").write_text(
        f"open({str(note)!r}, 'a').write('x')\nimport os\nos._exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Engine(logs=False) as engine:
        with pytest.raises(InitError) as caught:
            engine.function("app:handler", code=ECHO, init_timeout=0.5)
        assert caught.value.error_type in ("Sandbox.Timedout", "Runtime.ExitError")
        assert len(note.read_text()) <= 6


BIRTHS = """
import os, sys
from engine import Engine
engine = Engine(logs=False)
print("ready", flush=True)
fns = []
for i in range(100):
    name = f"f{i}"
    fns.append(engine.function("app:handler", code=sys.argv[1], name=name, concurrency=8, warm=8,
                               init="fresh" if i % 2 else "snapshot"))
    for fn in fns: fn.invoke(i)
"""


@pytest.mark.promise(45)
def test_row_16_the_engine_is_killed_while_workers_are_born(
    nothing_is_left: str, script: Callable[[str], list[str]]
) -> None:
    """No orphan: at whatever moment it dies, everything below it does."""
    chance = random.Random(16)
    command = [*script(BIRTHS), str(ECHO)]
    for _ in range(8):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process:
            assert process.stdout.readline() == b"ready\n"
            select.select([process.stdout], [], [], chance.uniform(0.02, 0.35))  # it has nothing more to say
            process.kill()
        wait_until(lambda: not marked(nothing_is_left), 5.0)


def test_row_16_a_hanging_init_and_a_running_handler_end_with_the_engine(
    nothing_is_left: str, script: Callable[[str], list[str]], tmp_path: Path
) -> None:
    began, note = tmp_path / "began", tmp_path / "note"
    process = subprocess.Popen(
        script(
            "from engine import Engine\nengine = Engine(logs=False)\n"
            f"fn = engine.function('outlasts:handler', code={str(MISBEHAVE)!r})\n"
            f"fn.submit({{'began': {str(began)!r}}})\n"
            f"engine.function('fails_on_import:handler', code={str(MISBEHAVE)!r},"
            f" environment={{'SIN': 'hangs', 'SIN_NOTE': {str(note)!r}}})\n"
        )
    )
    wait_until(lambda: began.exists() and note.exists())
    pids = set(marked(nothing_is_left)) - {process.pid}
    assert len(pids) >= 4, "a zygote, two templates, a worker"
    process.kill()
    process.wait()
    wait_until(lambda: not marked(nothing_is_left), 5.0)
