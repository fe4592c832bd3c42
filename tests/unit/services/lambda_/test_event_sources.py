"""Event source mappings in the control plane: what AWS was recorded to response, per kind of source."""

from __future__ import annotations

from typing import Any

import pytest
from control_plane import ARN, REGION, Plane, conflict, invalid, not_found

FUNCTION = f"{ARN}function:f"
HERE = f"{REGION}:111111111111"
QUEUE = f"arn:aws:sqs:{HERE}:queue"
STREAM = f"arn:aws:kinesis:{HERE}:stream/s"
TABLE = f"arn:aws:dynamodb:{HERE}:table/t/stream/2025-11-24T00:00:00.000"
BROKER = f"arn:aws:mq:{HERE}:broker:b:b-0"
DOCUMENTS = f"arn:aws:rds:{HERE}:cluster:d"
DEAD = f"arn:aws:sqs:{HERE}:dead"
SECRET = [{"Type": "BASIC_AUTH", "URI": f"arn:aws:secretsmanager:{HERE}:secret:s"}]
NO_MAPPING = not_found("The resource you requested does not exist.")
NO_WINDOW = invalid(
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
)
OF_A_QUEUE = {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []}
OF_A_STREAM = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}


@pytest.fixture
def plane(plane: Plane) -> Plane:
    """f, its version 1, the alias live of it, and g."""
    plane.create(Publish=True)
    plane.create("g")
    plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    return plane


def request(source: str | None, **more: Any) -> dict[str, Any]:
    return {"FunctionName": "f", **({"EventSourceArn": source} if source else {}), **more}


def create(plane: Plane, source: str | None, **more: Any) -> dict[str, Any]:
    return plane.call("CreateEventSourceMapping", **request(source, **more))


def get(plane: Plane, uuid: str) -> dict[str, Any]:
    return plane.call("GetEventSourceMapping", UUID=uuid)


def created(plane: Plane, uuid: str, reason: str, **more: Any) -> dict[str, Any]:
    return {
        "UUID": uuid,
        "EventSourceMappingArn": f"{ARN}event-source-mapping:{uuid}",
        "FunctionArn": FUNCTION,
        "LastModified": plane.clock,
        "State": "Creating",
        "StateTransitionReason": reason,
        **more,
    }


@pytest.mark.parametrize(
    ("source", "members", "reason", "stored"),
    [
        (QUEUE, {}, "USER_INITIATED", OF_A_QUEUE),
        (STREAM, {"StartingPosition": "LATEST"}, "User action", OF_A_STREAM),
        (TABLE, {"StartingPosition": "TRIM_HORIZON"}, "User action", OF_A_STREAM),
        (
            TABLE,
            {
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 1,
                "MaximumBatchingWindowInSeconds": 1,
                "MaximumRetryAttempts": 1,
                "DestinationConfig": {"OnFailure": {"Destination": DEAD}},
            },
            "User action",
            OF_A_STREAM,
        ),
        (
            STREAM,
            {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000},
            "User action",
            OF_A_STREAM,
        ),
        (QUEUE, {"FunctionResponseTypes": ["ReportBatchItemFailures"]}, "USER_INITIATED", OF_A_QUEUE),
        (
            QUEUE,
            {
                "BatchSize": 20,
                "MaximumBatchingWindowInSeconds": 1,
                "ScalingConfig": {"MaximumConcurrency": 2},
            },
            "USER_INITIATED",
            OF_A_QUEUE,
        ),
        (
            BROKER,
            {"Queues": ["q"], "SourceAccessConfigurations": SECRET},
            "USER_INITIATED",
            {"BatchSize": 100, "LastProcessingResult": "No records processed"},
        ),
        (
            DOCUMENTS,
            {
                "StartingPosition": "LATEST",
                "SourceAccessConfigurations": SECRET,
                "DocumentDBEventSourceConfig": {"DatabaseName": "d"},
            },
            "USER_INITIATED",
            {"BatchSize": 100, "LastProcessingResult": "No records processed"},
        ),
    ],
)
def test_what_a_new_mapping_has(
    plane: Plane, source: str, members: dict[str, Any], reason: str, stored: dict[str, Any]
) -> None:
    response = plane.ask("CreateEventSourceMapping", **request(source, **members))
    assert response == created(
        plane, response["UUID"], reason, **{"EventSourceArn": source, **stored, **members}
    )
    plane.settle()
    assert get(plane, response["UUID"]) == {**response, "State": "Enabled"}


