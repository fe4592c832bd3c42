"""What the page asks of the server: operations of services, of which these and no others, and test events.

A refusal is a `fault` within a response that succeeds: a browser's console is for the page's own errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .. import limits, wire
from ..aws import traces
from ..aws.clients import CallFailed, Clients
from ..aws.faults import Fault
from ..aws.names import Place
from ..hosting.invoker import new_id
from ..hosting.placements import Hosting
from ..observe.log import tail
from ..services.lambda_.invocation import check_size

OPERATIONS = {
    "lambda": {
        "GetFunction", "GetFunctionConcurrency", "GetPolicy", "ListAliases", "ListEventSourceMappings",
        "ListFunctionEventInvokeConfigs", "ListFunctionUrlConfigs", "ListProvisionedConcurrencyConfigs",
        "ListVersionsByFunction",
    },
    "logs": {"FilterLogEvents"},
    "sqs": {"GetQueueAttributes", "ListMessageMoveTasks", "ReceiveMessage", "StartMessageMoveTask"},
    "cloudwatch": {"GetMetricData"},
    "xray": {"BatchGetTraces", "GetTraceSummaries"},
}  # fmt: skip


async def perform(
    clients: Clients, place: Place, service: str, operation: str, members: Mapping[str, Any]
) -> dict[str, Any]:
    """The result's members. Raises Fault."""
    if operation not in OPERATIONS.get(service, ()):
        raise Fault("ValidationException", f"The console does not call {service}'s {operation}")
    try:
        found = await clients.call(service, operation, members, place)
    except CallFailed as failed:
        raise Fault(failed.code, failed.message) from failed
    found.pop("ResponseMetadata", None)
    return found


async def test(hosting: Hosting, place: Place, given: Mapping[str, Any]) -> dict[str, Any]:
    """Invokes `function` (`qualifier`: a version or an alias) with `event`, a JSON text. Raises Fault."""
    name, qualifier, text = given.get("function"), given.get("qualifier") or None, given.get("event")
    if not isinstance(name, str) or not isinstance(text, str) or not isinstance(qualifier, str | None):
        raise Fault("ValidationException", "A test needs a function and an event")
    event = text.encode("utf-8", "replace")
    try:
        wire.decode(event)
    except (ValueError, RecursionError) as error:
        raise Fault("InvalidRequestContentException", f"The event is no JSON: {error}") from None
    check_size(len(event), limits.EVENT_BYTES, "InvokeFunction")
    invoker, id = hosting.of(place).invoker, new_id()
    extras = None
    if invoker.sampled(name, qualifier):
        extras = wire.Extras(trace=traces.own(id, time.time(), place.function(name)))
    began = time.perf_counter()
    result = await invoker.result(name, qualifier, event, id, extras)
    if isinstance(result, Fault):
        raise result
    took = time.perf_counter() - began
    log = b""
    if result.record is not None:
        log = tail(result.deployment.info, result.record, limits.LOG_TAIL_BYTES)
    return {
        "failed": result.failed, "version": result.version, "requestId": result.request_id,
        "ms": round(took * 1e3, 3), "payload": result.payload.decode("utf-8", "replace"),
        "log": log.decode("utf-8", "replace"),
    }  # fmt: skip
