"""The graph of services: who calls whom, how often, how long it takes, and with which end. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .traces import Segment, Service, Trace

_BINS = 100  # of a histogram


@dataclass(slots=True)
class _Statistics:
    total: int = 0
    ok: int = 0
    throttles: int = 0
    errors: int = 0
    faults: int = 0
    seconds: float = 0.0
    start: float = 0.0
    end: float = 0.0
    histogram: dict[float, int] = field(default_factory=dict)

    def add(self, segment: Segment) -> None:
        document, took = segment.document, segment.duration
        self.total += 1
        self.seconds += took
        if document.get("throttle"):
            self.throttles += 1
        elif document.get("error"):
            self.errors += 1
        elif document.get("fault"):
            self.faults += 1
        else:
            self.ok += 1
        self.start = min(self.start or segment.start, segment.start)
        self.end = max(self.end, segment.end)
        value = float(f"{took:.2g}")
        if value in self.histogram or len(self.histogram) < _BINS:
            self.histogram[value] = self.histogram.get(value, 0) + 1

    @property
    def summary(self) -> dict[str, Any]:
        return {
            "OkCount": self.ok,
            "ErrorStatistics": {
                "ThrottleCount": self.throttles, "OtherCount": self.errors,
                "TotalCount": self.throttles + self.errors,
            },
            "FaultStatistics": {"OtherCount": self.faults, "TotalCount": self.faults},
            "TotalCount": self.total, "TotalResponseTime": round(self.seconds, 6),
        }  # fmt: skip

    @property
    def shown(self) -> list[dict[str, Any]]:
        return [{"Value": value, "Count": count} for value, count in sorted(self.histogram.items())]


class Graph:
    """Of the traces that were added."""

    def __init__(self) -> None:
        self._nodes: dict[Service, _Statistics] = {}
        self._edges: dict[tuple[Service, Service], _Statistics] = {}
        self._roots: set[Service] = set()

    def add(self, trace: Trace) -> None:
        for segment in trace.segments:
            self._nodes.setdefault(segment.service, _Statistics()).add(segment)
            if segment.above is not None:
                caller = segment.above.service
            else:
                self._roots.add(segment.service)
                caller = Service(segment.service.name, "client")
                self._nodes.setdefault(caller, _Statistics())
            if caller != segment.service:
                self._edges.setdefault((caller, segment.service), _Statistics()).add(segment)

    @property
    def services(self) -> list[dict[str, Any]]:
        numbers = {service: number for number, service in enumerate(self._nodes)}
        found = []
        for service, statistics in self._nodes.items():
            edges = [(to, each) for (caller, to), each in self._edges.items() if caller == service]
            client = service.kind == "client"
            made: dict[str, Any] = {
                "ReferenceId": numbers[service], **service.members, "Root": service in self._roots,
                "State": "unknown" if client else "active",
                "StartTime": min([each.start for _, each in edges], default=0.0) if client else statistics.start,
                "EndTime": max([each.end for _, each in edges], default=0.0) if client else statistics.end,
                "Edges": [_edge(numbers[to], each) for to, each in edges],
            }  # fmt: skip
            if not client:
                made |= {
                    "SummaryStatistics": statistics.summary, "DurationHistogram": statistics.shown,
                    "ResponseTimeHistogram": statistics.shown,
                }  # fmt: skip
            found.append(made)
        return found


def _edge(number: int, statistics: _Statistics) -> dict[str, Any]:
    return {
        "ReferenceId": number, "StartTime": statistics.start, "EndTime": statistics.end,
        "SummaryStatistics": statistics.summary, "ResponseTimeHistogram": statistics.shown, "Aliases": [],
    }  # fmt: skip