@pytest.mark.parametrize(
    ("name", "arn"),
    [
        ("f", FUNCTION),
        ("f:$LATEST", f"{FUNCTION}:$LATEST"),
        ("f:1", f"{FUNCTION}:1"),
        ("f:live", f"{FUNCTION}:live"),
        (FUNCTION, FUNCTION),
        (f"{FUNCTION}:1", f"{FUNCTION}:1"),
        (f"{FUNCTION}:live", f"{FUNCTION}:live"),
    ],
)
def test_the_function_as_it_was_named(plane: Plane, name: str, arn: str) -> None:
    response = create(plane, QUEUE, FunctionName=name)
    assert response["FunctionArn"] == arn
    listed = plane.call("ListEventSourceMappings", FunctionName=name)["EventSourceMappings"]
    assert [each["UUID"] for each in listed] == [response["UUID"]]


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        (
            QUEUE,
            {},
            'An event source mapping with SQS arn (" {source} ") and function (" f ") already exists. ',
        ),
        (
            TABLE,
            {"StartingPosition": "LATEST"},
            'The event source arn (" {source} ") and function (" f ") provided mapping already exists. ',
        ),
        (
            STREAM,
            {"StartingPosition": "LATEST"},
            'The event source arn (" {source} ") and function (" f ") provided mapping already exists. ',
        ),
    ],
)
def test_one_mapping_of_a_source_and_a_function(
    plane: Plane, source: str, more: dict[str, Any], message: str
) -> None:
    uuid = create(plane, source, **more)["UUID"]
    please = f"Please update or delete the existing mapping with UUID {uuid}"
    again = plane.refused("CreateEventSourceMapping", **request(source, **more))
    assert again == conflict(message.format(source=source) + please)
    other = create(plane, source, **more, FunctionName="g")["UUID"]
    moved = plane.refused("UpdateEventSourceMapping", UUID=other, FunctionName="f")
    assert moved == conflict(message.format(source=source) + please)
    plane.call("DeleteEventSourceMapping", UUID=uuid)
    create(plane, source, **more)


def test_states(plane: Plane) -> None:
    disabled = plane.ask("CreateEventSourceMapping", **request(QUEUE, Enabled=False))
    assert disabled["State"] == "Disabled"
    plane.settle()
    uuid = disabled["UUID"]
    assert get(plane, uuid) == disabled
    update, delete = "UpdateEventSourceMapping", "DeleteEventSourceMapping"
    plane.clock += 1
    enabling = plane.ask(update, UUID=uuid, Enabled=True)
    assert enabling == {**disabled, "State": "Enabling", "LastModified": plane.clock}
    plane.settle()
    assert get(plane, uuid)["State"] == "Enabled"
    assert plane.ask(update, UUID=uuid, Enabled=True)["State"] == "Updating"
    plane.settle()
    assert plane.ask(update, UUID=uuid, Enabled=False, BatchSize=5)["State"] == "Disabling"
    plane.settle()
    assert (get(plane, uuid)["State"], get(plane, uuid)["BatchSize"]) == ("Disabled", 5)
    plane.call(update, UUID=uuid, BatchSize=6)
    assert get(plane, uuid)["State"] == "Disabled"
    deleting = plane.ask(delete, UUID=uuid)
    assert (deleting["UUID"], deleting["State"]) == (uuid, "Deleting")
    plane.settle()
    for operation in ("GetEventSourceMapping", delete, update):
        assert plane.refused(operation, UUID=uuid) == NO_MAPPING


