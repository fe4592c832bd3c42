"""What there is to show, from the records of a place: functions, queues, event source mappings."""

from __future__ import annotations

from typing import Any

from ..aws.names import LATEST, Place
from ..durable.state import State
from ..hosting.placements import Placement
from ..services.sqs.queues import Catalog
from ..sources.settings import TABLE as MAPPINGS

Listed = list[list[Any]]
_ARN = 6  # the element of a function's ARN that is its name


class Functions:
    """Names as numbers, which are the same for as long as somebody watches."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._ids: dict[str, int] = {}

    def id(self, name: str) -> int:
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = len(self._ids)
        return found

    def listed(self) -> Listed:
        """Rows of [id, name, runtime, memory in MB, timeout in seconds, description]."""
        state, rows = self._placement.state, []
        for name in state.owners("function"):
            record = state.get("function", name, LATEST) or {}
            rows.append([
                self.id(name), name, record.get("Runtime", ""), record.get("MemorySize", 0), record.get("Timeout", 0),
                record.get("Description", ""),
            ])  # fmt: skip
        return rows

    def totals(self, counters: dict[str, dict[str, Any]]) -> Listed:
        """Rows of [id, invocations, errors, throttles, cold starts] since the server's start, all versions together."""
        head, rows = self._placement.place.function(""), dict[str, list[int]]()
        for arn, counts in counters.items():
            if arn.startswith(head):
                row = rows.setdefault(arn.split(":")[_ARN], [0, 0, 0, 0])
                row[0] += counts["invocations"]
                row[1] += sum(counts["errors"].values())
                row[2] += sum(counts["throttles"].values())
                row[3] += counts["cold_starts"]
        return [[self.id(name), *row] for name, row in rows.items()]


def queues(catalog: Catalog, place: Place) -> list[dict[str, Any]]:
    """Each with its ARN, the queue that its dead letters go to, and those whose it has."""
    found = []
    for name in catalog.names(place):
        queue = catalog.get(place, name)
        if queue is not None:
            found.append({
                "name": name, "arn": queue.arn, "dead": queue.redrive.target if queue.redrive else "",
                "receives": queue.redrive.receives if queue.redrive else 0,
                "sources": [each.name for each in catalog.sources(queue)],
            })  # fmt: skip
    return found


def mappings(state: State) -> list[dict[str, Any]]:
    found = []
    for uuid in state.owners(MAPPINGS):
        record = state.get(MAPPINGS, uuid) or {}
        source = record.get("EventSourceArn") or _servers(record)
        found.append({
            "uuid": uuid, "source": source, "function": function_name(record.get("FunctionArn", "")),
            "state": record.get("State", ""), "batch": record.get("BatchSize"),
        })  # fmt: skip
    return found


def _servers(record: dict[str, Any]) -> str:
    endpoints = (record.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    return ",".join(server for each in endpoints.values() for server in each)


def function_name(arn: str) -> str:
    return ([*arn.split(":"), *[""] * 7])[_ARN]
