"""Spans to an OpenTelemetry receiver, by OTLP over HTTP: one span for each segment and subsegment, under X-Ray's ids.

A thread of its own exports them; what it cannot keep up with, or nobody receives, is dropped and counted.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .segments import FUNCTION, LAMBDA, SQS, STAGE, Document, documents
from .spans import Invocation, Span

BATCH = 512  # spans of one request
WAITING = 64  # batches that wait for the thread
CLOSING = 5.0  # seconds that what waits has at the end
_KINDS = {"Dwell Time": "queue", "QueueTime": "queue", "Initialization": "init", "Invocation": "handler",
          "Delivery": "delivery"}  # fmt: skip
_log = logging.getLogger("stoker.otlp")


class OtlpSpans:
    """A subscriber to spans. endpoint: the receiver's URL ("http://127.0.0.1:4318"). Raises ImportError without
    opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http (stoker[otel])."""

    def __init__(self, endpoint: str, timeout: float = 10.0) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self.dropped = 0
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=timeout)
        self._waiting: queue.Queue[Sequence[Span] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="stoker-otlp", daemon=True)
        self._thread.start()

    def __call__(self, spans: Sequence[Span]) -> None:
        try:
            self._waiting.put_nowait(spans)
        except queue.Full:
            self.dropped += len(spans)

    def close(self) -> None:
        """What waits is sent, as far as there is time for it."""
        end = time.monotonic() + CLOSING
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSING)
        self._thread.join(max(0.0, end - time.monotonic()))
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        while (spans := self._waiting.get()) is not None:
            try:
                made = [
                    each for span in spans for document in documents(span) for each in _spans(span, document)
                ]
                for at in range(0, len(made), BATCH):
                    self._exporter.export(made[at : at + BATCH])
            except Exception:
                self.dropped += len(spans)
                _log.exception("spans could not be exported")


def _spans(span: Span, document: Document) -> Iterator[Any]:
    """A document's span, and those of its subsegments."""
    resource = _resource(*_described(span, document))
    stack = [(document, document.get("parent_id", ""))]
    while stack:
        each, parent = stack.pop()
        yield _made(span, each, parent, resource)
        stack += [(part, each["id"]) for part in each.get("subsegments", ())]


def _described(span: Span, document: Document) -> tuple[str, str, str, str, str]:
    """Whose it is: name, ARN and version of a function's, region, account."""
    if not isinstance(span, Invocation) or document.get("origin") == SQS:
        return document["name"], "", "", span.region, span.account
    return span.name, span.arn, span.version, span.region, span.account


@lru_cache(1000)
def _resource(name: str, arn: str, version: str, region: str, account: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    found = {
        "service.name": name,
        "cloud.provider": "aws",
        "cloud.region": region,
        "cloud.account.id": account,
    }
    if arn:
        found |= {"cloud.platform": "aws_lambda", "faas.name": name, "cloud.resource_id": arn}
    if version:
        found["faas.version"] = version
    return Resource(found)


def _made(span: Span, document: Document, parent: str, resource: Any) -> Any:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(root: str, id: str) -> SpanContext:
        return SpanContext(int(root[2:].replace("-", ""), 16), int(id, 16), True, TraceFlags(1))

    name, origin = document["name"], document.get("origin", "")
    what = _KINDS.get(name, "")
    kind = SpanKind.INTERNAL
    if origin in (FUNCTION, STAGE):
        kind = SpanKind.SERVER
    elif "namespace" in document:
        kind = SpanKind.CLIENT
    elif origin == SQS or what == "queue":
        kind = SpanKind.CONSUMER
    elif origin and origin != LAMBDA:
        kind = SpanKind.PRODUCER
    attributes: dict[str, Any] = {"stoker.span": what or {
        LAMBDA: "invoke", FUNCTION: "function", SQS: "queue", STAGE: "api",
    }.get(origin, "delivery" if origin else "call" if "namespace" in document else "attempt")}  # fmt: skip
    request = document.get("aws", {}).get("request_id")
    if request:
        attributes["faas.invocation_id"] = request
    if "cold_start" in document.get("aws", {}):
        attributes["faas.coldstart"] = True
    if origin:
        attributes["aws.xray.origin"] = origin
    if status := document.get("http", {}).get("response", {}).get("status"):
        attributes["http.response.status_code"] = status
    exceptions = document.get("cause", {}).get("exceptions", ())
    text = exceptions[0]["message"] or exceptions[0]["type"] if exceptions else None
    failed = document.get("fault") or document.get("error")
    links = [Link(context(each["trace_id"], each["id"])) for each in document.get("links", ())]
    return ReadableSpan(
        name=(what and f"{span.name} {what}") or name,
        context=context(span.root, document["id"]),
        parent=context(span.root, parent) if parent else None,
        resource=resource,
        attributes=attributes,
        links=links,
        kind=kind,
        status=Status(StatusCode.ERROR, text) if failed else Status(),
        start_time=int(document["start_time"] * 1e9),
        end_time=int(document["end_time"] * 1e9),
        instrumentation_scope=InstrumentationScope("stoker"),
    )
