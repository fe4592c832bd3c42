"""Event source mappings of RabbitMQ, with a real one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from brokered import BROKER, BrokerFed, secret
from kafka_and_rabbitmq import Rabbit
from served import REGION, Served
from support import until

CONNECTION = "PROBLEM: Connection error."


@pytest.fixture(scope="module")
def server(moto: str, rabbit: Rabbit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOKER_BROKERS", f"{BROKER}={rabbit.address}")
        served = Served(tmp_path_factory.mktemp("queues") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


def at(moto: str, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=moto, region_name=REGION, **keys)


@pytest.fixture(scope="module")
def guest(moto: str) -> str:
    return secret(at(moto, "secretsmanager"), "guest", username="guest", password="guest")


@pytest.fixture
def own(server: Served) -> BrokerFed:
    return BrokerFed(server, server.log.parent)


@pytest.mark.promise(246)
def test_a_message_as_aws_has_it(own: BrokerFed, rabbit: Rabbit, guest: str, name: str) -> None:
    rabbit.control("add_vhost", name)
    rabbit.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    rabbit.declare(name, name)
    uuid = own.queue(name, guest, name)
    rabbit.send(
        name, '{"timeout":0}', vhost=name, content_type="text/plain", priority=34, delivery_mode=1,
        expiration=60, headers={"header1": "value1", "numberInHeader": 10, "nested": {"list": ["é", True, 1.5]}},
        timestamp=datetime.fromtimestamp(2021, UTC), message_id="m", correlation_id="c", reply_to="r", type="t",
        user_id="guest", app_id="a",
    )  # fmt: skip
    rabbit.send(name, b"\xff", vhost=name)
    own.wait(2)
    bare = own.records()[1]
    assert own.events()[0] == {
        "eventSource": "aws:rmq",
        "eventSourceArn": BROKER,
        "rmqMessagesByQueue": {
            f"{name}::{name}": [
                {
                    "basicProperties": {
                        "contentType": "text/plain", "contentEncoding": None,
                        "headers": {
                            "header1": {"bytes": list(b"value1")}, "numberInHeader": 10,
                            "nested": {"list": [{"bytes": list("é".encode())}, True, 1.5]},
                        },
                        "deliveryMode": 1, "priority": 34, "correlationId": "c", "replyTo": "r",
                        "expiration": "60000", "messageId": "m", "timestamp": "Jan 1, 1970, 12:33:41 AM", "type": "t",
                        "userId": "guest", "appId": "a", "clusterId": None, "bodySize": 13,
                    },
                    "redelivered": False,
                    "data": base64.b64encode(b'{"timeout":0}').decode(),
                },
                *([bare] if len(own.events()) == 1 else []),
            ]
        },
    }  # fmt: skip
    assert (bare["data"], bare["basicProperties"]["bodySize"]) == ("/w==", 1)
    until(lambda: own.result(uuid) == "OK", what="OK")
    assert own.get(uuid)["StateTransitionReason"] == "USER_INITIATED"
    own.drop(uuid)


@pytest.mark.promise(247)
def test_what_fails_comes_again_until_the_queue_gives_it_up(
    own: BrokerFed, rabbit: Rabbit, guest: str, name: str
) -> None:
    rabbit.declare(f"{name}-dead")
    limits = {
        "x-delivery-limit": 2,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{name}-dead",
    }
    rabbit.declare(name, **{"x-queue-type": "quorum", **limits})
    rabbit.send(name, "fail", "1", "2", "3")
    uuid = own.queue(name, guest, BatchSize=1)
    until(lambda: own.result(uuid) == "PROBLEM: Function call failed", what="the problem")
    until(lambda: {"1", "2", "3"} <= set(own.texts()), what="the others")
    assert [each for each in own.texts() if each != "fail"] == ["1", "2", "3"]
    assert own.texts()[:3] == ["fail"] * 3
    assert [record["redelivered"] for record in own.records()[:3]] == [False, True, True]
    until(lambda: rabbit.length(f"{name}-dead") == 1, what="the dead letter")
    until(lambda: own.result(uuid) == "OK", what="OK")
    own.drop(uuid)


@pytest.mark.promise(247)
def test_what_is_too_large_is_refused_and_what_a_filter_drops_acknowledged(
    own: BrokerFed, rabbit: Rabbit, guest: str, name: str
) -> None:
    rabbit.declare(f"{name}-dead")
    rabbit.declare(name, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}-dead"})
    criteria = {"Filters": [{"Pattern": json.dumps({"data": {"n": [1]}})}]}
    uuid = own.queue(name, guest, FilterCriteria=criteria, MaximumBatchingWindowInSeconds=0)
    rabbit.send(name, '{"n": 2}', '{"n": 1}', "x" * (6 << 20), '{"n": 3}', '{"n": 1, "last": true}')
    until(lambda: '{"n": 1, "last": true}' in own.texts(), what="the last")
    assert own.texts() == ['{"n": 1}', '{"n": 1, "last": true}']
    until(lambda: rabbit.length(f"{name}-dead") == 1, what="the dead letter")
    own.drop(uuid)
    assert rabbit.length(name) == 0


@pytest.mark.promise(247)
def test_batches_and_a_pause(own: BrokerFed, rabbit: Rabbit, guest: str, name: str) -> None:
    rabbit.declare(name)
    rabbit.send(name, "wait", *map(str, range(1, 25)))
    uuid = own.queue(name, guest, BatchSize=10)
    until(own.events, what="the first batch")
    own.api.update_event_source_mapping(UUID=uuid, Enabled=False)
    assert own.get(uuid)["State"] == "Disabling"  # until that batch is settled
    own.gate.touch()
    own.reaches(uuid, "Disabled")
    assert own.batches() == [["wait", *map(str, range(1, 10))]]
    assert rabbit.length(name) == 15
    own.update(uuid, Enabled=True)
    own.wait(25)
    assert own.texts() == ["wait", *map(str, range(1, 25))]
    assert [len(batch) for batch in own.batches()] == [10, 10, 5]
    own.drop(uuid)


@pytest.mark.promise(247)
def test_a_window_is_waited_for_until_the_batch_is_full(
    own: BrokerFed, rabbit: Rabbit, guest: str, name: str
) -> None:
    rabbit.declare(name)
    uuid = own.queue(name, guest, BatchSize=3, MaximumBatchingWindowInSeconds=300)
    rabbit.send(name, "1")
    rabbit.send(name, "2")
    rabbit.send(name, "3", "4")
    own.wait(3)
    assert own.batches() == [["1", "2", "3"]]
    own.drop(uuid)
    assert rabbit.length(name) == 1


@pytest.mark.promise(248)
def test_a_function_that_is_throttled_or_deleted_is_waited_for(
    own: BrokerFed, rabbit: Rabbit, guest: str, name: str
) -> None:
    rabbit.declare(name)
    uuid = own.queue(name, guest, MaximumBatchingWindowInSeconds=0)
    own.api.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=0)
    rabbit.send(name, "1")
    until(lambda: own.result(uuid) == "PROBLEM: Function call failed: Rate Exceeded.", what="the throttle")
    own.api.delete_function_concurrency(FunctionName=own.name)
    own.wait(1)
    own.api.delete_function(FunctionName=own.name)
    rabbit.send(name, "2")
    until(lambda: own.result(uuid).startswith("PROBLEM: Function not found:"), what="the function's end")
    own.create()
    own.wait(2)
    until(lambda: own.result(uuid) == "OK", what="OK")
    assert own.texts() == ["1", "2"]
    own.drop(uuid)


@pytest.mark.promise(248)
def test_wrong_credentials_a_deleted_queue_and_a_broker_that_restarts(
    own: BrokerFed, rabbit: Rabbit, guest: str, moto: str, name: str
) -> None:
    secrets = at(moto, "secretsmanager")
    wrong = secret(secrets, name, username="guest", password="wrong")
    rabbit.declare(name)
    rabbit.declare(f"{name}-b")
    refused = own.queue(name, wrong)
    other = BrokerFed(own.server, own.server.log.parent)
    deleted = other.queue(f"{name}-b", guest)
    third = BrokerFed(own.server, own.server.log.parent)
    missing = third.queue(f"{name}-c", f"{guest[:-6]}absent")
    until(lambda: "failed to authenticate" in own.result(refused), what="the refusal")
    assert own.get(refused)["StateTransitionReason"] == "EVENT_SOURCE_AUTHN_ERROR"
    until(lambda: "in Secrets Manager" in third.result(missing), what="the missing secret")
    assert third.get(missing)["StateTransitionReason"] == "EVENT_SOURCE_AUTHN_ERROR"
    third.drop(missing)
    rabbit.send(f"{name}-b", "1")
    other.wait(1)
    rabbit.send(name, "2")
    secrets.put_secret_value(
        SecretId=wrong, SecretString=json.dumps({"username": "guest", "password": "guest"})
    )
    own.wait(1)
    assert own.get(refused)["StateTransitionReason"] == "USER_INITIATED"
    rabbit.delete(f"{name}-b")
    gone = f"PROBLEM: Event source not found: queue {name}-b in the virtual host / does not exist."
    until(lambda: other.result(deleted) == gone, what="the queue's end")
    assert other.get(deleted)["State"] == "Enabled"
    rabbit.declare(f"{name}-b")
    rabbit.send(f"{name}-b", "3")
    other.wait(2)
    rabbit.stop()
    for fed, uuid in ((own, refused), (other, deleted)):
        until(lambda fed=fed, uuid=uuid: fed.result(uuid).startswith(CONNECTION), 60, "the broker's end")
    rabbit.start()
    rabbit.send(name, "4")
    rabbit.send(f"{name}-b", "5")
    own.wait(2)
    other.wait(3)
    assert (own.texts(), other.texts()) == (["2", "4"], ["1", "3", "5"])
    own.drop(refused)
    other.drop(deleted)


def broker(moto: str, name: str, engine: str) -> str:
    """One of AWS's; its ARN."""
    return str(
        at(moto, "mq").create_broker(
            AutoMinorVersionUpgrade=False, BrokerName=name, DeploymentMode="SINGLE_INSTANCE", EngineType=engine,
            EngineVersion="5.17", HostInstanceType="mq.t3.micro", PubliclyAccessible=True,
            Users=[{"Username": "admin", "Password": "adm12345678"}],
        )["BrokerArn"]
    )  # fmt: skip


@pytest.mark.promise(280)
def test_a_broker_of_awss_is_where_describe_broker_says(
    own: BrokerFed, guest: str, moto: str, name: str
) -> None:
    """moto's are at a host that nobody knows."""
    arn = broker(moto, name, "RABBITMQ")
    access = [{"Type": "BASIC_AUTH", "URI": guest}]
    uuid = own.map(arn, Queues=["q"], SourceAccessConfigurations=access)
    until(lambda: own.result(uuid).startswith(CONNECTION), 60, "the problem")
    own.drop(uuid)
    with pytest.raises(own.api.exceptions.InvalidParameterValueException, match="Broker not found"):
        own.map(arn[:-1] + "x", Queues=["q"], SourceAccessConfigurations=access)


@pytest.mark.promise(249)
def test_activemq_is_refused(own: BrokerFed, guest: str, moto: str, name: str) -> None:
    arn = broker(moto, name, "ACTIVEMQ")
    with pytest.raises(own.api.exceptions.InvalidParameterValueException) as refused:
        own.map(
            arn, Queues=["q"],
            SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": guest}],
        )  # fmt: skip
    text = "ActiveMQ brokers are not supported as event sources here: only RabbitMQ brokers are."
    assert refused.value.response["Error"]["Message"] == text
