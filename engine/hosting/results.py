"""How an invocation ended, as its caller and its log have it: its result, or AWS's refusal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from .. import wire
from .._native import lib
from ..aws.faults import Fault
from ..calls.dispatch import Outcome, error_payload, uuid_text
from ..errors import EngineError, FunctionError, FunctionTimeout, InvalidEvent, TooManyRequests
from ..observe.functions import PROVISIONED, SPILLED
from ..observe.lines import error_line
from ..observe.outcomes import Throttle
from ..observe.records import InvocationRecord, invocation_record
from .deployments import CLOCK, Deployment, InitTimedOut


@dataclass(slots=True)
class Result:
    """An invocation's end. payload: the response, or the error object when `failed`."""

    payload: bytes
    failed: bool
    request_id: str
    version: str
    deployment: Deployment
    record: InvocationRecord | None  # None: it has no log
    at: float  # epoch seconds of its end
    began: int  # of its beginning


# Called with a Result, or with AWS's refusal.
OnResult = Callable[["Result | Fault"], None]


def result_of(
    deployment: Deployment, outcome: Outcome | EngineError, id: bytes, alias: str, beside: bool
) -> Result | Fault:
    """An invocation's end, published as it is returned. alias: the ARN of the one that it was invoked by; beside: it
    found none provisioned."""
    version, now = deployment.key[1], time.time()
    if not isinstance(outcome, Outcome):
        if isinstance(outcome, FunctionError):
            return _init_failed(deployment, outcome, uuid_text(id), now, alias)
        return refused(deployment, outcome, alias)
    entry = deployment.entry
    assert entry is not None
    record = invocation_record(entry, outcome, now * 1e3)
    if deployment.warm:
        record.provisioned = SPILLED if beside else PROVISIONED
    _publish(deployment, record, alias)
    began = ((outcome.started or outcome.done) + CLOCK) // 1_000_000_000  # as the worker has it
    if outcome.status == lib.STK_OK:
        return Result(outcome.data, False, outcome.request_id, version, deployment, record, now, began)
    try:
        payload = error_payload(entry, outcome)
    except EngineError as error:
        return refused(deployment, error, alias)
    return Result(payload, True, outcome.request_id, version, deployment, record, now, began)


def _init_failed(
    deployment: Deployment, error: FunctionError, request_id: str, now: float, alias: str
) -> Result:
    """The result of an invocation that ended with its init. What the init itself wrote is in the log already; of that,
    the result's tail has the error."""
    if isinstance(error, InitTimedOut):
        error = FunctionTimeout(request_id, error.seconds)
        record = InvocationRecord(request_id, now * 1e3, int(error.timeout * 1e9), 0, "timeout", cold=True)
        _publish(deployment, record, alias)
        payload = wire.encode(error.payload())
        return Result(payload, True, request_id, deployment.key[1], deployment, record, now, int(now))
    status = "timeout" if error.error_type == "Sandbox.Timedout" else "error"
    record = InvocationRecord(
        request_id, now * 1e3, 0, 0, status, error.error_type,
        cold=True, init_ms=deployment.init_ms, init_status=status,
    )  # fmt: skip
    _publish(deployment, record, alias)
    own: InvocationRecord | None = None
    if deployment.info.log_group:
        form = deployment.info.log_format
        text = error_line(error.error_type, error.error_message, error.stack_trace, int(now * 1e3), form)
        own = msgspec.structs.replace(record, output=text)
    body = {"errorMessage": error.error_message, "errorType": error.error_type, "requestId": ""}
    payload = wire.encode({**body, "stackTrace": error.stack_trace})
    return Result(payload, True, request_id, deployment.key[1], deployment, own, now, int(now))


def _publish(deployment: Deployment, record: InvocationRecord, alias: str) -> None:
    if alias:
        record.alias = alias
    if record.cold:
        record.init_at, deployment.init_began = deployment.init_began, 0.0
        if deployment.init_lost_ms:
            record.init_ms, deployment.init_lost_ms = deployment.init_lost_ms, 0.0
            record.init_status, record.again = "timeout", True
    deployment.outcomes.ended(record)


def throttle(deployment: Deployment, reason: str, alias: str) -> Fault:
    deployment.outcomes.throttled(Throttle(time.time(), reason, alias))
    # As recorded, a function's own limit does not say when to come back.
    after: dict[str, None] = {"retryAfterSeconds": None} if reason.startswith("ReservedFunction") else {}
    return Fault("TooManyRequestsException", "Rate Exceeded.", Reason=reason, Type="User", **after)


def refused(deployment: Deployment, error: EngineError, alias: str) -> Fault:
    """The engine did not run it: AWS's fault for that."""
    if isinstance(error, TooManyRequests):
        return throttle(deployment, "ConcurrentInvocationLimitExceeded", alias)
    if isinstance(error, InvalidEvent):
        return Fault("InvalidRequestContentException", str(error), Type="User")
    return Fault("ServiceException", str(error), Type="Service")
