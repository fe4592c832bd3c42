"""The operations of Logs Insights: StartQuery and what belongs to it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .... import wire
from ....aws.faults import Fault
from ..store import LogStore
from ..tokens import token, untoken
from .job import Extent, Job, Part
from .pipeline import Query
from .record import Record, source
from .runs import ENDED, SECONDS, Run, Runs, page
from .segments import find, latest
from .tree import Malformed
from .values import Time, text

LIMIT = 10_000  # rows, of a query that names no limit, and of a page
GROUPS = 50
PAGE_BYTES = 8 << 20
LISTED = 1000
SAMPLE_EVENTS, SAMPLE_BYTES = 10_000, 16 << 20  # that GetLogGroupFields looks at
FIELDS_SECONDS, FIELDS_AROUND = 15 * 60, 8 * 60
_INVALID = "InvalidParameterException"

Request = dict[str, Any]


class QueryOperations:
    """Of one account and region. name_of: a group's by its name or ARN."""

    def __init__(self, store: LogStore, account: str, name_of: Callable[[str], str]) -> None:
        self._store = store
        self._account = account
        self._name_of = name_of
        self._runs = Runs(store.folder)

    def close(self) -> None:
        self._runs.close()

    # Queries

    def start_query(self, r: Request) -> Request:
        _only_cwli(r)
        groups = self._groups(r)
        start, end = r["startTime"] * 1000, (r["endTime"] + 1) * 1000  # the whole of its last second
        if r["endTime"] < r["startTime"]:
            raise Fault(_INVALID, "startTime must not be after endTime")
        query, most = r["queryString"], r.get("limit", LIMIT)
        try:
            Query(query, most)
        except Malformed as error:
            location = {"startCharOffset": error.start, "endCharOffset": error.end}
            about = {"location": location, "message": error.message}
            raise Fault("MalformedQueryException", error.message, queryCompileError=about) from None
        parts = [self._part(group, start, end) for group in groups]
        if all(end <= max(self._store.meta(part.group).created, part.low) for part in parts):
            message = (
                "Query's end date and time is either before the log groups creation time or exceeds the log groups log "
                "retention settings"
            )
            raise Fault("MalformedQueryException", message)
        run = Run(query, groups, Job(query, most, SECONDS, -1, parts))
        self._runs.start(run)
        return {"queryId": run.id}

    def _groups(self, r: Request) -> tuple[str, ...]:
        """Raises Fault."""
        given = [name for name in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if r.get(name)]
        if len(given) != 1:
            text = "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given"
            raise Fault(_INVALID, text)
        value = r[given[0]]
        names = tuple(dict.fromkeys([value] if isinstance(value, str) else map(self._name_of, value)))
        if len(names) > GROUPS:
            raise Fault(_INVALID, f"A query can be of {GROUPS} log groups at most")
        there = set(self._store.groups())
        for name in names:
            if name not in there:
                text = f"Log group '{name}' does not exist for account ID '{self._account}'"
                raise Fault("ResourceNotFoundException", text)
        return names

    def _part(self, name: str, start: int, end: int) -> Part:
        group, oldest = self._store.opened(name)
        low = max(start, oldest)
        extents = [Extent(str(path), *more) for path, *more in group.extents(low, end)]
        return Part(self._account, name, low, end, dict(group.meta.gone), extents)

    def get_query_results(self, r: Request) -> Request:
        run = self._run(r)
        status = run.status  # before its rows: they are there when it says so
        (offset,) = untoken(r.get("nextToken"), int) or (0,)
        lines, after = page(run, offset, r.get("maxItems", LIMIT), PAGE_BYTES)
        done = run.progress
        result = {
            "queryLanguage": "CWLI",
            "status": status,
            "results": [wire.decode(line) for line in lines],
            "statistics": {
                "recordsMatched": float(done.matched), "recordsScanned": float(done.scanned),
                "estimatedRecordsSkipped": 0.0, "bytesScanned": float(done.size), "estimatedBytesSkipped": 0.0,
                "logGroupsScanned": float(len(run.groups)), "resultCount": float(done.rows),
            },
        }  # fmt: skip
        return result | {"nextToken": token(after)} if after else result

    def _run(self, r: Request) -> Run:
        run = self._runs.get(r["queryId"])
        if run is None:
            raise Fault("ResourceNotFoundException", f"The specified query {r['queryId']} does not exist.")
        return run

    def stop_query(self, r: Request) -> Request:
        run = self._run(r)
        if not self._runs.stop(run):
            text = f"The query cannot be stopped: it has ended, and its status is {run.status}"
            raise Fault(_INVALID, text)
        return {"success": True}

    def describe_queries(self, r: Request) -> Request:
        group, status, after = r.get("logGroupName"), r.get("status"), untoken(r.get("nextToken"), str)
        found = [
            run
            for run in self._runs.all()
            if (group is None or group in run.groups)
            and status in (None, run.status)
            and r.get("queryLanguage", "CWLI") == "CWLI"
        ]
        first = next((n for n, run in enumerate(found, 1) if after == [run.id]), 0)
        last = first + r.get("maxResults", LISTED)
        result: Request = {"queries": [_info(run, group) for run in found[first:last]]}
        return result | {"nextToken": token(found[last - 1].id)} if last < len(found) else result

    # Records

    def get_log_record(self, r: Request) -> Request:
        try:
            name, timestamp, sequence = untoken(r["logRecordPointer"], str, int, int)
        except Fault:
            raise Fault(_INVALID, "The specified logRecordPointer is invalid.") from None
        event = find(self._part(name, timestamp, timestamp + 1), sequence)
        if event is None:
            raise Fault("ResourceNotFoundException", "The specified log record does not exist.")
        fields = Record(event, source(self._account, name)).fields()
        return {"logRecord": {name: _plain(value) for name, value in fields.items()}}

    def get_log_group_fields(self, r: Request) -> Request:
        names = [r[each] for each in ("logGroupName", "logGroupIdentifier") if r.get(each)]
        if len(names) != 1:
            text = "Exactly one of logGroupName and logGroupIdentifier must be given"
            raise Fault(_INVALID, text)
        name, at = self._name_of(names[0]), r.get("time")
        now = time.time()
        low, high = (
            (now - FIELDS_SECONDS, now + 1) if at is None else (at - FIELDS_AROUND, at + FIELDS_AROUND)
        )
        counts: Counter[str] = Counter()
        events = 0
        for event in latest(self._part(name, int(low * 1000), int(high * 1000)), SAMPLE_BYTES):
            if events >= SAMPLE_EVENTS:
                break
            events += 1
            counts.update(
                each for each in Record(event, source(self._account, name)).fields() if each != "@ptr"
            )
        listed = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return {
            "logGroupFields": [
                {"name": n, "percent": math.floor(times * 100 / events)} for n, times in listed
            ]
        }


def _info(run: Run, group: str | None) -> Request:
    found = {
        "queryLanguage": "CWLI", "queryId": run.id, "queryString": run.query, "status": run.status,
        "createTime": run.created, "logGroupName": group or run.groups[0], "bytesScanned": float(run.progress.size),
    }  # fmt: skip
    return found | {"queryDuration": run.took} if run.status in ENDED else found


def _only_cwli(r: Request) -> None:
    if r.get("queryLanguage", "CWLI") != "CWLI":
        raise Fault(_INVALID, f"The query language {r['queryLanguage']} is not supported: CWLI is")


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, Time) else text(value)
