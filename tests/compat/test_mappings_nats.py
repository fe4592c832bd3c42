"""Event source mappings of NATS JetStream, by nats-server."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Nats, running
from delivered import refused
from mapped import Fed
from served import REGION, Run, Served
from support import until

USERS = """
authorization {
  user: "u"
  password: "secret"
}
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with running(Nats(tmp_path_factory.mktemp("nats"))) as nats:
        yield nats


@pytest.fixture
def own(server: Served) -> Fed:
    return Fed(server, server.log.parent)


def fed(own: Fed, broker: Nats, stream: str, options: dict[str, Any] | None = None, **more: Any) -> str:
    """A mapping of the stream, once it is enabled. Its UUID."""
    return own.map_own({"Type": "nats", "Url": broker.url, "Stream": stream, **(options or {})}, **more)


def texts(own: Fed) -> list[str]:
    return [base64.b64decode(record["nats"]["data"]).decode() for record in own.records()]


def left(broker: Nats, stream: str, uuid: str) -> int:
    """Messages that are not acknowledged."""
    found = broker.do(lambda js: js.consumer_info(stream, f"stoker-{uuid}"))
    return int(found.num_ack_pending + found.num_pending)


@pytest.mark.promise(228)
def test_messages_come_in_order_and_are_acknowledged(own: Fed, broker: Nats, name: str) -> None:
    broker.stream(name)
    broker.publish(name, "before", subject="x.y", headers={"Nats-Msg-Id": "1", "Kind": "first"})
    uuid = fed(own, broker, name, BatchSize=3, MaximumBatchingWindowInSeconds=1)
    own.wait(1)
    (record,) = own.records()
    arn = f"arn:aws-stoker:nats:{REGION}:000000000000:127.0.0.1:{broker.port}/{name}"
    assert abs(record["nats"].pop("approximateArrivalTimestamp") - time.time()) < 60
    assert record == {
        "eventSource": "stoker:nats", "eventVersion": "1.0", "eventID": f"{name}:1",
        "eventName": "stoker:nats:message", "eventSourceARN": arn,
        "nats": {
            "stream": name, "consumer": f"stoker-{uuid}", "subject": f"{name}.x.y", "sequence": 1, "deliveries": 1,
            "headers": {"Nats-Msg-Id": "1", "Kind": "first"}, "data": base64.b64encode(b"before").decode(),
        },
    }  # fmt: skip
    late = Fed(own.server, own.server.log.parent)
    latest = fed(late, broker, name, {"Subject": f"{name}.b"}, StartingPosition="LATEST")
    broker.publish(name, *map(str, range(20)))
    broker.publish(name, "b", subject="b")
    own.wait(22)
    late.wait(1)
    assert texts(own) == ["before", *map(str, range(20)), "b"]
    assert texts(late) == ["b"]
    assert max(len(event["Records"]) for event in own.events()) == 3
    until(lambda: own.result(uuid) == "OK" and not left(broker, name, uuid), what="the acknowledgements")
    own.drop(uuid)
    late.drop(latest)


@pytest.mark.promise(229)
def test_it_goes_on_where_it_was_disabled(own: Fed, broker: Nats, name: str) -> None:
    broker.stream(name)
    broker.publish(name, "a")
    uuid = fed(own, broker, name)
    own.wait(1)
    own.update(uuid, Enabled=False)
    broker.publish(name, "b")
    assert texts(own) == ["a"]
    own.update(uuid, Enabled=True)
    own.wait(2)
    until(lambda: not left(broker, name, uuid), what="the acknowledgement")
    # One whose consumer somebody deleted, too.
    own.update(uuid, Enabled=False)
    broker.do(lambda js: js.delete_consumer(name, f"stoker-{uuid}"))
    broker.publish(name, "c")
    own.update(uuid, Enabled=True)
    own.wait(3)
    broker.do(lambda js: js.delete_consumer(name, f"stoker-{uuid}"))
    broker.publish(name, "d")
    own.wait(4)
    assert texts(own) == ["a", "b", "c", "d"]
    own.drop(uuid)


