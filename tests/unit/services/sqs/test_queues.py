"""Queues themselves: names, attributes, tags, permissions, pages; what is refused, in AWS's words."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from sqs_opened import CALL, MODEL, PLACE, Opened, run

from engine.aws.names import Place

INVALID, NAME, VALUE = "InvalidParameterValueException", "InvalidAttributeName", "InvalidAttributeValue"
OTHER = replace(CALL, place=Place(PLACE.region, "111122223333"))


def test_every_operation_of_the_model_is_there(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        assert sqs.sqs.implemented == set(MODEL.names)

    run(tmp_path, body)


def test_names(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        text = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        for name in ("", "a b", "a.b", "x" * 81, "q.fifo", "ä", "a/b"):
            assert await sqs.refused("CreateQueue", QueueName=name) == (INVALID, text)
        for name in ("q", "x" * 76 + ".fifo", ".fifo"):
            code, _ = await sqs.refused("CreateQueue", QueueName=name, Attributes={"FifoQueue": "true"})
            assert code == INVALID
        assert await sqs.create("x" * 80) and await sqs.create("x" * 75 + ".fifo")

    run(tmp_path, body)


def test_attributes_that_are_refused(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url, fifo = await sqs.create(), await sqs.create("q.fifo")
        only = "You can specify the {} only when FifoQueue is set to true."
        for queue, name, value, code, text in (
            (url, "Nonsense", "1", NAME, "Unknown Attribute Nonsense."),
            (url, "QueueArn", "1", NAME, "Unknown Attribute QueueArn."),
            (url, "FifoQueue", "false", NAME, "Unknown Attribute FifoQueue."),
            (url, "ContentBasedDeduplication", "true", NAME, "Unknown Attribute ContentBasedDeduplication."),
            (url, "DeduplicationScope", "queue", NAME, only.format("DeduplicationScope")),
            (url, "FifoThroughputLimit", "perQueue", NAME, only.format("FifoThroughputLimit")),
            (fifo, "FifoQueue", "false", VALUE,
             "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."),
            *((url, name, value, VALUE, f"Invalid value for the parameter {name}.") for name, value in (
                ("VisibilityTimeout", "43201"), ("VisibilityTimeout", "-1"), ("VisibilityTimeout", "x"),
                ("DelaySeconds", "901"), ("MaximumMessageSize", "1023"), ("MaximumMessageSize", "1048577"),
                ("MessageRetentionPeriod", "59"), ("MessageRetentionPeriod", "1209601"),
                ("ReceiveMessageWaitTimeSeconds", "21"), ("Policy", "x"), ("SqsManagedSseEnabled", "perhaps"))),
            (fifo, "DeduplicationScope", "x", VALUE, "Invalid value for the parameter DeduplicationScope."),
        ):  # fmt: skip
            found = await sqs.refused("SetQueueAttributes", QueueUrl=queue, Attributes={name: value})
            assert found == (code, text)
        found = await sqs.refused("GetQueueAttributes", QueueUrl=url, AttributeNames=["x"])
        assert found == (NAME, "Unknown Attribute x.")
        code, _ = await sqs.refused(
            "SetQueueAttributes", QueueUrl=fifo, Attributes={"FifoThroughputLimit": "perMessageGroupId"}
        )
        assert code == VALUE

    run(tmp_path, body)


def test_attributes_as_aws_shows_them(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(KmsMasterKeyId="key", KmsDataKeyReusePeriodSeconds=6000)
        get = {"QueueUrl": url, "AttributeNames": ["KmsMasterKeyId", "SqsManagedSseEnabled"]}
        assert (await sqs("GetQueueAttributes", **get))["Attributes"] == {
            "KmsMasterKeyId": "key", "SqsManagedSseEnabled": "false",
        }  # fmt: skip
        code, text = await sqs.refused(
            "SetQueueAttributes", QueueUrl=url, Attributes={"SqsManagedSseEnabled": "true"}
        )
        assert code == NAME and (text or "").startswith(
            "You can use one type of server-side encryption (SSE)"
        )
        plain = {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"}
        await sqs("SetQueueAttributes", QueueUrl=url, Attributes=plain)
        assert (await sqs("GetQueueAttributes", **get))["Attributes"] == {"SqsManagedSseEnabled": "false"}
        fifo = await sqs.create("q.fifo")
        every = (await sqs("GetQueueAttributes", QueueUrl=fifo, AttributeNames=["All"]))["Attributes"]
        made = {every.pop("CreatedTimestamp"), every.pop("LastModifiedTimestamp")}
        assert len(made) == 1
        assert every == {
            "ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesDelayed": "0",
            "ApproximateNumberOfMessagesNotVisible": "0", "ContentBasedDeduplication": "false",
            "DeduplicationScope": "queue", "DelaySeconds": "0", "FifoQueue": "true", "FifoThroughputLimit": "perQueue",
            "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600",
            "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q.fifo", "ReceiveMessageWaitTimeSeconds": "0",
            "SqsManagedSseEnabled": "true", "VisibilityTimeout": "30",
        }  # fmt: skip

    run(tmp_path, body)


def test_created_again_deleted_and_created(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(DelaySeconds=1)
        assert await sqs.create(DelaySeconds=1) == await sqs.create() == url
        assert await sqs.refused("CreateQueue", QueueName="q", Attributes={"DelaySeconds": "2"}) == (
            "QueueNameExists",
            "A queue already exists with the same name and a different value for attribute DelaySeconds",
        )
        await sqs.send(url, "old", DelaySeconds=0)
        await sqs("DeleteQueue", QueueUrl=url)
        absent = ("QueueDoesNotExist", "The specified queue does not exist.")
        for operation in ("DeleteQueue", "ReceiveMessage", "ListQueueTags"):
            assert await sqs.refused(operation, QueueUrl=url) == absent
        assert await sqs.refused("GetQueueUrl", QueueName="q") == absent

    async def after(sqs: Opened) -> None:
        assert await sqs.refused("CreateQueue", QueueName="q") == (
            "QueueDeletedRecently",
            "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        )
        await sqs.advance(61)
        assert await sqs.bodies(await sqs.create()) == []

    run(tmp_path, body, after)


def test_two_at_once_make_one_queue(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        made = await asyncio.gather(*(sqs.create() for _ in range(5)))
        assert len(set(made)) == 1
        ends = await asyncio.gather(
            *(sqs("DeleteQueue", QueueUrl=made[0]) for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(end, Exception) for end in ends) == 2

    run(tmp_path, body)


def test_pages_of_queues(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        urls = [await sqs.create(f"q-{number}") for number in range(5)]
        await sqs.create("another")
        found, token = [], None
        while True:
            page = await sqs(
                "ListQueues", QueueNamePrefix="q-", MaxResults=2, **({"NextToken": token} if token else {})
            )
            found += page["QueueUrls"]
            if not (token := page["NextToken"]):
                break
        assert found == urls
        assert (await sqs("ListQueues", QueueNamePrefix="x"))["QueueUrls"] is None
        assert (await sqs.refused("ListQueues", MaxResults=0))[0] == INVALID
        assert (await sqs.refused("ListQueues", NextToken="ä"))[0] == INVALID
        assert (await sqs("ListQueues", OTHER))["QueueUrls"] is None

    run(tmp_path, body)


def test_tags(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create()
        await sqs("TagQueue", QueueUrl=url, Tags={"a": "1", "b": "2"})
        await sqs("UntagQueue", QueueUrl=url, TagKeys=["a", "x"])
        assert (await sqs("ListQueueTags", QueueUrl=url))["Tags"] == {"b": "2"}
        many = {f"k{number}": "" for number in range(50)}
        found = await sqs.refused("TagQueue", QueueUrl=url, Tags=many)
        assert found == (INVALID, "Too many tags added for queue q.")
        for key in ("", "x" * 129, "aws:x"):
            assert (await sqs.refused("TagQueue", QueueUrl=url, Tags={key: ""}))[0] == INVALID

    async def after(sqs: Opened) -> None:
        assert (await sqs("ListQueueTags", QueueUrl="/000000000000/q"))["Tags"] == {"b": "2"}

    run(tmp_path, body, after)


def test_permissions_let_another_account_in(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create()
        assert (await sqs.refused("SendMessage", OTHER, QueueUrl=url, MessageBody="x"))[
            0
        ] == "AccessDeniedException"
        grant = {"QueueUrl": url, "Label": "l", "AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"]}
        await sqs("AddPermission", **grant)
        await sqs("SendMessage", OTHER, QueueUrl=url, MessageBody="x")
        assert (await sqs.refused("ReceiveMessage", OTHER, QueueUrl=url))[0] == "AccessDeniedException"
        found = await sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["Policy"])
        arn = "arn:aws:sqs:us-east-1:000000000000:q"
        assert json.loads(found["Attributes"]["Policy"]) == {
            "Version": "2008-10-17", "Id": f"{arn}/SQSDefaultPolicy",
            "Statement": [{"Sid": "l", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
                           "Action": "SQS:SendMessage", "Resource": arn}],
        }  # fmt: skip
        for more, code, text in (
            ({}, INVALID, "Value l for parameter Label is invalid. Reason: Already exists."),
            ({"Label": "m", "Actions": ["RemovePermission"]}, INVALID,
             "Value SQS:RemovePermission for parameter ActionName is invalid. "
             "Reason: Only the queue owner is allowed to invoke this action."),
            ({"Label": "m", "Actions": ["*"] * 8}, "OverLimit", "8 Actions were found, maximum allowed is 7."),
            ({"Label": "m", "AWSAccountIds": []}, INVALID,
             "Value [] for parameter PrincipalId is invalid. Reason: Unable to verify."),
        ):  # fmt: skip
            assert await sqs.refused("AddPermission", **{**grant, **more}) == (code, text)
        await sqs("RemovePermission", QueueUrl=url, Label="l")
        assert (await sqs.refused("SendMessage", OTHER, QueueUrl=url, MessageBody="x"))[
            0
        ] == "AccessDeniedException"
        assert await sqs.refused("RemovePermission", QueueUrl=url, Label="l") == (
            INVALID, "Value l for parameter Label is invalid. Reason: can't find label.",
        )  # fmt: skip

    run(tmp_path, body)


def test_a_condition_lets_nobody_in_and_a_denial_keeps_out(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
        deny = {
            "Effect": "Deny",
            "Principal": {"AWS": "111122223333"},
            "Action": "sqs:SendMessage",
            "Resource": "*",
        }
        conditional = {**allow, "Condition": {"ArnEquals": {"aws:SourceArn": "x"}}}
        for name, statements, open_ in (
            ("a", [allow], True),
            ("b", [allow, deny], False),
            ("c", [conditional], False),
        ):
            url = await sqs.create(name, Policy=json.dumps({"Statement": statements}))
            if open_:
                await sqs("SendMessage", OTHER, QueueUrl=url, MessageBody="x")
            else:
                code, _ = await sqs.refused("SendMessage", OTHER, QueueUrl=url, MessageBody="x")
                assert code == "AccessDeniedException"

    run(tmp_path, body)
