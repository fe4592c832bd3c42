"""EventBridge by boto3: events put on buses, matched, and delivered to targets of every kind."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from clients import moto_server
from delivered import ACCOUNT, NOTES, entry, logged, put, queue, received, refused, rule
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("bus") / "state")
    yield served
    assert served.stop() == 0


# Events, rules, targets.


@pytest.mark.promise(122)
def test_an_event_comes_to_the_targets_of_the_rules_that_it_matches(events: Any, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name)
    rule(events, name, {"Arn": arn}, detail={"n": [{"numeric": [">", 1]}], "tags": ["x"]})
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    put(events, entry(name, {"n": 1, "tags": ["x"]}), entry(name, {"n": 2, "tags": ["y"]}))
    (id,) = put(events, entry(name, {"n": 2, "tags": ["x", "y"]}, Time=when, Resources=["arn:aws:a"]))
    (message,) = received(sqs, url)
    assert json.loads(message["Body"]) == {
        "version": "0", "id": id, "detail-type": "test", "source": name, "account": ACCOUNT, "region": REGION,
        "time": "2026-01-02T03:04:05Z", "resources": ["arn:aws:a"], "detail": {"n": 2, "tags": ["x", "y"]},
    }  # fmt: skip
    events.disable_rule(Name=name)
    assert events.describe_rule(Name=name)["State"] == "DISABLED"
    put(events, entry(name, {"n": 3, "tags": ["x"]}))
    events.enable_rule(Name=name)
    put(events, entry(name, {"n": 4, "tags": ["x"]}))
    (message,) = received(sqs, url)
    assert json.loads(message["Body"])["detail"]["n"] == 4


@pytest.mark.promise(122)
def test_each_entry_has_an_id_or_an_error(events: Any) -> None:
    bad = [
        {"Source": "a", "DetailType": "b"}, {"Source": "a", "Detail": "{}"}, {"DetailType": "b", "Detail": "{}"},
        {"Source": "a", "DetailType": "b", "Detail": "["}, {"Source": "a", "DetailType": "b", "Detail": "[]"},
        {"Source": "aws.ec2", "DetailType": "b", "Detail": "{}"}, entry("a", EventBusName="nowhere"),
        entry("a", Detail='{"a":' * 950 + "1" + "}" * 950),
    ]  # fmt: skip
    result = events.put_events(Entries=[*bad, entry("a")])
    assert result["FailedEntryCount"] == len(bad)
    assert [each.get("ErrorCode") for each in result["Entries"]] == [
        *["InvalidArgument"] * 3, *["MalformedDetail"] * 2, "NotAuthorizedForSourceException",
        "ResourceNotFoundException", "MalformedDetail", None,
    ]  # fmt: skip
    assert result["Entries"][1]["ErrorMessage"] == (
        "Parameter DetailType is not valid. Reason: DetailType is a required argument."
    )
    assert result["Entries"][-1]["EventId"]
    deep: Any = 1
    for _ in range(400):
        deep = {"a": deep}
    pattern = json.dumps({"detail": json.loads(json.dumps(deep).replace("1", "[1]"))})
    events.put_rule(Name="deep", EventPattern=pattern)
    (nested,) = events.put_events(Entries=[entry("a", deep)])[
        "Entries"
    ]  # matched, or refused: never a failure
    assert nested.get("ErrorCode") in (None, "MalformedDetail")
    events.delete_rule(Name="deep")
    big = entry("a", {"x": "y" * 600_000})
    assert refused(events.put_events, Entries=[big, big]) == (
        "ValidationException", "Total size of the entries in the request is over the limit.",
    )  # fmt: skip
    code, message = refused(events.put_events, Entries=[entry("a")] * 11)
    assert code == "ValidationException"
    assert "Member must have length less than or equal to 10" in message
    put(events, entry("a", {"x": "y" * 1_000_000}))


@pytest.mark.promise(122)
def test_a_function_gets_what_a_template_makes_of_the_event(
    server: Served, events: Any, name: str, tmp_path: Path
) -> None:
    note = server.log.parent / f"{name}.notes"
    (tmp_path / "app.py").write_text(NOTES)
    function = server.client().create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=20,
        Code={"ZipFile": pack(tmp_path / "app.py")}, Environment={"Variables": {"NOTE": str(note)}},
    )["FunctionArn"]  # fmt: skip
    template = '{"who": <who>, "text": "<who> of <kind>", "gone": <gone>, "rule": <aws.events.rule-name>, "all": <d>}'
    paths = {"who": "$.detail.user.name", "kind": "$.detail-type", "gone": "$.detail.none", "d": "$.detail"}
    rule(
        events, name,
        {"Arn": function, "InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}},
        {"Arn": function, "InputPath": "$.detail.user"},
        {"Arn": function, "Input": '{"constant": [1]}'},
    )  # fmt: skip
    put(events, entry(name, {"user": {"name": "A B"}}))
    until(lambda: note.exists() and note.read_text().count("\n") == 3, 60, "three invocations")
    found = sorted(note.read_text().splitlines())
    assert [json.loads(each) for each in found] == [
        {"constant": [1]},
        {"name": "A B"},
        {"who": "A B", "text": "A B of test", "rule": name, "all": {"user": {"name": "A B"}}},
    ]


def test_targets_of_other_kinds(server: Served, events: Any, sqs: Any, name: str) -> None:
    logs = server.client("logs")
    logs.create_log_group(logGroupName=f"/aws/events/{name}")
    url, arn = queue(sqs, f"{name}.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    events.create_event_bus(Name=name)
    other_url, other = queue(sqs, name)
    rule(events, name, {"Arn": other}, bus=name)
    rule(
        events, name,
        {"Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/{name}"},
        {"Arn": arn, "SqsParameters": {"MessageGroupId": "g"}},
        {"Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}", "RoleArn": ROLE},
    )  # fmt: skip
    (id,) = put(events, entry(name, {"n": 1}))
    (message,) = received(sqs, url)
    assert message["Attributes"]["MessageGroupId"] == "g"
    (message,) = received(sqs, other_url)
    assert json.loads(message["Body"])["id"] == id  # the event itself goes on to the other bus

    def logged() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = logs.filter_log_events(logGroupName=f"/aws/events/{name}")["events"]
        return found

    assert json.loads(until(logged, 60, "the log")[0]["message"])["id"] == id


def test_buses_that_lead_in_a_circle_end(server: Served, events: Any, sqs: Any, name: str) -> None:
    events.create_event_bus(Name=name)
    url, arn = queue(sqs, name)
    rule(events, name, {"Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"}, {"Arn": arn}, bus=name)
    (id,) = put(events, entry(name, EventBusName=name))
    received(sqs, url, 17)
    logged(server, "/aws/events/failed-invocations", id)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_a_bus_of_another_place_is_only_put_to(server: Served, events: Any, name: str) -> None:
    events.create_event_bus(Name=name)
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"
    events.put_permission(EventBusName=name, Action="events:PutEvents", Principal="*", StatementId="s")
    other = server.client("events", aws_access_key_id="222222222222")
    put(other, entry(name, EventBusName=bus))
    code, _ = refused(other.put_rule, Name="x", EventBusName=bus, EventPattern='{"source": ["x"]}')
    assert code == "ResourceNotFoundException"
    nowhere = f"arn:aws:events:moon-base-1:{ACCOUNT}:event-bus/default"
    result = events.put_events(Entries=[entry(name, EventBusName=nowhere)])
    assert result["Entries"][0]["ErrorCode"] == "ResourceNotFoundException"


def test_a_template_that_makes_no_json_goes_to_the_dead_letter_queue(
    events: Any, sqs: Any, name: str
) -> None:
    url, arn = queue(sqs, name)
    transformer = {"InputPathsMap": {"x": "$.detail.none"}, "InputTemplate": "{<x>"}
    rule(events, name, {"Arn": arn, "InputTransformer": transformer, "DeadLetterConfig": {"Arn": arn}})
    (id,) = put(events, entry(name))
    (letter,) = received(sqs, url)
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "INVALID_JSON"
    assert json.loads(letter["Body"])["id"] == id


def test_an_asynchronous_invocation_ends_on_a_bus_of_this_server(
    server: Served, events: Any, sqs: Any, name: str, tmp_path: Path
) -> None:
    url, arn = queue(sqs, name)
    events.create_event_bus(Name=name)
    rule(events, name, {"Arn": arn}, bus=name, source=["lambda"])
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event\n")
    api = server.client()
    api.create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(tmp_path / "app.py")},
    )  # fmt: skip
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": bus}}
    )
    api.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    (message,) = received(sqs, url)
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == (
        "lambda",
        "Lambda Function Invocation Result - Success",
    )
    assert event["detail"]["responsePayload"] == {"n": 1}


# A server whose clock is ahead: the next minute is a few seconds away.
AHEAD = """
import sys, time
real = time.time
ahead = 60 - (real() + 8) % 60
time.time = lambda: real() + ahead
from engine.cli.main import main
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.promise(123)
def test_a_schedule_comes_to_its_targets_and_to_no_other_rules(tmp_path: Path, name: str) -> None:
    """Within the minute."""
    served = Served(tmp_path / "state", program=("-c", AHEAD))
    events, sqs = served.client("events"), served.client("sqs")
    url, arn = queue(sqs, name)
    rule(events, name, {"Arn": arn}, source=["aws.events"])
    made = events.put_rule(Name=f"{name}-s", ScheduleExpression="cron(* * * * ? *)")["RuleArn"]
    events.put_targets(Rule=f"{name}-s", Targets=[{"Id": "1", "Arn": arn}])

    def one() -> Any:
        return sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages")

    (message,) = until(one, 90, "the schedule")
    events.disable_rule(Name=f"{name}-s")
    event = json.loads(message["Body"])
    assert (event["detail-type"], event["source"], event["detail"]) == ("Scheduled Event", "aws.events", {})
    assert event["resources"] == [made]
    assert event["time"].endswith(":00Z")
    assert served.stop() == 0


