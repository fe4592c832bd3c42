"""Notification configurations: what AWS refuses, and what events match."""

from __future__ import annotations

from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.aws.names import Place
from engine.services.s3.configurations import checked, configurations, parsed, rendered

PLACE = Place("us-east-1", "000000000000")
QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"
CREATED = "s3:ObjectCreated:*"
OVERLAP = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
AMBIGUOUS = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
    "overlapping for the same event type."
)


def queue(*events: str, arn: str = QUEUE, id: str = "", **rules: str) -> dict[str, Any]:
    made: dict[str, Any] = {"QueueArn": arn, "Events": list(events or (CREATED,))}
    if rules:
        found = [{"Name": name, "Value": value} for name, value in rules.items()]
        made["Filter"] = {"Key": {"FilterRules": found}}
    return {**made, "Id": id} if id else made


def refusal(*each: dict[str, Any]) -> Fault:
    with pytest.raises(Fault) as caught:
        checked({"QueueConfigurations": list(each)}, PLACE)
    return caught.value


@pytest.mark.promise(139)
@pytest.mark.parametrize(
    ("each", "message", "name", "value"),
    [
        ([queue(arn="arn:aws:sns:us-east-1:000000000000:t")], "The ARN could not be parsed", "QueueArn", None),
        ([queue(arn="q")], "The ARN could not be parsed", "QueueArn", "q"),
        ([queue(arn=QUEUE.replace("us-east-1", "eu-west-1"))], None, "QueueArn", None),
        ([queue(arn=f"{QUEUE}.fifo")], "Unable to validate the following destination configurations", None, None),
        ([queue("s3:ObjectCreated")], "A specified event is not supported for notifications", "Event", None),
        ([queue(infix="a")], "filter rule name must be either prefix or suffix", "infix", "a"),
        ([queue(Prefix="")], "filter value cannot be empty", "Prefix", ""),
        ([queue(prefix="ü" * 513)], None, "Prefix", None),
        ([queue(Prefix="a", prefix="b")], "Cannot specify more than one prefix rule in a filter.", None, None),
        (
            [queue("s3:ObjectTagging:*", id="a"), queue(id="a")],
            "Same ID used for multiple configurations. IDs must be unique", "Id", "a",
        ),
        ([queue(id="a" * 256)], None, "Id", None),
        ([queue(prefix=f"{n:03}/") for n in range(101)], None, "NotificationConfiguration", "101"),
        ([queue(), queue()], OVERLAP, "Event", f"{CREATED}, {CREATED}"),
        ([queue("s3:ObjectCreated:Put"), queue()], OVERLAP, "Event", f"s3:ObjectCreated:Put, {CREATED}"),
        ([queue(prefix="a"), queue()], AMBIGUOUS, None, None),
        ([queue(prefix="a"), queue(prefix="ab")], AMBIGUOUS, None, None),
        ([queue(suffix="jpg"), queue(suffix=".jpg")], AMBIGUOUS, None, None),
        ([queue(prefix="a"), queue(suffix=".jpg")], AMBIGUOUS, None, None),
    ],
)  # fmt: skip
def test_what_is_refused(
    each: list[dict[str, Any]], message: str | None, name: str | None, value: str | None
) -> None:
    fault = refusal(*each)
    assert fault.code == "InvalidArgument"
    assert message in (None, fault.message)
    assert name in (None, fault.members["ArgumentName"])
    assert value in (None, fault.members["ArgumentValue"])


@pytest.mark.promise(139)
@pytest.mark.parametrize(
    "each",
    [
        [queue("s3:ObjectCreated:Put"), queue("s3:ObjectCreated:Post")],
        [queue(CREATED), queue("s3:ObjectRemoved:*")],
        [queue(prefix="a/"), queue(prefix="b/")],
        [queue(prefix="a/", suffix=".jpg"), queue(prefix="a/", suffix=".png")],
    ],
)
def test_what_does_not_overlap(each: list[dict[str, Any]]) -> None:
    assert len(checked({"QueueConfigurations": each}, PLACE)["QueueConfigurations"]) == 2


@pytest.mark.promise(139)
def test_what_it_takes() -> None:
    kept = checked({"QueueConfigurations": [queue("s3:ObjectCreated:*", prefix="a/", suffix=".jpg")]}, PLACE)
    (one,) = configurations(kept)
    assert one.takes("ObjectCreated:Put", "a/ü.jpg") and one.takes("ObjectCreated:Copy", "a/.jpg")
    assert one.takes("ObjectCreated:Put", None)  # a key that is not known yet
    assert not one.takes("ObjectCreated:Put", "b/a/.jpg")
    assert not one.takes("ObjectCreated:Put", "a/.jpg ")
    assert not one.takes("ObjectRemoved:Delete", "a/.jpg")
    (exact,) = configurations(checked({"QueueConfigurations": [queue("s3:ObjectCreated:Put")]}, PLACE))
    assert exact.takes("ObjectCreated:Put", "k") and not exact.takes("ObjectCreated:Post", "k")


def test_it_is_written_as_it_was_read() -> None:
    topic = {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Events": ["s3:ObjectAcl:Put"], "Id": "t"}
    members = {
        "QueueConfigurations": [queue(Prefix="a&<b", id="q")], "TopicConfigurations": [topic],
        "EventBridgeConfiguration": {},
    }  # fmt: skip
    assert parsed(rendered(members)) == members
    assert parsed(rendered({})) == {}
    assert parsed(b"") == {}
    with pytest.raises(Fault, match="MalformedXML"):
        parsed(b"<NotificationConfiguration>")
