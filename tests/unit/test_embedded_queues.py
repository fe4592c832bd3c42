"""engine.queue: what is put is on the disk, what is received comes back unless it is deleted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import until

from engine import AsyncEngine, Engine, EngineClosed, InvalidConfiguration, InvalidEvent, StoreError

VALUES = [{"id": 1, "of": ["a", None, 1.5]}, "text", None, 7, []]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


def values(messages: list[Any]) -> list[Any]:
    return [message.value for message in messages]


@pytest.mark.promise(111)
def test_what_is_put_is_received_in_order_and_deleted(engine: Engine) -> None:
    queue = engine.queue("orders")
    ids = [queue.put(value) for value in VALUES]
    assert ids == sorted(ids)
    first, rest = queue.receive(2), queue.receive(10)
    assert values(first) + values(rest) == VALUES
    assert [message.attempts for message in rest] == [1] * 3
    assert all(0 <= message.age < 60 for message in rest)
    assert queue.receive(10) == []
    assert queue.depth() == 5
    queue.delete(*first, *rest)
    assert (queue.depth(), queue.receive()) == (0, [])


@pytest.mark.promise(111)
def test_queues_are_told_apart_by_their_names(engine: Engine) -> None:
    engine.queue("one").put(1)
    engine.queue("two").put(2)
    assert values(engine.queue("one").receive(9)) == [1]
    assert values(engine.queue("two").receive(9)) == [2]


@pytest.mark.promise(111)
def test_a_lease_ends_by_itself_by_release_or_later(engine: Engine) -> None:
    queue = engine.queue("leases")
    queue.put("it")
    (message,) = queue.receive(lease=0.05)
    (message,) = queue.receive(wait=10, lease=0.05)
    assert message.attempts == 2
    (message,) = queue.receive(wait=10)
    assert queue.extend(message, 60)
    assert queue.receive() == []
    queue.release(message)
    (message,) = queue.receive()
    queue.release(message, delay=60)
    assert queue.receive() == []
    assert not queue.extend(message)
    assert queue.purge() == 1
    assert queue.depth() == 0


@pytest.mark.promise(111)
def test_what_is_delayed_comes_later(engine: Engine) -> None:
    queue = engine.queue("delayed")
    queue.put("later", delay=0.1)
    queue.put("now")
    assert values(queue.receive(2)) == ["now"]
    assert values(queue.receive(wait=10)) == ["later"]


@pytest.mark.promise(111)
def test_who_waits_is_woken(engine: Engine) -> None:
    queue, got = engine.queue("waits"), list[Any]()
    threads = [threading.Thread(target=lambda: got.extend(queue.receive(wait=30))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(4):
        queue.put(n)
    for thread in threads:
        thread.join()
    assert sorted(values(got)) == [0, 1, 2, 3]


@pytest.mark.promise(111)
def test_what_was_received_too_often_goes_to_the_dead_letters(engine: Engine) -> None:
    queue = engine.queue("retried", max_receives=2, dead_letters="dead")
    queue.put("poison")
    for attempt in (1, 2):
        (message,) = queue.receive()
        assert message.attempts == attempt
        queue.release(message)
    queue.put("good")
    assert values(queue.receive(5)) == ["good"]
    (message,) = engine.queue("dead").receive()
    assert (message.value, message.attempts) == ("poison", 1)


@pytest.mark.promise(111)
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "a\0b"}, {"name": "q", "max_receives": 3}, {"name": "q", "dead_letters": "d"},
        {"name": "q", "max_receives": 0, "dead_letters": "d"}, {"name": "q", "max_receives": 1, "dead_letters": "q"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration):
        engine.queue(**wrong)


@pytest.mark.promise(111)
def test_what_json_cannot_express_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidEvent):
        engine.queue("orders").put(object())


@pytest.mark.promise(111)
def test_it_outlives_the_engine_in_a_state_directory(tmp_path: Path) -> None:
    with Engine(state=tmp_path / "state") as engine:
        queue = engine.queue("kept")
        for n in range(5):
            queue.put(n)
        queue.delete(*queue.receive(2))
        queue.receive(1, lease=0.01)
        with pytest.raises(StoreError), Engine(state=tmp_path / "state") as other:
            other.queue("kept")
    with Engine(state=tmp_path / "state") as engine:
        got: list[Any] = []
        until(lambda: got.extend(engine.queue("kept").receive(5)) or len(got) == 3)
        assert sorted(values(got)) == [2, 3, 4]


KILLED = """
import sys
from engine import Engine
queue = Engine(state=sys.argv[1]).queue("kept")
for n in range(1_000_000):
    queue.put(n)
    print(n, flush=True)
"""


@pytest.mark.promise(111)
def test_it_outlives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    put = [int(line) for line in lines if line.endswith("\n")]
    with Engine(state=tmp_path / "state") as engine:
        kept = values(engine.queue("kept").receive(len(put) + 10))
    assert kept[: len(put)] == put
    assert len(kept) - len(put) <= 1  # one that was on the disk, and not yet said so


@pytest.mark.promise(111)
def test_without_one_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Engine() as engine:
        queue = engine.queue("short")
        queue.put(1)
        assert any(tmp_path.rglob("stoker.db"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EngineClosed):
        queue.put(2)
    with pytest.raises(EngineClosed):
        engine.queue("short")


@pytest.mark.promise(111)
def test_awaited(tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncEngine(state=tmp_path / "state") as engine:
            queue = await engine.queue("orders", max_receives=1, dead_letters="dead")
            waiting = asyncio.create_task(queue.receive(wait=30))
            ids = await asyncio.gather(*(queue.put(n) for n in range(100)))
            assert ids == sorted(ids)
            got = await waiting
            while more := await queue.receive(40):
                got += more
            assert values(got) == list(range(100))
            await queue.delete(*got[1:])
            await queue.release(got[0])
            assert await queue.receive() == []
            assert values(await (await engine.queue("dead")).receive()) == [0]
            left = asyncio.create_task(queue.receive(wait=30))
            await asyncio.sleep(0)
        with pytest.raises(EngineClosed):
            await left

    asyncio.run(run())
