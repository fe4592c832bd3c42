"""Dead letters: messages that were received too often, which queues may have whose, and how they come back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqs_opened import Opened, run

ARN = "arn:aws:sqs:us-east-1:000000000000:"


def policy(target: str = "dead", count: Any = 2) -> str:
    return json.dumps({"deadLetterTargetArn": ARN + target, "maxReceiveCount": count})


async def killed(sqs: Opened, url: str, receives: int = 3) -> None:
    """Received so often, and not deleted."""
    for _ in range(receives):
        await sqs.take(url)
        await sqs.advance(31)


def test_received_too_often_it_is_a_dead_letter_with_all_that_it_had(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        dead = await sqs.create("dead")
        url = await sqs.create(RedrivePolicy=policy())
        attribute = {"a": {"DataType": "String", "StringValue": "x"}}
        trace = {
            "AWSTraceHeader": {
                "DataType": "String",
                "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793",
            }
        }
        sent = await sqs.send(url, "m", MessageAttributes=attribute, MessageSystemAttributes=trace)
        old = await sqs.take(url)
        await sqs.advance(31)
        await killed(sqs, url, 2)
        assert await sqs.counts(url) == (0, 0, 0)
        await sqs.delete(url, old[0])  # an old handle does not reach it there
        (message,) = await sqs.take(dead)
        assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "m")
        assert message["MessageAttributes"] == attribute
        shown = message["Attributes"]
        assert shown["DeadLetterQueueSourceArn"] == ARN + "q"
        assert shown["ApproximateReceiveCount"] == "3"
        assert shown["SentTimestamp"] == old[0]["Attributes"]["SentTimestamp"]
        assert shown["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]

    run(tmp_path, body)


def test_a_fifo_dead_letter_keeps_its_group_and_frees_it(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        dead = await sqs.create("dead.fifo")
        url = await sqs.create(
            "q.fifo", RedrivePolicy=policy("dead.fifo", 1), ContentBasedDeduplication="true"
        )
        for text in ("1", "2"):
            await sqs.send(url, text, MessageGroupId="g")
        assert await sqs.bodies(url, 1) == ["1"]
        await sqs.advance(31)
        assert await sqs.bodies(url, 1) == ["2"]
        await sqs.written()
        (message,) = await sqs.take(dead)
        assert (message["Body"], message["Attributes"]["MessageGroupId"]) == ("1", "g")

    run(tmp_path, body)


def test_policies_that_are_refused(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        await sqs.create("dead")
        await sqs.create("dead.fifo")
        closed = {"redrivePermission": "byQueue", "sourceQueueArns": [ARN + "friend"]}
        await sqs.create("closed", RedriveAllowPolicy=json.dumps(closed))
        await sqs.create("friend", RedrivePolicy=policy("closed"))
        url = await sqs.create()
        for text, reason in {
            "nonsense": "Redrive policy is not a valid JSON map.",
            '{"maxReceiveCount": 1}': "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.",
            policy(count=None): "Redrive policy does not contain mandatory attribute: maxReceiveCount.",
            policy(
                count=0
            ): "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.",
            policy(
                count=1001
            ): "Invalid value for maxReceiveCount: 1001, valid values are from 1 to 1000 both inclusive.",
            policy("nobody"): "Dead letter target does not exist.",
            policy("dead.fifo"): "Dead-letter queue must be same type of queue as the source.",
            policy("closed"): f"Queue {ARN}q is not allowed to use {ARN}closed as a dead-letter queue.",
        }.items():
            found = await sqs.refused("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": text})
            expected = f"Value {text} for parameter RedrivePolicy is invalid. Reason: {reason}"
            assert found == ("InvalidParameterValueException", expected)
        for wrong in ({}, {"redrivePermission": "x"}, {"redrivePermission": "byQueue"},
                      {"redrivePermission": "denyAll", "sourceQueueArns": [ARN + "q"]}):  # fmt: skip
            given = {"RedriveAllowPolicy": json.dumps(wrong)}
            code, _ = await sqs.refused("SetQueueAttributes", QueueUrl=url, Attributes=given)
            assert code == "InvalidParameterValueException"
        sources = await sqs("ListDeadLetterSourceQueues", QueueUrl="/000000000000/closed")
        assert sources["queueUrls"] == ["http://here/000000000000/friend"]

    run(tmp_path, body)


async def ended(sqs: Opened) -> dict[str, Any]:
    """The newest task of the dead letters', once it is over."""
    while True:
        (task,) = (await sqs("ListMessageMoveTasks", SourceArn=ARN + "dead"))["Results"]
        if task["Status"] not in ("RUNNING", "CANCELLING"):
            return dict(task)
        await asyncio.sleep(0.005)


