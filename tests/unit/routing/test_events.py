"""Events over a real engine: who begins when, and that an event is settled only once its end is taken care of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hosted import HERE, THERE, Hosted, run, until

from engine.aws.names import Place
from engine.durable.folder import StoreError
from engine.durable.queue import QueueFull
from engine.hosting.invoker import new_id
from engine.observe.functions import FunctionMetrics
from engine.observe.metrics import Metrics
from engine.routing import destinations, events, retry
from engine.routing.endings import Ended, Endings
from engine.routing.event import AcceptedEvent
from engine.routing.events import Events
from engine.routing.targets import Message


class Accepting:
    """Events of a hosted engine, and what became of them."""

    def __init__(self, hosted: Hosted, **options: Any) -> None:
        self.hosted = hosted
        self.ended: list[Ended] = []
        self.endings = Endings(hosted.counters, FunctionMetrics(Metrics()), hosted.output.append)
        self.endings.deliver = self.ended.append  # type: ignore[assignment, return-value]
        self.events = Events(hosted.queues, hosted.hosting, self.endings, **{"workers": 4, **options})
        self.events.start()

    async def send(self, place: Place, event: Any, name: str = "f") -> None:
        stored: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        accepted = AcceptedEvent(name, None, place.partition, new_id(), 2e9)
        self.events.accept(accepted, json.dumps(event).encode(), stored.set_result)
        assert await asyncio.wait_for(stored, 10) is None

    def conditions(self) -> list[tuple[str, int]]:
        return [(ended.condition, ended.event.invocations) for ended in self.ended]


@pytest.mark.promise(97)
def test_what_the_account_has_no_room_for_begins_when_anything_of_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when a timer rings: here it would in an hour."""
    monkeypatch.setattr(retry, "BACK_OFF", (3600.0, 3600.0))

    async def body(hosted: Hosted) -> None:
        for name in ("f", "g"):
            hosted.put(HERE, name)
            hosted.put(THERE, name)
        hosted.hosting.of(HERE).invoker._unreserved.reserved = 1
        it = Accepting(hosted)
        go = tmp_path / "go"
        running = asyncio.create_task(hosted.invoke(HERE, {"until": str(go)}))
        usage = hosted.hosting.of(HERE).invoker.usage("f")
        await until(lambda: usage.in_flight == 1)
        for _ in range(3):
            await it.send(HERE, None, "g")
        await it.send(THERE, None, "g")
        await until(lambda: it.conditions() == [("Success", 1)])
        assert it.ended[0].placement.place == THERE, "another account has room"
        go.touch()
        await running
        await until(lambda: it.conditions() == [("Success", 1)] * 4)
        it.events.close()

    run(tmp_path, body)


@pytest.mark.promise(97)
def test_a_reserved_slot_that_frees_is_taken_at_once_whoever_had_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BACK_OFF", (3600.0, 3600.0))

    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        with hosted.states.of(HERE.partition).change() as change:
            change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": 1})
        await asyncio.sleep(0.05)
        it = Accepting(hosted)
        go = tmp_path / "go"
        running = asyncio.create_task(hosted.invoke(HERE, {"until": str(go)}))
        await until(lambda: hosted.hosting.of(HERE).invoker.usage("f").in_flight == 1)
        for _ in range(50):
            await it.send(HERE, None)
        assert not it.ended
        go.touch()
        await running
        await until(lambda: it.conditions() == [("Success", 1)] * 50)
        # None at all: what waits is given up, and what comes is, too.
        slow = tmp_path / "slow"
        for _ in range(3):
            await it.send(HERE, {"until": str(slow)})
        with hosted.states.of(HERE.partition).change() as change:
            change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": 0})
        await until(lambda: it.conditions()[50:] == [("ZeroReservedConcurrency", 0)] * 2)
        slow.touch()
        await until(lambda: it.conditions()[52:] == [("Success", 1)])
        it.events.close()

    run(tmp_path, body)


@pytest.mark.promise(99)
def test_quick_events_take_few_workers_and_slow_ones_as_many_as_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "NARROW", 2)
    monkeypatch.setattr(events, "RATE", 0.1)  # so that ten seconds are quick
    monkeypatch.setattr(events, "WIDENS", 3600.0)

    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        hosted.put(HERE, "g")
        it = Accepting(hosted)
        usage = hosted.hosting.of(HERE).invoker.usage("f")
        besides: list[int] = []
        it.endings.deliver = lambda ended: besides.append(usage.in_flight)
        for _ in range(60):
            await it.send(HERE, None)
        await until(lambda: len(besides) == 60)
        assert max(besides) == 1
        # None of two ends: there are others that may be quick.
        monkeypatch.setattr(events, "WIDENS", 0.01)
        slow = hosted.hosting.of(HERE).invoker.usage("g")
        first, second, note = (tmp_path / each for each in ("first", "second", "note"))
        for file in [first] * 6 + [second] * 6:
            await it.send(HERE, {"note": str(note), "until": str(file)}, "g")
        await until(lambda: slow.in_flight == 4 and note.exists() and len(note.read_text().split()) == 4)
        # Once they are known to be slow nothing waits for that.
        monkeypatch.setattr(events, "WIDENS", 3600.0)
        monkeypatch.setattr(events, "RATE", 10_000)
        first.touch()
        await until(lambda: len(besides) == 66 and slow.in_flight == 4)
        second.touch()
        await until(lambda: len(besides) == 72)
        it.events.close()

    run(tmp_path, body)


