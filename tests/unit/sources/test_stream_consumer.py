"""A stream's consumer over a stream in memory, whose shards split and end: moto's server never ends one."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from engine.aws.clients import CallFailed
from engine.aws.names import Place
from engine.observe.mappings import MappingCounters
from engine.sources.function import How, Invoked
from engine.sources.settings import Settings
from engine.sources.status import Status
from engine.sources.streams import shard as shards
from engine.sources.streams.api import Page, Position, Raw
from engine.sources.streams.consumer import StreamConsumer
from engine.sources.streams.flow import GivenUp
from engine.sources.streams.lineage import Shard

OLD = ("a", "b")  # arrived long ago
Records = dict[str, dict[str, Any]]


class Memory:
    """Shards of texts; an iterator is "shard:number". trimmed: the first number that is still there."""

    pause = 0.01
    batch_info = "Info"

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {"parent": []}
        self.closed: set[str] = set()
        self.lineage = [Shard("parent")]
        self.fails: list[CallFailed] = []
        self.trimmed = 0

    async def shards(self) -> list[Shard]:
        return list(self.lineage)

    async def iterator(self, shard: str, position: Position) -> str:
        if position.after:
            if int(position.after) < self.trimmed:
                raise CallFailed("TrimmedDataAccessException", "", retriable=False)
            return f"{shard}:{int(position.after) + 1}"
        return f"{shard}:{len(self.texts[shard]) if position.kind == 'LATEST' else self.trimmed}"

    async def read(self, shard: str, iterator: str) -> Page:
        if self.fails:
            raise self.fails.pop()
        begin = int(iterator.partition(":")[2])
        texts = self.texts[shard][begin : begin + 3]
        found = [
            Raw(
                str(begin + n),
                "k",
                b"",
                1e9 if text in OLD else time.time(),
                shown={"text": text, "shard": shard},
                seen=lambda text=text: {"text": text},
            )
            for n, text in enumerate(texts)
        ]
        end = begin + len(found)
        over = shard in self.closed and end == len(self.texts[shard])
        return Page(found, None if over else f"{shard}:{end}", 0.0 if end == len(self.texts[shard]) else 1.0)

    def split(self) -> None:
        self.closed.add("parent")
        self.texts |= {"left": [], "right": []}
        self.lineage += [Shard("left", ("parent",)), Shard("right", ("parent",))]


class Doing:
    """A function that notes what it was invoked with."""

    closed = False

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def problem(self) -> str:
        return ""

    def full(self) -> None:
        return None

    def nudge(self) -> None:
        """Nobody waits."""

    async def invoke(self, event: bytes, trace: str = "") -> Invoked:
        await asyncio.sleep(0)
        self.seen += [(each["shard"], each["text"]) for each in json.loads(event)["Records"]]
        return Invoked(How.DONE, b"null", "OK")


def settings(**more: Any) -> Settings:
    record = {
        "UUID": "u", "_kind": "kinesis", "BatchSize": 2, "StartingPosition": "TRIM_HORIZON",
        "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s", **more,
    }  # fmt: skip
    return Settings.of(Place("us-east-1", "000000000000"), record)


def run(
    body: Callable[[Memory, Doing, Records, Callable[[], StreamConsumer], Status], Awaitable[None]],
    **more: Any,
) -> None:
    async def inside() -> None:
        stream, function, saved = Memory(), Doing(), Records()
        status = Status("arn", MappingCounters(), "", lambda: None)

        async def write(records: Mapping[str, Any]) -> None:
            for id, record in records.items():
                if record is None:
                    saved.pop(id, None)
                else:
                    saved[id] = record

        async def report(shard: str, given: GivenUp) -> None:
            raise AssertionError(given)

        def consumer() -> StreamConsumer:
            return StreamConsumer(
                settings(**more),
                stream,
                function,
                status,
                lambda: dict(saved),
                write,
                report,  # type: ignore[arg-type]
            )

        await body(stream, function, saved, consumer, status)

    asyncio.run(asyncio.wait_for(inside(), 30))


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.promise(164)
def test_children_begin_when_their_parent_is_done() -> None:
    async def body(stream: Memory, function: Doing, saved: Records, consumer: Any, status: Status) -> None:
        stream.texts["parent"] = list("abcde")
        reading = consumer()
        await reading.start()
        await until(lambda: len(function.seen) == 5)
        stream.split()
        stream.texts["parent"].append("f")
        stream.texts["left"], stream.texts["right"] = ["g", "h"], ["i"]
        await until(lambda: len(function.seen) == 9)
        assert [text for _, text in function.seen[:6]] == list("abcdef")
        assert {text for _, text in function.seen[6:]} == set("ghi")
        await until(lambda: saved["parent"].get("done") and saved["left"]["sequence"] == "1")
        await reading.stop()
        # A server later: where it was.
        stream.texts["left"].append("j")
        again = consumer()
        await again.start()
        await until(lambda: len(function.seen) == 10)
        assert function.seen[9] == ("left", "j")
        stream.lineage.pop(0)  # the service forgets a shard that is over
        await again.stop()
        last = consumer()
        await last.start()
        assert "parent" not in saved
        await last.stop()
        assert len(function.seen) == 10

    run(body)


@pytest.mark.promise(164)
def test_iterators_that_expire_and_records_that_are_gone() -> None:
    async def body(stream: Memory, function: Doing, saved: Records, consumer: Any, status: Status) -> None:
        stream.texts["parent"] = list("abcdefgh")
        stream.fails = [CallFailed("ExpiredIteratorException", "", retriable=False)]
        reading = consumer()
        await reading.start()
        await until(lambda: len(function.seen) == 8)
        stream.fails = [
            CallFailed("ProvisionedThroughputExceededException", "slow down", retriable=True)
            for _ in range(2)
        ]
        await until(lambda: status.result.startswith("PROBLEM: Connection error."))
        stream.texts["parent"] += list("ij")
        await until(lambda: len(function.seen) == 10)
        assert status.result == "OK"
        await reading.stop()
        stream.texts["parent"] += list("kl")
        stream.trimmed = 11
        again = consumer()
        await again.start()
        await until(lambda: len(function.seen) == 11)
        assert [text for _, text in function.seen] == list("abcdefghijl")
        await again.stop()

    run(body)


@pytest.mark.promise(164)
def test_latest_is_where_the_mapping_begins_also_after_a_kill() -> None:
    async def body(stream: Memory, function: Doing, saved: Records, consumer: Any, status: Status) -> None:
        stream.texts["parent"] = list("ab")
        reading = consumer()
        await reading.start()
        assert saved["parent"]["position"] == "LATEST"
        stream.texts["parent"] += list("cd")
        await until(lambda: len(function.seen) == 2)
        assert [text for _, text in function.seen] == list("cd")
        await reading.stop()
        assert saved["parent"].pop("sequence") == "3"
        again = consumer()  # killed before that was written
        await again.start()
        await until(lambda: len(function.seen) == 4)
        assert [text for _, text in function.seen] == list("cdcd")
        await again.stop()

    run(body, StartingPosition="LATEST")


@pytest.mark.promise(323)
def test_a_shard_that_was_quiet_for_long_is_read_less_often_until_a_record_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def inside() -> None:
        stream, clock = Memory(), Clock()
        monkeypatch.setattr(shards, "time", clock)

        async def nothing(*_: Any) -> None:
            """There is nothing to be kept."""

        status = Status("arn", MappingCounters(), "", lambda: None)
        reader = shards.ShardReader(
            stream, "parent", settings(), Doing(), status, {}, nothing, nothing, lambda: None, False  # type: ignore[arg-type]
        )  # fmt: skip

        async def pause() -> float:
            await reader._more()
            return round((reader._again - clock.now) / stream.pause, 6)

        assert await pause() == 1
        clock.now += shards.QUIET
        assert await pause() == 1
        clock.now += 1.0
        assert [await pause(), await pause()] == [3, 3]
        stream.texts["parent"].append("a")
        assert [await pause(), await pause()] == [1, 1]

    asyncio.run(asyncio.wait_for(inside(), 30))


class Clock:
    """That goes forward when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.mark.promise(340)
def test_a_place_is_written_now_and_then_and_at_the_end() -> None:
    """However many batches are done in between."""

    async def body(stream: Memory, function: Doing, saved: Records, consumer: Any, status: Status) -> None:
        stream.pause = 0.0
        stream.texts["parent"] = [str(n) for n in range(2_000)]
        reading = consumer()
        written: list[float] = []
        real = reading._write

        async def write(records: Mapping[str, Any]) -> None:
            written.append(asyncio.get_running_loop().time())
            await real(records)

        await reading.start()
        reading._write = write
        await until(lambda: len(function.seen) == 2_000)
        await until(lambda: saved["parent"].get("sequence") == "1999")
        assert len(written) < 500, "of 1,000 batches"
        assert all(later - earlier > 0.015 for earlier, later in itertools.pairwise(written))
        stream.texts["parent"] += ["last"]
        await until(lambda: len(function.seen) == 2_001)
        await reading.stop()
        assert saved["parent"]["sequence"] == "2000"

    run(body)