@pytest.mark.promise(230)
def test_what_fails_is_split_retried_and_reported(own: Fed, broker: Nats, sqs: Any, name: str) -> None:
    dead = sqs.create_queue(QueueName=name)["QueueUrl"]
    broker.stream(name)
    broker.publish(name, "a", "b", "fail", "c")
    uuid = fed(
        own, broker, name, BisectBatchOnFunctionError=True, MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:000000000000:{name}"}},
    )  # fmt: skip
    message = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=20)["Messages"][0]
    report = json.loads(message["Body"])
    assert report["requestContext"]["condition"] == "RetryAttemptsExhausted"
    info = report["NatsBatchInfo"]
    assert (info["startSequenceNumber"], info["batchSize"], info["shardId"]) == ("3", 1, name)
    broker.publish(name, "d")
    until(lambda: "d" in texts(own), what="what comes after it")
    batches = [
        [base64.b64decode(r["nats"]["data"]).decode() for r in event["Records"]] for event in own.events()
    ]
    assert [batch for batch in batches if "fail" not in batch] == [["a", "b"], ["c"], ["d"]]
    until(lambda: not left(broker, name, uuid), what="the acknowledgements")
    own.drop(uuid)


@pytest.mark.promise(230)
def test_items_that_are_reported_come_again_and_are_kept_meanwhile(own: Fed, broker: Nats, name: str) -> None:
    """For longer than the broker would wait for their acknowledgement."""
    broker.stream(name)
    broker.publish(name, "a", "bad", "b")
    uuid = fed(own, broker, name, {"AckWaitSeconds": 0.5}, FunctionResponseTypes=["ReportBatchItemFailures"])
    until(lambda: texts(own).count("bad") >= 5, what="attempts for more than a second")
    own.gate.touch()
    until(lambda: own.result(uuid) == "OK" and not left(broker, name, uuid), what="OK")
    assert texts(own)[:5] == ["a", "bad", "b", "bad", "b"]
    assert texts(own).count("a") == 1
    assert {record["nats"]["deliveries"] for record in own.records()} == {1}
    own.drop(uuid)


@pytest.mark.promise(231)
def test_filters_and_windows(own: Fed, broker: Nats, name: str) -> None:
    broker.stream(name)
    patterns = [{"data": {"total": [{"numeric": [">", 100]}]}}, {"subject": [{"suffix": ".vip"}]}]
    criteria = {"Filters": [{"Pattern": json.dumps(each)} for each in patterns]}
    uuid = fed(own, broker, name, FilterCriteria=criteria, MaximumBatchingWindowInSeconds=1)
    broker.publish(name, '{"total": 50}', '{"total": 250}', "text")
    broker.publish(name, "for whom", subject="c.vip")
    own.wait(2)
    assert [texts(own), len(own.events())] == [['{"total": 250}', "for whom"], 1]
    until(lambda: not left(broker, name, uuid), what="all to be acknowledged")
    own.drop(uuid)


@pytest.mark.promise(232)
def test_parallel_batches_keep_the_order_of_each_subject(server: Served, broker: Nats, name: str) -> None:
    own = Fed(server, server.log.parent, Timeout=60)
    broker.stream(name)
    for n in range(4):
        for subject in "abcdefghij":
            broker.publish(name, f"wait {subject}{n}", subject=subject)
    uuid = fed(own, broker, name, BatchSize=2, ParallelizationFactor=10)
    until(lambda: len(own.events()) > 1, what="several batches at once")
    own.gate.touch()
    own.wait(40)
    for subject in "abcdefghij":
        assert [text for text in texts(own) if text[5] == subject] == [f"wait {subject}{n}" for n in range(4)]
    own.drop(uuid)


