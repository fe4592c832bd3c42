"""EventBridge Scheduler by boto3: schedules and their groups, and what their targets get when they are due."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from clients import moto_server
from delivered import ACCOUNT, NOTES, logged, received, refused
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.durable.queue_rows import QueueRows
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store
from engine.hosting.archives import pack
from engine.services.events.archived import ArchivedRows
from engine.services.sqs.deduplication import TakenRows

KINDS = [Records(), QueueRows(), TakenRows(), ArchivedRows()]  # what a server opens its store with
OFF = {"Mode": "OFF"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("scheduler") / "state")
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def scheduler(server: Served) -> Any:
    return server.client("scheduler")


def arn(name: str, service: str = "sqs") -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def at(seconds: float = 0.0) -> str:
    """An expression; what has just passed is due at once."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("at(%Y-%m-%dT%H:%M:%S)")


def create(scheduler: Any, name: str, target: str, expression: str = "", **more: Any) -> str:
    """Its ARN. more: of the target, of the names that it has, and of the schedule."""
    inner = {key: more.pop(key) for key in list(more) if key in INNER}
    members = {"ScheduleExpression": expression or at(), "FlexibleTimeWindow": OFF, **more}
    made: str = scheduler.create_schedule(
        Name=name, Target={"Arn": target, "RoleArn": ROLE, **inner}, **members
    )["ScheduleArn"]
    return made


INNER = {
    "Input", "DeadLetterConfig", "RetryPolicy", "SqsParameters", "EventBridgeParameters", "KinesisParameters",
}  # fmt: skip


# Schedules and groups.


