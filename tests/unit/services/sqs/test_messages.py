"""Standard queues: hidden, delayed, deleted, too old, too often received; and what a start finds of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqs_opened import CALL, Opened, run

from engine import limits
from engine.services.sqs import messages

GONE = "InvalidParameterValueException"


def test_a_received_message_is_hidden_for_its_time_and_comes_again(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(VisibilityTimeout=10)
        await sqs.send(url, "a")
        (first,) = await sqs.take(url)
        assert await sqs.take(url) == [] and await sqs.counts(url) == (0, 0, 1)
        await sqs.advance(9.9)
        assert await sqs.take(url) == []
        await sqs.advance(0.2)
        (second,) = await sqs.take(url)
        assert second["MessageId"] == first["MessageId"]
        assert second["ReceiptHandle"] != first["ReceiptHandle"]
        assert [each["Attributes"]["ApproximateReceiveCount"] for each in (first, second)] == ["1", "2"]
        times = {each["Attributes"]["ApproximateFirstReceiveTimestamp"] for each in (first, second)}
        assert len(times) == 1 and times != {"0"}

    run(tmp_path, body)


def test_visibility_is_changed_by_any_handle_while_the_message_is_hidden(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(VisibilityTimeout=10)
        await sqs.send(url, "a")
        (old,) = await sqs.take(url)
        change = {"QueueUrl": url, "ReceiptHandle": old["ReceiptHandle"]}
        await sqs("ChangeMessageVisibility", **change, VisibilityTimeout=100)
        await sqs.advance(50)
        assert await sqs.take(url) == []
        await sqs("ChangeMessageVisibility", **change, VisibilityTimeout=0)
        assert await sqs.bodies(url) == ["a"]
        await sqs("ChangeMessageVisibility", **change, VisibilityTimeout=0)
        (new,) = await sqs.take(url)
        await sqs.advance(11)
        await sqs("ChangeMessageVisibility", **change, VisibilityTimeout=60)  # not in flight: nothing happens
        (new,) = await sqs.take(url)
        await sqs.delete(url, new)
        code, text = await sqs.refused("ChangeMessageVisibility", **change, VisibilityTimeout=5)
        assert code == GONE and "is not available for visibility timeout change" in (text or "")

    run(tmp_path, body)


def test_all_extensions_together_are_bounded(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(VisibilityTimeout=43_000)
        await sqs.send(url, "a")
        (message,) = await sqs.take(url)
        await sqs.advance(42_000)
        change = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
        await sqs("ChangeMessageVisibility", **change, VisibilityTimeout=1000)
        code, text = await sqs.refused("ChangeMessageVisibility", **change, VisibilityTimeout=1300)
        assert (code, text) == (
            GONE,
            "Value 1300 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is "
            "beyond the limit [43200 seconds]",
        )

    run(tmp_path, body)


def test_received_with_no_visibility_it_can_be_received_at_once(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create()
        await sqs.send(url, "a")
        counts = [
            (await sqs.take(url, VisibilityTimeout=0))[0]["Attributes"]["ApproximateReceiveCount"]
            for _ in range(3)
        ]
        assert counts == ["1", "2", "3"]

    run(tmp_path, body)


@pytest.mark.promise(102)
def test_deleted_is_deleted_and_acknowledged_is_there_at_the_next_start(tmp_path: Path) -> None:
    handles: list[str] = []

    async def before(sqs: Opened) -> None:
        url = await sqs.create(VisibilityTimeout=100)
        for number in range(30):
            await sqs.send(url, str(number))
        for message in await sqs.take(url):
            await sqs.delete(url, message)
        handles.extend(message["ReceiptHandle"] for message in await sqs.take(url))
        await sqs.written()

    async def after(sqs: Opened) -> None:
        url = await sqs.create(VisibilityTimeout=100)
        assert await sqs.bodies(url, 10) == [str(n) for n in range(20, 30)]
        assert await sqs.bodies(url) == []  # ten are hidden still
        for handle in handles[:4]:
            await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
        change = {"QueueUrl": url, "ReceiptHandle": handles[4]}
        await sqs("ChangeMessageVisibility", **change, VisibilityTimeout=0)
        assert await sqs.bodies(url) == ["14"]
        await sqs.advance(101)
        assert sorted(await sqs.bodies(url) + await sqs.bodies(url)) == sorted(str(n) for n in range(14, 30))

    run(tmp_path, before, after)


def test_a_delay_is_the_queues_or_the_messages_own(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(DelaySeconds=5)
        await sqs.send(url, "queue's")
        await sqs.send(url, "own", DelaySeconds=0)
        await sqs.send(url, "longer", DelaySeconds=20)
        assert await sqs.bodies(url) == ["own"] and await sqs.counts(url) == (0, 2, 1)
        await sqs.advance(6)
        assert await sqs.bodies(url) == ["queue's"]
        await sqs.advance(15)
        assert await sqs.bodies(url) == ["longer"]

    run(tmp_path, body)


def test_what_is_too_old_is_gone_whether_asked_for_or_not(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(MessageRetentionPeriod=60)
        for body in ("a", "b"):
            await sqs.send(url, body)
        await sqs.advance(61)
        await sqs.send(url, "c")
        assert await sqs.bodies(url) == ["c"]
        await sqs.send(url, "d")
        await sqs.advance(61)
        assert await sqs.counts(url) == (2, 0, 0)
        await sqs.sqs.receiving.sweep()
        assert await sqs.counts(url) == (0, 0, 0)

    run(tmp_path, body)


def test_a_long_poll_wakes_when_something_comes(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(VisibilityTimeout=10)
        polls = [asyncio.ensure_future(sqs.take(url, 1, WaitTimeSeconds=20)) for _ in range(3)]
        await asyncio.sleep(0)
        await sqs.send(url, "a")
        await sqs("SendMessageBatch", QueueUrl=url, Entries=[{"Id": i, "MessageBody": i} for i in ("b", "c")])
        found = [(await poll)[0]["Body"] for poll in polls]
        assert sorted(found) == ["a", "b", "c"]
        again = asyncio.ensure_future(sqs.take(url, WaitTimeSeconds=20))
        await asyncio.sleep(0)
        await sqs.advance(11)  # they are visible again
        assert await again

    run(tmp_path, body)


def test_a_poller_that_left_takes_nothing(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create()
        gone = asyncio.Event()
        call = replace(CALL, left=gone.wait)
        first = asyncio.ensure_future(sqs("ReceiveMessage", call, QueueUrl=url, WaitTimeSeconds=20))
        second = asyncio.ensure_future(sqs.take(url, WaitTimeSeconds=20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.set()
        assert await first == {}
        await sqs.send(url, "a")
        assert [message["Body"] for message in await second] == ["a"]

    run(tmp_path, body)


def test_pollers_go_when_the_server_ends_or_the_queue_is_deleted(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        for end in (sqs.sqs.drain, None):
            url = await sqs.create("one" if end else "two")
            poll = asyncio.ensure_future(sqs.take(url, WaitTimeSeconds=20))
            await asyncio.sleep(0)
            if end is None:
                await sqs("DeleteQueue", QueueUrl=url)
            else:
                end()
            assert await poll == []

    run(tmp_path, body)


def test_too_many_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SQS_IN_FLIGHT", 12)

    async def body(sqs: Opened) -> None:
        url, fifo = await sqs.create(), await sqs.create("q.fifo")
        for number in range(15):
            await sqs.send(url, str(number))
            await sqs.send(fifo, "x", MessageGroupId=str(number), MessageDeduplicationId="d" + str(number))
        for queue in (url, fifo):
            assert [len(await sqs.take(queue)) for _ in range(2)] == [10, 2]
        assert (await sqs.refused("ReceiveMessage", QueueUrl=url))[0] == "OverLimit"
        assert await sqs.take(fifo) == []

    run(tmp_path, body)


def test_a_handle_is_of_its_queue_and_cannot_be_made_up(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url, other = await sqs.create(), await sqs.create("other")
        await sqs.send(url, "a")
        (message,) = await sqs.take(url, VisibilityTimeout=0)
        handle = message["ReceiptHandle"]
        forged = ("B" if handle[0] == "A" else "A") + handle[1:]
        for wrong in (forged, "garbage", "", "ÿ", handle[:-4]):
            found = await sqs.refused("DeleteMessage", QueueUrl=url, ReceiptHandle=wrong)
            assert found == (
                "ReceiptHandleIsInvalid", f'The input receipt handle "{wrong}" is not a valid receipt handle.',
            )  # fmt: skip
        assert (await sqs.refused("DeleteMessage", QueueUrl=other, ReceiptHandle=handle))[
            0
        ] == "ReceiptHandleIsInvalid"
        assert await sqs.bodies(url) == ["a"]
        await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
        await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)  # twice is no fault
        await sqs.advance(60)
        assert await sqs.bodies(url) == []

    run(tmp_path, body)


def test_purge_takes_all_and_may_come_once_a_minute(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        for name in ("q", "q.fifo"):
            url = await sqs.create(name)
            for number in range(4):
                more = (
                    {"MessageGroupId": str(number), "MessageDeduplicationId": str(number)}
                    if "." in name
                    else {}
                )
                await sqs.send(url, str(number), **more)
            await sqs.take(url, 2)
            await sqs("PurgeQueue", QueueUrl=url)
            await sqs.advance(100)
            assert await sqs.counts(url) == (0, 0, 0) and await sqs.take(url) == []
            assert await sqs.refused("PurgeQueue", QueueUrl=url) == (
                "PurgeQueueInProgress", f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
            )  # fmt: skip

    run(tmp_path, body)


def test_the_md5_of_attributes_is_awss() -> None:
    """As AWS's own clients compute it: boto3 checks it of every message that it sends and receives."""
    attributes = {"timestamp": {"StringValue": "1493147359900", "DataType": "Number"}}
    assert messages.attributes_md5(attributes) == "235c5c510d26fb653d073faed50ae77c"
    binary = {"a": {"BinaryValue": b"\x02\x03\x04", "DataType": "Binary"}}
    assert messages.attributes_md5({**attributes, **binary}) != messages.attributes_md5(attributes)


def test_meta_is_what_was_put_in() -> None:
    meta = messages.Meta(1, 2, 3, 4, bytes(range(16)), "arn:ü")
    assert messages.Meta.decode(meta.encode()) == meta
