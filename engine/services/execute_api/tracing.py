"""What is noted of a request to a REST API whose trace is kept: its stage's segment."""

from __future__ import annotations

import time

from ...aws import traces
from ...aws.messages import Response
from ...observe.spans import ApiRequest, Spans, new_id
from .exchange import Exchange


def begin(spans: Spans | None, exchange: Exchange, enabled: bool, api: str) -> ApiRequest | None:
    """None: it is not kept. enabled: is the stage one that traces what nobody has decided about? What the request
    causes is its integration's, so that is the parent in the header that it goes on with. api: the API's name."""
    if spans is None or not (enabled or spans.every):
        return None
    trace = traces.completed(exchange.trace, exchange.id.bytes, exchange.now, True)
    found = traces.sampled(trace)
    if found is None:
        return None
    root, parent = found
    if parent == exchange.id.hex[16:]:  # as it is made up where there was none
        parent = ""
    request, place, call = exchange.request, exchange.place, new_id()
    exchange.headers["x-amzn-trace-id"] = traces.within(trace, call)
    return ApiRequest(
        place.region, place.account, root, parent, new_id(), call, f"{api}/{exchange.stage}", exchange.api_id,
        exchange.stage, str(exchange.id), exchange.short, request.method,
        f"https://{exchange.domain}{exchange.path}", request.client, exchange.headers.get("user-agent", ""),
        exchange.now,
    )  # fmt: skip


def end(spans: Spans | None, span: ApiRequest | None, exchange: Exchange, response: Response) -> None:
    if spans is None or span is None:
        return
    span.ended, span.status, span.size = time.time(), response.status, len(response.body)
    span.target, span.called = exchange.target, exchange.called
    span.answered = exchange.called + (exchange.integration or 0.0)
    spans.add(span)