def test_moving_to_another_function(plane: Plane) -> None:
    before = create(plane, QUEUE, MaximumBatchingWindowInSeconds=1)
    after = plane.call("UpdateEventSourceMapping", UUID=before["UUID"], FunctionName="g")
    assert after == {**before, "FunctionArn": f"{ARN}function:g", "State": "Updating"}
    absent = plane.refused("UpdateEventSourceMapping", UUID=before["UUID"], FunctionName="doesnotexist")
    assert absent == invalid("Function does not exist")


def test_updates_replace_and_clear(plane: Plane) -> None:
    made = create(
        plane,
        QUEUE,
        ScalingConfig={"MaximumConcurrency": 2},
        FilterCriteria={"Filters": [{"Pattern": '{"body":["a"]}'}]},
        MetricsConfig={"Metrics": ["EventCount"]},
    )
    assert made["FilterCriteria"] == {"Filters": [{"Pattern": '{"body":["a"]}'}]}
    after = plane.call(
        "UpdateEventSourceMapping",
        UUID=made["UUID"],
        ScalingConfig={},
        FilterCriteria={"Filters": []},
        MetricsConfig={"Metrics": []},
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    gone = {"ScalingConfig", "FilterCriteria", "MetricsConfig"}
    kept = {name: value for name, value in made.items() if name not in gone}
    assert after == {**kept, "FunctionResponseTypes": ["ReportBatchItemFailures"], "State": "Updating"}
    again = plane.call("UpdateEventSourceMapping", UUID=made["UUID"], FunctionResponseTypes=[])
    assert again["FunctionResponseTypes"] == []


def test_batches_of_a_queue(plane: Plane) -> None:
    big = plane.refused("CreateEventSourceMapping", **request(QUEUE, BatchSize=11))
    assert big == NO_WINDOW
    uuid = create(plane, QUEUE)["UUID"]
    assert plane.refused("UpdateEventSourceMapping", UUID=uuid, BatchSize=11) == NO_WINDOW
    larger = {"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 1}
    assert plane.call("UpdateEventSourceMapping", UUID=uuid, **larger)["BatchSize"] == 10_000
    closing = plane.refused("UpdateEventSourceMapping", UUID=uuid, MaximumBatchingWindowInSeconds=0)
    assert closing == NO_WINDOW
    code, _ = plane.refused("CreateEventSourceMapping", **request(f"{QUEUE}.fifo", **larger))
    assert code == "InvalidParameterValueException"


def unsupported(member: str) -> tuple[str, str]:
    return invalid(f"Unsupported {member} parameter for given event source mapping type.")


NO_POSITION = invalid(
    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
    "Member must not be null."
)
SUCCESS = {"OnSuccess": {"Destination": DEAD}}


@pytest.mark.parametrize(
    ("source", "more", "fault"),
    [
        (None, {"FunctionName": "doesnotexist"}, invalid("Unrecognized event source.")),
        (f"arn:aws:sns:{HERE}:topic", {}, invalid("Unrecognized event source.")),
        (QUEUE, {"FunctionName": "doesnotexist"}, invalid("Function does not exist")),
        (QUEUE, {"FunctionName": "f:absent"}, invalid("Function does not exist")),
        (
            QUEUE,
            {"FunctionName": "doesnotexist", "DestinationConfig": SUCCESS},
            unsupported("DestinationConfig"),
        ),
        (
            QUEUE,
            {"DestinationConfig": {"OnFailure": {"Destination": DEAD}}},
            unsupported("DestinationConfig"),
        ),
        (QUEUE, {"MaximumRetryAttempts": 3}, unsupported("MaximumRetryAttempts")),
        (QUEUE, {"ParallelizationFactor": 2}, unsupported("ParallelizationFactor")),
        (
            QUEUE,
            {"StartingPosition": "LATEST"},
            invalid("StartingPosition is not valid for SQS event sources."),
        ),
        (
            STREAM,
            {"StartingPosition": "LATEST", "DestinationConfig": SUCCESS},
            unsupported("DestinationConfig"),
        ),
        (
            STREAM,
            {"StartingPosition": "LATEST", "ScalingConfig": {"MaximumConcurrency": 2}},
            unsupported("ScalingConfig"),
        ),
        (STREAM, {}, NO_POSITION),
        (TABLE, {}, NO_POSITION),
        (STREAM, {"StartingPosition": "AT_TIMESTAMP"}, invalid("Need to specify a timestamp")),
        (
            TABLE,
            {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_741_010_802},
            invalid(f"Unsupported starting position for arn type: {TABLE}"),
        ),
        (
            STREAM,
            {"StartingPosition": "invalid"},
            (
                "ValidationException",
                "1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy constraint: "
                "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
            ),
        ),
        (
            QUEUE.replace(REGION, "us-east-1"),
            {},
            invalid(f"Event source region must match Lambda region {REGION}."),
        ),
        (
            STREAM.replace(REGION, "us-east-1"),
            {"StartingPosition": "LATEST"},
            invalid(f"Event source region must match Lambda region {REGION}."),
        ),
        (QUEUE.rpartition(":")[0] + ":", {}, invalid("Unrecognized event source.")),
        (
            STREAM.rpartition("/")[0] + "/",
            {"StartingPosition": "LATEST"},
            invalid("Unrecognized event source."),
        ),
        (
            TABLE.partition("/stream/")[0],
            {"StartingPosition": "LATEST"},
            invalid("Unrecognized event source."),
        ),
        (QUEUE.replace(":sqs:", ":sns:"), {}, invalid("Unrecognized event source.")),
    ],
)
def test_create_refuses(
    plane: Plane, source: str | None, more: dict[str, Any], fault: tuple[str, str]
) -> None:
    assert plane.refused("CreateEventSourceMapping", **request(source, **more)) == fault
    assert plane.call("ListEventSourceMappings") == {"EventSourceMappings": []}


def test_listing(plane: Plane) -> None:
    assert plane.call("ListEventSourceMappings", FunctionName="doesnotexist") == {"EventSourceMappings": []}
    made = [create(plane, f"{QUEUE}{n}", FunctionName=name)["UUID"] for n in range(3) for name in ("f", "g")]

    def listed(**filters: Any) -> list[str]:
        seen: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = plane.call("ListEventSourceMappings", MaxItems=2, **filters, **more)
            seen += [each["UUID"] for each in page["EventSourceMappings"]]
            if "NextMarker" not in page:
                return seen
            more = {"Marker": page["NextMarker"]}

    assert listed() == sorted(made)
    assert listed(FunctionName="f") == made[::2]
    assert listed(EventSourceArn=f"{QUEUE}1") == made[2:4]
    assert listed(EventSourceArn=f"{QUEUE}1", FunctionName=f"{ARN}function:g") == [made[3]]
    assert listed(EventSourceArn=f"{QUEUE}9") == []


def test_a_mapping_outlives_its_function_and_the_server(plane: Plane) -> None:
    before = get(plane, create(plane, QUEUE, Tags={"a": "b"})["UUID"])
    uuid, arn = before["UUID"], before["EventSourceMappingArn"]
    assert plane.call("ListTags", Resource=arn) == {"Tags": {"a": "b"}}
    plane.call("DeleteFunction", FunctionName="f")
    plane.ask("DeleteEventSourceMapping", UUID=create(plane, QUEUE, FunctionName="g")["UUID"])
    pending = plane.ask("CreateEventSourceMapping", **request(f"{QUEUE}2", FunctionName="g"))
    plane.close()
    again = Plane(plane.folder)
    assert get(again, uuid) == before
    assert get(again, pending["UUID"])["State"] == "Enabled"
    assert len(again.call("ListEventSourceMappings")["EventSourceMappings"]) == 2
    again.call("DeleteEventSourceMapping", UUID=uuid)
    assert again.state.get("tags", arn) is None
    again.close()


def test_an_unknown_mapping(plane: Plane) -> None:
    for verb in ("Get", "Delete", "Update"):
        uuid = "00000000-0000-4000-8000-ffffffffffff"
        assert plane.refused(f"{verb}EventSourceMapping", UUID=uuid) == NO_MAPPING