@pytest.mark.promise(233)
def test_a_deleted_stream_and_one_that_was_never_there(own: Fed, broker: Nats, name: str) -> None:
    source = {"Type": "nats", "Url": broker.url, "Stream": name}
    arn = f"arn:aws-stoker:nats:{REGION}:000000000000:127.0.0.1:{broker.port}/{name}"
    assert refused(own.create_own, source=source) == (
        "InvalidParameterValueException", f"Stream not found: {arn}",
    )  # fmt: skip
    broker.stream(name)
    broker.publish(name, "a", "b")
    uuid = fed(own, broker, name)
    own.wait(2)
    until(lambda: not left(broker, name, uuid), what="the acknowledgements")
    broker.drop(name)
    until(lambda: own.result(uuid) == f"PROBLEM: Event source not found: {arn}", what="the words")
    broker.stream(name)
    broker.publish(name, "c")
    own.wait(3)
    until(lambda: own.result(uuid) == "OK", what="the recovery")
    assert texts(own) == ["a", "b", "c"]
    # One that was made anew while nobody looked.
    own.update(uuid, Enabled=False)
    broker.drop(name)
    broker.stream(name)
    broker.publish(name, "d", "e")
    own.update(uuid, Enabled=True)
    own.wait(5)
    until(lambda: not left(broker, name, uuid), what="the acknowledgements")
    # And one that was made anew before anybody looked.
    broker.drop(name)
    broker.stream(name)
    broker.publish(name, "f", "g")
    own.wait(7)
    assert texts(own)[3:] == ["d", "e", "f", "g"]
    own.drop(uuid)


@pytest.mark.promise(234)
def test_a_restarted_broker_delivers_what_was_lost_first(server: Served, tmp_path: Path, name: str) -> None:
    own = Fed(server, server.log.parent, Timeout=60)
    with running(Nats(tmp_path)) as broker:
        broker.stream(name)
        broker.publish(name, "wait 0", *map(str, range(1, 30)))
        uuid = fed(own, broker, name, BatchSize=20)
        until(own.events, what="the first")
        broker.kill()
        until(lambda: own.result(uuid).startswith("PROBLEM: Connection error."), what="the words")
        own.gate.touch()
        broker.start()
        own.wait(30)
        broker.publish(name, "30")
        own.wait(31)
        assert texts(own) == ["wait 0", *map(str, range(1, 31))]
        until(lambda: own.result(uuid) == "OK", what="OK")
        own.drop(uuid)


@pytest.mark.promise(234)
def test_credentials(own: Fed, tmp_path: Path, name: str) -> None:
    with running(Nats(tmp_path, USERS)) as broker:
        plain, broker.url = broker.url, broker.url.replace("//", "//u:secret@")
        broker.stream(name)
        source = {"Type": "nats", "Url": plain, "Stream": name}
        code, text = refused(own.create_own, source=source)
        assert (code, "Authorization Violation" in text) == ("InvalidParameterValueException", True)
        shown = own.create_own({**source, "Url": broker.url})
        assert "secret" not in json.dumps(shown, default=str)
        broker.publish(name, "a")
        own.wait(1)
        own.drop(shown["UUID"])


@pytest.mark.promise(235)
def test_a_throttled_function_and_a_deleted_one(own: Fed, broker: Nats, name: str) -> None:
    broker.stream(name)
    broker.publish(name, "a")
    own.api.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=0)
    uuid = fed(own, broker, name, MaximumRetryAttempts=0)
    until(lambda: own.result(uuid) == "PROBLEM: Function call failed: Rate Exceeded.", what="the words")
    until(lambda: own.count("OffsetLag") > 0, what="the lag")
    own.api.delete_function_concurrency(FunctionName=own.name)
    own.wait(1)
    own.api.delete_function(FunctionName=own.name)
    broker.publish(name, "b")
    until(lambda: own.result(uuid).startswith("PROBLEM: Function not found:"), what="the words")
    own.create()
    own.wait(2)
    until(lambda: own.result(uuid) == "OK", what="OK")
    assert texts(own) == ["a", "b"]
    own.drop(uuid)


@pytest.mark.promise(236)
def test_the_command_adds_one(run: Run, own: Fed, broker: Nats, name: str) -> None:
    broker.stream(name)
    status, out, _ = run(
        "source", "add", own.name, broker.url, name, "--subject", f"{name}.x", "--consumer", "mine"
    )
    assert status == 0
    broker.publish(name, "no")
    broker.publish(name, "yes", subject="x")
    own.wait(1)
    assert [texts(own), own.records()[0]["nats"]["consumer"]] == [["yes"], "mine"]
    own.drop(out.strip())
