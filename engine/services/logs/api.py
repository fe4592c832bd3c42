"""CloudWatch Logs' operations over the log store: what `aws logs tail`, boto3 and infrastructure tools ask for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.messages import Request as HttpRequest
from ...aws.messages import Response
from ...aws.model import Model
from ...aws.service import operations_of
from ...aws.validate import Wording
from .disk import Key, Meta, StoredEvent, Stream
from .filters import FilterOperations
from .insights.definitions import DefinitionOperations
from .insights.operations import QueryOperations
from .pattern import InvalidPattern, compile_pattern
from .store import DAY_MS, PAGE_EVENTS, LogNotFound, LogStore
from .tails import Tails
from .tokens import position, read_position, token, untoken

RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
PUT_BYTES = 1_048_576
EVENT_OVERHEAD = 26  # bytes that AWS counts for an event beside its message
TOO_OLD_MS = 14 * DAY_MS
TOO_NEW_MS = 2 * 60 * 60 * 1000
LIST_LIMIT = 50
TAGS = 50
_INVALID = "InvalidParameterException"
WORDING = Wording(_INVALID, pattern_first=True, one_by_one=True)

Request = dict[str, Any]


class LogsApi:
    """The service for one region and account. Thread-safe; a call may wait for the disk."""

    def __init__(self, store: LogStore, region: str, account: str) -> None:
        self._store = store
        self._prefix = f"arn:aws:logs:{region}:{account}:log-group:"
        self._service = Model.load("logs", WORDING)
        self.tails = Tails(store, self._name)
        self._queries = QueryOperations(store, account, self._name)
        others = FilterOperations(store), DefinitionOperations(store.folder / "queries.json"), self._queries
        self._operations: Mapping[str, Callable[[Request], Request | None]] = {
            **operations_of(self, "call", "close"),
            **operations_of(self.tails, "written", "taken"),
            **{name: each for one in others for name, each in operations_of(one, "close").items()},
        }

    def close(self) -> None:
        """Queries that run end."""
        self._queries.close()

    def call(self, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body. target: X-Amz-Target ("Logs_20140328.GetLogEvents"). Never raises."""
        request_id = str(uuid.uuid4())
        try:
            request = HttpRequest("POST", "/", "", [("x-amz-target", target)], body)
            response = self._respond(request, request_id)
        except Fault as fault:
            response = self._service.error(fault, request_id)
        headers = {"Content-Type": response.headers[0][1].decode(), "x-amzn-RequestId": request_id}
        return response.status, headers, response.body

    def _respond(self, request: HttpRequest, request_id: str) -> Response:
        described, labels = self._service.match(request)
        operation = self._operations.get(described.name)
        if operation is None:
            text = f"{described.name} is not supported: groups, streams, events, filters, queries, live tails are"
            raise Fault("UnknownOperationException", text)
        members = self._service.parse(described, labels, request)
        self._service.validate(described, members)
        try:
            result = operation(members)
        except LogNotFound as error:
            text = f"The specified log {error.what} does not exist."
            raise Fault("ResourceNotFoundException", text) from None
        except InvalidPattern:
            raise Fault(_INVALID, "Invalid filter pattern") from None
        except OSError as error:
            raise Fault("ServiceUnavailableException", f"The log store failed: {error}") from error
        return self._service.render(described, result or {}, request_id)

    # Groups

    def create_log_group(self, r: Request) -> None:
        name = r["logGroupName"]
        if name.lower().startswith("aws/"):
            raise Fault(_INVALID, "Log groups starting with AWS/ are reserved for AWS.")
        for member in ("kmsKeyId", "deletionProtectionEnabled"):
            if r.get(member):
                raise Fault(_INVALID, f"{member} is not supported")
        if not self._store.create_group(name, r.get("logGroupClass", "STANDARD"), r.get("tags")):
            raise Fault("ResourceAlreadyExistsException", "The specified log group already exists")

    def delete_log_group(self, r: Request) -> None:
        self._store.delete_group(r["logGroupName"])

    def describe_log_groups(self, r: Request) -> Request:
        prefix, part = r.get("logGroupNamePrefix"), r.get("logGroupNamePattern")
        if prefix is not None and part is not None:
            text = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
            raise Fault(_INVALID, text)
        identifiers, log_class = r.get("logGroupIdentifiers"), r.get("logGroupClass")
        selected = None if identifiers is None else {self._name(i) for i in identifiers}
        after = untoken(r.get("nextToken"), str)
        names = [
            name
            for name in self._store.groups()
            if name.startswith(prefix or "")
            and (part or "") in name
            and (selected is None or name in selected)
            and (not after or name > after[0])
            and (not log_class or self._store.meta(name).log_class == log_class)
        ]
        limit = r.get("limit", LIST_LIMIT)
        result: Request = {"logGroups": [self._group(n, brief=bool(part)) for n in names[:limit]]}
        if len(names) > limit:
            result["nextToken"] = token(names[limit - 1])
        return result

    def _group(self, name: str, brief: bool) -> Request:
        meta = self._store.meta(name)
        arn = self._prefix + name
        group = {"logGroupName": name, "creationTime": meta.created, "arn": f"{arn}:*", "logGroupArn": arn}
        if brief:
            return group
        group |= {"metricFilterCount": len(meta.metrics), "storedBytes": self._store.stored_bytes(name)}
        group |= {"logGroupClass": meta.log_class, "deletionProtectionEnabled": False}
        return group if meta.retention_days is None else group | {"retentionInDays": meta.retention_days}

    def put_retention_policy(self, r: Request) -> None:
        days = r["retentionInDays"]
        if days not in RETENTION_DAYS:
            text = f"Invalid retention value. Valid values are: [{', '.join(map(str, RETENTION_DAYS))}]"
            raise Fault(_INVALID, text)
        self._store.put_retention(r["logGroupName"], days)

    def delete_retention_policy(self, r: Request) -> None:
        self._store.put_retention(r["logGroupName"], None)

    def _name(self, identifier: str) -> str:
        """A group's name from it or its ARN, with or without the ":*"."""
        if not identifier.startswith("arn:"):
            return identifier
        if not identifier.startswith(self._prefix):  # of another region or account
            raise LogNotFound("group", identifier)
        return identifier.removeprefix(self._prefix).removesuffix(":*")

    def _named(self, r: Request) -> str:
        name, identifier = r.get("logGroupName"), r.get("logGroupIdentifier")
        if (name is None) == (identifier is None):
            raise Fault(_INVALID, "Exactly one of logGroupName and logGroupIdentifier must be given")
        return name if name is not None else self._name(str(identifier))

    # Tags

    def _tagged(self, r: Request) -> str:
        return self._name(r["resourceArn"]) if "resourceArn" in r else str(r["logGroupName"])

    def list_tags_for_resource(self, r: Request) -> Request:
        return {"tags": dict(self._store.meta(self._tagged(r)).tags)}

    list_tags_log_group = list_tags_for_resource

    def tag_resource(self, r: Request) -> None:
        def edit(meta: Meta) -> None:
            tags = meta.tags | r["tags"]
            if len(tags) > TAGS:
                text = f"The maximum number of tags on a resource is {TAGS}"
                raise Fault("TooManyTagsException", text, resourceName=r["resourceArn"])
            meta.tags = tags

        self._store.change(self._tagged(r), edit)

    def untag_resource(self, r: Request) -> None:
        def edit(meta: Meta) -> None:
            meta.tags = {k: v for k, v in meta.tags.items() if k not in r["tagKeys"]}

        self._store.change(self._tagged(r), edit)

    # Streams

    def create_log_stream(self, r: Request) -> None:
        if not self._store.create_stream(r["logGroupName"], r["logStreamName"]):
            raise Fault("ResourceAlreadyExistsException", "The specified log stream already exists")

    def delete_log_stream(self, r: Request) -> None:
        self._store.delete_stream(r["logGroupName"], r["logStreamName"])

    def describe_log_streams(self, r: Request) -> Request:
        group = self._named(r)
        by_time = r.get("orderBy") == "LastEventTime"
        prefix = r.get("logStreamNamePrefix")
        if by_time and prefix is not None:
            raise Fault(_INVALID, "Cannot order by LastEventTime with a logStreamNamePrefix.")
        down = r.get("descending", False)
        after = untoken(r.get("nextToken"), int, str)
        streams = (s for s in self._store.streams(group) if s.name.startswith(prefix or ""))
        found = {((s.last or 0) if by_time else 0, s.name): s for s in streams}
        keys = sorted(found, reverse=down)
        if after:
            last = (after[0], after[1])
            keys = [k for k in keys if (k < last if down else k > last)]
        limit = r.get("limit", LIST_LIMIT)
        result: Request = {"logStreams": [self._stream(group, found[k]) for k in keys[:limit]]}
        if len(keys) > limit:
            result["nextToken"] = token(*keys[limit - 1])
        return result

    def _stream(self, group: str, s: Stream) -> Request:
        stream: Request = {"logStreamName": s.name, "creationTime": s.created}
        if s.last is not None:
            stream |= {"firstEventTimestamp": s.first, "lastEventTimestamp": s.last}
            stream |= {"lastIngestionTime": s.ingested, "uploadSequenceToken": position((s.last, 0))}
        return stream | {"arn": f"{self._prefix}{group}:log-stream:{s.name}", "storedBytes": 0}

    # Events

    def get_log_events(self, r: Request) -> Request:
        group, token = self._named(r), r.get("nextToken")
        at = None if token is None else read_position(token)
        forward = r.get("startFromHead", False) if token is None else token.startswith("f/")
        start, end = r.get("startTime"), r.get("endTime")
        limit = r.get("limit", PAGE_EVENTS)
        page = self._store.read(group, r["logStreamName"], start, end, from_head=forward, at=at, limit=limit)
        first = last = at or ((start or 0, 0) if forward or end is None else (end, 0))
        if page.events:
            first, last = _key(page.events[0]), _key(page.events[-1])
        return {
            "events": [_event(e) for e in page.events],
            "nextForwardToken": f"f/{position(last)}",
            "nextBackwardToken": f"b/{position(first)}",
        }

    def filter_log_events(self, r: Request) -> Request:
        group = self._named(r)
        if "logStreamNames" in r and "logStreamNamePrefix" in r:
            text = "logStreamNames and logStreamNamePrefix are mutually exclusive parameters."
            raise Fault(_INVALID, text)
        names = r.get("logStreamNames")
        if names is not None:
            there = {s.name for s in self._store.streams(group)}
            missing = next((n for n in names if n not in there), None)
            if missing is not None:
                raise LogNotFound("stream", missing)
        at = untoken(r.get("nextToken"), int, int, int)
        forward = bool(at[0]) if at else r.get("startFromHead", True)
        end = r.get("endTime")
        page = self._store.filter(
            group,
            names,
            r.get("startTime"),
            None if end is None else end + 1,  # unlike GetLogEvents', this end is included
            prefix=r.get("logStreamNamePrefix", ""),
            matches=compile_pattern(r.get("filterPattern", "")),
            from_head=forward,
            at=(at[1], at[2]) if at else None,
            limit=r.get("limit", PAGE_EVENTS),
        )
        events = page.events if forward else page.events[::-1]
        result: Request = {
            "events": [
                {**_event(e), "logStreamName": e.stream, "eventId": position(_key(e))} for e in events
            ],
            "searchedLogStreams": [],
        }
        if page.at is not None:
            result["nextToken"] = token(int(forward), *page.at)
        return result

    def put_log_events(self, r: Request) -> Request:
        group, stream, events = r["logGroupName"], r["logStreamName"], r["logEvents"]
        times = [e["timestamp"] for e in events]
        if times != sorted(times):
            text = "Log events in a single PutLogEvents request must be in chronological order."
            raise Fault(_INVALID, text)
        if times[-1] - times[0] > DAY_MS:
            text = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
            raise Fault(_INVALID, text)
        size = sum(len(e["message"].encode("utf-8", "replace")) + EVENT_OVERHEAD for e in events)
        if size > PUT_BYTES:
            raise Fault(_INVALID, f"Upload too large: {size} bytes exceeds limit of {PUT_BYTES}")
        if not any(s.name == stream for s in self._store.streams(group)):
            raise LogNotFound("stream", stream)
        now, days = self._store.now(), self._store.meta(group).retention_days
        expired = 0 if days is None else sum(t < now - days * DAY_MS for t in times)
        old = sum(t < now - TOO_OLD_MS for t in times)
        new = sum(t > now + TOO_NEW_MS for t in times)
        kept = events[max(expired, old) : len(events) - new]
        self._store.append(group, stream, [(e["timestamp"], e["message"]) for e in kept])
        self._store.flush()
        result: Request = {"nextSequenceToken": position((now, 0))}
        rejected = {"tooOldLogEventEndIndex": old, "expiredLogEventEndIndex": expired}
        rejection = {name: n for name, n in rejected.items() if n}
        if new:
            rejection["tooNewLogEventStartIndex"] = len(events) - new
        return result | {"rejectedLogEventsInfo": rejection} if rejection else result


def _event(event: StoredEvent) -> Request:
    return {"timestamp": event.timestamp, "message": event.message, "ingestionTime": event.ingested}


def _key(event: StoredEvent) -> Key:
    return event.timestamp, event.sequence
