"""Mappings of Kafka clusters, AWS's and one's own: what AWS was recorded to response."""

from __future__ import annotations

from typing import Any

import pytest
from control_plane import ARN, REGION, Plane, conflict, invalid

CREATE = "CreateEventSourceMapping"
FUNCTION = f"{ARN}function:f"
HERE = f"{REGION}:111111111111"
OF_CLUSTER = {"FunctionName": "f", "EventSourceArn": f"arn:aws:kafka:{HERE}:cluster/c/0"}
SECRET = [{"Type": "BASIC_AUTH", "URI": f"arn:aws:secretsmanager:{HERE}:secret:s"}]


@pytest.fixture
def plane(plane: Plane) -> Plane:
    plane.create()
    return plane


def clusters(*servers: str, **more: Any) -> dict[str, Any]:
    """A request for a Kafka of one's own."""
    return {
        "Topics": ["topic"],
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(servers)}},
        "SourceAccessConfigurations": SECRET,
        **more,
    }


def test_a_kafka_of_ones_own(plane: Plane) -> None:
    response = plane.call(CREATE, FunctionName="f", **clusters("kafka:1000"))
    uuid = response["UUID"]
    assert response == {
        "UUID": uuid,
        "EventSourceMappingArn": f"{ARN}event-source-mapping:{uuid}",
        "FunctionArn": FUNCTION,
        "LastModified": plane.clock,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "BatchSize": 100,
        "LastProcessingResult": "No records processed",
        "StartingPosition": "TRIM_HORIZON",
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": uuid},
        **clusters("kafka:1000"),
    }
    again = 'topics ("topic") already exists. Please update or delete the existing mapping with UUID ' + uuid
    for servers in (["kafka:1000"], ["kafka:1000", "kafka:2000"]):
        prefix = (
            f'An event source mapping with event source ("{",".join(servers)}"), function ("{FUNCTION}"), '
        )
        twice = plane.refused(CREATE, FunctionName="f", **clusters(*servers))
        assert twice == conflict(prefix + again)
    other = clusters(
        "kafka:1000",
        Topics=["topic_2"],
        BatchSize=1,
        StartingPosition="LATEST",
        SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "random_id"},
    )
    response = plane.call(CREATE, FunctionName="f", **other)
    assert {name: response[name] for name in other} == other
    plane.call(CREATE, FunctionName="f", **clusters("elsewhere:1000"))
    without = {name: value for name, value in clusters("k:1").items() if name != "SourceAccessConfigurations"}
    assert plane.refused(CREATE, FunctionName="f", **without) == invalid(
        "Required 'sourceAccessConfigurations' parameter is missing."
    )


def test_a_kafka_of_awss(plane: Plane) -> None:
    response = plane.call(CREATE, **OF_CLUSTER, Topics=["one"], StartingPosition="LATEST")
    assert response["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": response["UUID"]}
    assert plane.call(CREATE, **OF_CLUSTER, Topics=["two"])["StartingPosition"] == "TRIM_HORIZON"
    code, _ = plane.refused(CREATE, **OF_CLUSTER, Topics=["one"])
    assert code == "ResourceConflictException"


def test_a_topic_that_failed_records_go_to(plane: Plane) -> None:
    asked = {**OF_CLUSTER, "Topics": ["one"], "StartingPosition": "LATEST"}
    same = {"DestinationConfig": {"OnFailure": {"Destination": "kafka://one"}}}
    assert plane.refused(CREATE, **asked, **same) == invalid(
        "The on-failure destination must not be the topic that is the event source."
    )
    other = {"DestinationConfig": {"OnFailure": {"Destination": "kafka://two"}}}
    assert plane.call(CREATE, **asked, **other)["DestinationConfig"] == other["DestinationConfig"]
    stream = {
        "FunctionName": "f",
        "EventSourceArn": f"arn:aws:kinesis:{HERE}:stream/s",
        "StartingPosition": "LATEST",
    }
    assert plane.refused(CREATE, **stream, **other) == invalid(
        "Unsupported DestinationConfig parameter for given event source mapping type."
    )
