"""PutEvents: events checked, matched, and a row for each target of each rule on the disk before the caller hears."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ... import wire
from ...aws import traces
from ...aws.faults import Fault
from ...aws.service import Caller
from ...durable.folder import StoreError
from ...durable.queue import QueueFull, Queues
from ...observe.spans import Spans
from ...observe.tally import Tally
from ...routing.tracing import beginning
from .archives import Archives
from .buses import Buses
from .catalog import ARCHIVES, Bus, Catalog, pattern_of
from .delivery import HOPS, Job, encode_job, line
from .faults import invalid
from .measuring import RuleMetrics

ENTRY_BYTES = 1 << 20  # of all entries of a request
DETAIL_DEPTH = 900
_REQUIRED = (("Source", "Source"), ("DetailType", "DetailType"), ("Detail", "Detail"))
_FIELDS = ("id", "account", "source", "time", "region", "resources", "detail-type")
Members = dict[str, Any]


class Putting:
    def __init__(
        self, catalog: Catalog, buses: Buses, archives: Archives, queues: Queues, spans: Spans | None = None
    ) -> None:
        self._spans = spans
        self.metrics = RuleMetrics(Tally())
        self._catalog = catalog
        self._buses = buses
        self._archives = archives
        self._queues = queues

    async def put_events(self, members: Members, caller: Caller) -> Members:
        if members.get("EndpointId"):
            raise invalid(f"Endpoint {members['EndpointId']} does not exist.")
        if sum(map(_size, members["Entries"])) >= ENTRY_BYTES:
            raise invalid("Total size of the entries in the request is over the limit.")
        entries = await asyncio.gather(*(self._entry(entry, caller) for entry in members["Entries"]))
        return {"FailedEntryCount": sum("ErrorCode" in each for each in entries), "Entries": entries}

    async def _entry(self, entry: Mapping[str, Any], caller: Caller) -> Members:
        try:
            bus = self._catalog.any_bus(entry.get("EventBusName"), caller.place)
            event = _event(entry, caller)
            if not self._buses.allows(bus, caller.place):
                text = f"Not authorized to put events on {bus.arn}: its policy does not allow it."
                raise Fault("AccessDeniedException", text)
            await self.put(bus, event, trace=entry.get("TraceHeader") or traces.CURRENT.get())
        except Fault as fault:
            return {"ErrorCode": fault.code, "ErrorMessage": fault.message}
        except RecursionError:
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        except QueueFull as full:
            return {"ErrorCode": "ThrottlingException", "ErrorMessage": str(full)}
        except StoreError as error:
            return {"ErrorCode": "InternalFailure", "ErrorMessage": str(error)}
        return {"EventId": event["id"]}

    async def put(
        self,
        bus: Bus,
        event: Mapping[str, Any],
        *,
        only: frozenset[str] | None = None,
        hops: int = 0,
        trace: str = "",
    ) -> None:
        """Done once a delivery to each target of each rule that matches is durable, and the event is archived. only:
        the ARNs of rules, of a replay's; trace: the header that it goes on with. Raises QueueFull, StoreError, or Fault
        for one that went too far."""
        if hops > HOPS:
            raise Fault("InvalidArgument", f"The event {event['id']} went from bus to bus {HOPS} times.")
        replayed = "replay-name" in event
        body = wire.encode(event)
        pending: list[asyncio.Future[Any]] = []
        archived = []
        triggered = []
        for matched in self._catalog.index(bus).match(event):
            if matched.kind == ARCHIVES:
                if not replayed:
                    archived.append(matched.name)
            elif only is None or bus.rule(matched.name) in only:
                triggered.append(matched.name)
                pending += self.queued(bus, matched.name, body, hops, trace)
        invocations = len(pending)
        if archived:
            pending.append(self._archives.keep(bus.place, archived, event, body))
        await asyncio.gather(*pending)
        self.metrics.matched(bus, triggered, invocations)

    def queued(
        self, bus: Bus, rule: str, body: bytes, hops: int = 0, trace: str = ""
    ) -> list[asyncio.Future[int]]:
        """A row for each target of a rule. Raises QueueFull."""
        trace = traces.plain(trace)  # a function that events of its own invoke is no loop to AWS
        record = self._catalog.rules(bus).get(rule)
        found = []
        for id, target in (record["Targets"] if record else {}).items():
            job = Job(bus.rule(rule), wire.encode(target), body, time.time(), hops, trace)
            found.append(self._queues.put(line(bus, rule, id), encode_job(job)))
        return found

    def beginning(self) -> str:
        """The header of what a schedule begins."""
        return beginning(self._spans)

    async def test_event_pattern(self, members: Members, _caller: Caller) -> Members:
        pattern = pattern_of(members["EventPattern"])
        try:
            event = wire.decode(members["Event"].encode())
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise invalid("Parameter Event is not valid.")
        for name in _FIELDS:
            if name not in event:
                raise invalid(f"Parameter Event is not valid. Reason: {name} is a required field.")
        try:
            return {"Result": pattern.matches(event)}
        except RecursionError:
            raise invalid("Parameter Event is not valid.") from None


def _event(entry: Mapping[str, Any], caller: Caller) -> Members:
    """Raises Fault: an entry's error."""
    for member, name in _REQUIRED:
        if not entry.get(member):
            text = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            raise Fault("InvalidArgument", text)
    if entry["Source"].startswith("aws."):
        raise Fault("NotAuthorizedForSourceException", "Not authorized for the source.")
    try:
        detail = wire.decode(entry["Detail"].encode())
    except (ValueError, RecursionError):
        detail = None
    nested = entry["Detail"].count("[") + entry["Detail"].count("{") > DETAIL_DEPTH
    if not isinstance(detail, dict) or (nested and _depth(detail) > DETAIL_DEPTH):
        raise Fault("MalformedDetail", "Detail is malformed.")
    return {
        "version": "0", "id": str(uuid.uuid4()), "detail-type": entry["DetailType"], "source": entry["Source"],
        "account": caller.place.account, "time": iso(entry.get("Time") or time.time()),
        "region": caller.place.region, "resources": list(entry.get("Resources") or ()), "detail": detail,
    }  # fmt: skip


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _size(entry: Mapping[str, Any]) -> int:
    """As AWS counts."""
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")] + list(
        entry.get("Resources") or ()
    )
    return sum(len(text.encode("utf-8", "replace")) for text in texts) + (14 if entry.get("Time") else 0)


def _depth(value: Any) -> int:
    """Level by level: no recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner: list[Any] = []
        for each in level:
            inner.extend(each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        level = inner
    return depth
