"""Spans as X-Ray's segment documents, in the shape that Lambda and its neighbours send theirs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from .. import wire
from .spans import ApiRequest, Delivery, Invocation, Span, new_id

Document = dict[str, Any]
LAMBDA, FUNCTION, SQS = "AWS::Lambda", "AWS::Lambda::Function", "AWS::SQS"
STAGE = "AWS::ApiGateway::Stage"
_MESSAGE = 1024  # characters of an exception's


def documents(span: Span) -> Iterator[Document]:
    """A span's segments, and subsegments that go by themselves."""
    if isinstance(span, Delivery):
        yield _delivery(span)
    elif isinstance(span, ApiRequest):
        yield _api_request(span)
    else:
        yield from _invocation(span)


def _segment(span: Span, id: str, parent: str, name: str, kind: str, start: float, end: float) -> Document:
    made = {"id": id, "name": name, "trace_id": span.root, "start_time": start, "end_time": max(start, end)}
    return {**made, **({"parent_id": parent} if parent else {}), "origin": kind}


def _part(name: str, start: float, end: float, **more: Any) -> Document:
    return {"id": new_id(), "name": name, "start_time": start, "end_time": max(start, end), **more}


def _invocation(span: Invocation) -> Iterator[Document]:
    arrival, parent = span.arrival, span.parent
    if arrival is not None and arrival.queue:
        queue = new_id()
        name = arrival.queue.rpartition(":")[2]
        waited = _segment(span, queue, parent, name, SQS, arrival.since, span.submitted)
        parts = [_part("QueueTime", arrival.since, span.submitted)]
        yield {**waited, "resource_arn": arrival.queue, "subsegments": parts}
        parent = queue
    accepted = arrival is not None and arrival.attempt > 0
    start = arrival.since if arrival is not None and accepted else span.submitted
    own = _segment(span, span.own, parent, span.name, LAMBDA, start, span.ended)
    own |= {"resource_arn": span.arn, "aws": {"request_id": span.request_id, "function_arn": span.arn}}
    own["http"] = {"response": {"status": 202 if accepted else _status(span)}}
    if span.status == "throttle":
        own |= {"error": True, "throttle": True}
    elif span.status == "refused":
        own["fault"] = True
    if arrival is not None and arrival.links:
        own["links"] = [
            {"trace_id": root, "id": id, "attributes": {"ReferenceType": "parent"}}
            for root, id in arrival.links
        ]
    above = span.own
    if arrival is not None and accepted:
        own["subsegments"] = [_part("Dwell Time", start, arrival.first or span.submitted)]
        above = new_id()
        attempt = _part(f"Attempt #{arrival.attempt}", span.submitted, span.ended) | {"id": above}
        attempt |= {"type": "subsegment", "trace_id": span.root, "parent_id": span.own}
        yield {**attempt, "http": {"response": {"status": _status(span)}}, **_fault(span)}
    yield own
    if span.began:
        yield _function(span, above)


def _function(span: Invocation, above: str) -> Document:
    init = (
        max(span.submitted, span.init_at)
        if span.init_at
        else max(span.submitted, span.began - span.init_seconds)
    )
    parts = []
    if span.init_seconds:
        parts.append(_part("Initialization", init, min(span.began, init + span.init_seconds)))
    parts.append({**_part("Invocation", span.began, span.handled), **_fault(span)})
    parts.append(_part("Overhead", span.handled, span.ended))
    start = min(span.began, init) if span.init_seconds else span.began
    made = _segment(span, span.function, above, span.name, FUNCTION, start, span.ended)
    cold = {"cold_start": True} if span.init_seconds else {}
    made["aws"] = {
        "account_id": span.account, "function_arn": span.arn, "resource_names": [span.name],
        "request_id": span.request_id, **cold,
    }  # fmt: skip
    made |= {"resource_arn": span.arn, "subsegments": parts, **_fault(span)}
    if "fault" in made:
        made["cause"] = {"exceptions": [_exception(span)]}
    return made


def _status(span: Invocation) -> int:
    return {"throttle": 429, "refused": 500}.get(span.status, 200)


def _fault(span: Invocation) -> Document:
    return {} if span.status in ("success", "throttle") else {"fault": True}


def _exception(span: Invocation) -> Document:
    kind, message = span.error_type, ""
    try:
        found = wire.decode(span.payload)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        kind = str(found.get("errorType") or kind)
        message = str(found.get("errorMessage") or "")[:_MESSAGE]
    return {"id": new_id(), "type": kind, "message": message}


def _delivery(span: Delivery) -> Document:
    start = min(span.since or span.began, span.began)
    made = _segment(span, span.own, span.parent, span.name, span.kind, start, span.ended)
    failed = {"fault": True} if span.error else {}
    parts = [_part("Dwell Time", start, span.began)] if span.since else []
    parts.append(_part("Delivery", span.began, span.ended, **failed))
    made |= {"resource_arn": span.target, "subsegments": parts, **failed}
    if span.error:
        made["cause"] = {
            "exceptions": [{"id": new_id(), "type": "DeliveryFailed", "message": span.error[:_MESSAGE]}]
        }
    return made


def _api_request(span: ApiRequest) -> Document:
    made = _segment(span, span.own, span.parent, span.name, STAGE, span.began, span.ended)
    request = {"url": span.url, "method": span.method, "client_ip": span.client, "user_agent": span.agent}
    response = {"status": span.status, "content_length": span.size}
    made["http"] = {"request": {**request, "x_forwarded_for": True}, "response": response}
    made["aws"] = {"api_gateway": {
        "account_id": span.account, "rest_api_id": span.api_id, "stage": span.stage, "request_id": span.request_id,
    }}  # fmt: skip
    made["annotations"] = {"aws:api_id": span.api_id, "aws:api_stage": span.stage}
    made["metadata"] = {"default": {"extended_request_id": span.extended_id, "request_id": span.request_id}}
    made["resource_arn"] = f"arn:aws:apigateway:{span.region}::/restapis/{span.api_id}/stages/{span.stage}"
    if span.status >= 400:
        made |= {"fault": True} if span.status >= 500 else {"error": True}
    if span.status == 429:
        made["throttle"] = True
    if span.called:
        made["subsegments"] = [_integration(span)]
    return made


def _integration(span: ApiRequest) -> Document:
    times = {"id": span.call, "start_time": span.called, "end_time": max(span.called, span.answered)}
    if not span.target.startswith("arn:"):
        request = {"url": span.target, "method": span.method}
        name = urlsplit(span.target).netloc or span.target
        return {**times, "name": name, "http": {"request": request}, "namespace": "remote"}
    function = span.target.split(":")[6]
    url = f"https://lambda.{span.region}.amazonaws.com/2015-03-31/functions/{span.target}/invocations"
    return {
        **times, "name": "Lambda", "http": {"request": {"url": url, "method": "POST"}}, "namespace": "aws",
        "aws": {
            "function_name": function, "region": span.region, "operation": "Invoke", "resource_names": [function],
        },
    }  # fmt: skip
