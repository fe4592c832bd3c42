"""Event source mappings of Redis Streams, by redis-server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Redis, running
from delivered import refused
from mapped import Fed
from served import REGION, Run, Served
from support import until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running(Redis(tmp_path_factory.mktemp("redis"))) as redis:
        yield redis


@pytest.fixture(scope="module")
def redis(broker: Redis) -> Any:
    return broker.client()


@pytest.fixture
def own(server: Served) -> Fed:
    return Fed(server, server.log.parent)


def add(redis: Any, stream: str, *texts: str) -> list[str]:
    """Entries that are there at once. Their ids."""
    with redis.pipeline(transaction=True) as entries:
        for text in texts:
            entries.xadd(stream, {"n": text})
        return [each.decode() for each in entries.execute()]


def fed(own: Fed, broker: Redis, stream: str, options: dict[str, Any] | None = None, **more: Any) -> str:
    """A mapping of the stream, once it is enabled. Its UUID."""
    return own.map_own({"Type": "redis", "Url": broker.url, "Stream": stream, **(options or {})}, **more)


def texts(own: Fed) -> list[str]:
    return [record["redis"]["fields"]["n"] for record in own.records()]


def pending(redis: Any, stream: str) -> int:
    return int(redis.xinfo_groups(stream)[0]["pending"])


@pytest.mark.promise(228)
def test_entries_come_in_order_and_are_acknowledged(own: Fed, broker: Redis, redis: Any, name: str) -> None:
    (before,) = add(redis, name, "before")
    uuid = fed(own, broker, name, BatchSize=3)
    own.wait(1)
    (record,) = own.records()
    arn = f"arn:aws-stoker:redis:{REGION}:000000000000:127.0.0.1:{broker.port}/0/{name}"
    assert abs(record["redis"].pop("approximateArrivalTimestamp") - time.time()) < 60
    assert record == {
        "eventSource": "stoker:redis", "eventVersion": "1.0", "eventID": f"{name}:{before}",
        "eventName": "stoker:redis:entry", "eventSourceARN": arn,
        "redis": {
            "stream": name, "group": f"stoker-{uuid}", "id": before, "deliveries": 1, "fields": {"n": "before"},
        },
    }  # fmt: skip
    late = Fed(own.server, own.server.log.parent)
    latest = fed(late, broker, name, StartingPosition="LATEST")
    add(redis, name, *map(str, range(20)))
    redis.xadd(name, {"n": "raw", b"\xfe": b"\xff\x00"})
    own.wait(22)
    late.wait(21)
    assert texts(own) == ["before", *map(str, range(20)), "raw"]
    assert texts(late) == texts(own)[1:]
    assert max(len(event["Records"]) for event in own.events()) == 3
    assert (own.records()[-1]["redis"]["fields"], own.records()[-1]["redis"]["binary"]) == (
        {"n": "raw", "\\xfe": "/wA="}, ["\\xfe"],
    )  # fmt: skip
    until(lambda: own.result(uuid) == "OK" and not pending(redis, name), what="the acknowledgements")
    assert own.get(uuid)["EventSourceArn"] == arn
    own.drop(uuid)
    late.drop(latest)


@pytest.mark.promise(229)
def test_it_goes_on_where_it_was_disabled(own: Fed, broker: Redis, redis: Any, name: str) -> None:
    add(redis, name, "a")
    uuid = fed(own, broker, name)
    own.wait(1)
    own.update(uuid, Enabled=False)
    add(redis, name, "b")
    assert texts(own) == ["a"]
    own.update(uuid, Enabled=True)
    own.wait(2)
    # One whose consumer group somebody deleted, too.
    until(lambda: own.result(uuid) == "OK" and not pending(redis, name), what="the acknowledgement")
    own.update(uuid, Enabled=False)
    redis.xgroup_destroy(name, f"stoker-{uuid}")
    add(redis, name, "c")
    own.update(uuid, Enabled=True)
    own.wait(3)
    until(lambda: not pending(redis, name), what="the acknowledgement")
    redis.xgroup_destroy(name, f"stoker-{uuid}")
    add(redis, name, "d")
    own.wait(4)
    assert texts(own) == ["a", "b", "c", "d"]
    own.drop(uuid)


@pytest.mark.promise(230)
def test_what_fails_is_split_retried_and_reported(
    own: Fed, broker: Redis, redis: Any, sqs: Any, name: str
) -> None:
    dead = sqs.create_queue(QueueName=name)["QueueUrl"]
    ids = add(redis, name, "a", "b", "fail", "c")
    uuid = fed(
        own, broker, name, BisectBatchOnFunctionError=True, MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:000000000000:{name}"}},
    )  # fmt: skip
    message = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=20)["Messages"][0]
    report = json.loads(message["Body"])
    assert report["requestContext"]["condition"] == "RetryAttemptsExhausted"
    info = report["RedisBatchInfo"]
    assert (info["startSequenceNumber"], info["batchSize"], info["shardId"]) == (ids[2], 1, name)
    add(redis, name, "d")
    until(lambda: "d" in texts(own), what="what comes after it")
    batches = [[r["redis"]["fields"]["n"] for r in event["Records"]] for event in own.events()]
    assert [batch for batch in batches if "fail" not in batch] == [["a", "b"], ["c"], ["d"]]
    until(lambda: not pending(redis, name), what="the acknowledgements")
    own.drop(uuid)


@pytest.mark.promise(230)
def test_items_that_are_reported_come_again_and_what_is_behind_them(
    own: Fed, broker: Redis, redis: Any, name: str
) -> None:
    add(redis, name, "a", "bad", "b")
    uuid = fed(own, broker, name, FunctionResponseTypes=["ReportBatchItemFailures"])
    until(lambda: texts(own).count("bad") >= 3, what="three attempts")
    assert pending(redis, name) == 2
    own.gate.touch()
    until(lambda: own.result(uuid) == "OK" and not pending(redis, name), what="OK")
    assert texts(own).count("a") == 1
    assert texts(own)[:5] == ["a", "bad", "b", "bad", "b"]
    own.drop(uuid)


@pytest.mark.promise(231)
def test_filters_windows_and_a_timestamp(own: Fed, broker: Redis, redis: Any, name: str) -> None:
    add(redis, name, "too early")
    last = int(redis.xinfo_stream(name)["last-generated-id"].split(b"-")[0])
    until(lambda: time.time() > last / 1e3 + 0.01, what="a later moment")
    moment = time.time()
    patterns = [{"fields": {"n": ["x"]}}, {"fields": {"body": {"total": [{"numeric": [">", 100]}]}}}]
    criteria = {"Filters": [{"Pattern": json.dumps(each)} for each in patterns]}
    uuid = fed(
        own, broker, name, FilterCriteria=criteria, MaximumBatchingWindowInSeconds=1, StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=moment,
    )  # fmt: skip
    add(redis, name, "y", "x")
    redis.xadd(name, {"n": "250", "body": '{"total": 250}'})
    redis.xadd(name, {"n": "50", "body": '{"total": 50}'})
    own.wait(2)
    assert [texts(own), len(own.events())] == [["x", "250"], 1]
    until(lambda: not pending(redis, name), what="all to be acknowledged")
    own.drop(uuid)


@pytest.mark.promise(232)
def test_keys_are_parallel_lanes_no_more_than_asked_for(
    server: Served, broker: Redis, redis: Any, name: str
) -> None:
    """One batch at a time, since a stream's entries have one key."""
    own = Fed(server, server.log.parent, Timeout=60)
    add(redis, name, "wait 0", "1", "2")
    uuid = fed(own, broker, name, BatchSize=1, ParallelizationFactor=5)
    until(own.events, what="the first")
    own.gate.touch()
    own.wait(3)
    assert texts(own) == ["wait 0", "1", "2"]
    own.drop(uuid)