@pytest.mark.promise(98)
def test_an_event_is_settled_once_its_end_is_taken_care_of(tmp_path: Path) -> None:
    """Its payload, its condition and its last result are there for whoever delivers them; until then it stays."""

    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        it = Accepting(hosted, delays=(0.01, 0.02))
        delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def deliver(ended: Ended) -> asyncio.Future[None]:
            it.ended.append(ended)
            return delivered

        it.endings.deliver = deliver
        await it.send(HERE, "fail")
        await until(lambda: it.ended)
        (ended,) = it.ended
        assert (ended.condition, ended.event.invocations, ended.payload) == ("RetriesExhausted", 3, b'"fail"')
        assert ended.result is not None and json.loads(ended.result.payload)["errorMessage"] == "asked for"
        assert hosted.queues.row_count == 1
        delivered.set_result(None)
        await until(lambda: hosted.queues.row_count == 0)
        lines = [output for output in hosted.output if output.log_stream == "asynchronous-events"]
        assert len(lines) == 1 and "given up: RetriesExhausted after 3 invocations" in lines[0].text
        assert hosted.counters.read()[HERE.function("f")]["events"] == {"RetriesExhausted": 1}
        it.events.close()

    run(tmp_path, body)


@pytest.mark.promise(104)
@pytest.mark.parametrize("ends", ["cancelled", "failed"])
def test_an_end_that_was_not_made_durable_is_not_settled(tmp_path: Path, ends: str) -> None:
    """The server ends meanwhile, or the disk refuses a delivery: the event is there at the next start."""

    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        it = Accepting(hosted)
        delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def deliver(ended: Ended) -> asyncio.Future[None]:
            it.ended.append(ended)
            return delivered

        it.endings.deliver = deliver
        await it.send(HERE, None)
        await until(lambda: it.ended)
        if ends == "cancelled":
            delivered.cancel()
        else:
            delivered.set_exception(OSError("the disk is gone"))
        await asyncio.sleep(0)  # its callbacks have run
        await asyncio.sleep(0)
        assert hosted.queues.row_count == 1
        it.events.close()

    run(tmp_path, body)


@pytest.mark.promise(104)
def test_a_delivery_is_queued_as_soon_as_that_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room at first, and then the disk refuses it."""
    monkeypatch.setattr(destinations, "FULL_S", 0.001)

    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        with hosted.states.of(HERE.partition).change() as change:
            to = {"OnSuccess": {"Destination": "arn:aws:sqs:eu-west-1:111111111111:q"}}
            change.put("invoke-config", "f", "$LATEST", {"DestinationConfig": to})
        it = Accepting(hosted)
        sent: list[str] = []

        class Recorded:
            async def send(self, message: Message) -> None:
                sent.append(message.target)

        made = destinations.Destinations(hosted.queues, Recorded(), hosted.hosting, it.endings)  # type: ignore[arg-type]
        made.start()
        refusals: list[Exception] = [StoreError("the disk"), QueueFull("no room")]
        put = hosted.queues.put

        def refused_at_first(queue: str, value: bytes, **more: Any) -> Any:
            if queue.startswith(destinations.SERVICE) and refusals:
                raise refusals.pop()
            return put(queue, value, **more)

        monkeypatch.setattr(hosted.queues, "put", refused_at_first)
        await it.send(HERE, None)
        await until(lambda: sent == ["arn:aws:sqs:eu-west-1:111111111111:q"] and hosted.queues.row_count == 0)
        assert refusals == []
        made.close()
        it.events.close()

    run(tmp_path, body)


@pytest.mark.promise(98)
def test_a_version_that_is_no_more_takes_its_events_with_it(tmp_path: Path) -> None:
    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        it = Accepting(hosted)
        stored: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        event = AcceptedEvent("f", "7", HERE.partition, new_id(), 2e9)
        it.events.accept(event, b"null", stored.set_result)
        await until(lambda: stored.done() and hosted.queues.row_count == 0)
        assert hosted.counters.read()[HERE.function("f")]["events"] == {"Deleted": 1}
        it.events.close()

    run(tmp_path, body)