@pytest.mark.promise(132)
def test_a_schedule_is_kept_as_it_was_given(scheduler: Any, name: str) -> None:
    made = create(scheduler, name, arn("f"), "cron(0 9 ? * MON-FRI *)", ClientToken="a")
    assert made == f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{name}"
    found = scheduler.get_schedule(Name=name)
    created = found.pop("CreationDate")
    assert found.pop("LastModificationDate") == created
    del found["ResponseMetadata"]
    target = {"Arn": arn("f"), "RoleArn": ROLE}
    assert found == {
        "Arn": made, "Name": name, "GroupName": "default", "ScheduleExpression": "cron(0 9 ? * MON-FRI *)",
        "ScheduleExpressionTimezone": "UTC", "State": "ENABLED", "ActionAfterCompletion": "NONE",
        "FlexibleTimeWindow": OFF,
        "Target": {**target, "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}},
    }  # fmt: skip
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    more = {
        "ScheduleExpressionTimezone": "Europe/Berlin", "State": "DISABLED", "Description": "d", "StartDate": start,
        "EndDate": start + timedelta(days=9), "ActionAfterCompletion": "DELETE",
    }  # fmt: skip
    policy = {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
    target |= {"Input": "i", "RetryPolicy": policy, "DeadLetterConfig": {"Arn": arn("dead")}}
    updated = scheduler.update_schedule(
        Name=name, ScheduleExpression="rate(5 minutes)", FlexibleTimeWindow=window, Target=target, **more
    )
    assert updated["ScheduleArn"] == made
    found = scheduler.get_schedule(Name=name, GroupName="default")
    assert {key: found[key] for key in more} == more
    assert (found["FlexibleTimeWindow"], found["Target"]) == (window, target)
    assert (found["CreationDate"], found["ScheduleExpression"]) == (created, "rate(5 minutes)")
    scheduler.update_schedule(
        Name=name, ScheduleExpression="rate(5 minutes)", FlexibleTimeWindow=OFF, Target=found["Target"],
        State="DISABLED",
    )  # fmt: skip
    found = scheduler.get_schedule(Name=name)
    assert {"Description", "StartDate", "EndDate"} & set(found) == set(), (
        "what is left out is as in a new one"
    )
    scheduler.delete_schedule(Name=name)
    assert refused(scheduler.get_schedule, Name=name) == (
        "ResourceNotFoundException", f"Schedule {name} does not exist.",
    )  # fmt: skip


@pytest.mark.promise(132)
def test_groups_their_tags_and_their_schedules(scheduler: Any, name: str) -> None:
    group = scheduler.create_schedule_group(Name=name, Tags=[{"Key": "a", "Value": "1"}])["ScheduleGroupArn"]
    assert group == f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/{name}"
    found = scheduler.get_schedule_group(Name=name)
    assert (found["Arn"], found["State"], found["CreationDate"]) == (
        group,
        "ACTIVE",
        found["LastModificationDate"],
    )
    scheduler.tag_resource(ResourceArn=group, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    scheduler.untag_resource(ResourceArn=group, TagKeys=["b", "c"])
    assert scheduler.list_tags_for_resource(ResourceArn=group)["Tags"] == [{"Key": "a", "Value": "3"}]
    for n in range(5):
        create(
            scheduler,
            f"{name}-{n}",
            arn("q"),
            "rate(1 day)",
            GroupName=name,
            State=["ENABLED", "DISABLED"][n % 2],
        )
    names = [f"{name}-{n}" for n in range(5)]
    pages = scheduler.get_paginator("list_schedules")

    def listed(**members: Any) -> list[str]:
        return [each["Name"] for page in pages.paginate(**members) for each in page["Schedules"]]

    assert listed(GroupName=name, PaginationConfig={"PageSize": 2}) == names
    assert listed(NamePrefix=name) == names
    assert listed(NamePrefix=name, State="DISABLED") == [names[1], names[3]]
    assert listed(GroupName=name, NamePrefix=f"{name}-3") == [names[3]]
    (summary,) = scheduler.list_schedules(NamePrefix=names[0])["Schedules"]
    assert (summary["GroupName"], summary["State"], summary["Target"]) == (name, "ENABLED", {"Arn": arn("q")})
    groups = [each["Name"] for each in scheduler.list_schedule_groups()["ScheduleGroups"]]
    assert {"default", name} <= set(groups)
    assert [each["Name"] for each in scheduler.list_schedule_groups(NamePrefix=name)["ScheduleGroups"]] == [
        name
    ]
    scheduler.delete_schedule_group(Name=name)
    assert listed(NamePrefix=name) == []
    missing = ("ResourceNotFoundException", f"Schedule group {name} does not exist.")
    assert refused(scheduler.get_schedule_group, Name=name) == missing
    assert refused(scheduler.list_schedules, GroupName=name) == missing
    assert refused(scheduler.get_schedule, Name="s", GroupName=name) == missing
    assert refused(scheduler.list_tags_for_resource, ResourceArn=group) == missing


@pytest.mark.promise(132)
def test_a_request_that_is_sent_again_does_nothing_more(scheduler: Any, name: str) -> None:
    again = {"expression": "rate(1 day)", "State": "DISABLED", "ClientToken": name}
    made = create(scheduler, name, arn("q"), **again)
    assert create(scheduler, name, arn("q"), **again) == made
    conflict = ("ConflictException", f"Schedule {name} already exists.")
    with pytest.raises(ClientError) as error:
        create(scheduler, name, arn("q"), **{**again, "ClientToken": "other"})
    described = error.value.response
    assert (described["Error"]["Code"], described["Error"]["Message"]) == conflict
    assert described["ResponseMetadata"]["HTTPStatusCode"] == 409
    with pytest.raises(ClientError):
        create(scheduler, name, arn("other"), **again)
    scheduler.delete_schedule(Name=name, ClientToken=name)
    scheduler.delete_schedule(Name=name, ClientToken=name)
    assert refused(scheduler.delete_schedule, Name=name)[0] == "ResourceNotFoundException"
    group = scheduler.create_schedule_group(Name=name, ClientToken=name)["ScheduleGroupArn"]
    assert scheduler.create_schedule_group(Name=name, ClientToken=name)["ScheduleGroupArn"] == group
    assert refused(scheduler.create_schedule_group, Name=name) == (
        "ConflictException", f"Schedule group {name} already exists.",
    )  # fmt: skip
    scheduler.delete_schedule_group(Name=name, ClientToken=name)
    scheduler.delete_schedule_group(Name=name, ClientToken=name)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"expression": expression}, f"Invalid Schedule Expression {expression}.")
    for expression in (
        "cron(0 1 * * * *)", "cron(7 20 * * NOT *)", "cron(INVALID)", "cron(0 dummy ? * MON-FRI *)", "cron()",
        "cron(71 8 1 * ? *)", "rate(10 seconds)", "rate(10 years)", "rate()", "rate(10)", "rate(10 minutess)",
        "rate(foo minutes)", "rate(-10 minutes)", "rate( 10 minutes )", " rate(10 minutes)", "at(2021-12-31)",
        "at(2021-12-31T23:59:59Z)",
    )
]  # fmt: skip
WRONG += [
    ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "Invalid Schedule Expression Timezone Mars/Olympus."),
    ({"expression": "rate(1 day)", "StartDate": datetime(2020, 1, 1, tzinfo=UTC)},
        "The StartDate you specify cannot be earlier than 5 minutes ago."),
    ({"expression": "rate(1 day)", "StartDate": datetime(2200, 1, 2, tzinfo=UTC), "EndDate": datetime(2200, 1, 1)},
        "The StartDate you specify must come before the EndDate."),
    ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        "FlexibleTimeWindow is not valid: MaximumWindowInMinutes is required when Mode is FLEXIBLE."),
    ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
        "FlexibleTimeWindow is not valid: MaximumWindowInMinutes requires Mode FLEXIBLE."),
    ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}},
        "1 validation error detected: Value '1441' at 'flexibleTimeWindow.maximumWindowInMinutes' failed to satisfy "
        "constraint: Member must have value less than or equal to 1440"),
    ({"DeadLetterConfig": {"Arn": arn("q.fifo")}},
        f"1 validation error detected: Value '{arn('q.fifo')}' at 'target.deadLetterConfig.arn' failed to satisfy "
        "constraint: Member must satisfy regular expression pattern: "
        "arn:aws[a-z-]*:sqs:[a-z0-9\\-]+:\\d{12}:[a-zA-Z0-9\\-_]+"),
]  # fmt: skip


