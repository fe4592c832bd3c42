"""What becomes of an event on an engine's bus: a row of a durable queue for each function that it goes to, until the
function took it or it is given up; and schedules, whose progress is kept in the same commit as what they put.

A function fails as in an asynchronous invocation of Lambda's: by default it is retried twice, after one and two
minutes, and for up to six hours (routing/retry.py). What is no failure of its own (every worker is busy, it was
removed for a moment) costs time only. What is given up goes to the dead-letter queue that was named with its function,
or into the engine's log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from . import errors, wire
from .calls.dispatch import OK, Outcome, encode_event, failure, uuid_text
from .calls.reaper import Reaper
from .durable.folder import StoreError
from .durable.queue import Leased, QueueFull
from .durable.records import Delete, Put, Records
from .queues import SERVICE as QUEUES
from .queues import QueueStore
from .routing import retry
from .routing.deliveries import Again, Deliveries
from .routing.grammar import InvalidPattern, compiled
from .routing.patterns import Pattern
from .routing.rules import Rules
from .routing.schedules import InvalidSchedule, Rate, parse_once
from .routing.timetable import AGAIN, BACK, Timetable
from .runtime import Runtime

SERVICE = "bus"  # of the queues' names: one for each function
PARTITION, TABLE = "bus", "schedule"  # of the records that schedules have


class Policy(msgspec.Struct, array_like=True, frozen=True):
    """What is done when a function fails. delays: seconds before the second, the third, … attempt, the last of them
    before any later one; max_age: seconds."""

    retries: int = retry.RETRIES
    delays: tuple[float, ...] = retry.DELAYS
    max_age: float = retry.MAX_AGE
    dead_letters: str | None = None

    def check(self) -> Policy:
        """Raises InvalidConfiguration."""
        if self.retries < 0 or not self.delays or min(self.delays) < 0 or self.max_age <= 0:
            raise errors.InvalidConfiguration(
                "retries are 0 or more, retry_delays one or more numbers of seconds, max_age is above 0"
            )
        if self.dead_letters is not None and (not self.dead_letters or "\0" in self.dead_letters):
            raise errors.InvalidConfiguration(
                f"dead_letters is a queue's name, and not {self.dead_letters!r}"
            )
        return self


class Delivery(msgspec.Struct, array_like=True):
    """Beside the event: as it was when it matched. id: the request's, of every attempt."""

    id: bytes
    policy: Policy
    failures: int = 0  # the function's
    faults: int = 0  # in a row, that were none


class Progress(msgspec.Struct):
    """How far a schedule has come: what is due later than `after` is due yet. Epoch seconds; since: when it was first
    asked for, from which a rate counts."""

    expression: str
    zone: str
    since: float
    after: float


class Schedule(msgspec.Struct):
    function: str
    policy: Policy
    payload: bytes | None  # None: an event that says what was due


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Delivery).decode
_progress = msgspec.json.Decoder(Progress).decode


