"""What the server counts, for Prometheus to scrape, and as JSON for `stoker top`."""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from .. import wire
from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.service import Access, Caller, Service
from ..hosting.placements import Hosting
from ..observe.counters import Counters
from ..observe.functions import FunctionMetrics
from ..observe.losses import Losses
from ..observe.mappings import MappingCounters
from ..observe.points import Point, bounds

BOUNDS = tuple(
    math.ldexp(1, power) for power in range(-4, 21)
)  # milliseconds: 62.5 µs to 17 minutes, edges of buckets
_JSON = [(b"content-type", b"application/json")]
_LABELS = ("region", "account", "function", "version")


class Prometheus(Service):
    """GET /metrics, and /_stoker/metrics. Where requests must be signed, a client authenticates as Prometheus can:
    by HTTP's basic authentication, with an access key and its secret."""

    name = "prometheus"
    paths = re.compile(r"GET /_stoker/metrics\Z")
    unsigned_paths = re.compile(r"/metrics\Z")  # S3 may have a bucket of that name
    body_bytes = 64 * 1024

    def __init__(
        self,
        counters: Counters,
        measured: FunctionMetrics,
        mappings: MappingCounters,
        losses: Losses,
        hosting: Hosting,
        transport: Callable[[], dict[str, int]],
        secrets: Mapping[str, str] | None,
    ) -> None:
        """secrets: by access key; None where nobody has to sign."""
        self._counters, self._measured, self._mappings = counters, measured, mappings
        self._losses = losses
        self._hosting, self._transport, self._secrets = hosting, transport, secrets

    def access(self, request: Request) -> Access:
        return Access.OPEN  # a signature is not what Prometheus has

    async def call(self, request: Request, caller: Caller) -> Response:
        if request.method != "GET":
            raise Fault("MethodNotAllowed", "GET /metrics")
        if self._secrets is not None and not _allowed(request.header("authorization"), self._secrets):
            raise Fault(
                "MissingAuthenticationTokenException", "An access key and its secret are needed: basic_auth"
            )
        self._measured.gather()
        if "application/json" in request.header("accept"):
            return Response(200, list(_JSON), wire.encode(self._snapshot(parse_qs(request.query))))
        try:
            from prometheus_client.exposition import choose_encoder
            from prometheus_client.registry import CollectorRegistry
        except ImportError:
            text = 'prometheus-client is not installed here: pip install "stoker[metrics]"'
            raise Fault("NotImplementedException", text) from None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self._families))
        encode, content_type = choose_encoder(request.header("accept"))
        return Response(200, [(b"content-type", content_type.encode())], encode(registry))

    def error(self, request: Request, fault: Fault) -> Response:
        status = getattr(fault, "status", None) or {
            "MissingAuthenticationTokenException": 401, "MethodNotAllowed": 405, "NotImplementedException": 501,
        }.get(fault.code, 403)  # fmt: skip
        headers = list(_JSON)
        if status == 401:
            headers.append((b"www-authenticate", b'Basic realm="stoker"'))
        return Response(status, headers, wire.encode({"message": fault.message}))

    def _snapshot(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """By function ARN: totals, and how many invocations took how long, by the upper bounds of buckets in ms. Of
        those that something was counted of since the response that had the mark of ?since=MARK, unless it is
        `whole`."""
        functions: dict[str, Any] = {}
        mark, changed = self._counters.since(query.get("since", [""])[0])
        for arn, counts in self._counters.read(changed).items():
            point = self._measured.durations.get(arn) or Point(buckets={})
            functions[arn] = {
                **counts,
                "took": {f"{bounds(each)[1]:g}": n for each, n in sorted(point.buckets.items())},
            }
        running = {
            placement.place.function(each.name): each.in_flight
            for placement in self._hosting.known()
            for each in placement.invoker.running()
        }
        return {
            "mark": mark, "whole": changed is None, "functions": functions, "running": running, **self._transport(),
        }  # fmt: skip

    def _families(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        invocations = CounterMetricFamily("stoker_invocations", "Invocations that ended.", labels=_LABELS)
        errors = CounterMetricFamily("stoker_errors", "Invocations that failed.", labels=[*_LABELS, "status"])
        throttles = CounterMetricFamily(
            "stoker_throttles", "Invocations refused.", labels=[*_LABELS, "reason"]
        )
        cold = CounterMetricFamily(
            "stoker_cold_starts", "Invocations that waited for an init.", labels=_LABELS
        )
        events = CounterMetricFamily(
            "stoker_async_events", "Asynchronous events by how they ended.", labels=[*_LABELS, "end"]
        )
        took = HistogramMetricFamily("stoker_duration_seconds", "Time in the handler.", labels=_LABELS)
        for arn, counts in self._counters.read().items():
            labels = _labels(arn)
            invocations.add_metric(labels, counts["invocations"])
            cold.add_metric(labels, counts["cold_starts"])
            for family, found in ((errors, "errors"), (throttles, "throttles"), (events, "events")):
                for which, number in counts[found].items():
                    family.add_metric([*labels, which], number)
            if (point := self._measured.durations.get(arn)) is not None:
                took.add_metric(labels, _cumulated(point), point.sum / 1e3)
        running = GaugeMetricFamily(
            "stoker_concurrent_executions", "Invocations that run.", labels=["region", "account", "function"]
        )
        for placement in self._hosting.known():
            for each in placement.invoker.running():
                running.add_metric(
                    [placement.place.region, placement.place.account, each.name], each.in_flight
                )
        mapped = CounterMetricFamily(
            "stoker_mapping_events", "Records of event source mappings.", labels=["mapping", "kind"]
        )
        age = GaugeMetricFamily("stoker_iterator_age_seconds", "Age of the last record.", labels=["mapping"])
        for arn, counts in self._mappings.read().items():
            for name, number in counts.items():
                if name == "IteratorAge":
                    age.add_metric([arn.rpartition(":")[2]], number / 1e3)
                else:
                    mapped.add_metric([arn.rpartition(":")[2], name], number)
        lost = CounterMetricFamily(
            "stoker_dropped", "What nobody took in time, and was dropped.", labels=["kind"]
        )
        for kind, number in self._losses.read().items():
            lost.add_metric([kind], number)
        yield from (invocations, errors, throttles, cold, events, took, running, mapped, age, lost)
        for name, number in self._transport().items():
            snake = re.sub(r"(?=[A-Z])", "_", name).lower()
            yield GaugeMetricFamily(f"stoker_{snake}", "Of requests that are being read.", value=number)


class _Collector:
    def __init__(self, collect: Callable[[], Iterator[Any]]) -> None:
        self.collect = collect


def _labels(arn: str) -> list[str]:
    """arn:aws:lambda:REGION:ACCOUNT:function:NAME, and maybe its version."""
    parts = arn.split(":")
    return [parts[3], parts[4], parts[6], parts[7] if len(parts) > 7 else "$LATEST"]


def _cumulated(point: Point) -> list[tuple[str, float]]:
    """How many took at most so many seconds."""
    listed = sorted((bounds(each)[1], times) for each, times in point.buckets.items())
    found, seen, at = [], 0.0, 0
    for bound in BOUNDS:
        while at < len(listed) and listed[at][0] <= bound:
            seen += listed[at][1]
            at += 1
        found.append((f"{bound / 1e3:g}", seen))
    return [*found, ("+Inf", point.count)]


def _allowed(header: str, secrets: Mapping[str, str]) -> bool:
    scheme, _, encoded = header.partition(" ")
    try:
        key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    wanted = secrets.get(key)
    return (
        scheme.lower() == "basic"
        and wanted is not None
        and hmac.compare_digest(secret.encode(), wanted.encode())
    )
