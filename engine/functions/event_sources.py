"""Event source mappings: which queue or stream feeds which function. Stored and validated; the id is the UUID."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .control import Control, Operation
from .faults import Fault
from .lookup import conflict, invalid, not_found, page, public, version
from .state import Record

_TABLE = "event-source-mapping"
_STREAMS = ("kinesis", "dynamodb")
_POLLED = ("kinesis", "dynamodb", "kafka")  # what has a position in a log
_SIZE = {"sqs": 10, "kinesis": 100, "dynamodb": 100, "kafka": 100, "mq": 100, "documentdb": 100}
_FILTERS = 10
_PASSING = {"Creating", "Updating", "Enabling", "Disabling"}


class EventSources:
    """The operations on event source mappings."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateEventSourceMapping": self.create,
            "GetEventSourceMapping": self.get,
            "ListEventSourceMappings": self.list_all,
            "UpdateEventSourceMapping": self.update,
            "DeleteEventSourceMapping": self.delete,
        }

    def settle(self) -> None:
        """What is being made, changed or deleted is so."""
        state = self._control.state
        for uuid in state.owners(_TABLE):
            record = state.get(_TABLE, uuid)
            if record is None or record["State"] not in _PASSING | {"Deleting"}:
                continue
            with state.change() as change:
                if record["State"] == "Deleting":
                    change.delete(_TABLE, uuid, "")
                else:
                    ended = "Enabled" if record["_enabled"] else "Disabled"
                    change.put(_TABLE, uuid, "", {**record, "State": ended})

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        kind = _kind(request)
        named, _ = _function(control, request["FunctionName"])
        arn = control.place.function(named[0], named[1])
        _check(kind, request, new=True)
        self._unless_there(kind, request, arn)
        uuid = control.new_id()
        record: Record = {
            "UUID": uuid,
            "EventSourceMappingArn": control.place.arn(f"event-source-mapping:{uuid}"),
            "FunctionArn": arn,
            "LastModified": round(control.now(), 3),
            "State": "Creating",
            "StateTransitionReason": "User action" if kind in _STREAMS else "USER_INITIATED",
            "_enabled": request.get("Enabled") is not False,
            "_kind": kind,
        }
        record |= _defaults(kind)
        record |= _said(kind, request)
        with control.state.change() as change:
            change.put(_TABLE, uuid, "", record)
            if request.get("Tags"):
                change.put("tags", record["EventSourceMappingArn"], "", request["Tags"])
        return public(record)

    def _unless_there(self, kind: str, request: Mapping[str, Any], arn: str) -> None:
        control = self._control
        source = request.get("EventSourceArn")
        name = arn.split(":function:", 1)[1]
        servers = _servers(request)
        for uuid in control.state.owners(_TABLE):
            other = control.state.get(_TABLE, uuid) or {}
            if (
                other["FunctionArn"] != arn
                or other.get("EventSourceArn") != source
                or other["State"] == "Deleting"
            ):
                continue
            please = f"Please update or delete the existing mapping with UUID {uuid}"
            if kind == "sqs":
                raise conflict(
                    f'An event source mapping with SQS arn (" {source} ") and function (" {name} ") already exists. '
                    + please
                )
            if source is not None and other.get("Topics") == request.get("Topics"):
                raise conflict(
                    f'The event source arn (" {source} ") and function (" {name} ") provided mapping already exists. '
                    + please
                )
            if source is None and _servers(other) == servers and other.get("Topics") == request.get("Topics"):
                topics = ",".join(request.get("Topics") or [])
                raise conflict(
                    f'An event source mapping with event source ("{",".join(servers)}"), function ("{arn}"), topics '
                    f'("{topics}") already exists. {please}'
                )

    def _found(self, request: Mapping[str, Any]) -> Record:
        record = self._control.state.get(_TABLE, request["UUID"])
        if record is None:
            raise not_found("The resource you requested does not exist.")
        return record

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        return public(self._found(request))

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        control, state = self._control, self._control.state
        arn = None
        if request.get("FunctionName"):
            named = control.place.parse(request["FunctionName"])
            arn = control.place.function(named.name, named.qualifier)
        found = []
        for uuid in state.owners(_TABLE):
            record = state.get(_TABLE, uuid)
            if record is None or (arn and record["FunctionArn"] != arn):
                continue
            if request.get("EventSourceArn") and record.get("EventSourceArn") != request["EventSourceArn"]:
                continue
            found.append(public(record))
        some, more = page(found, request, default=100, most=100)
        return {"EventSourceMappings": some, **more}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        record = self._found(request)
        if record["State"] in _PASSING | {"Deleting"}:
            raise Fault(
                "ResourceInUseException",
                "Cannot update the event source mapping because it is in use.",
                Type="User",
            )
        kind = record["_kind"]
        _check(kind, {**record, **request}, new=False)
        new = {**record, **_said(kind, request), "LastModified": round(control.now(), 3), "State": "Updating"}
        if request.get("FunctionName"):
            named, _ = _function(control, request["FunctionName"])
            new["FunctionArn"] = control.place.function(named[0], named[1])
        if request.get("Enabled") is not None and request["Enabled"] != record["_enabled"]:
            new["_enabled"] = request["Enabled"]
            new["State"] = "Enabling" if request["Enabled"] else "Disabling"
        with control.state.change() as change:
            change.put(_TABLE, record["UUID"], "", new)
        return public(new)

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        record = {**self._found(request), "State": "Deleting"}
        arn = record["EventSourceMappingArn"]
        with self._control.state.change() as change:
            change.put(_TABLE, record["UUID"], "", record)
            if self._control.state.get("tags", arn) is not None:
                change.delete("tags", arn, "")
        return public(record)


