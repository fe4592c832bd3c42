"""What pages get each second: the same for all, once, what changed, and nothing when nobody watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hosted import HERE, THERE, Hosted, run

from engine.console.feed import Feed
from engine.console.happened import percentiles
from engine.console.stream import BEHIND, Stream, event
from engine.hosting.invoker import new_id
from engine.observe.mappings import MappingCounters
from engine.services.sqs.queues import Catalog

ARN = HERE.arn("event-source-mapping:m")


class NoLogs:
    async def look(self, streams: list[Stream]) -> None: ...

    def stop(self, stream: Stream) -> None: ...


class Watched:
    """A feed over a real engine, and pages of it."""

    def __init__(self, hosted: Hosted) -> None:
        self.hosted = hosted
        self.mapped = MappingCounters()
        self.catalog = Catalog(hosted.states, hosted.queues)
        logs: Any = NoLogs()
        self.feed = Feed(
            hosted.hosting, hosted.outcomes, hosted.counters, self.mapped, self.catalog, logs,
            lambda: {"inflightBytes": 7},
        )  # fmt: skip
        self.looks = 0
        look = self.feed._look

        def counted() -> None:
            self.looks += 1
            look()

        self.feed._look = counted  # type: ignore[method-assign]

    def page(self, place: Any = HERE) -> Page:
        return Page(self.feed, self.feed.watch(place, "me"))


class Page:
    def __init__(self, feed: Feed, stream: Stream) -> None:
        self.stream = stream
        self._pieces = feed.pieces(stream)
        self._events: list[tuple[str, Any]] = []

    async def next(self, *kinds: str) -> Any:
        """The data of the next event of these kinds."""
        while True:
            while self._events:
                kind, data = self._events.pop(0)
                if kind in kinds:
                    return data
            async with asyncio.timeout(20):
                piece = await anext(self._pieces)
            for text in piece.decode().split("\n\n")[:-1]:
                head, data = text.split("\n")
                self._events.append((head.removeprefix("event: "), json.loads(data.removeprefix("data: "))))

    async def leave(self) -> None:
        await self._pieces.aclose()


def watched(folder: Path, body: Callable[[Watched], Awaitable[None]]) -> None:
    async def inside(hosted: Hosted) -> None:
        made = Watched(hosted)
        await body(made)
        made.feed.close()
        made.catalog.close()

    run(folder, inside)


def test_a_page_begins_with_everything_and_then_gets_what_changes(tmp_path: Path) -> None:
    async def body(it: Watched) -> None:
        hosted = it.hosted
        hosted.put(HERE)
        invoker = hosted.hosting.of(HERE).invoker
        await invoker.result("f", None, b'"before"', new_id())
        page = it.page()
        assert (await page.next("hello"))["place"] == HERE.partition
        whole = await page.next("snapshot")
        [row] = whole["lists"]["functions"]
        assert row[1] == "f"
        assert whole["totals"] == [[row[0], 1, 0, 0, 1]]
        await invoker.result("f", None, b'"fine"', new_id())
        await invoker.result("f", None, b'"fail"', new_id())
        it.mapped.add(ARN, "InvokedEventCount", 3)
        rows: list[Any] = []
        counts: list[Any] = []
        while not rows or not counts:
            frame = await page.next("frame")
            rows += frame["functions"]
            counts += frame.get("mappings", [])
        assert sum(each[1] for each in rows) == 2
        assert sum(each[2] for each in rows) == 1
        assert rows[0][0] == row[0]
        assert 0 < rows[0][5] <= rows[0][6]
        assert counts == [["m", {"InvokedEventCount": 3}]]
        assert frame["inflightBytes"] == 7
        quiet = await page.next("frame")
        assert quiet["functions"] == []
        assert not {"queues", "mappings", "lists"} & set(quiet)
        hosted.put(HERE, "g")
        while "lists" not in (frame := await page.next("frame")):
            pass
        assert [each[1] for each in frame["lists"]["functions"]] == ["f", "g"]
        assert set(frame["lists"]) == {"functions"}
        await page.leave()

    watched(tmp_path, body)


@pytest.mark.promise(312)
def test_one_look_is_for_all_pages_and_none_is_for_nobody(tmp_path: Path) -> None:
    async def body(it: Watched) -> None:
        assert it.looks == 0
        assert len(it.hosted.outcomes._subscribers) == 2
        pages = [it.page() for _ in range(5)]
        elsewhere = it.page(THERE)
        for page in pages:
            await page.next("snapshot")
        before = it.looks
        frames = [await page.next("frame") for page in pages]
        assert all(frame == frames[0] for frame in frames)
        assert it.looks - before <= 2
        assert (await elsewhere.next("snapshot"))["lists"]["functions"] == []
        for page in [*pages, elsewhere]:
            await page.leave()
        assert len(it.hosted.outcomes._subscribers) == 2
        assert it.feed._ticking is None
        again = it.page()
        await again.next("snapshot")
        await again.leave()

    watched(tmp_path, body)


def test_queues_are_there_with_their_depths(tmp_path: Path) -> None:
    async def body(it: Watched) -> None:
        page = it.page()
        await page.next("snapshot")
        async with it.catalog.lock:
            queue = await it.catalog.create(HERE, "q", {}, {})
        listed = None
        while listed is None:
            listed = (await page.next("frame")).get("lists")
        assert [each["name"] for each in listed["queues"]] == ["q"]
        await it.hosted.queues.put(next(iter(queue.messages.lines())), b"message")
        found: list[Any] = []
        while not found or found[-1][1] != 1:
            found += (await page.next("frame")).get("queues", [])
        assert found[-1] == ["q", 1, 0, 0]
        await page.leave()

    watched(tmp_path, body)


def test_a_page_that_reads_slowly_gets_everything_anew() -> None:
    asyncio.run(_slowly())


async def _slowly() -> None:
    stream = Stream(HERE, "me")
    stream.fresh = False
    for number in range(BEHIND):
        stream.send(event("frame", number))
    assert not stream.fresh
    stream.send(event("frame", "too many"))
    assert stream.fresh
    stream.send(event("snapshot", "all"))
    pieces = stream.pieces()
    assert b"hello" in await anext(pieces)
    assert await anext(pieces) == b'event: snapshot\ndata: "all"\n\n'
    await pieces.aclose()


def test_only_its_owner_says_what_a_stream_follows(tmp_path: Path) -> None:
    async def body(it: Watched) -> None:
        page = it.page()
        assert not it.feed.follow(page.stream.id, "another", "/aws/lambda/f")
        assert not it.feed.follow("unknown", "me", "/aws/lambda/f")
        assert it.feed.follow(page.stream.id, "me", "/aws/lambda/f")
        assert page.stream.group == "/aws/lambda/f"
        await page.next("hello")
        await page.leave()

    watched(tmp_path, body)


def test_percentiles() -> None:
    assert percentiles([5_000]) == (5, 5)
    assert percentiles([n * 1000 for n in range(1, 101)]) == (50, 100)
    assert percentiles([1_000, 9_000]) == (1, 9)