# What is not delivered.


@pytest.mark.promise(124)
def test_what_a_target_does_not_take_goes_to_its_dead_letter_queue(events: Any, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name)
    missing = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-missing"
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}-missing"
    made = rule(
        events, name,
        {"Arn": missing, "DeadLetterConfig": {"Arn": arn}, "InputPath": "$.detail"},
        {"Arn": function, "DeadLetterConfig": {"Arn": arn}},
        {"Arn": missing},
    )  # fmt: skip
    put(events, entry(name, {"n": 1}))
    letters = {each["MessageAttributes"]["TARGET_ARN"]["StringValue"]: each for each in received(sqs, url, 2)}
    assert set(letters) == {missing, function}
    assert json.loads(letters[missing]["Body"]) == {"n": 1}
    for letter in letters.values():
        found = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
        assert found.pop("ERROR_MESSAGE")
        found.pop("TARGET_ARN")
        assert found == {"RULE_ARN": made, "ERROR_CODE": "NO_RESOURCE", "RETRY_ATTEMPTS": "0"}


@pytest.mark.promise(124)
def test_what_nothing_takes_is_in_the_log(server: Served, events: Any, name: str) -> None:
    rule(events, name, {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-missing"})
    (id,) = put(events, entry(name, {"n": 1}))
    logged(server, "/aws/events/failed-invocations", id)


@pytest.mark.slow
@pytest.mark.promise(121)
def test_an_event_that_was_accepted_outlives_the_server(tmp_path: Path, name: str) -> None:
    """Killed as soon as the last put is answered, twice."""
    total = 0
    for _ in range(2):
        served = Served(tmp_path / "state")
        events, sqs = served.client("events"), served.client("sqs")
        if not total:
            url, arn = queue(sqs, name)
            rule(events, name, {"Arn": arn})
        for _ in range(10):
            put(events, *[entry(name, {"n": total + n}) for n in range(10)])
            total += 10
        served.process.send_signal(signal.SIGKILL)
        served.process.wait()
        assert served.process.stdout is not None
        served.process.stdout.close()
    served = Served(tmp_path / "state")
    sqs = served.client("sqs")
    path = urlsplit(url).path
    seen: set[int] = set()

    def all_there() -> bool:
        found = sqs.receive_message(QueueUrl=served.url + path, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for each in found.get("Messages", []):
            seen.add(json.loads(each["Body"])["detail"]["n"])
            sqs.delete_message(QueueUrl=served.url + path, ReceiptHandle=each["ReceiptHandle"])
        return len(seen) == total

    until(all_there, 60, "every event")
    assert served.stop() == 0


# Archives and replays.


@pytest.mark.promise(125)
def test_what_an_archive_kept_is_replayed_to_the_rules_that_a_replay_names(
    events: Any, sqs: Any, name: str
) -> None:
    url, arn = queue(sqs, name)
    other_url, other = queue(sqs, f"{name}-other")
    events.create_event_bus(Name=name)
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"
    made = rule(events, name, {"Arn": arn}, bus=name)
    events.put_rule(Name="other", EventBusName=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule="other", EventBusName=name, Targets=[{"Id": "1", "Arn": other}])
    events.create_archive(
        ArchiveName=name, EventSourceArn=bus, EventPattern=json.dumps({"detail": {"keep": [True]}})
    )
    when = datetime.now(UTC).replace(microsecond=0)
    for n in range(3):
        put(events, *[entry(name, {"keep": keep, "n": n}, EventBusName=name, Time=when + timedelta(minutes=n))
                      for keep in (True, False)])  # fmt: skip
    received(sqs, url, 6)
    received(sqs, other_url, 6)
    described = events.describe_archive(ArchiveName=name)
    assert (described["EventCount"], described["State"]) == (3, "ENABLED")
    events.start_replay(
        ReplayName=name, EventSourceArn=described["ArchiveArn"], EventStartTime=when,
        EventEndTime=when + timedelta(minutes=2), Destination={"Arn": bus, "FilterArns": [made]},
    )  # fmt: skip
    until(lambda: events.describe_replay(ReplayName=name)["State"] == "COMPLETED", 60, "the replay")
    bodies = [json.loads(each["Body"]) for each in received(sqs, url, 2)]
    assert sorted(each["detail"]["n"] for each in bodies) == [0, 1]
    assert {each["replay-name"] for each in bodies} == {name}
    assert (
        events.describe_archive(ArchiveName=name)["EventCount"] == 3
    )  # replayed events are not archived again
    assert "Messages" not in sqs.receive_message(QueueUrl=other_url)
    assert refused(events.cancel_replay, ReplayName=name)[0] == "IllegalStatusException"
    events.delete_archive(ArchiveName=name)
    assert refused(events.describe_archive, ArchiveName=name) == (
        "ResourceNotFoundException", f"Archive {name} does not exist.",
    )  # fmt: skip


# What other services have.


@pytest.mark.slow
def test_targets_that_another_endpoint_has(tmp_path: Path, name: str) -> None:
    """moto's streams and state machines, and a topic of this server's."""
    with moto_server() as moto:
        served = Served(tmp_path / "state", "--aws-endpoint", moto)
        kinesis, sns, states = (served.client(each) for each in ("kinesis", "sns", "stepfunctions"))
        kinesis.create_stream(StreamName=name, ShardCount=1)
        stream = kinesis.describe_stream(StreamName=name)["StreamDescription"]
        topic = sns.create_topic(Name=name)["TopicArn"]
        definition = json.dumps({"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}})
        machine = states.create_state_machine(name=name, definition=definition, roleArn=ROLE)[
            "stateMachineArn"
        ]
        events, sqs = served.client("events"), served.client("sqs")
        url, dead = queue(sqs, name)
        path = {"KinesisParameters": {"PartitionKeyPath": "$.detail.key"}}
        letters = {"DeadLetterConfig": {"Arn": dead}}
        rule(
            events, name, {"Arn": stream["StreamARN"], **path, **letters}, {"Arn": topic, **letters},
            {"Arn": machine, "RoleArn": ROLE, **letters},
        )  # fmt: skip
        put(events, entry(name, {"key": "k"}))
        shard = kinesis.get_shard_iterator(
            StreamName=name, ShardId=stream["Shards"][0]["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        record = until(lambda: kinesis.get_records(ShardIterator=shard)["Records"], 60, "the record")[0]
        assert (record["PartitionKey"], json.loads(record["Data"])["source"]) == ("k", name)
        until(lambda: states.list_executions(stateMachineArn=machine)["executions"], 60, "the execution")
        assert "Messages" not in sqs.receive_message(QueueUrl=url)
        assert served.stop() == 0
