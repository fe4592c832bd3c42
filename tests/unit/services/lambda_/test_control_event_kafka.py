"""Mappings of Kafka clusters, AWS's and one's own: what AWS was recorded to answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_plane import ARN, REGION, Plane, conflict, invalid

CREATE = "CreateEventSourceMapping"
FUNCTION = f"{ARN}function:f"
HERE = f"{REGION}:111111111111"
OF_CLUSTER = {"FunctionName": "f", "EventSourceArn": f"arn:aws:kafka:{HERE}:cluster/c/0"}
SECRET = [{"Type": "BASIC_AUTH", "URI": f"arn:aws:secretsmanager:{HERE}:secret:s"}]


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path)
    made.create()
    yield made
    made.close()


def clusters(*servers: str, **more: Any) -> dict[str, Any]:
    """A request for a Kafka of one's own."""
    return {
        "Topics": ["topic"],
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(servers)}},
        "SourceAccessConfigurations": SECRET,
        **more,
    }


def test_a_kafka_of_ones_own(plane: Plane) -> None:
    answer = plane.call(CREATE, FunctionName="f", **clusters("kafka:1000"))
    uuid = answer["UUID"]
    assert answer == {
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
        said = f'An event source mapping with event source ("{",".join(servers)}"), function ("{FUNCTION}"), '
        twice = plane.refused(CREATE, FunctionName="f", **clusters(*servers))
        assert twice == conflict(said + again)
    other = clusters(
        "kafka:1000",
        Topics=["topic_2"],
        BatchSize=1,
        StartingPosition="LATEST",
        SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "random_id"},
    )
    answer = plane.call(CREATE, FunctionName="f", **other)
    assert {name: answer[name] for name in other} == other
    plane.call(CREATE, FunctionName="f", **clusters("elsewhere:1000"))
    without = {name: value for name, value in clusters("k:1").items() if name != "SourceAccessConfigurations"}
    assert plane.refused(CREATE, FunctionName="f", **without) == invalid(
        "Required 'sourceAccessConfigurations' parameter is missing."
    )


def test_a_kafka_of_awss(plane: Plane) -> None:
    answer = plane.call(CREATE, **OF_CLUSTER, Topics=["one"], StartingPosition="LATEST")
    assert answer["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": answer["UUID"]}
    assert plane.call(CREATE, **OF_CLUSTER, Topics=["two"])["StartingPosition"] == "TRIM_HORIZON"
    code, _ = plane.refused(CREATE, **OF_CLUSTER, Topics=["one"])
    assert code == "ResourceConflictException"
