"""Enhanced fan-out against a stub of its protocol: order, subscriptions that end, refusals, children."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fan_out import CONSUMER, FanOutStub, Shard

from engine.aws.clients import CallFailed, Clients
from engine.aws.names import Place
from engine.aws.registry import Registry
from engine.aws.upstream import Upstream
from engine.sources.streams import fan_out
from engine.sources.streams.api import Position
from engine.sources.streams.fan_out import FanOut

PLACE = Place("us-east-1", "000000000000")


@pytest.fixture
def stub() -> Iterator[FanOutStub]:
    made = FanOutStub()
    made.shards["0"] = Shard()
    yield made
    made.close()


def run(stub: FanOutStub, work: Any) -> Any:
    async def whole() -> Any:
        clients = Clients(lambda: Registry([]), Upstream(stub.url))
        settings: Any = SimpleNamespace(owner=PLACE, place=PLACE, source=CONSUMER)
        stream = FanOut(clients, settings)
        try:
            return await asyncio.wait_for(work(stream), 30)
        finally:
            for shard in list(stream._subscriptions):
                stream._end(shard)
            await asyncio.gather(*stream._closing)
            await clients.aclose()

    return asyncio.run(whole())


async def texts(stream: FanOut, iterator: str | None, count: int) -> tuple[list[str], str | None]:
    """So many records of shard 0, and the iterator behind them."""
    found: list[str] = []
    while len(found) < count and iterator is not None:
        page = await stream.read("0", iterator)
        found += [raw.group for raw in page.records]
        iterator = page.next
    return found, iterator


@pytest.mark.promise(276)
@pytest.mark.parametrize("lasts", [1000, 1])
def test_every_record_in_order_over_however_many_subscriptions(stub: FanOutStub, lasts: int) -> None:
    stub.lasts = lasts

    async def work(stream: FanOut) -> list[str]:
        iterator: str | None = await stream.iterator("0", Position())
        every: list[str] = []
        for n in range(5):
            stub.put("0", f"{n}a", f"{n}b")
            found, iterator = await texts(stream, iterator, 2)
            every += found
        return every

    assert run(stub, work) == [f"{n}{letter}" for n in range(5) for letter in "ab"]
    assert len(stub.asked) == (1 if lasts > 1 else 5)
    assert all(each["ConsumerARN"] == CONSUMER for each in stub.asked)


@pytest.mark.promise(276)
def test_latest_is_from_now_on(stub: FanOutStub) -> None:
    stub.put("0", "before")

    async def work(stream: FanOut) -> list[str]:
        iterator = await stream.iterator("0", Position("LATEST"))
        stub.put("0", "after")
        return (await texts(stream, iterator, 1))[0]

    assert run(stub, work) == ["after"]


@pytest.mark.promise(276)
def test_after_a_record_and_at_a_time(stub: FanOutStub) -> None:
    stub.put("0", "1", "2", "3")
    stub.shards["0"].records[2]["ApproximateArrivalTimestamp"] += 100
    first, third = stub.shards["0"].records[0], stub.shards["0"].records[2]

    async def work(stream: FanOut) -> None:
        after = await stream.iterator("0", Position(after=first["SequenceNumber"]))
        assert (await texts(stream, after, 2))[0] == ["2", "3"]
        at = await stream.iterator("0", Position("AT_TIMESTAMP", third["ApproximateArrivalTimestamp"] - 1))
        assert (await texts(stream, at, 1))[0] == ["3"]

    run(stub, work)


@pytest.mark.promise(276)
def test_child_shards_end_a_shard(stub: FanOutStub) -> None:
    stub.put("0", "last")
    stub.split("0", "1", "2")

    async def work(stream: FanOut) -> None:
        found, iterator = await texts(stream, await stream.iterator("0", Position()), 2)
        assert (found, iterator) == (["last"], None)
        shards = await stream.shards()
        assert [(each.id, each.parents) for each in shards] == [("0", ()), ("1", ("0",)), ("2", ("0",))]

    run(stub, work)


@pytest.mark.promise(276)
def test_a_subscription_that_may_not_be_made_yet_is_made_later(
    stub: FanOutStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "_LATER", 0.01)
    stub.failures = [
        (400, "ResourceInUseException"),
        (400, "LimitExceededException"),
        (403, "AccessDeniedException"),
    ]
    stub.put("0", "1")

    async def work(stream: FanOut) -> None:
        iterator: str | None = await stream.iterator("0", Position())
        with pytest.raises(CallFailed) as raised:
            await texts(stream, iterator, 1)
        assert raised.value.code == "AccessDeniedException"
        assert (await texts(stream, iterator, 1))[0] == ["1"]

    run(stub, work)


@pytest.mark.promise(276)
def test_a_place_that_is_trimmed_is_the_first_that_is_there(stub: FanOutStub) -> None:
    stub.put("0", "1", "2")
    stub.failures = [(400, "InvalidArgumentException")]

    async def work(stream: FanOut) -> list[str]:
        iterator = await stream.iterator("0", Position(after="0" * 20))
        return (await texts(stream, iterator, 2))[0]

    assert run(stub, work) == ["1", "2"]
    assert [each["StartingPosition"]["Type"] for each in stub.asked] == [
        "AFTER_SEQUENCE_NUMBER",
        "TRIM_HORIZON",
    ]
