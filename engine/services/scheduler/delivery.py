"""Invocations of targets: a row of the schedule's queue for each time that it was due, until the target took it, or it
is given up: then to the dead-letter queue, or into the log."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ... import wire
from ...aws.clients import CallFailed, Clients
from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.queue import Leased, Queues
from ...observe.records import FunctionOutput
from ...routing import retry
from ...routing.deliveries import Again, Deliveries
from ...routing.targets import Message, Targets
from ...routing.tracing import beginning, delivering
from . import requests
from .catalog import Key
from .measuring import ScheduleMetrics

SERVICE = "scheduler"  # of the queues' names
TOO_OLD = "EventAgeExceeded"
LOG_GROUP = "/aws/scheduler/failed-invocations"
LETTER_BYTES = 1 << 20  # of a dead letter's body: a message's most, less its attributes
_ATTRIBUTES_BYTES = 8192


class Job(msgspec.Struct, array_like=True):
    """schedule: its ARN; target: as JSON, as it was when this was due; scheduled: epoch seconds; late: seconds that it
    was put later than it should have been."""

    schedule: str
    target: bytes
    scheduled: float
    late: float


class Standing(msgspec.Struct, array_like=True):
    """A delivery's attempts, and, once it is given up, its dead letter's body and attributes."""

    attempts: int = 0
    dead: dict[str, str] | None = None
    body: str = ""


encode_job = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode
_encode = msgspec.msgpack.Encoder().encode
_standing = msgspec.msgpack.Decoder(Standing).decode


def line(key: Key) -> str:
    """The queue of a schedule."""
    return f"{SERVICE}:{key.place.partition}/{key.group}/{key.name}"


class Delivery:
    def __init__(
        self,
        queues: Queues,
        targets: Targets,
        clients: Clients,
        log: Callable[[FunctionOutput], object],
        metrics: ScheduleMetrics,
    ) -> None:
        self._metrics = metrics
        self._queues, self._targets, self._clients, self._log = queues, targets, clients, log
        deliveries = Deliveries(queues, SERVICE, self._send, self._failed, measure=self._measure)
        self.start, self.close = deliveries.start, deliveries.close
        self._sent: dict[int, str] = {}  # by rows that are being sent: the execution's id

    async def _send(self, _queue: str, row: Leased) -> None:
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        target = wire.decode(job.target)
        if standing.dead is not None:
            attributes = {name: ("String", value or " ") for name, value in standing.dead.items()}
            await self._targets.send(
                Message(target["DeadLetterConfig"]["Arn"], standing.body.encode(), attributes)
            )
            return
        most = (target.get("RetryPolicy") or {}).get("MaximumEventAgeInSeconds", retry.TARGET_MAX_AGE)
        execution = self._sent[row.id] = secrets.token_hex(8)
        if standing.attempts == 0 and job.late > most:
            text = f"It was due {job.late:.0f} seconds before it could be invoked."
            raise CallFailed(TOO_OLD, text, retriable=True)
        place, name, spans = _place(job), job.schedule.rpartition("/")[2], self._targets.spans
        request = _request(job, target, execution, standing.attempts + 1)
        with delivering(spans, beginning(spans), place, name, "AWS::Scheduler", target["Arn"]) as trace:
            await self._invoke(target, request, trace)
        del self._sent[row.id]

    async def _invoke(self, target: Mapping[str, Any], request: requests.Request, trace: str) -> None:
        """Raises CallFailed."""
        service, operation, members, place = request
        if (service, operation) == ("lambda", "Invoke"):
            payload = _payload(members.get("Payload"))
            await self._targets.send(Message(_function(members, place), payload, trace=trace))
        elif service == "sqs" and not requests.is_universal(target):
            body, group = members["MessageBody"].encode(), members.get("MessageGroupId", "")
            await self._targets.send(Message(target["Arn"], body, key=group, trace=trace))
        else:
            result = await self._clients.call(service, operation, members, place, trace=trace)
            for entry in result.get("Entries", ()) if (service, operation) == ("events", "PutEvents") else ():
                if code := entry.get("ErrorCode"):
                    retriable = code in ("InternalFailure", "ThrottlingException")
                    raise CallFailed(code, entry.get("ErrorMessage", ""), retriable=retriable)

    async def _failed(self, _queue: str, row: Leased, error: Exception) -> Again | None:
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        target = wire.decode(job.target)
        failure = (
            error
            if isinstance(error, CallFailed)
            else CallFailed("InternalError", repr(error), retriable=True)
        )
        standing.attempts += 1
        age = (self._queues.now() - row.first) / 1e9 + job.late
        if standing.dead is not None:
            delay = retry.back_off(standing.attempts)
            if failure.retriable and age - job.late + delay <= 2 * retry.TARGET_MAX_AGE:
                return Again(delay, _encode(standing))
            self._drop(job, target, f"its dead-letter queue did not take it: {failure}")
            return None
        policy = target.get("RetryPolicy") or {}
        step = retry.of_target(policy, standing.attempts, age) if failure.retriable else ""
        execution = self._sent.pop(row.id, "")
        if not isinstance(step, str):
            return Again(step, _encode(standing))
        if not (target.get("DeadLetterConfig") or {}).get("Arn"):
            self._drop(job, target, str(failure))
            return None
        return Again(0.0, _encode(_letter(job, target, standing.attempts, execution, failure, step)))

    def _measure(self, row: Leased, _began: float, error: Exception | None, step: Again | None) -> None:
        if not self._metrics.wanted:
            return
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        code = None if error is None else error.code if isinstance(error, CallFailed) else "InternalError"
        if standing.dead is not None:
            if step is None:
                self._metrics.letter(job.schedule, code, standing.dead["IS_PAYLOAD_TRUNCATED"] == "true")
            return
        ended = step is None or (step.meta is not None and _standing(step.meta).dead is not None)
        if code == TOO_OLD and standing.attempts == 0:
            self._metrics.late(job.schedule)
        else:
            self._metrics.attempted(job.schedule, code, ended and error is not None)

    def _drop(self, job: Job, target: Mapping[str, Any], reason: str) -> None:
        """Into the log: what nothing took."""
        place = _place(job)
        text = f"[WARN] FailedInvocation: {job.schedule} {_iso(job.scheduled)} {target['Arn']}: {reason}\n"
        name = job.schedule.rpartition("/")[2]
        self._log(FunctionOutput(place.region, place.account, LOG_GROUP, name, int(time.time() * 1e3), text))


def _request(job: Job, target: Mapping[str, Any], execution: str, attempt: int) -> requests.Request:
    """Raises CallFailed."""
    place, input = _place(job), target.get("Input")
    if input is None:
        input = _notification(job, target)
    words = {
        "schedule-arn": job.schedule, "scheduled-time": _iso(job.scheduled), "execution-id": execution,
        "attempt-number": str(attempt),
    }  # fmt: skip
    for word, value in words.items():
        input = input.replace(f"<aws.scheduler.{word}>", value)
    try:
        token = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{job.schedule} {job.scheduled}"))
        return requests.request(target, input, place, job.schedule, token)
    except requests.InvalidInput as error:
        raise CallFailed("InvalidInput", str(error), retriable=False) from None


def _notification(job: Job, target: Mapping[str, Any]) -> str:
    """What a target gets whose schedule has no Input."""
    if ":events:" in target["Arn"] or requests.is_universal(target):
        return "{}"
    place = _place(job)
    event = {
        "version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event", "source": "aws.scheduler",
        "account": place.account, "time": _iso(job.scheduled), "region": place.region, "resources": [job.schedule],
        "detail": "{}",
    }  # fmt: skip
    return wire.encode(event).decode()


def _letter(
    job: Job, target: Mapping[str, Any], attempts: int, execution: str, failure: CallFailed, condition: str
) -> Standing:
    """What goes to the dead-letter queue: the request that failed."""
    try:
        body = wire.encode(_request(job, target, execution, attempts).members)
    except CallFailed:
        body = (target.get("Input") or "{}").encode()
    most = LETTER_BYTES - _ATTRIBUTES_BYTES
    dead = {
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": (failure.message or failure.code)[:1024],
        "EXECUTION_ID": execution,
        "IS_PAYLOAD_TRUNCATED": "true" if len(body) > most else "false",
        "RETRY_ATTEMPTS": str(attempts - 1),
        "SCHEDULED_TIME": _iso(job.scheduled),
        "SCHEDULE_ARN": job.schedule,
        "TARGET_ARN": target["Arn"],
    }
    if condition:
        dead["EXHAUSTED_RETRY_CONDITION"] = condition
    return Standing(0, dead, body[:most].decode("utf-8", "ignore"))


def _function(members: Mapping[str, Any], place: Place) -> str:
    """The ARN that an Invoke names. Raises CallFailed."""
    name = str(members.get("FunctionName") or "")
    if name.startswith("arn:"):
        return name if not members.get("Qualifier") else f"{name}:{members['Qualifier']}"
    try:
        found = place.parse(name, members.get("Qualifier"))
    except Fault as fault:
        raise CallFailed(fault.code, fault.message or "", retriable=False) from fault
    return place.function(found.name, found.qualifier)


def _payload(given: Any) -> bytes:
    """Of an Invoke: a document as text, or as it is."""
    return given.encode() if isinstance(given, str) else wire.encode({} if given is None else given)


def _place(job: Job) -> Place:
    return Place(*job.schedule.split(":")[3:5])


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