@pytest.mark.promise(132)
@pytest.mark.parametrize("members, message", WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_what_makes_no_sense_is_refused(
    scheduler: Any, name: str, members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError) as error:
        create(scheduler, name, arn("q"), **members)
    assert error.value.response["Error"] == {"Code": "ValidationException", "Message": message}
    assert refused(scheduler.get_schedule, Name=name)[0] == "ResourceNotFoundException"


def test_what_is_not_there(scheduler: Any, name: str) -> None:
    with pytest.raises(ClientError, match=f"Schedule group {name} does not exist."):
        create(scheduler, name, arn("q"), GroupName=name)
    assert refused(scheduler.delete_schedule_group, Name="default")[0] == "ValidationException"
    assert refused(scheduler.create_schedule_group, Name="default")[0] == "ConflictException"


# Targets.


@pytest.mark.promise(134)
def test_a_queue_gets_the_input_with_its_keywords(scheduler: Any, sqs: Any, name: str) -> None:
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=fifo)["QueueUrl"]
    words = ["schedule-arn", "scheduled-time", "execution-id", "attempt-number"]
    text = json.dumps({word: f"<aws.scheduler.{word}>" for word in words})
    expression = at(1)
    made = create(
        scheduler, name, arn(f"{name}.fifo"), expression, Input=text, SqsParameters={"MessageGroupId": "g"},
        ActionAfterCompletion="DELETE",
    )  # fmt: skip
    (message,) = received(sqs, url)
    assert message["Attributes"]["MessageGroupId"] == "g"
    body = json.loads(message["Body"])
    assert len(body.pop("execution-id")) == 16
    assert body == {"schedule-arn": made, "scheduled-time": f"{expression[3:-1]}Z", "attempt-number": "1"}

    def deleted() -> bool:
        return name not in [each["Name"] for each in scheduler.list_schedules(NamePrefix=name)["Schedules"]]

    until(deleted, 30, "its deletion")


@pytest.mark.promise(134)
def test_a_function_is_invoked(server: Served, scheduler: Any, name: str) -> None:
    note = Path(server.log).parent / f"{name}.note"
    file = Path(server.log).parent / "app.py"
    file.write_text(NOTES)
    function = server.client().create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=20,
        Code={"ZipFile": pack(file)}, Environment={"Variables": {"NOTE": str(note)}},
    )["FunctionArn"]  # fmt: skip
    made = create(scheduler, name, function)
    create(scheduler, f"{name}-input", function, Input='{"n": 1}')
    invoke = {"FunctionName": name, "InvocationType": "Event", "Payload": '{"n": 2}'}
    create(scheduler, f"{name}-any", "arn:aws:scheduler:::aws-sdk:lambda:invoke", Input=json.dumps(invoke))

    until(lambda: note.exists() and note.read_text().count("\n") == 3, 60, "three invocations")
    events = sorted((json.loads(line) for line in note.read_text().splitlines()), key=len)
    assert sorted(each["n"] for each in events[:2]) == [1, 2]
    event = events[2]
    assert len(event.pop("id")) == 36
    assert event.pop("time").endswith("Z")
    assert event == {
        "version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "account": ACCOUNT,
        "region": REGION, "resources": [made], "detail": "{}",
    }  # fmt: skip


