"""The map with what goes along its edges: a graph of records, and the sums of metrics of the last minutes."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from ..aws.clients import CallFailed, Clients
from ..aws.names import Place
from ..hosting.placements import Hosting
from .graph import Graph, Metric, graph

KEPT = 4.0  # seconds that one is shown to all
WITHIN = 120  # seconds that rates are of: a minute of them or more
_QUERIES = 500  # of one GetMetricData


class Map:
    """Belongs to the event loop."""

    def __init__(self, hosting: Hosting, clients: Clients) -> None:
        self._hosting, self._clients = hosting, clients
        self._made: dict[Place, tuple[float, dict[str, Any]]] = {}
        self._lock = asyncio.Lock()

    async def read(self, place: Place) -> dict[str, Any]:
        """`nodes`: id, kind, name; `edges`: from, to, label, and events a second or None; `more`: it has others."""
        async with self._lock:
            at, made = self._made.get(place, (0.0, {}))
            if made and time.monotonic() < at + KEPT:
                return made
            state = self._hosting.of(place).state
            found = graph(place, state, state.owners("function"))
            rates = await self._rates(found)
            made = {
                "nodes": [list(each) for each in found.nodes.values()],
                "edges": [[each.start, each.end, each.label, rates.get(each.metric)] for each in found.edges],
                "more": found.more,
            }
            self._made[place] = time.monotonic(), made
            return made

    async def _rates(self, found: Graph) -> dict[Metric | None, float]:
        metrics = list(dict.fromkeys(each.metric for each in found.edges if each.metric is not None))
        now = time.time()
        start = (now - WITHIN + 60) // 60 * 60
        rates: dict[Metric | None, float] = {}
        for at in range(0, len(metrics), _QUERIES):
            part = metrics[at : at + _QUERIES]
            try:
                results = await self._clients.call(
                    "cloudwatch", "GetMetricData", _request(part, start, now), found.place
                )
            except CallFailed:
                return rates
            for each in results.get("MetricDataResults", ()):
                rates[part[int(each["Id"][1:])]] = round(sum(each.get("Values") or ()) / (now - start), 2)
        return rates


def _request(metrics: list[Metric], start: float, end: float) -> dict[str, Any]:
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": each.namespace, "MetricName": each.name,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in each.dimensions],
                },
                "Period": 60, "Stat": "Sum",
            },
        }
        for number, each in enumerate(metrics)
    ]  # fmt: skip
    return {
        "MetricDataQueries": queries, "StartTime": datetime.fromtimestamp(start, UTC),
        "EndTime": datetime.fromtimestamp(end + 60, UTC),
    }  # fmt: skip
