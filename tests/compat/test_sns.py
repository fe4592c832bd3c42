"""SNS by boto3: what comes to queues and functions, and what of it is kept when the server is killed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from delivered import ACCOUNT, NOTES, queue, received, refused, subscribed, topic
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("topics") / "state")
    yield served
    assert served.stop() == 0


def bodies(sqs: Any, url: str, count: int) -> list[str]:
    """What the next envelopes have, in order."""
    return sorted(json.loads(each["Body"])["Message"] for each in received(sqs, url, count))


# Delivery.


@pytest.mark.promise(127)
def test_a_queue_gets_the_envelope(sns: Any, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name)
    its = topic(sns, name)
    subscription = subscribed(sns, its, "sqs", arn)
    attributes = {
        "kind": {"DataType": "String", "StringValue": "ä"},
        "blob": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
        "n": {"DataType": "Number", "StringValue": "1.50"},
    }
    id = sns.publish(TopicArn=its, Message="Grüße <&>\n", Subject="Sub", MessageAttributes=attributes)[
        "MessageId"
    ]
    assert UUID.fullmatch(id)
    (message,) = received(sqs, url)
    body = json.loads(message["Body"])
    assert STAMP.fullmatch(body.pop("Timestamp"))
    assert body.pop("Signature")
    assert body.pop("SigningCertURL").startswith(f"https://sns.{REGION}.amazonaws.com/")
    assert subscription in body.pop("UnsubscribeURL").replace("%3A", ":")
    assert body == {
        "Type": "Notification", "MessageId": id, "TopicArn": its, "Subject": "Sub", "Message": "Grüße <&>\n",
        "SignatureVersion": "1",
        "MessageAttributes": {
            "kind": {"Type": "String", "Value": "ä"}, "blob": {"Type": "Binary", "Value": "AP8="},
            "n": {"Type": "Number", "Value": "1.50"},
        },
    }  # fmt: skip
    assert "MessageAttributes" not in message


@pytest.mark.promise(127)
def test_a_queue_gets_the_raw_message_with_its_attributes(sns: Any, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name)
    its = topic(sns, name)
    subscribed(sns, its, "sqs", arn, RawMessageDelivery="true")
    attributes = {
        "kind": {"DataType": "String", "StringValue": "a"},
        "blob": {"DataType": "Binary.png", "BinaryValue": b"\0\xff"},
        "list": {"DataType": "String.Array", "StringValue": '["x", 1]'},
    }
    sns.publish(TopicArn=its, Message="plain", MessageAttributes=attributes)
    (message,) = received(sqs, url)
    assert message["Body"] == "plain"
    assert message["MessageAttributes"] == attributes


@pytest.mark.promise(127)
def test_a_function_gets_a_record(server: Served, sns: Any, name: str, tmp_path: Path) -> None:
    note = server.log.parent / f"{name}.notes"
    (tmp_path / "app.py").write_text(NOTES)
    function = server.client().create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=20,
        Code={"ZipFile": pack(tmp_path / "app.py")}, Environment={"Variables": {"NOTE": str(note)}},
    )["FunctionArn"]  # fmt: skip
    its = topic(sns, name)
    subscription = subscribed(sns, its, "lambda", function)
    structure = {"default": "for all", "lambda": "for functions"}
    id = sns.publish(
        TopicArn=its, Message=json.dumps(structure), MessageStructure="json",
        MessageAttributes={"Test": {"DataType": "String", "StringValue": "TestString"}},
    )["MessageId"]  # fmt: skip
    until(lambda: note.exists() and note.read_text().endswith("\n"), 60, "an invocation")
    (record,) = json.loads(note.read_text())["Records"]
    inner = record.pop("Sns")
    assert record == {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription}
    assert inner.keys() == {
        "SignatureVersion", "Timestamp", "Signature", "SigningCertUrl", "MessageId", "Message", "MessageAttributes",
        "Type", "UnsubscribeUrl", "TopicArn", "Subject",
    }  # fmt: skip
    assert STAMP.fullmatch(inner["Timestamp"])
    shown = {
        name: inner[name]
        for name in ("Type", "MessageId", "TopicArn", "Subject", "Message", "MessageAttributes")
    }
    assert shown == {
        "Type": "Notification", "MessageId": id, "TopicArn": its, "Subject": None, "Message": "for functions",
        "MessageAttributes": {"Test": {"Type": "String", "Value": "TestString"}},
    }  # fmt: skip


@pytest.mark.promise(128)
def test_what_was_published_outlives_a_kill(tmp_path: Path, name: str) -> None:
    """Deliveries to a queue that could not be reached, the topic and its subscription."""
    first = Served(tmp_path / "state")
    url, arn = queue(first.client("sqs"), name)
    its = topic(first.client("sns"), name)
    subscribed(first.client("sns"), its, "sqs", arn)
    assert first.stop() == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
        dead = Served(tmp_path / "state")
    for n in range(20):
        dead.client("sns").publish(TopicArn=its, Message=f"{n:02}")
    dead.process.kill()
    with dead.process:
        dead.process.wait()
    alive = Served(tmp_path / "state")
    assert [each["TopicArn"] for each in alive.client("sns").list_topics()["Topics"]] == [its]
    at = alive.url + urlsplit(url).path
    assert bodies(alive.client("sqs"), at, 20) == [f"{n:02}" for n in range(20)]
    assert alive.stop() == 0


@pytest.mark.promise(128)
def test_events_and_function_destinations_come_to_topics(
    server: Served, sns: Any, sqs: Any, name: str, tmp_path: Path
) -> None:
    url, arn = queue(sqs, name)
    its = topic(sns, name)
    subscribed(sns, its, "sqs", arn)
    events = server.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    assert events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": its}])["FailedEntryCount"] == 0
    events.put_events(Entries=[{"Source": name, "DetailType": "d", "Detail": '{"n": 1}'}])
    (body,) = bodies(sqs, url, 1)
    assert json.loads(body)["detail"] == {"n": 1}
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event\n")
    api = server.client()
    api.create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(tmp_path / "app.py")},
    )  # fmt: skip
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": its}}
    )
    api.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 2}')
    (body,) = bodies(sqs, url, 1)
    assert json.loads(body)["responsePayload"] == {"n": 2}


# Filters.


@pytest.mark.promise(129)
def test_a_subscription_gets_what_its_filter_takes(sns: Any, sqs: Any, name: str) -> None:
    its = topic(sns, name)
    urls = {}
    policies: dict[str, tuple[str, Any]] = {
        "all": ("MessageAttributes", None),
        "attributes": ("MessageAttributes", {"kind": ["a", {"prefix": "b"}], "n": [{"numeric": [">", 1]}]}),
        "body": ("MessageBody", {"detail": {"n": [{"anything-but": [1]}]}}),
    }
    for which, (scope, policy) in policies.items():
        urls[which], arn = queue(sqs, f"{name}-{which}")
        more = {} if policy is None else {"FilterPolicy": json.dumps(policy), "FilterPolicyScope": scope}
        subscribed(sns, its, "sqs", arn, **more)

    def publish(text: str, kind: str, n: str) -> None:
        given = {"kind": ("String", kind), "n": ("Number", n)}
        attributes = {key: {"DataType": t, "StringValue": v} for key, (t, v) in given.items()}
        sns.publish(TopicArn=its, Message=text, MessageAttributes=attributes)

    one, two = '{"detail": {"n": 1}}', '{"detail": {"n": 2}}'
    publish(one, "a", "2")
    publish(two, "c", "2")
    publish("none", "bc", "1.5")
    publish("none", "a", "1")
    assert bodies(sqs, urls["all"], 4) == sorted([one, two, "none", "none"])
    assert bodies(sqs, urls["attributes"], 2) == sorted([one, "none"])
    assert bodies(sqs, urls["body"], 1) == [two]
    subscription = sns.list_subscriptions_by_topic(TopicArn=its)["Subscriptions"]
    arn = next(each["SubscriptionArn"] for each in subscription if each["Endpoint"].endswith("-body"))
    shown = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (json.loads(shown["FilterPolicy"]), shown["FilterPolicyScope"]) == (
        policies["body"][1],
        "MessageBody",
    )
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="{}")
    sns.publish(TopicArn=its, Message=one)
    assert bodies(sqs, urls["body"], 1) == [one]


# FIFO.


@pytest.mark.promise(130)
def test_a_fifo_topic_keeps_the_order_of_a_group_and_takes_a_message_once(
    sns: Any, sqs: Any, name: str
) -> None:
    url, arn = queue(sqs, f"{name}.fifo", FifoQueue="true")
    its = topic(sns, f"{name}.fifo", FifoTopic="True", ContentBasedDeduplication="True")
    made = subscribed(sns, its, "sqs", arn)
    dead = json.dumps({"deadLetterTargetArn": arn.removesuffix(".fifo")})
    more = {"SubscriptionArn": made, "AttributeName": "RedrivePolicy", "AttributeValue": dead}
    text = "RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."
    assert refused(sns.set_subscription_attributes, **more) == (
        "InvalidParameter",
        f"Invalid parameter: {text}",
    )
    results = [
        sns.publish(TopicArn=its, Message=f"{n:02}", MessageGroupId=f"g{n % 2}")
        for n in range(20)
        for _ in (1, 2)
    ]
    assert results[0]["MessageId"] == results[1]["MessageId"]
    assert results[0]["SequenceNumber"] == results[1]["SequenceNumber"]
    numbers = [each["SequenceNumber"] for each in results[::2]]
    assert numbers == sorted(set(numbers))
    assert {len(number) for number in numbers} == {20}
    found = received(sqs, url, 20)
    for group in ("g0", "g1"):
        mine = [
            json.loads(each["Body"])["Message"]
            for each in found
            if each["Attributes"]["MessageGroupId"] == group
        ]
        assert mine == [f"{n:02}" for n in range(20) if f"g{n % 2}" == group]
    envelope = json.loads(found[0]["Body"])
    assert envelope.keys() == {
        "Type", "MessageId", "SequenceNumber", "TopicArn", "Message", "Timestamp", "UnsubscribeURL",
    }  # fmt: skip
    sns.set_topic_attributes(TopicArn=its, AttributeName="FifoThroughputScope", AttributeValue="MessageGroup")
    for group in ("g0", "g1", "g1"):
        sns.publish(TopicArn=its, Message="m", MessageGroupId=group, MessageDeduplicationId="once")
    assert len({json.loads(each["Body"])["MessageId"] for each in received(sqs, url, 1)}) == 1
    assert refused(sns.publish, TopicArn=its, Message="m") == (
        "InvalidParameter", "Invalid parameter: The MessageGroupId parameter is required for FIFO topics",
    )  # fmt: skip
    plain = topic(sns, f"{name}-2.fifo", FifoTopic="true")
    assert refused(sns.publish, TopicArn=plain, Message="m", MessageGroupId="g") == (
        "InvalidParameter", "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or "
        "MessageDeduplicationId provided explicitly",
    )  # fmt: skip


@pytest.mark.promise(130)
def test_what_a_fifo_topic_took_is_known_after_a_kill(tmp_path: Path, name: str) -> None:
    """With no subscription, too, where there is no delivery whose commit it could be in."""
    dead = Served(tmp_path / "state")
    sns = dead.client("sns")
    its = topic(sns, f"{name}.fifo", FifoTopic="true", ContentBasedDeduplication="true")
    before = sns.publish(TopicArn=its, Message="m", MessageGroupId="g")
    dead.process.kill()
    with dead.process:
        dead.process.wait()
    alive = Served(tmp_path / "state")
    sns = alive.client("sns")
    after = sns.publish(TopicArn=its, Message="m", MessageGroupId="g")
    assert (after["MessageId"], after["SequenceNumber"]) == (before["MessageId"], before["SequenceNumber"])
    other = sns.publish(TopicArn=its, Message="n", MessageGroupId="g")
    assert other["SequenceNumber"] > before["SequenceNumber"]
    assert alive.stop() == 0


# Batches.


@pytest.mark.promise(127)
def test_an_entry_that_is_wrong_refuses_its_batch(sns: Any, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name)
    its = topic(sns, name)
    subscribed(sns, its, "sqs", arn)
    bad = {"X": {"DataType": "Wrong", "StringValue": "x"}}
    good = [{"Id": "1", "Message": "a"}, {"Id": "4", "Message": "d"}]
    fault = "Invalid parameter: Message Structure - No default entry in JSON message body"
    for wrong, its_fault in [
        ({"Message": "b", "MessageAttributes": bad}, "ParameterValueInvalid"),
        ({"Message": "c", "Subject": "\n"}, "InvalidParameter"), ({"Message": "{}", "MessageStructure": "json"}, fault),
    ]:  # fmt: skip
        entries = [good[0], {"Id": "2", **wrong}, good[1]]
        assert its_fault in refused(sns.publish_batch, TopicArn=its, PublishBatchRequestEntries=entries)
    result = sns.publish_batch(TopicArn=its, PublishBatchRequestEntries=good)
    assert [each["Id"] for each in result["Successful"]] == ["1", "4"]
    assert result.get("Failed", []) == []
    assert bodies(sqs, url, 2) == ["a", "d"]

    def batch(*ids: str, text: str = "m") -> tuple[str, str]:
        entries = [{"Id": id, "Message": text} for id in ids]
        return refused(sns.publish_batch, TopicArn=its, PublishBatchRequestEntries=entries)

    assert batch()[0] == "EmptyBatchRequest"
    assert batch(*map(str, range(11)))[0] == "TooManyEntriesInBatchRequest"
    assert batch("a", "a")[0] == "BatchEntryIdsNotDistinct"
    assert batch("a.b")[0] == "InvalidBatchEntryId"
    assert batch("a", "b", text="x" * 140_000)[0] == "BatchRequestTooLong"
    assert refused(sns.publish, TopicArn=its, Message="x" * 262_145) == (
        "InvalidParameter", "Invalid parameter: Message too long",
    )  # fmt: skip
    sns.publish(TopicArn=its, Message="x" * 262_144)


@pytest.mark.promise(131)
def test_what_nothing_takes_is_in_the_log(server: Served, sns: Any, name: str) -> None:
    its = topic(sns, name)
    subscribed(sns, its, "sqs", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-nowhere")
    sns.publish(TopicArn=its, Message="lost")
    logs, group = server.client("logs"), f"sns/{REGION}/{ACCOUNT}/{name}/Failure"

    def warned() -> list[str]:
        try:
            found = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [each["message"] for each in found]

    (line,) = until(warned, 60, "the log")
    assert json.loads(line)["message"] == "lost"
