"""What is asked of traces: summaries, whole traces, the graph of services."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from ... import wire
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.folder import StoreError
from .disk import Cursor, SegmentStore
from .documents import end_of
from .faults import invalid
from .filters import parsed
from .graph import Graph
from .keeper import Keeper
from .traces import Trace

TRACES = 5  # of one BatchGetTraces: AWS's
PAGE = 100  # summaries
SCANNED = 2_000  # segments that are looked at for one page of summaries
GRAPHED = 50_000  # for one graph, newest first
_BATCH = 500
_LAST = "~"  # behind every trace's id, and every segment's
Members = dict[str, Any]


class Reading:
    """Belongs to the event loop. default: the place of what came without one."""

    def __init__(self, keeper: Keeper, default: Place) -> None:
        self._keeper = keeper
        self._default = default

    async def get_trace_summaries(self, members: Members, caller: Caller) -> Members:
        start, end = _range(members)
        wanted: Callable[[Trace], bool] = lambda trace: True  # noqa: E731
        if members.get("FilterExpression"):
            wanted = parsed(members["FilterExpression"])
        cursor = _cursor(members.get("NextToken")) or (end, _LAST, _LAST)
        place = caller.place

        def scan(store: SegmentStore) -> Members:
            found: list[Members] = []
            looked, more = 0, None
            for at, trace in self._traces(store, place, start, end, cursor, SCANNED):
                if trace is None:
                    more = at
                    break
                looked += 1
                if wanted(trace):
                    found.append(trace.summary())
                if len(found) >= PAGE:
                    more = at
                    break
            return {
                "TraceSummaries": found, "ApproximateTime": time.time(), "TracesProcessedCount": looked,
                "NextToken": _token(more) if more else None,
            }  # fmt: skip

        return await self._read(scan)

    async def batch_get_traces(self, members: Members, caller: Caller) -> Members:
        ids, place = _ids(members), caller.place

        def load(store: SegmentStore) -> Members:
            traces, missing = [], []
            for id in ids:
                found = store.trace(id, place.partition, place == self._default)
                if found is None:
                    missing.append(id)
                    continue
                trace = Trace(id, found.documents)
                segments = [
                    {"Id": each["id"], "Document": wire.encode(each).decode()} for each in trace.documents
                ]
                traces.append(
                    {
                        "Id": id,
                        "Duration": round(_duration(trace), 3),
                        "LimitExceeded": found.limited,
                        "Segments": segments,
                    }
                )
            return {"Traces": traces, "UnprocessedTraceIds": missing}

        return await self._read(load)

    async def get_trace_graph(self, members: Members, caller: Caller) -> Members:
        ids, place = _ids(members), caller.place

        def load(store: SegmentStore) -> Members:
            graph = Graph()
            for id in ids:
                found = store.trace(id, place.partition, place == self._default)
                if found is not None:
                    graph.add(Trace(id, found.documents))
            return {"Services": graph.services}

        return await self._read(load)

    async def get_service_graph(self, members: Members, caller: Caller) -> Members:
        start, end = _range(members)
        place = caller.place
        if members.get("GroupName") not in (None, "Default") or (
            members.get("GroupARN") and not members["GroupARN"].endswith(":group/Default")
        ):
            raise invalid("The group does not exist.")

        def load(store: SegmentStore) -> Members:
            graph = Graph()
            for _, trace in self._traces(store, place, start, end, (end, _LAST, _LAST), GRAPHED):
                if trace is not None:
                    graph.add(trace)
            return {"Services": graph.services, "ContainsOldGroupVersions": False}

        found = await self._read(load)
        return {"StartTime": start / 1e3, "EndTime": end / 1e3, **found}

    def _traces(
        self, store: SegmentStore, place: Place, start: int, end: int, before: Cursor, most: int
    ) -> Iterator[tuple[Cursor, Trace | None]]:
        """A place's, newest first, each at its segment that began last; at last, after `most` segments, None."""
        left, cursor = most, before
        while left > 0:
            rows = store.older(start, cursor, min(_BATCH, left))
            left -= len(rows)
            for cursor in rows:
                if not store.is_last(cursor, end):
                    continue
                found = store.trace(cursor[1], place.partition, place == self._default)
                if found is not None and found.documents:
                    yield cursor, Trace(cursor[1], found.documents)
            if not rows:
                return
        yield cursor, None

    async def _read(self, function: Callable[[SegmentStore], Members]) -> Members:
        try:
            return await self._keeper.read(function)
        except StoreError as error:
            raise invalid(f"Traces cannot be read: {error}") from error


def _duration(trace: Trace) -> float:
    documents = trace.documents
    if not documents:
        return 0.0
    return max(map(end_of, documents)) - min(float(each["start_time"]) for each in documents)


def _ids(members: Members) -> list[str]:
    ids = list(dict.fromkeys(members["TraceIds"]))
    if not ids or len(ids) > TRACES:
        raise invalid(f"TraceIds: from one to {TRACES} trace IDs are to be given.")
    return ids


def _range(members: Members) -> tuple[int, int]:
    """ms."""
    start, end = _ms(members["StartTime"]), _ms(members["EndTime"])
    if start > end:
        raise invalid("StartTime must be before EndTime.")
    return start, end


def _ms(value: float | datetime) -> int:
    return int((value.timestamp() if isinstance(value, datetime) else value) * 1e3)


def _token(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(wire.encode(list(cursor))).decode()


def _cursor(token: str | None) -> Cursor | None:
    if not token:
        return None
    try:
        at, trace, id = wire.decode(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise invalid("NextToken is not valid.") from None
    if not isinstance(at, int) or not isinstance(trace, str) or not isinstance(id, str) or abs(at) > 1 << 60:
        raise invalid("NextToken is not valid.")
    return at, trace, id
