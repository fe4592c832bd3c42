"""What services count, by the names of CloudWatch's metrics: noted as it happens, added up when somebody wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .metrics import MINUTE, Metrics, Series
from .points import of_values

MOST = 10_000  # that are noted before they are added up
Dimensions = tuple[tuple[str, str], ...]
_UNITS = {
    "Latency": "Milliseconds", "IntegrationLatency": "Milliseconds", "UrlRequestLatency": "Milliseconds",
    "IngestionToInvocationStartLatency": "Milliseconds", "IngestionToInvocationCompleteLatency": "Milliseconds",
    "Duration": "Milliseconds", "PublishSize": "Bytes", "DataProcessed": "Bytes", "EventSize": "Bytes",
}  # fmt: skip


class Subject:
    """What values are of. dimensions: all sets of them that a value counts for."""

    __slots__ = ("account", "dimensions", "namespace", "region")

    def __init__(self, region: str, account: str, namespace: str, *dimensions: Dimensions) -> None:
        self.region, self.account, self.namespace = region, account, namespace
        self.dimensions = dimensions


class _Noted(NamedTuple):
    subject: Subject
    minute: int
    values: Mapping[str, float]


class Tally:
    """Belongs to the event loop."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        """metrics: None, where nobody wants them."""
        self._metrics = metrics or Metrics(own=False)
        self.wanted = self._metrics.own
        self._noted: list[_Noted] = []
        if self.wanted:
            self._metrics.collect(self._made)

    def add(self, subject: Subject, values: Mapping[str, float]) -> None:
        """Values by the names of metrics, of now; in CloudWatch's units (milliseconds, bytes). Nothing changes them
        later."""
        if self.wanted:
            self._noted.append(_Noted(subject, int(self._metrics.clock() // MINUTE), values))
            if len(self._noted) >= MOST:
                self._made(self._metrics)

    def _made(self, metrics: Metrics) -> None:
        noted, self._noted = self._noted, []
        grouped: dict[tuple[Subject, int, str], list[float]] = {}
        for subject, minute, values in noted:
            for name, value in values.items():
                grouped.setdefault((subject, minute, name), []).append(value)
        for (subject, minute, name), listed in grouped.items():
            point, unit = of_values(listed), _UNITS.get(name, "Count")
            for of in subject.dimensions:
                series = Series(subject.region, subject.account, subject.namespace, name, of, unit)
                metrics.merge(series, point, minute * MINUTE)