@pytest.mark.promise(233)
def test_a_deleted_stream_and_one_that_was_never_there(
    own: Fed, broker: Redis, redis: Any, name: str
) -> None:
    source = {"Type": "redis", "Url": broker.url, "Stream": name}
    arn = f"arn:aws-stoker:redis:{REGION}:000000000000:127.0.0.1:{broker.port}/0/{name}"
    assert refused(own.create_own, source=source) == (
        "InvalidParameterValueException",
        f"Stream not found: {arn}",
    )
    add(redis, name, "a")
    uuid = fed(own, broker, name)
    assert refused(own.create_own, source=source)[0] == "ResourceConflictException"
    own.wait(1)
    redis.delete(name)
    until(lambda: own.result(uuid) == f"PROBLEM: Event source not found: {arn}", what="the words")
    add(redis, name, "b")
    own.wait(2)
    until(lambda: own.result(uuid) == "OK" and not pending(redis, name), what="the recovery")
    redis.delete(name)  # and made anew before anybody looked
    add(redis, name, "c")
    own.wait(3)
    assert texts(own) == ["a", "b", "c"]
    own.drop(uuid)


@pytest.mark.promise(233)
def test_a_trimmed_stream_and_what_others_left_behind(own: Fed, broker: Redis, redis: Any, name: str) -> None:
    ids = add(redis, name, "lost", "left", "mine")
    redis.xgroup_create(name, "g", "0")
    redis.xreadgroup("g", "crashed", {name: ">"}, count=2)
    redis.xdel(name, ids[0])
    uuid = fed(own, broker, name, {"Group": "g", "ClaimAfterSeconds": 0.2})
    own.wait(2)
    until(lambda: not pending(redis, name), what="the acknowledgements")
    assert sorted(texts(own)) == ["left", "mine"]
    left = next(record for record in own.records() if record["redis"]["id"] == ids[1])
    assert left["redis"]["deliveries"] == 2
    own.drop(uuid)