def _function(control: Control, text: str) -> tuple[tuple[str, str | None], Record]:
    named = control.place.parse(text)
    try:
        _, record = version(control, {"FunctionName": text})
    except Fault as fault:
        if fault.code == "ResourceNotFoundException":
            raise invalid("Function does not exist") from None
        raise
    return (named.name, named.qualifier), record


def _kind(request: Mapping[str, Any]) -> str:
    arn = request.get("EventSourceArn")
    if arn is None:
        if request.get("SelfManagedEventSource"):
            if not request.get("SourceAccessConfigurations"):
                raise invalid("Required 'sourceAccessConfigurations' parameter is missing.")
            return "kafka"
        raise invalid("Unrecognized event source.")
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    kind = {
        "sqs": "sqs",
        "kinesis": "kinesis",
        "dynamodb": "dynamodb",
        "kafka": "kafka",
        "mq": "mq",
        "rds": "documentdb",
    }
    if service not in kind:
        raise invalid("Unrecognized event source.")
    return kind[service]


def _servers(said: Mapping[str, Any]) -> list[str]:
    endpoints: Mapping[str, list[str]] = said.get("SelfManagedEventSource", {}).get("Endpoints", {})
    return list(endpoints.get("KAFKA_BOOTSTRAP_SERVERS", []))


def _check(kind: str, said: Mapping[str, Any], new: bool) -> None:
    arn = said.get("EventSourceArn", "")
    if new and kind in _POLLED and not said.get("StartingPosition"):
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if said.get("StartingPosition") == "AT_TIMESTAMP" and kind == "dynamodb":
        raise invalid(f"Unsupported starting position for arn type: {arn}")
    size = said.get("BatchSize") or _SIZE[kind]
    if kind == "sqs":
        if size > 10 and arn.endswith(".fifo"):
            raise invalid("Batch size must be at most 10 for FIFO queues")
        if size > 10 and not said.get("MaximumBatchingWindowInSeconds"):
            raise invalid(
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
            )
        if (said.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination"):
            raise invalid("Unsupported DestinationConfig parameter for given event source mapping type.")
    filters = (said.get("FilterCriteria") or {}).get("Filters") or []
    if len(filters) > _FILTERS:
        raise invalid(f"Number of filters exceeds the limit of {_FILTERS}.")
    for each in filters:
        if "Pattern" in each and not _is_pattern(each["Pattern"]):
            raise invalid("Invalid filter pattern definition.")


def _is_pattern(text: str) -> bool:
    try:
        pattern = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return isinstance(pattern, dict) and _leaves(pattern)


def _leaves(pattern: Mapping[str, Any]) -> bool:
    """Every leaf of a pattern is a list that is not empty."""
    return bool(pattern) and all(
        (isinstance(value, list) and len(value) > 0) or (isinstance(value, dict) and _leaves(value))
        for value in pattern.values()
    )


def _defaults(kind: str) -> Record:
    """What a mapping has unless it says otherwise, per kind of source."""
    out: Record = {"BatchSize": _SIZE[kind], "MaximumBatchingWindowInSeconds": 0}
    if kind == "sqs":
        out["FunctionResponseTypes"] = []
    if kind in _STREAMS:
        out |= {
            "LastProcessingResult": "No records processed",
            "DestinationConfig": {"OnFailure": {}},
            "MaximumRecordAgeInSeconds": -1,
            "BisectBatchOnFunctionError": False,
            "MaximumRetryAttempts": -1,
            "ParallelizationFactor": 1,
            "TumblingWindowInSeconds": 0,
            "FunctionResponseTypes": [],
        }
    elif kind == "kafka":
        out |= {"LastProcessingResult": "No records processed", "DestinationConfig": {"OnFailure": {}}}
        del out["MaximumBatchingWindowInSeconds"]
    return out


_KEPT = (
    "StartingPosition", "StartingPositionTimestamp", "BatchSize", "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor", "EventSourceArn", "KMSKeyArn", "MetricsConfig", "LoggingConfig", "ScalingConfig",
    "Topics", "Queues", "SourceAccessConfigurations", "SelfManagedEventSource", "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError", "MaximumRetryAttempts", "TumblingWindowInSeconds", "FunctionResponseTypes",
    "AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig", "DocumentDBEventSourceConfig",
    "ProvisionedPollerConfig",
)  # fmt: skip


def _said(kind: str, request: Mapping[str, Any]) -> Record:
    out: Record = {member: request[member] for member in _KEPT if request.get(member) is not None}
    if request.get("FilterCriteria") is not None:
        out["FilterCriteria"] = request["FilterCriteria"]
    if request.get("DestinationConfig") is not None and kind != "sqs":
        out["DestinationConfig"] = {"OnFailure": {}, **request["DestinationConfig"]}
    if kind == "kafka" and request.get("SelfManagedEventSource") and "StartingPosition" in out:
        name = request.get("FunctionName", "").rsplit(":", 1)[-1]
        out.setdefault("SelfManagedKafkaEventSourceConfig", {"ConsumerGroupId": name})
    return out