@pytest.mark.promise(134)
def test_a_bus_and_any_operation(server: Served, scheduler: Any, sqs: Any, name: str) -> None:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    events = server.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn(name)}])
    bus = arn("event-bus/default", "events")
    made = create(
        scheduler, name, bus, Input='{"n": 1}', EventBridgeParameters={"DetailType": "d", "Source": name}
    )
    (message,) = received(sqs, url)
    event = json.loads(message["Body"])
    assert (event["detail-type"], event["detail"], event["resources"]) == ("d", {"n": 1}, [made])
    send = json.dumps({"QueueUrl": url, "MessageBody": "<aws.scheduler.attempt-number>"})
    create(scheduler, f"{name}-any", "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", Input=send)
    (message,) = received(sqs, url)
    assert message["Body"] == "1"


@pytest.mark.slow
@pytest.mark.promise(134)
def test_targets_that_another_endpoint_has(tmp_path: Path, name: str) -> None:
    """moto's streams, topics and tables."""
    with moto_server() as moto:
        served = Served(tmp_path / "state", "--aws-endpoint", moto)
        scheduler, kinesis, sns, dynamodb = (
            served.client(each) for each in ("scheduler", "kinesis", "sns", "dynamodb")
        )
        kinesis.create_stream(StreamName=name, ShardCount=1)
        shard = kinesis.describe_stream(StreamName=name)["StreamDescription"]["Shards"][0]["ShardId"]
        create(
            scheduler,
            name,
            arn(f"stream/{name}", "kinesis"),
            Input="record",
            KinesisParameters={"PartitionKey": "k"},
        )
        create(
            scheduler,
            f"{name}-t",
            "arn:aws:scheduler:::aws-sdk:sns:createTopic",
            Input=json.dumps({"Name": name}),
        )
        schema = {"AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}]}
        table = {"TableName": name, "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], **schema}
        universal = "arn:aws:scheduler:::aws-sdk:dynamodb:createTable"
        create(
            scheduler, f"{name}-d", universal, Input=json.dumps({**table, "BillingMode": "PAY_PER_REQUEST"})
        )

        def records() -> list[Any]:
            iterator = kinesis.get_shard_iterator(
                StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
            )
            found: list[Any] = kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
            return found

        (record,) = until(records, 60, "the record")
        assert (record["Data"], record["PartitionKey"]) == (b"record", "k")
        until(lambda: name in str(sns.list_topics()["Topics"]), 60, "the topic")
        until(lambda: name in dynamodb.list_tables()["TableNames"], 60, "the table")
        assert served.stop() == 0


@pytest.mark.promise(135)
def test_what_a_target_does_not_take_goes_to_the_dead_letter_queue(
    scheduler: Any, sqs: Any, name: str
) -> None:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    dead = {"DeadLetterConfig": {"Arn": arn(name)}}
    expression = at()
    made = create(scheduler, name, arn(f"{name}-missing"), expression, Input="hello", **dead)
    (letter,) = received(sqs, url)
    found = {key: each["StringValue"] for key, each in letter["MessageAttributes"].items()}
    assert found.pop("ERROR_MESSAGE")
    assert len(found.pop("EXECUTION_ID")) == 16
    assert found == {
        "ERROR_CODE": "AWS.SimpleQueueService.NonExistentQueue", "IS_PAYLOAD_TRUNCATED": "false", "RETRY_ATTEMPTS": "0",
        "SCHEDULED_TIME": f"{expression[3:-1]}Z", "SCHEDULE_ARN": made, "TARGET_ARN": arn(f"{name}-missing"),
    }  # fmt: skip
    assert json.loads(letter["Body"]) == {
        "MessageBody": "hello", "QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}-missing",
    }  # fmt: skip
    # A service that is not there now may be there later.
    policy = {"MaximumRetryAttempts": 1}
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:m"
    create(
        scheduler,
        f"{name}-machine",
        machine,
        Input="<aws.scheduler.attempt-number>",
        RetryPolicy=policy,
        **dead,
    )
    (letter,) = received(sqs, url)
    found = {key: each["StringValue"] for key, each in letter["MessageAttributes"].items()}
    assert (found["EXHAUSTED_RETRY_CONDITION"], found["RETRY_ATTEMPTS"]) == ("MaximumRetryAttempts", "1")
    assert json.loads(letter["Body"])["input"] == "2"
    assert json.loads(letter["Body"])["stateMachineArn"] == machine


@pytest.mark.promise(135)
def test_what_nothing_takes_is_in_the_log(server: Served, scheduler: Any, name: str) -> None:
    made = create(scheduler, name, arn(f"{name}-missing"))
    logged(server, "/aws/scheduler/failed-invocations", made)


# Restarts.


def kill(served: Served) -> None:
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    assert served.process.stdout is not None
    served.process.stdout.close()


@pytest.mark.slow
@pytest.mark.promise(133)
def test_each_schedule_is_due_once_whatever_kills_the_server(tmp_path: Path, name: str) -> None:
    """Some come due before it is killed, some about then, some while no server runs; again with the next server."""
    url, total = "", 0
    for _ in range(3):
        served = Served(tmp_path / "state")
        scheduler, sqs = served.client("scheduler"), served.client("sqs")
        if not url:
            url = sqs.create_queue(QueueName=name)["QueueUrl"]
        for n in range(30):
            create(scheduler, f"{name}-{total}", arn(name), at(n % 3), Input=str(total))
            total += 1
        kill(served)
    served = Served(tmp_path / "state")
    sqs = served.client("sqs")
    path, seen = urlsplit(url).path, []

    def all_there() -> bool:
        found = sqs.receive_message(QueueUrl=served.url + path, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for each in found.get("Messages", []):
            seen.append(int(each["Body"]))
            sqs.delete_message(QueueUrl=served.url + path, ReceiptHandle=each["ReceiptHandle"])
        return set(seen) == set(range(total))

    until(all_there, 60, "every message")
    assert served.stop() == 0
    # A delivery that a kill cut short is made again, with the same row: at least once, and no schedule is due twice.
    assert len(seen) <= total + 3 * 16


@pytest.mark.promise(135)
def test_what_is_too_old_when_there_is_a_server_again_is_a_dead_letter(tmp_path: Path, name: str) -> None:
    """Two schedules that came due ten minutes ago, in the state of a server that did not run then."""
    served = Served(tmp_path / "state")
    url = served.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    scheduler = served.client("scheduler")
    target, dead = arn(name), {"DeadLetterConfig": {"Arn": arn(name)}}
    for which, policy in (
        ("old", {"MaximumEventAgeInSeconds": 60}),
        ("late", {"MaximumEventAgeInSeconds": 3600}),
    ):
        create(scheduler, f"{name}-{which}", target, at(3600), Input=which, RetryPolicy=policy, **dead)
    assert served.stop() == 0
    earlier = time.time() - 600
    store = Store(tmp_path / "state", KINDS)
    with contextlib.closing(store):
        (state,) = States(store).all()
        with state.change() as change:
            for id, record in state.owned("scheduler-schedules", "default").items():
                expression = time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(earlier))
                moved = {**record, "ScheduleExpression": expression, "_since": earlier - 3600}
                change.put("scheduler-schedules", "default", id, moved)
    served = Served(tmp_path / "state")
    messages = received(served.client("sqs"), served.url + urlsplit(url).path, 2)
    late, old = sorted(messages, key=lambda each: len(each.get("MessageAttributes", {})))
    assert late["Body"] == "late"
    found = {key: each["StringValue"] for key, each in old["MessageAttributes"].items()}
    assert found["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    assert (found["ERROR_CODE"], found["RETRY_ATTEMPTS"]) == ("EventAgeExceeded", "0")
    assert json.loads(old["Body"])["MessageBody"] == "old"
    assert served.stop() == 0
