"""The worker that is forked before it is needed: used, replaced, never in the way; no call is lost when it dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Gate, until

from engine import Engine

Function = Callable[..., Any]


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def template_of(function: Any) -> int:
    [pid] = until(function.workers)
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def spare_of(function: Any, template: int) -> int:
    """The one child of its template that is no worker, when there is one."""
    return next(iter(until(lambda: children(template) - set(function.workers()), what="a spare worker")))


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_next_worker_is_the_spare_one_and_another_is_made(function: Function, gate: Gate) -> None:
    held = function("gated", concurrency=3, warm=1)
    template = template_of(held)
    first = spare_of(held, template)
    futures = [held.submit(gate.event(0)), held.submit(gate.event(1))]
    gate.wait(2)
    until(lambda: first in held.workers())
    second = spare_of(held, template)
    futures.append(held.submit(gate.event(2)))
    gate.wait(3)
    until(lambda: second in held.workers())
    gate.open()
    assert [future.result(20) for future in futures] == [0, 1, 2]


def test_none_where_there_can_be_no_other_worker(function: Function) -> None:
    alone = function("pid", concurrency=1)
    pid = alone.invoke()
    assert children(template_of(alone)) == {pid}
    os.kill(pid, signal.SIGKILL)
    assert alone.invoke() != pid
    assert len(children(template_of(alone))) == 1


@pytest.mark.promise(79)
def test_a_dead_one_is_nobodys_loss(function: Function, gate: Gate) -> None:
    held = function("gated", concurrency=4, warm=1)
    template = template_of(held)
    killed = spare_of(held, template)
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in children(template), what="its burial")
    another = spare_of(held, template)
    os.kill(another, signal.SIGKILL)  # and at once, before its parent can know, the next worker is needed
    futures = [held.submit(gate.event(n)) for n in range(4)]
    gate.wait(4)
    gate.open()
    assert [future.result(20) for future in futures] == [0, 1, 2, 3]
    assert killed not in held.workers()
    assert another not in held.workers()


@pytest.mark.promise(79)
def test_it_does_not_run_the_functions_code_before_it_is_a_worker(
    function: Function, write: Callable[..., Path], tmp_path: Path, gate: Gate
) -> None:
    """No handler, and no hook that is for after the restore."""
    note = tmp_path / "note"
    code = write(
        app=f"""
import os, sys, types
hooks = types.ModuleType("snapshot_restore_py")
def restored():
    with open({str(note)!r}, "a") as file: file.write(str(os.getpid()) + " ")
hooks.get_before_snapshot = lambda: []
hooks.get_after_restore = lambda: [(restored, (), {{}})]
sys.modules["snapshot_restore_py"] = hooks
def handler(event, context):
    with open({str(note)!r}, "a") as file: file.write(f"handler-{{os.getpid()}} ")
    return os.getpid()
"""
    )
    with Engine(logs=False) as engine:
        restored = engine.function("app:handler", code=code, concurrency=2, warm=1)
        template = template_of(restored)
        spare = spare_of(restored, template)
        [worker] = restored.workers()
        until(lambda: state(spare) == "S")
        assert restored.invoke() == worker
        assert note.read_text() == f"{worker} handler-{worker} "


@pytest.mark.promise(79)
def test_each_has_a_log_stream_and_randomness_of_its_own(write: Callable[..., Path], tmp_path: Path) -> None:
    code = write(
        app="""
import os, random, time
def handler(event, context):
    while len(os.listdir(event)) < 3:
        open(os.path.join(event, str(os.getpid())), "w").close()
        time.sleep(0.001)
    return [os.environ["AWS_LAMBDA_LOG_STREAM_NAME"], context.log_stream_name, random.random()]
"""
    )
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with Engine(logs=False) as engine:
        function = engine.function("app:handler", code=code, concurrency=3, warm=1)
        spare_of(function, template_of(function))
        results = [future.result(20) for future in [function.submit(str(meeting)) for _ in range(3)]]
    streams, members, numbers = zip(*results, strict=True)
    assert streams == members
    assert len(set(streams)) == len(set(numbers)) == 3


def test_it_ends_with_its_function(function: Function) -> None:
    gone = function("pid", concurrency=2, warm=1)
    spare = spare_of(gone, template_of(gone))
    gone.remove()
    until(lambda: not Path(f"/proc/{spare}").exists())
