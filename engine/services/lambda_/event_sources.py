"""Event source mappings: which queue or stream feeds which function; the id is the UUID. What polls is elsewhere, and
says when it does what a mapping's record asks for."""

from __future__ import annotations

from ...aws.faults import Fault
from ...durable.state import Record
from . import own_sources
from .control import Control, Operations, Request, Response
from .event_source_kinds import STREAMS, check, defaults, kind_of, merged, servers
from .lookup import version
from .records import discard
from .responses import conflict, invalid, not_found, paged, public

_TABLE = "event-source-mapping"
_PENDING = {"Creating", "Updating", "Enabling", "Disabling"}


class EventSources(Operations):
    """The operations on event source mappings."""

    def settle(self) -> None:
        """What is pending, and done by what polls, is as it was asked to be."""
        sources = self.control.sources
        for uuid, record in self.by_owner(_TABLE).items():
            if record["State"] not in _PENDING | {"Deleting"} or not (
                sources is None or sources.reached(record)
            ):
                continue
            if record["State"] == "Deleting":
                self.discard(_TABLE, uuid)
            else:
                self.put(
                    _TABLE, uuid, "", {**record, "State": "Enabled" if record["_enabled"] else "Disabled"}
                )

    def _shown(self, record: Record) -> Response:
        sources = self.control.sources
        return public(record) if sources is None else {**public(record), **sources.progress(record)}

    def _check_source(self, kind: str, settings: Record, function: str) -> None:
        """Raises Fault."""
        if "_source" in settings:
            if self.control.sources is not None:
                self.control.sources.check_own(kind, settings["_source"], settings["EventSourceArn"])
        elif self.control.sources is not None and settings.get("EventSourceArn"):
            _, record = version(self.control, {"FunctionName": function})
            self.control.sources.check(kind, settings["EventSourceArn"], record["Timeout"])

    def create_event_source_mapping(self, request: Request) -> Response:
        kind, uuid = kind_of(request, self.place.region), self.control.new_id()
        settings = merged(kind, defaults(kind, uuid, request), request)
        if request.get("Source"):
            settings |= own_sources.members(request["Source"], self.place)
        check(kind, request, settings)
        arn = _function(self.control, request["FunctionName"])
        self._check_unique(kind, settings, arn)
        self._check_source(kind, settings, request["FunctionName"])
        enabled = request.get("Enabled") is not False
        record: Record = {
            "UUID": uuid,
            "EventSourceMappingArn": self.place.arn(f"event-source-mapping:{uuid}"),
            "FunctionArn": arn,
            "LastModified": round(self.control.now(), 3),
            "State": "Creating" if enabled else "Disabled",
            "StateTransitionReason": "User action" if kind in STREAMS else "USER_INITIATED",
            "_enabled": enabled,
            "_kind": kind,
            **settings,
        }
        with self.state.change() as change:
            change.put(_TABLE, uuid, "", record)
            if request.get("Tags"):
                change.put("tags", record["EventSourceMappingArn"], "", request["Tags"])
        return public(record)

    def _check_unique(self, kind: str, settings: Record, arn: str, but: str = "") -> None:
        """Raises Fault when another mapping feeds this function from this source."""
        source, topics = settings.get("EventSourceArn"), settings.get("Topics")
        name = arn.split(":function:", 1)[1]
        mine = servers(settings)
        for uuid, other in self.by_owner(_TABLE).items():
            if uuid == but or other["FunctionArn"] != arn or other["_kind"] != kind:
                continue
            if other.get("EventSourceArn") != source or other.get("Topics") != topics:
                continue
            please = f"already exists. Please update or delete the existing mapping with UUID {uuid}"
            if kind == "sqs":
                raise conflict(
                    f'An event source mapping with SQS arn (" {source} ") and function (" {name} ") {please}'
                )
            if source is not None:
                raise conflict(
                    f'The event source arn (" {source} ") and function (" {name} ") provided mapping {please}'
                )
            if not set(mine).isdisjoint(servers(other)):
                raise conflict(
                    f'An event source mapping with event source ("{",".join(mine)}"), function ("{arn}"), topics '
                    f'("{",".join(topics or ())}") {please}'
                )

    def _found(self, request: Request) -> Record:
        record = self.state.get(_TABLE, request["UUID"])
        if record is None:
            raise not_found("The resource you requested does not exist.")
        return record

    def get_event_source_mapping(self, request: Request) -> Response:
        return self._shown(self._found(request))

    def list_event_source_mappings(self, request: Request) -> Response:
        arn = None
        if request.get("FunctionName"):
            name = self.place.parse(request["FunctionName"])
            arn = self.place.function(name.name, name.qualifier)
        source = request.get("EventSourceArn")
        found = [
            self._shown(record)
            for record in self.by_owner(_TABLE).values()
            if (not arn or record["FunctionArn"] == arn)
            and (not source or record.get("EventSourceArn") == source)
        ]
        return paged("EventSourceMappings", found, request, most=100)

    def update_event_source_mapping(self, request: Request) -> Response:
        record = self._found(request)
        if record["State"] in _PENDING | {"Deleting"}:
            text = "Cannot update the event source mapping because it is in use."
            raise Fault("ResourceInUseException", text, Type="User")
        kind = record["_kind"]
        new = merged(kind, record, request)
        check(kind, request, new)
        if request.get("FunctionName"):
            new["FunctionArn"] = _function(self.control, request["FunctionName"])
            self._check_unique(kind, new, new["FunctionArn"], but=record["UUID"])
            self._check_source(kind, new, request["FunctionName"])
        new |= {"LastModified": round(self.control.now(), 3), "State": "Updating"}
        if request.get("Enabled") is not None and request["Enabled"] != record["_enabled"]:
            new["_enabled"] = request["Enabled"]
            new["State"] = "Enabling" if request["Enabled"] else "Disabling"
        self.put(_TABLE, record["UUID"], "", new)
        return self._shown(new)

    def delete_event_source_mapping(self, request: Request) -> Response:
        record = {**self._found(request), "State": "Deleting"}
        arn = record["EventSourceMappingArn"]
        with self.state.change() as change:
            change.put(_TABLE, record["UUID"], "", record)
            discard(self.state, change, "tags", arn)
        return self._shown(record)


def _function(control: Control, text: str) -> str:
    """The ARN of a function, as qualified as it was named. Raises Fault."""
    name = control.place.parse(text)
    try:
        version(control, {"FunctionName": text})
    except Fault:
        raise invalid("Function does not exist") from None
    return control.place.function(name.name, name.qualifier)