class Router:
    """An engine's. Made in the loop of its queues; raises StoreError."""

    def __init__(
        self, store: QueueStore, runtime: Runtime, reaper: Reaper, clock: Callable[[], float] = time.time
    ) -> None:
        """reaper: of any loop; clock: epoch seconds."""
        self._store, self._runtime, self._reaper, self._clock = store, runtime, reaper, clock
        self._queues, self._loop = store.queues, store.loop
        self._closing = False
        self._functions: set[str] = set()  # that were named: no other is invoked
        self._patterns: dict[str, tuple[str, Policy, Pattern]] = {}
        self._rules: Rules[tuple[str, Policy]] | None = None  # of those; None: they changed
        self._numbered = 0
        self._deliveries = Deliveries(self._queues, SERVICE, self._send, self._failed, self._at_once)
        self._deliveries.start()
        self._schedules: dict[str, Schedule] = {}
        self._progress: dict[str, Progress] = {}
        with contextlib.closing(store.store.reader()) as connection:
            for partition, table, key, _, value in Records().load(connection):
                if (partition, table) == (PARTITION, TABLE):
                    self._progress[key] = _progress(value)
        self._timetable = Timetable(self._keys, self._what, self._first, self._fire, clock)
        self._timetable.start()

    # What functions are interested in.

    def on(self, pattern: Mapping[str, Any], function: str, policy: Policy) -> str:
        """A rule's key. Raises InvalidConfiguration, FunctionNotFound, EngineClosed."""
        self._check_open()
        self._runtime.entry(function)
        policy.check()
        try:
            described = wire.decode(encode_event(pattern))
            if not isinstance(described, dict):
                raise InvalidPattern("Filter is not an object")
            rule = compiled(described)
        except InvalidPattern as error:
            raise errors.InvalidConfiguration(f"Event pattern is not valid. Reason: {error}") from None
        self._numbered += 1
        key = f"{function} {self._numbered}"
        self._patterns[key] = function, policy, rule
        self._rules = None
        self._name(function)
        return key

    async def schedule(
        self, expression: str, function: str, policy: Policy, name: str | None, zone: str, event: Any
    ) -> str:
        """A schedule's key. One of a name that is there is replaced, and goes on where it was if its times are the
        same. Raises InvalidConfiguration, InvalidEvent, FunctionNotFound, StoreError, EngineClosed."""
        self._check_open()
        self._runtime.entry(function)
        policy.check()
        try:
            parse_once(expression)
        except InvalidSchedule:
            raise errors.InvalidConfiguration(
                f"{expression!r} is no schedule: rate(5 minutes), cron(0 8 ? * MON-FRI *), at(2030-01-31T08:00:00)"
            ) from None
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise errors.InvalidConfiguration(f"{zone!r} is no time zone of the IANA's") from None
        payload = None if event is None else self._payload(event)
        key = name if name is not None else f"{function} {expression} {zone}"
        known = self._progress.get(key)
        if known is None or (known.expression, known.zone) != (expression, zone):
            now = self._clock()
            known = Progress(expression, zone, now, now)
            await asyncio.wrap_future(self._store.store.commit([_step(key, known)]))
        self._progress[key] = known
        self._schedules[key] = Schedule(function, policy, payload)
        self._name(function)
        self._timetable.changed(key)
        return key

    async def remove(self, key: str) -> None:
        """A rule or a schedule. Raises StoreError."""
        if self._patterns.pop(key, None) is not None:
            self._rules = None
        elif self._schedules.pop(key, None) is not None:
            self._timetable.changed(key)
            self._progress.pop(key, None)
            await asyncio.wrap_future(self._store.store.commit([Delete(PARTITION, TABLE, key, "")]))

    def _name(self, function: str) -> None:
        """It is there, and takes what an earlier engine has left for it."""
        self._functions.add(function)
        self._deliveries.due(_line(function))

    # Events.

    async def put(self, event: Mapping[str, Any]) -> int:
        """As AsyncBus.put."""
        self._check_open()
        payload = self._payload(event)
        decoded = wire.decode(payload)
        if not isinstance(decoded, dict):
            raise errors.InvalidEvent(f"an event on a bus is a JSON object, and not {type(event).__name__}")
        if self._rules is None:
            self._rules = Rules(((name, policy), rule) for name, policy, rule in self._patterns.values())
        found = self._rules.match(decoded)
        await asyncio.gather(
            *[
                self._queues.put(_line(name), payload, meta=_encode(Delivery(uuid.uuid4().bytes, policy)))
                for name, policy in found
            ]
        )
        return len(found)

    def _payload(self, event: Any) -> bytes:
        payload = encode_event(event)
        if len(payload) > (limit := self._runtime.payload_limit):
            raise errors.PayloadTooLarge(
                f"{len(payload)} byte payload is too large for the engine's limit of {limit} bytes "
                "(Engine(payload_limit=…))"
            )
        return payload

    # Schedules.

    def _keys(self) -> Iterator[str]:
        return iter(list(self._schedules))

    def _what(self, key: str) -> str | None:
        progress = self._progress.get(key) if key in self._schedules else None
        return None if progress is None else f"{progress.expression} {progress.zone} {progress.since}"

    def _first(self, key: str, now: float, back: bool) -> float | None:
        progress = self._progress[key]
        if progress.after > now + BACK:  # the clock was set back: it was wrong before
            progress = self._progress[key] = msgspec.structs.replace(progress, since=now, after=now)
        return _next(progress)

    async def _fire(self, key: str, when: float, now: float) -> float | None:
        """What came due meanwhile, too, is made up for once. Raises QueueFull, StoreError."""
        schedule, progress = self._schedules.get(key), self._progress.get(key)
        if schedule is None or progress is None:
            return None
        due = _next(progress)
        if due is None or due > now:
            return due
        following = msgspec.structs.replace(progress, after=max(due, now))
        payload = schedule.payload or _scheduled(key, due)
        meta = _encode(Delivery(uuid.uuid4().bytes, schedule.policy))
        await self._queues.put(_line(schedule.function), payload, meta=meta, also=[_step(key, following)])
        if self._progress.get(key) is not progress:
            return None  # it is another one meanwhile
        self._progress[key] = following
        return _next(following)

    # Deliveries.

    def _at_once(self, queue: str) -> int:
        """As many as keep its workers busy: those that call it themselves wait in the same line."""
        name = _function(queue)
        if self._closing or name not in self._functions:
            return 0
        entry = self._runtime.entries.get(name)
        return 1 if entry is None else 2 * entry.workers

    async def _send(self, queue: str, row: Leased) -> None:
        entry = self._runtime.entry(_function(queue))
        ended: asyncio.Future[Outcome | None] = self._loop.create_future()

        def end(outcome: Outcome | None) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def done(outcome: Outcome | None, _value: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                self._loop.call_soon_threadsafe(end, outcome)

        self._reaper.submit(entry, row.value, done, id=_decode(row.meta).id)
        self._reaper.heat()
        outcome = await ended
        if outcome is not None:
            self._runtime.dispatch.log(entry, outcome)
            if outcome.status != OK:
                raise failure(entry, outcome)

    async def _failed(self, queue: str, row: Leased, error: Exception) -> Again | None:
        if isinstance(error, errors.EngineClosed):
            self._closing = True
            return Again(0.0)  # it is where it was
        delivery = _decode(row.meta)
        policy, age = delivery.policy, (self._queues.now() - row.first) / 1e9
        config = {"MaximumRetryAttempts": policy.retries, "MaximumEventAgeInSeconds": policy.max_age}
        step: float | str
        if isinstance(error, errors.FunctionError):
            delivery.failures += 1
            delivery.faults = 0
            step = retry.after_failure(config, delivery.failures, age, policy.delays)
        elif isinstance(error, errors.InvalidEvent | errors.PayloadTooLarge):  # for a later engine's limit
            step = retry.EXHAUSTED
        else:
            delivery.faults += 1
            step = retry.after_fault(config, delivery.faults, age)
        if not isinstance(step, str):
            return Again(step, _encode(delivery))
        await self._give_up(_function(queue), row, delivery, step, error)
        return None

    async def _give_up(
        self, function: str, row: Leased, delivery: Delivery, condition: str, error: Exception
    ) -> None:
        """Done once its letter is durable: there may be no room for it now."""
        text = (
            f"[stoker] event given up: {condition} after {delivery.failures} failures. Last error: {error}\n"
        )
        if delivery.policy.dead_letters is None:
            return self._log(function, uuid_text(delivery.id), text)
        payload = error.payload() if isinstance(error, errors.FunctionError) else None
        letter = {
            "event": msgspec.Raw(row.value), "function": function, "requestId": uuid_text(delivery.id),
            "condition": condition, "attempts": delivery.failures,
            "error": payload or {"errorType": type(error).__name__, "errorMessage": str(error)},
        }  # fmt: skip
        while True:
            try:
                await self._queues.put(f"{QUEUES}:{delivery.policy.dead_letters}", wire.encode(letter))
                return None
            except (QueueFull, StoreError):
                await asyncio.sleep(AGAIN)

    def _log(self, function: str, request_id: str, text: str) -> None:
        self._runtime.dispatch.log_sink(function, request_id, text)

    # The end.

    def _check_open(self) -> None:
        if self._closing:
            raise errors.EngineClosed("the engine is closed")
        self._store.check_open()

    async def close(self, drain: float) -> None:
        """Nothing more is put or due. With a state directory nothing more begins, and what runs ends; else what was
        accepted is run, but for what waits to be retried: that is reported. Both for at most `drain` seconds."""
        self._timetable.close()
        durable, self._closing = self._store.durable, self._store.durable
        await self._deliveries.idle(drain)
        self._closing = True
        self._deliveries.close()
        if not durable:
            for queue in self._queues.queues(SERVICE):
                if count := self._queues.sizes(queue)[0]:
                    text = f"[stoker] {count} events given up: the engine was closed before they were run\n"
                    self._log(_function(queue), "", text)


def _line(function: str) -> str:
    return f"{SERVICE}:{function}"


def _function(queue: str) -> str:
    return queue.partition(":")[2]


def _step(key: str, progress: Progress) -> Put:
    return Put(PARTITION, TABLE, key, "", msgspec.json.encode(progress))


def _next(progress: Progress) -> float | None:
    expression = parse_once(progress.expression)
    if isinstance(expression, Rate):
        return expression.next(progress.after, progress.since)
    return expression.next(progress.after, ZoneInfo(progress.zone))


def _scheduled(key: str, due: float) -> bytes:
    """An event of a schedule that was given none: EventBridge's, and the same whenever it is made."""
    event = {
        "version": "0", "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key} {due}")), "detail-type": "Scheduled Event",
        "source": "aws.events", "account": "000000000000", "region": "us-east-1",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(due)), "resources": [key], "detail": {},
    }  # fmt: skip
    return wire.encode(event)
