"""Metrics to an OpenTelemetry receiver, by OTLP over HTTP: what came since the last time, every few seconds.

Each series has the name that CloudWatch's own metric streams give it (amazonaws.com/AWS/Lambda/Invocations), its
dimensions as attributes, and delta temporality: counts are sums, everything else is a histogram. A thread of its own
exports them; what nobody receives is added to what comes next, up to MOST series.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

from .metrics import Key, Series
from .points import Point, bounds

EVERY = 10.0  # seconds between two exports, unless OTEL_METRIC_EXPORT_INTERVAL (milliseconds) says otherwise
MOST = 20_000
CLOSING = 5.0  # seconds that the last export has
BOUNDS = tuple(float(1 << power) for power in range(17))  # of histograms of times: 1 ms to 65 s
UNITS = {
    "Seconds": "s", "Milliseconds": "ms", "Microseconds": "us", "Bytes": "By", "Kilobytes": "kBy", "Megabytes": "MBy",
    "Gigabytes": "GBy", "Bits": "bit", "Percent": "%", "Count": "{Count}", "None": "",
}  # fmt: skip
# Of AWS's own, what is looked at and not counted.
_GAUGES = ("Concurren", "ApproximateNumberOf", "OffsetLag")
_log = logging.getLogger("stoker.otlp")


class OtlpMetrics:
    """Takes points as they are kept. endpoint: the receiver's URL ("http://127.0.0.1:4318"). Raises ImportError without
    opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http (stoker[otel])."""

    def __init__(self, endpoint: str, timeout: float = CLOSING) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        self.dropped = 0  # points of series that there was no room for
        self._exporter = OTLPMetricExporter(endpoint=f"{endpoint.rstrip('/')}/v1/metrics", timeout=timeout)
        self._every = float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", EVERY * 1e3)) / 1e3
        self._pending: dict[Series, Point] = {}
        self._since = time.time_ns()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stoker-otlp-metrics", daemon=True)
        self._thread.start()

    def take(self, points: Mapping[Key, Point]) -> None:
        """From now on the points are its own."""
        with self._lock:
            self._merge((series, point) for (series, _, _), point in points.items())

    def close(self) -> None:
        """What is left is exported, as far as there is time for it."""
        self._closed.set()
        self._thread.join(2 * CLOSING)

    def _merge(self, points: Iterable[tuple[Series, Point]]) -> None:
        for series, point in points:
            known = self._pending.get(series)
            if known is not None:
                known.merge(point)
            elif len(self._pending) < MOST:
                self._pending[series] = point
            else:
                self.dropped += 1

    def _run(self) -> None:
        while not self._closed.wait(self._every):
            self._export()
        self._export()
        self._exporter.shutdown()

    def _export(self) -> None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        with self._lock:
            taken, self._pending = self._pending, {}
        if not taken:
            return
        now, done = time.time_ns(), False
        try:
            done = self._exporter.export(data_of(taken, self._since, now)) is MetricExportResult.SUCCESS
        except Exception:
            _log.exception("metrics could not be exported")
        if done:
            self._since = now
            return
        with self._lock:  # they are older than what came meanwhile
            fresh, self._pending = self._pending, taken
            self._merge(fresh.items())


def data_of(points: Mapping[Series, Point], begin: int, end: int) -> Any:
    """Points as OpenTelemetry's SDK has metrics. begin, end: epoch nanoseconds."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    places: dict[tuple[str, str], dict[str, dict[tuple[str, str], list[tuple[Series, Point]]]]] = {}
    for series, point in points.items():
        if point.count:
            scopes = places.setdefault((series.region, series.account), {})
            named = scopes.setdefault(series.namespace, {})
            named.setdefault((series.name, series.unit), []).append((series, point))
    return MetricsData([
        ResourceMetrics(
            Resource({
                "service.name": "stoker", "cloud.provider": "aws", "cloud.region": region, "cloud.account.id": account,
            }),
            [
                ScopeMetrics(
                    InstrumentationScope(namespace), [_metric(found, begin, end) for found in named.values()], ""
                )
                for namespace, named in scopes.items()
            ],
            "",
        )
        for (region, account), scopes in places.items()
    ])  # fmt: skip


def _metric(found: list[tuple[Series, Point]], begin: int, end: int) -> Any:
    """All series of one name and unit."""
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Histogram,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
        Sum,
    )

    first, delta = found[0][0], AggregationTemporality.DELTA
    data: Any
    if _is_counter(first):
        numbers = [
            NumberDataPoint(_attributes(series), begin, end, float(point.sum)) for series, point in found
        ]
        data = Sum(numbers, delta, is_monotonic=True)
    else:
        edges = BOUNDS if first.unit == "Milliseconds" else ()
        histograms = []
        for series, point in found:
            counts, low, high = _counted(point, edges), point.low, point.high
            histograms.append(
                HistogramDataPoint(
                    _attributes(series), begin, end, sum(counts), point.sum, counts, list(edges), low, high
                )
            )
        data = Histogram(histograms, delta)
    name = f"amazonaws.com/{first.namespace}/{first.name}"
    return Metric(name, "", UNITS.get(first.unit, first.unit), data)


def _is_counter(series: Series) -> bool:
    own = series.namespace.startswith("AWS/") and series.unit == "Count"
    return own and not any(part in series.name for part in _GAUGES)


def _attributes(series: Series) -> dict[str, str]:
    return {"Namespace": series.namespace, "MetricName": series.name, **dict(series.dimensions)}


def _counted(point: Point, edges: tuple[float, ...]) -> list[int]:
    """How many values lie between them: each is an edge of the point's own buckets. All beyond, where that is not
    known."""
    found = [0.0] * (len(edges) + 1)
    if not point.whole:
        found[-1] = point.count
    else:
        for index, times in point.buckets.items():
            found[bisect_left(edges, bounds(index)[1])] += times
    return [round(times) for times in found]
