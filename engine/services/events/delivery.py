"""Deliveries to targets: a row of the queue for each target of each rule that an event matched, until it arrives, or is
given up: then to the target's dead-letter queue, or into the log."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ... import wire
from ...aws.clients import CallFailed
from ...aws.names import Place
from ...durable.queue import Leased, Queues
from ...observe.records import FunctionOutput
from ...routing import retry
from ...routing.deliveries import Again, Deliveries
from ...routing.inputs import Source, rendered, text_at
from ...routing.targets import Message, Targets
from ...routing.tracing import delivering
from .catalog import Bus
from .measuring import RuleMetrics

SERVICE = "events"  # of the queues' names
INVALID_JSON = "INVALID_JSON"  # what a template made of an event
HOPS = 16  # from bus to bus
LOG_GROUP = "/aws/events/failed-invocations"
_MISSING = ("NotFound", "NonExistent", "NoSuch", "DoesNotExist", "QueueDoesNotExist")


class Job(msgspec.Struct, array_like=True):
    """rule: its ARN; target: as JSON, as it was when the event matched; ingested: epoch seconds."""

    rule: str
    target: bytes
    event: bytes
    ingested: float
    hops: int = 0
    trace: str = ""  # X-Amzn-Trace-Id


class Standing(msgspec.Struct, array_like=True):
    """A delivery's attempts, and, once it is given up, its dead letter's attributes."""

    attempts: int = 0
    dead: dict[str, str] | None = None


class Refused(CallFailed):
    """A target that will not take it. after: seconds that it asked to be left alone, of one that may take it later."""

    def __init__(self, code: str, message: str, *, retriable: bool, after: float = 0.0) -> None:
        super().__init__(code, message, retriable=retriable)
        self.after = after


encode_job = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode
_encode_standing = msgspec.msgpack.Encoder().encode
_standing = msgspec.msgpack.Decoder(Standing).decode
# Sends a delivery to a kind of target of the service's own.
Send = Callable[[Job, Mapping[str, Any], bytes], Awaitable[object]]


def line(bus: Bus, rule: str, target: str) -> str:
    """The queue of a target."""
    return f"{SERVICE}:{bus.place.partition}/{bus.name}/{rule}/{target}"


class Delivery:
    def __init__(
        self,
        queues: Queues,
        targets: Targets,
        log: Callable[[FunctionOutput], object],
        metrics: RuleMetrics,
    ) -> None:
        self._metrics = metrics
        self._queues = queues
        self._targets = targets
        self._log = log
        self.own: dict[str, Send] = {}  # by the kind of resource: event-bus, api-destination
        deliveries = Deliveries(queues, SERVICE, self._send, self._failed, measure=self._measure)
        self.start, self.close = deliveries.start, deliveries.close

    async def _send(self, _queue: str, row: Leased) -> None:
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        target = wire.decode(job.target)
        if standing.dead is not None:
            attributes = {name: ("String", value or " ") for name, value in standing.dead.items()}
            body = job.event if standing.dead["ERROR_CODE"] == INVALID_JSON else _input(job, target)
            letter = Message(target["DeadLetterConfig"]["Arn"], body, attributes, trace=job.trace)
            await self._targets.send(letter)
            return
        arn = target["Arn"]
        body = _input(job, target)
        send = self.own.get(arn.split(":", 5)[5].partition("/")[0]) if ":events:" in arn else None
        place, rule = Place(*job.rule.split(":")[3:5]), job.rule.rpartition("/")[2]
        waited = (self._queues.now() - row.first) / 1e9
        with delivering(self._targets.spans, job.trace, place, rule, "AWS::Events", arn, waited) as trace:
            if send is not None:
                await send(msgspec.structs.replace(job, trace=trace), target, body)
            else:
                await self._targets.send(Message(arn, body, key=_key(job, target), trace=trace))

    async def _failed(self, _queue: str, row: Leased, error: Exception) -> Again | None:
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        target = wire.decode(job.target)
        failure = (
            error if isinstance(error, CallFailed) else Refused("InternalError", repr(error), retriable=True)
        )
        standing.attempts += 1
        age = (self._queues.now() - row.first) / 1e9
        if standing.dead is not None:
            delay = retry.back_off(standing.attempts)
            if failure.retriable and age + delay <= 2 * retry.TARGET_MAX_AGE:
                return Again(delay, _encode_standing(standing))
            self._drop(job, target, f"its dead-letter queue did not take it: {failure}")
            return None
        step = _step(target, standing.attempts, age, failure)
        if not isinstance(step, str):
            return Again(step, _encode_standing(standing))
        if not (target.get("DeadLetterConfig") or {}).get("Arn"):
            self._drop(job, target, str(failure))
            return None
        dead = {
            "RULE_ARN": job.rule, "TARGET_ARN": target["Arn"], "ERROR_CODE": _code(failure),
            "ERROR_MESSAGE": (failure.message or failure.code)[:1024], "RETRY_ATTEMPTS": str(standing.attempts - 1),
        }  # fmt: skip
        if step:
            dead["EXHAUSTED_RETRY_CONDITION"] = step
        return Again(0.0, _encode_standing(Standing(0, dead)))

    def _measure(self, row: Leased, began: float, error: Exception | None, step: Again | None) -> None:
        if not self._metrics.wanted:
            return
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        if standing.dead is not None:
            if step is None:
                self._metrics.letter(job.rule, error is not None)
            return
        final = step is None or (step.meta is not None and _standing(step.meta).dead is not None)
        looped = error is not None and job.hops >= HOPS
        self._metrics.attempted(
            job.rule, standing.attempts, job.ingested, began, error is not None, final, looped
        )

    def _drop(self, job: Job, target: Mapping[str, Any], reason: str) -> None:
        """Into the log: what nothing took."""
        place = Place(*job.rule.split(":")[3:5])
        text = f"[WARN] FailedInvocation: {job.rule} {target['Arn']}: {reason} Event: {job.event.decode()}\n"
        name = job.rule.rpartition("/")[2]
        self._log(FunctionOutput(place.region, place.account, LOG_GROUP, name, int(time.time() * 1e3), text))


def _input(job: Job, target: Mapping[str, Any]) -> bytes:
    ingested = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.ingested))
    try:
        return rendered(target, Source(job.event, job.rule, ingested))
    except ValueError as error:
        raise Refused(INVALID_JSON, f"the input of target {target['Id']}: {error}", retriable=False) from None


def _key(job: Job, target: Mapping[str, Any]) -> str:
    """Of a record in a stream, or of a message's group."""
    if group := (target.get("SqsParameters") or {}).get("MessageGroupId"):
        return str(group)
    event = wire.decode(job.event) if ":kinesis:" in target["Arn"] else {}
    path = (target.get("KinesisParameters") or {}).get("PartitionKeyPath") or "$.id"
    return text_at(event, path)[:256]


def _step(target: Mapping[str, Any], attempts: int, age: float, failure: CallFailed) -> float | str:
    """Seconds until it is tried again; or the condition why it is not, "" where it would be in vain."""
    if not failure.retriable:
        return ""
    return retry.of_target(target.get("RetryPolicy") or {}, attempts, age, getattr(failure, "after", 0.0))


def _code(failure: CallFailed) -> str:
    """AWS's word for why."""
    if failure.code.isupper():
        return failure.code
    if any(word in failure.code for word in _MISSING):
        return "NO_RESOURCE"
    if "AccessDenied" in failure.code or "NotAuthorized" in failure.code:
        return "NO_PERMISSIONS"
    if "Throttl" in failure.code or "TooManyRequests" in failure.code:
        return "THROTTLING"
    if "Timeout" in failure.code:
        return "TIMEOUT"
    return "SDK_CLIENT_ERROR"