async def dead_letters(sqs: Opened, n: int) -> tuple[str, str]:
    """The URLs of a queue and of its dead-letter queue, which has so many from it."""
    dead = await sqs.create("dead")
    url = await sqs.create(RedrivePolicy=policy(count=1))
    for number in range(n):
        await sqs.send(url, str(number))
    for _ in range(2):
        while await sqs.take(url):
            pass
        await sqs.advance(31)
    assert await sqs.counts(dead) == (n, 0, 0)
    return url, dead


def test_a_move_task_brings_them_back_as_new_messages(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url, dead = await dead_letters(sqs, 25)
        started = await sqs("StartMessageMoveTask", SourceArn=ARN + "dead")
        task = await ended(sqs)
        assert task["Status"] == "COMPLETED" and "TaskHandle" not in task
        assert task["ApproximateNumberOfMessagesMoved"] == task["ApproximateNumberOfMessagesToMove"] == 25
        assert await sqs.counts(dead) == (0, 0, 0) and await sqs.counts(url) == (25, 0, 0)
        (message, *_) = await sqs.take(url)
        assert message["Attributes"]["ApproximateReceiveCount"] == "1"
        assert "DeadLetterQueueSourceArn" not in message["Attributes"]
        code, _ = await sqs.refused("CancelMessageMoveTask", TaskHandle=started["TaskHandle"])
        assert code == "InvalidParameterValueException"

    run(tmp_path, body)


@pytest.mark.slow
def test_a_move_task_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async def before(sqs: Opened) -> None:
        await dead_letters(sqs, 12)
        await sqs.create("elsewhere")
        await sqs(
            "StartMessageMoveTask", SourceArn=ARN + "dead", DestinationArn=ARN + "elsewhere",
            MaxNumberOfMessagesPerSecond=5,
        )  # fmt: skip
        (task,) = (await sqs("ListMessageMoveTasks", SourceArn=ARN + "dead"))["Results"]
        assert task["Status"] == "RUNNING" and task["MaxNumberOfMessagesPerSecond"] == 5
        code, text = await sqs.refused("StartMessageMoveTask", SourceArn=ARN + "dead")
        assert code == "InvalidParameterValueException" and (text or "").startswith(
            "There is already a task running."
        )

    async def after(sqs: Opened) -> None:
        assert (await ended(sqs))["Status"] == "COMPLETED"
        assert await sqs.counts("/000000000000/elsewhere") == (12, 0, 0)
        assert await sqs.counts("/000000000000/dead") == (0, 0, 0)

    run(tmp_path, before, after)


def test_a_move_task_is_cancelled(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url, dead = await dead_letters(sqs, 5)
        task = await sqs("StartMessageMoveTask", SourceArn=ARN + "dead", MaxNumberOfMessagesPerSecond=1)
        await sqs("CancelMessageMoveTask", TaskHandle=task["TaskHandle"])
        assert (await ended(sqs))["Status"] == "CANCELLED"
        assert (await sqs.counts(dead))[0] + (await sqs.counts(url))[0] == 5

    run(tmp_path, body)


def test_move_tasks_that_are_refused(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        await dead_letters(sqs, 1)
        await sqs.send("/000000000000/dead", "by hand")
        invalid, absent = "InvalidParameterValueException", "ResourceNotFoundException"
        gone = "The resource that you specified for the {} parameter doesn't exist."
        start = "StartMessageMoveTask"
        assert await sqs.refused(start, SourceArn=ARN + "q") == (
            invalid, "Source queue must be configured as a Dead Letter Queue.",
        )  # fmt: skip
        assert await sqs.refused(start, SourceArn=ARN + "nobody") == (absent, gone.format("SourceArn"))
        assert await sqs.refused(start, SourceArn=ARN + "dead", DestinationArn=ARN + "nobody") == (
            absent, gone.format("DestinationArn"),
        )  # fmt: skip
        assert (await sqs.refused(start, SourceArn=ARN + "dead", MaxNumberOfMessagesPerSecond=501))[
            0
        ] == invalid
        assert (await sqs.refused(start, SourceArn="dead"))[0] == invalid
        assert await sqs.refused("CancelMessageMoveTask", TaskHandle="x") == (
            invalid, "Value for parameter TaskHandle is invalid.",
        )  # fmt: skip
        await sqs(start, SourceArn=ARN + "dead")
        task = await ended(sqs)  # nobody knows where the second one came from
        assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
        assert await sqs.bodies("/000000000000/dead") == ["by hand"]

    run(tmp_path, body)