@pytest.mark.promise(234)
def test_a_restarted_broker_and_one_that_refuses(own: Fed, tmp_path: Path, name: str) -> None:
    with running(Redis(tmp_path)) as broker:
        redis = broker.client()
        add(redis, name, "a")
        uuid = fed(own, broker, name)
        own.wait(1)
        broker.kill()
        until(lambda: own.result(uuid).startswith("PROBLEM: Connection error."), what="the words")
        broker.start()
        add(broker.client(), name, "b")
        own.wait(2)
        redis = broker.client()
        redis.config_set("requirepass", "secret")
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        until(lambda: own.result(uuid).startswith("PROBLEM: Cannot access stream"), what="the words")
        source = {"Type": "redis", "Url": broker.url, "Stream": name, "Group": "other"}
        other = Fed(own.server, own.server.log.parent)
        code, text = refused(other.create_own, source=source)
        assert (code, "Authentication required" in text) == ("InvalidParameterValueException", True)
        source["Url"] = broker.url.replace("//", "//:secret@")
        shown = other.create_own(source)
        assert "secret" not in json.dumps(shown, default=str)
        other.wait(2)
        redis.config_set("requirepass", "")
        redis.xadd(name, {"n": "c"})
        own.wait(3)
        assert texts(own) == ["a", "b", "c"]
        own.drop(uuid)
        other.drop(shown["UUID"])


@pytest.mark.promise(235)
def test_a_throttled_function_and_a_deleted_one(own: Fed, broker: Redis, redis: Any, name: str) -> None:
    uuid_of: dict[str, Any] = {"FunctionName": own.name}
    add(redis, name, "a")
    own.api.put_function_concurrency(**uuid_of, ReservedConcurrentExecutions=0)
    uuid = fed(own, broker, name, MaximumRetryAttempts=0)
    until(lambda: own.result(uuid) == "PROBLEM: Function call failed: Rate Exceeded.", what="the words")
    until(lambda: own.count("OffsetLag") > 0, what="the lag")
    own.api.delete_function_concurrency(**uuid_of)
    own.wait(1)
    own.api.delete_function(**uuid_of)
    add(redis, name, "b")
    until(lambda: own.result(uuid).startswith("PROBLEM: Function not found:"), what="the words")
    own.create()
    own.wait(2)
    until(lambda: own.result(uuid) == "OK", what="OK")
    assert texts(own) == ["a", "b"]
    own.drop(uuid)


@pytest.mark.promise(236)
def test_the_command_adds_lists_pauses_and_removes(
    run: Run, own: Fed, broker: Redis, redis: Any, name: str
) -> None:
    add(redis, name, "a")
    words = (
        "source",
        "add",
        own.name,
        broker.url,
        name,
        "--batch-size",
        "7",
        "--group",
        "g",
        "--report-failures",
    )
    status, out, _ = run(*words, "--filter", '{"fields": {"n": ["a", "b"]}}', "--retries", "3")
    uuid = out.strip()
    assert status == 0
    own.reaches(uuid, "Enabled")
    shown = own.get(uuid)
    assert (shown["BatchSize"], shown["MaximumRetryAttempts"], shown["FunctionResponseTypes"]) == (
        7, 3, ["ReportBatchItemFailures"],
    )  # fmt: skip
    own.wait(1)
    assert uuid in run("source", "ls")[1]
    assert shown["EventSourceArn"] in run("source", "ls", own.name)[1]
    assert uuid not in run("source", "ls", "another")[1]
    assert run("source", "pause", own.name)[:2] == (0, f"{uuid} paused\n")
    own.reaches(uuid, "Disabled")
    add(redis, name, "b")
    assert run("source", "resume", uuid)[:2] == (0, f"{uuid} resumed\n")
    own.wait(2)
    own.reaches(uuid, "Enabled")
    assert run("source", "rm", own.name)[:2] == (0, f"{uuid} removed\n")
    until(lambda: run("source", "rm", own.name)[0] == 2, what="its end")
    for wrong in (["add", own.name], ["add", own.name, "ftp://x", "y"], ["add", own.name, broker.url], ["rm"],
                  ["add", own.name, broker.url, name, "--start", "soon"]):  # fmt: skip
        status, _, err = run("source", *wrong)
        assert (status, err.count("\n")) == (2, 1)
    assert "Stream not found" in run("source", "add", own.name, broker.url, "none")[2]


@pytest.mark.promise(236)
def test_what_is_no_source_is_refused_with_what_would_be(own: Fed, broker: Redis) -> None:
    right = {"Type": "redis", "Url": broker.url, "Stream": "s"}
    for wrong, words in (
        ({"Type": "mqtt"}, "Unrecognized source type mqtt"), ({"Url": "http://x"}, "redis://HOST:PORT/DATABASE"),
        ({"Subject": "s"}, "has no Subject"), ({"Stream": ""}, "A source has a Stream."),
    ):  # fmt: skip
        code, text = refused(own.create_own, source={**right, **wrong})
        assert (code, words in text) == ("InvalidParameterValueException", True), text
    code, text = refused(own.create_own, source=right, TumblingWindowInSeconds=5)
    assert (code, "TumblingWindowInSeconds" in text) == ("InvalidParameterValueException", True)
