"""The consumer of a topic: one member of the mapping's consumer group, which has a part of the partitions, or all.

A session is one connection to the cluster. What ends it is in the mapping's status; another one begins after a while.
Offsets are committed behind what is done. Where a partition begins that the group has committed nothing of is durable
with the mapping.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ...aws.clients import Clients
from ...durable.state import Record
from .. import backoff, words
from ..function import Function
from ..settings import Settings
from ..status import Status
from ..streams.flow import GivenUp
from .cluster import Access, find, leave, reason, stop
from .failures import Failed
from .partition import Partition

BEGUN = "begun"  # of the records of a mapping's progress, where it began: "offsets" by partition
# Seconds that a mapping's start waits for its cluster, and a request of ours for the response.
_PATIENCE = 10.0
_LONGEST = 10.0  # seconds between two sessions
_LOOK = 20.0  # seconds without a record after which the cluster is asked for its topics, which may be many
_WAIT = 10.0  # seconds that one poll may take
# Milliseconds that a fetch waits at the broker while records come, and when none have for a while. While one waits that
# is only for partitions that have nothing, aiokafka begins none for those that have.
_BUSY_WAIT, _QUIET_WAIT = 500, 5000
_QUIET = 10.0  # seconds
_HANDING_OVER = 30.0  # seconds that other members wait for what is in flight here
_POLL = 250  # records that are taken at once: others of the loop have their turn in between
_COMMITTED = 0.02  # seconds between two commits, however small the batches

Write = Callable[[dict[str, Record | None]], Awaitable[None]]
# Done once a report, under that name, with that KafkaBatchInfo and event, is durable.
Report = Callable[[str, GivenUp, Mapping[str, Any], bytes], Awaitable[None]]


class KafkaConsumer:
    """Belongs to the event loop."""

    def __init__(
        self, settings: Settings, clients: Clients, function: Function, status: Status,
        saved: Callable[[], Mapping[str, Record]], write: Write, report: Report,
    ) -> None:  # fmt: skip
        """saved: the mapping's progress, which `write` changes."""
        self._settings, self._clients = settings, clients
        self._function, self._status = function, status
        self._saved, self._write, self._report = saved, write, report
        self._task: asyncio.Task[None] | None = None
        self._running = True
        self._halt, self._begun = asyncio.Event(), asyncio.Event()
        self._event = asyncio.Event()  # there is something to be polled that was not
        self._moved = asyncio.Event()  # more is done
        self._polled: set[int] = set()
        self._partitions: dict[int, Partition] = {}
        self._assigned: set[int] = set()
        self._committed: dict[int, int] = {}
        self._quiet = 0.0  # since when nothing came, and the cluster was not asked either
        self._came = -_QUIET  # the last record
        self._failed: Failed | None = None
        self._consumer: Any = None  # the session's

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        begun = asyncio.ensure_future(self._begun.wait())
        await asyncio.wait((begun,), timeout=_PATIENCE)
        begun.cancel()

    async def stop(self) -> None:
        self.close()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def close(self) -> None:
        self._running = False
        self._halt.set()
        self._event.set()
        for partition in self._partitions.values():
            partition.stop()

    def nudge(self) -> None:
        if problem := self._function.problem():
            self._status.say(problem)
        self._function.nudge()

    async def _run(self) -> None:
        failures = 0
        while self._running:
            begun = time.monotonic()
            problem: Exception | None = None
            try:
                await self._session()
            except Exception as error:  # it is this mapping's alone
                failures = 1 if time.monotonic() - begun > _LONGEST else failures + 1
                self._status.complain(self._settings, error)
                problem = error if isinstance(error, words.Problem) else None
            self._begun.set()
            try:
                await self._leave()
            except Exception as error:
                problem = error
            if problem is not None:  # what was in flight may have said that all is well
                self._status.complain(self._settings, problem)
            if self._running:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._halt.wait(), min(_LONGEST, backoff.delay(failures)))

    async def _session(self) -> None:
        """Until the mapping is stopped. Raises words.Problem, and what else ends it."""
        try:
            import aiokafka
        except ImportError as error:
            raise words.Problem("PROBLEM: pip install stoker[kafka]", words.CONFIG) from error
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the mapping says it
        access = await find(self._clients, self._settings)
        self._consumer = consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=list(access.servers), group_id=self._settings.group,
            group_instance_id=self._settings.member,  # which has its partitions again at once, after a kill
            session_timeout_ms=20_000, heartbeat_interval_ms=6000,
            enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=_QUIET_WAIT,
            consumer_timeout_ms=2000,  # between two looks of its own for something to fetch: events wake it, too
            metadata_max_age_ms=60_000, max_poll_interval_ms=24 * 3600 * 1000, rebalance_timeout_ms=60_000,
            client_id=f"stoker-{self._settings.uuid}", **access.options,
        )  # fmt: skip
        self._failed = Failed(self._settings, access)
        try:
            await consumer.start()
            await self._look(consumer)
            await self._consume(consumer, access)
        except Exception as error:
            raise await reason(access, error) from error

    async def _leave(self) -> None:
        """The session's consumer ends, which may take a while: without a topic, or a cluster, it waits for them."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        await self._hand_over(consumer, None)
        if self._failed is not None:
            await self._failed.close()
        if not self._running:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(leave(consumer), _PATIENCE)
        await stop(consumer, _PATIENCE)

    async def _look(self, consumer: Any) -> None:
        """Is the topic there? Raises words.Problem."""
        topics = await asyncio.wait_for(consumer.topics(), _PATIENCE)
        self._quiet = time.monotonic()
        if self._settings.name in topics:
            return
        new: Record = {"offsets": {}}
        saved = self._saved().get(BEGUN)
        if saved != new and (saved is not None or self._settings.position != "AT_TIMESTAMP"):
            await self._write({BEGUN: new})  # one that appears is read from its beginning
        raise words.no_topic(self._settings.name)

    async def _begin(self, consumer: Any) -> None:
        """Where partitions begin, if that is not known yet."""
        from aiokafka import TopicPartition

        topic = self._settings.name
        async with asyncio.timeout(_PATIENCE):
            while not (numbers := consumer.partitions_for_topic(topic)):
                await asyncio.sleep(0.02)
        if BEGUN not in self._saved():
            partitions = [TopicPartition(topic, number) for number in numbers]
            offsets: dict[str, int] = {}
            if self._settings.position == "AT_TIMESTAMP":
                at = int((self._settings.timestamp or 0.0) * 1e3)
                times = await consumer.offsets_for_times(dict.fromkeys(partitions, at))
                offsets = {str(each.partition): found.offset for each, found in times.items() if found}
            if self._settings.position in ("LATEST", "AT_TIMESTAMP"):
                missing = [each for each in partitions if str(each.partition) not in offsets]
                ends = await consumer.end_offsets(missing) if missing else {}
                offsets |= {str(each.partition): offset for each, offset in ends.items()}
            await self._write({BEGUN: {"offsets": offsets}})
        self._begun.set()

    # Consuming.

    async def _consume(self, consumer: Any, access: Access) -> None:
        # By a pattern, which asks for all topics: to ask for one by its name may create it, once it is deleted.
        consumer.subscribe(pattern=f"{re.escape(self._settings.name)}$", listener=_Listener(self, consumer))
        await self._begin(consumer)
        if self._status.troubled:
            self._status.say(words.NO_RECORDS)
        committing = asyncio.ensure_future(self._commit_on(consumer))
        try:
            while self._running:
                self._event.clear()
                for number in self._assigned - set(self._partitions):
                    await self._open(consumer, access, number)
                await self._poll(consumer)
                quiet = time.monotonic() - self._came > _QUIET
                consumer._fetcher._fetch_max_wait_ms = _QUIET_WAIT if quiet else _BUSY_WAIT
                if committing.done():
                    committing.result()
                if time.monotonic() - self._quiet > _LOOK:
                    await self._look(consumer)
        finally:
            committing.cancel()
            await asyncio.wait((committing,))

    async def _open(self, consumer: Any, access: Access, number: int) -> None:
        """Begin with a partition, where the group is, or it is to begin."""
        from aiokafka import TopicPartition

        place = TopicPartition(self._settings.name, number)
        committed = await asyncio.wait_for(consumer.committed(place), _PATIENCE)
        if number not in self._assigned:  # any more
            return
        begun = (self._saved().get(BEGUN) or {}).get("offsets") or {}
        start = begun.get(str(number)) if committed is None else committed
        # In any case: of a partition that comes back, something may have been polled that nobody took.
        if start is not None:
            consumer.seek(place, start)
        else:
            await asyncio.wait_for(consumer.seek_to_beginning(place), _PATIENCE)
            if number not in self._assigned:
                return
        if committed is not None:
            self._committed[number] = committed
        name = f"{self._settings.name}-{number}"

        async def report(given: GivenUp) -> None:
            if self._settings.destination:
                await self._give_up(access, name, given)

        self._partitions[number] = Partition(
            self._settings, access.servers, number, self._function, self._status, report, self._changed
        )

    def _changed(self) -> None:
        self._moved.set()
        if any(each.room for number, each in self._partitions.items() if number not in self._polled):
            self._event.set()

    async def _poll(self, consumer: Any) -> None:
        """Records, for partitions that have room for them, if they come soon."""
        from aiokafka import TopicPartition

        self._polled = {number for number, partition in self._partitions.items() if partition.room}
        wanted = [TopicPartition(self._settings.name, number) for number in self._polled]
        if wanted and (found := await consumer.getmany(*wanted, max_records=_POLL)):
            self._feed(consumer, found)
            await asyncio.sleep(0)
            return
        event = asyncio.ensure_future(self._event.wait())
        polled = None
        if wanted:
            polled = asyncio.ensure_future(
                consumer.getmany(*wanted, timeout_ms=int(_WAIT * 1e3), max_records=_POLL)
            )
        try:
            await asyncio.wait(
                (event, polled) if polled else (event,), timeout=_WAIT, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            event.cancel()
            if polled is not None and not polled.done():
                polled.cancel()
                await asyncio.wait((polled,))
        if polled is not None and not polled.cancelled():
            self._feed(consumer, polled.result())

    def _feed(self, consumer: Any, found: Mapping[Any, Sequence[Any]]) -> None:
        for place, records in found.items():
            self._came = self._quiet = time.monotonic()
            if (partition := self._partitions.get(place.partition)) is not None:
                partition.feed(records)
        self._measure(consumer)

    def _measure(self, consumer: Any) -> None:
        """How far the group is behind."""
        from aiokafka import TopicPartition

        lag = 0
        for number, partition in self._partitions.items():
            if number in self._assigned and (read := partition.read) is not None:
                place = TopicPartition(self._settings.name, number)
                lag += max(0, (consumer.highwater(place) or 0) - (partition.done or read))
        self._status.gauge("OffsetLag", lag)

    # Settling.

    async def _commit_on(self, consumer: Any) -> None:
        """Commit what is done, whenever more is."""
        failures = 0
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                await self._commit(consumer)
                failures = 0
                await asyncio.sleep(_COMMITTED)
            except Exception:
                failures += 1
                if failures > 5:
                    raise
                self._moved.set()
                await asyncio.sleep(backoff.delay(failures))

    async def _commit(self, consumer: Any) -> None:
        from aiokafka import TopicPartition

        offsets = {
            number: offset
            for number, partition in self._partitions.items()
            if (offset := partition.done) is not None
            and number in self._assigned
            and self._committed.get(number) != offset
        }
        if offsets:
            await consumer.commit(
                {TopicPartition(self._settings.name, number): at for number, at in offsets.items()}
            )
            self._committed |= offsets

    async def _hand_over(self, consumer: Any, seconds: float | None) -> None:
        """Partitions go to other members, or the session ends: what is in flight ends before."""
        partitions = list(self._partitions.values())
        for partition in partitions:
            partition.stop()
        for partition in partitions:
            await partition.ended(seconds)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._commit(consumer), _PATIENCE)
        self._partitions.clear()
        self._assigned.clear()
        self._committed.clear()

    async def _give_up(self, access: Access, name: str, given: GivenUp) -> None:
        """Done once the destination, or what brings it there, has it."""
        assert self._failed is not None
        event, info = self._failed.described(name, given)
        if not self._failed.topic:
            await self._report(name, given, info, event)
            return
        attempts = 0
        while not await self._failed.produce(name, given):
            attempts += 1
            self._status.say(words.no_topic(self._failed.topic).text)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._halt.wait(), backoff.delay(attempts))
            if not self._running:
                raise asyncio.CancelledError  # it stays to be done
        self._status.count("OnFailureDestinationDeliveredEventCount", len(given.piece.records))


def _Listener(owner: KafkaConsumer, consumer: Any) -> Any:
    from aiokafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        """What the group's coordinator tells this member."""

        async def on_partitions_revoked(self, revoked: Any) -> None:
            await owner._hand_over(consumer, _HANDING_OVER)

        async def on_partitions_assigned(self, assigned: Any) -> None:
            owner._assigned = {each.partition for each in assigned}
            owner._event.set()

    return Listener()
