"""EventBridge Pipes from brokers: Kafka, one's own and MSK, and RabbitMQ; with real ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from brokered import BROKER, secret
from delivered import ACCOUNT, queue, received, refused
from kafka_and_rabbitmq import Kafka, Rabbit
from mapped import Fed
from piped import Piped
from served import REGION, Served
from support import until

CLUSTER = f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/here/0123-4"
# Notes its batch; fails while there is no gate, for a batch that has such a record.
FUNCTION = """
import base64, json, os
def handler(event, context):
    with open(NOTE, "a") as file:
        file.write(json.dumps({"event": event}) + "\\n")
    texts = [base64.b64decode(each.get("value") or each.get("data")).decode() for each in event]
    if any(text.startswith("fail") for text in texts) and not os.path.exists(GATE):
        raise ValueError("asked for")
"""


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    made = Kafka()
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(
    moto: str, kafka: Kafka, rabbit: Rabbit, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOKER_BROKERS", f"{CLUSTER}={kafka.servers} {BROKER}={rabbit.address}")
        served = Served(tmp_path_factory.mktemp("pipes") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


@pytest.fixture
def piped(server: Served, tmp_path: Path, name: str) -> Iterator[Piped]:
    made = Piped(server, server.log.parent, name)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sqs(server: Served) -> Any:
    return server.client("sqs")


@pytest.fixture(scope="module")
def secrets(moto: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("secretsmanager", endpoint_url=moto, region_name=REGION, **keys)


def texts(fed: Fed) -> list[list[str]]:
    """Of each batch."""
    batches = [each["event"] for each in fed.events()]
    return [
        [base64.b64decode(each.get("value") or each["data"]).decode() for each in batch] for batch in batches
    ]


@pytest.mark.promise(277)
def test_a_kafka_of_ones_own(piped: Piped, kafka: Kafka, name: str) -> None:
    kafka.create(name)
    kafka.put(name, {"key": "k", "value": "one", "headers": [("h", b"\x01\x02")]}, "fail", "three")
    fed = Fed(piped.server, piped.folder, FUNCTION)
    given = {"TopicName": name, "StartingPosition": "TRIM_HORIZON", "ConsumerGroupID": f"{name}-group"}
    piped.pipe(
        f"smk://{kafka.servers}", piped.arn(fed), SourceParameters={"SelfManagedKafkaParameters": given}
    )
    # The batch fails as a whole, and comes again as it was.
    until(lambda: len(fed.events()) >= 2, 60, "another attempt")
    fed.gate.touch()
    until(lambda: kafka.committed(name, f"{name}-group") == {0: 3}, 60, "the offset")
    assert {tuple(batch) for batch in texts(fed)} == {("one", "fail", "three")}
    record = fed.events()[0]["event"][0]
    assert {key: value for key, value in record.items() if key != "timestamp"} == {
        "eventSource": "SelfManagedKafka", "bootstrapServers": kafka.servers, "eventSourceKey": f"{name}-0",
        "topic": name, "partition": 0, "offset": 0, "timestampType": "CREATE_TIME",
        "key": base64.b64encode(b"k").decode(), "value": base64.b64encode(b"one").decode(),
        "headers": [{"h": [1, 2]}],
    }  # fmt: skip


@pytest.mark.promise(277)
def test_a_cluster_of_msk_filtered_and_transformed(piped: Piped, kafka: Kafka, sqs: Any, name: str) -> None:
    kafka.create(name)
    out, target = queue(sqs, f"{name}-t")
    kafka.put(name, '{"id": 0}', '{"id": 1}', '{"id": 2}')
    pipe = piped.pipe(
        CLUSTER, target,
        SourceParameters={
            "ManagedStreamingKafkaParameters": {"TopicName": name, "StartingPosition": "TRIM_HORIZON"},
            "FilterCriteria": {"Filters": [{"Pattern": '{"value": {"id": [1, 2]}}'}]},
        },
        TargetParameters={"InputTemplate": '{"id": <$.value.id>, "from": <$.eventSourceKey>, "e": <aws.pipes.event>}'},
    )  # fmt: skip
    found = [json.loads(each["Body"]) for each in received(sqs, out, 2)]
    assert sorted(each["id"] for each in found) == [1, 2]
    assert {each["from"] for each in found} == {f"{name}-0"}
    event = found[0]["e"]
    assert (event["eventSource"], event["eventSourceArn"]) == ("aws:kafka", CLUSTER)
    assert piped.api.describe_pipe(Name=pipe)["SourceParameters"]["ManagedStreamingKafkaParameters"] == {
        "TopicName": name, "StartingPosition": "TRIM_HORIZON", "BatchSize": 100,
    }  # fmt: skip
    # What comes while it is stopped is read afterwards.
    piped.api.stop_pipe(Name=pipe)
    piped.reaches(pipe, "STOPPED")
    kafka.put(name, '{"id": 1, "again": true}')
    piped.api.start_pipe(Name=pipe)
    piped.reaches(pipe, "RUNNING")
    (message,) = received(sqs, out)
    assert json.loads(message["Body"])["e"]["offset"] == 3


@pytest.mark.promise(277)
def test_a_rabbitmq(piped: Piped, rabbit: Rabbit, secrets: Any, name: str) -> None:
    rabbit.control("add_vhost", name)
    rabbit.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    rabbit.declare("orders", name)
    login = secret(secrets, name, username="guest", password="wrong")
    fed = Fed(piped.server, piped.folder, FUNCTION)
    given = {"QueueName": "orders", "VirtualHost": name, "Credentials": {"BasicAuth": login}, "BatchSize": 2}
    pipe = piped.pipe(BROKER, piped.arn(fed), SourceParameters={"RabbitMQBrokerParameters": given})

    def reason() -> str:
        return str(piped.api.describe_pipe(Name=pipe).get("StateReason", ""))

    until(lambda: "failed to authenticate" in reason(), 60, "the refusal")
    secrets.put_secret_value(
        SecretId=login, SecretString=json.dumps({"username": "guest", "password": "guest"})
    )
    rabbit.send("orders", "one", "fail", "three", vhost=name, message_id="m")
    until(lambda: len(fed.events()) >= 2, 60, "another attempt")
    until(lambda: "Function call failed" in reason(), 60, "the failure")
    fed.gate.touch()
    until(lambda: texts(fed)[-1:] == [["three"]], 60, "the third")
    assert {tuple(batch) for batch in texts(fed)} == {("one", "fail"), ("three",)}
    first, again = fed.events()[0]["event"][0], fed.events()[1]["event"][0]
    assert (first["redelivered"], again["redelivered"]) == (False, True)
    assert (first["eventSource"], first["eventSourceArn"]) == ("aws:rmq", BROKER)
    assert (first["eventSourceKey"], first["basicProperties"]["messageId"]) == (f"orders::{name}", "m")
    until(lambda: reason() == "", 60, "no problem")


@pytest.mark.promise(278)
def test_what_is_refused(piped: Piped, kafka: Kafka, sqs: Any, secrets: Any, name: str) -> None:
    _, target = queue(sqs, f"{name}-t")
    credentials = {"BasicAuth": secret(secrets, name, username="guest", password="guest")}

    def message(source: str, **given: Any) -> str:
        base = {"Name": piped.name[:64], "Target": target, "RoleArn": "arn:aws:iam::000000000000:role/r"}
        code, text = refused(lambda: piped.api.create_pipe(**base, Source=source, SourceParameters=given))
        assert code == "ValidationException"
        return text

    active = {"QueueName": "q", "Credentials": credentials}
    assert message(BROKER, ActiveMQBrokerParameters=active) == (
        "ActiveMQ brokers are not supported as sources here: only RabbitMQ brokers are."
    )
    missing = (
        '{"ValidationErrorFields":[{"Name":"SourceParameters.%s","Message":"Missing required parameter."}]}'
    )
    for source, member in (
        (BROKER, "RabbitMQBrokerParameters"), (CLUSTER, "ManagedStreamingKafkaParameters"),
        (f"smk://{kafka.servers}", "SelfManagedKafkaParameters"),
    ):  # fmt: skip
        assert message(source) == missing % member
    topic = {"TopicName": "topic"}
    found = json.loads(message(CLUSTER, SelfManagedKafkaParameters=topic))
    assert found["ValidationErrorFields"][0]["Name"] == "SelfManagedKafkaParameters"
    arn = BROKER.replace("b-1", "b-none")
    given = {"RabbitMQBrokerParameters": {"QueueName": "q", "Credentials": credentials}}
    pipe = piped.pipe(arn, target, "CREATE_FAILED", SourceParameters=given)
    assert piped.api.describe_pipe(Name=pipe)["StateReason"].endswith(f"Broker not found: {arn}")
