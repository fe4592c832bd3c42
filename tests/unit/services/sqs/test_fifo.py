"""FIFO queues: each group in its order, however receives, deletes and time fall; nothing twice within five minutes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqs_opened import Opened, run

EXAMPLES = int(os.environ.get("STOKER_MODEL_EXAMPLES", "40"))
GROUPS = ("a", "b", "c")
STEPS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(GROUPS), st.integers(0, 12)),
    st.tuples(st.just("receive"), st.integers(1, 10)),
    st.tuples(st.just("delete"), st.integers(0, 30)),
    st.tuples(st.just("hide"), st.integers(0, 30), st.sampled_from((0, 5, 60))),
    st.tuples(st.just("wait"), st.sampled_from((1, 11, 70, 301))),
)


class Reference:
    """A FIFO queue as AWS describes it, without any of our code: lists of messages with the time they are hidden to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.groups: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
        self.taken: dict[str, tuple[float, str]] = {}

    def send(self, group: str, deduplication: str, id: str) -> str:
        """The id of the message that it is, which may be an earlier one's."""
        until, known = self.taken.get(deduplication, (0.0, ""))
        if until > self.now:
            return known
        self.taken[deduplication] = (self.now + 300, id)
        self.groups[group].append({"id": id, "hidden": 0.0, "receives": 0})
        return id

    def available(self, group: str) -> list[dict[str, Any]]:
        """All before the first that is hidden."""
        found = []
        for message in self.groups[group]:
            if message["hidden"] > self.now:
                break
            found.append(message)
        return found

    def find(self, id: str) -> tuple[str, dict[str, Any]] | None:
        for group, messages in self.groups.items():
            for message in messages:
                if message["id"] == id:
                    return group, message
        return None


@pytest.mark.promise(103)
@settings(
    max_examples=EXAMPLES, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(STEPS, max_size=40))
def test_groups_are_in_order_and_deduplicated(tmp_path_factory: Any, steps: list[Any]) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create("q.fifo", VisibilityTimeout=10)
        reference = Reference()
        held: list[dict[str, Any]] = []  # all handles that were given
        for step in steps:
            match step:
                case ("send", group, number):
                    more = {"MessageGroupId": group, "MessageDeduplicationId": str(number)}
                    sent = await sqs.send(url, f"{group}{number}", **more)
                    assert reference.send(group, str(number), sent["MessageId"]) == sent["MessageId"]
                case ("receive", n):
                    given_: dict[str, list[str]] = {}
                    for message in await sqs.take(url, n):
                        given_.setdefault(message["Attributes"]["MessageGroupId"], []).append(
                            message["MessageId"]
                        )
                        found = reference.find(message["MessageId"])
                        assert found is not None
                        message["receive"] = found[1]["receives"] = found[1]["receives"] + 1
                        assert message["Attributes"]["ApproximateReceiveCount"] == str(message["receive"])
                        held.append(message)
                    available = {
                        group: [each["id"] for each in reference.available(group)] for group in GROUPS
                    }
                    for group, ids in given_.items():
                        assert available[group][: len(ids)] == ids
                    assert sum(map(len, given_.values())) == min(n, sum(map(len, available.values())))
                    for ids in given_.values():
                        for id in ids:
                            reference.find(id)[1]["hidden"] = reference.now + 10  # type: ignore[index]
                case ("delete" | "hide", at, *seconds):
                    if not held:
                        continue
                    message = held[at % len(held)]
                    found = reference.find(message["MessageId"])
                    current = (
                        found is not None
                        and found[1]["hidden"] > reference.now
                        and found[1]["receives"] == message["receive"]
                    )
                    members = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
                    if step[0] == "delete":
                        if found is not None and not current:
                            _, text = await sqs.refused("DeleteMessage", **members)
                            assert "The receipt handle has expired." in (text or "")
                            continue
                        await sqs("DeleteMessage", **members)
                        if found is not None:
                            reference.groups[found[0]].remove(found[1])
                    elif current and found is not None:
                        await sqs("ChangeMessageVisibility", **members, VisibilityTimeout=seconds[0])
                        found[1]["hidden"] = reference.now + seconds[0]
                    else:
                        await sqs.refused("ChangeMessageVisibility", **members, VisibilityTimeout=seconds[0])
                case ("wait", seconds):
                    await sqs.advance(seconds)
                    reference.now += seconds

    run(tmp_path_factory.mktemp("fifo"), body)


async def sent(sqs: Opened, url: str, *messages: str) -> None:
    """Messages "group:text"."""
    for message in messages:
        group, _, _ = message.partition(":")
        await sqs.send(url, message, MessageGroupId=group, MessageDeduplicationId=message)


def test_what_is_in_flight_holds_back_what_comes_after_it(tmp_path: Path) -> None:
    """As recorded of AWS: of three that were received, the one whose time was extended, and those behind it."""

    async def body(sqs: Opened) -> None:
        for at, again in ((0, []), (1, ["g:1"]), (2, ["g:1", "g:2"])):
            url = await sqs.create(f"q{at}.fifo", VisibilityTimeout=10)
            await sent(sqs, url, "g:1", "g:2", "g:3")
            messages = await sqs.take(url)
            assert [message["Body"] for message in messages] == ["g:1", "g:2", "g:3"]
            handle = messages[at]["ReceiptHandle"]
            await sqs("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=40)
            await sqs.advance(20)
            assert await sqs.bodies(url) == again

    run(tmp_path, body)


def test_a_group_in_flight_holds_back_no_other(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create("q.fifo")
        await sent(sqs, url, "a:1", "a:2", "b:1", "a:3")
        (first,) = await sqs.take(url, 1)
        assert await sqs.bodies(url) == ["b:1"]
        await sqs.delete(url, first)
        assert await sqs.bodies(url) == ["a:2", "a:3"]

    run(tmp_path, body)


def test_a_poller_wakes_when_its_group_goes_on(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create("q.fifo", VisibilityTimeout=10)
        await sent(sqs, url, "a:1", "a:2")
        (first,) = await sqs.take(url, 1)
        poll = asyncio.ensure_future(sqs.take(url, 1, WaitTimeSeconds=20))
        await asyncio.sleep(0)
        await sqs.delete(url, first)
        assert [message["Body"] for message in await poll] == ["a:2"]

    run(tmp_path, body)


@pytest.mark.promise(103)
def test_deduplication_outlives_deletion_and_the_server(tmp_path: Path) -> None:
    ids: list[dict[str, Any]] = []

    async def before(sqs: Opened) -> None:
        url = await sqs.create("q.fifo", ContentBasedDeduplication="true")
        ids.append(await sqs.send(url, "once", MessageGroupId="g"))
        (message,) = await sqs.take(url)
        await sqs.delete(url, message)

    async def after(sqs: Opened) -> None:
        url = await sqs.create("q.fifo")
        again = await sqs.send(url, "once", MessageGroupId="other")
        assert (again["MessageId"], again["SequenceNumber"]) == (
            ids[0]["MessageId"],
            ids[0]["SequenceNumber"],
        )
        assert await sqs.take(url) == []
        await sqs.advance(301)
        fresh = await sqs.send(url, "once", MessageGroupId="g")
        assert fresh["MessageId"] != ids[0]["MessageId"]
        assert int(fresh["SequenceNumber"]) > int(ids[0]["SequenceNumber"])
        assert await sqs.bodies(url) == ["once"]

    run(tmp_path, before, after)


def test_the_same_message_twice_at_once_is_one(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create("q.fifo", ContentBasedDeduplication="true")
        sends = [sqs.send(url, "once", MessageGroupId="g") for _ in range(5)]
        assert len({each["MessageId"] for each in await asyncio.gather(*sends)}) == 1
        assert await sqs.bodies(url) == ["once"]

    run(tmp_path, body)


def test_deduplication_by_group(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create(
            "q.fifo", DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId"
        )
        for group in ("a", "b", "a"):
            await sqs.send(url, group, MessageGroupId=group, MessageDeduplicationId="same")
        assert await sqs.bodies(url) == ["a", "b"]

    run(tmp_path, body)


def test_order_outlives_the_server_and_a_shorter_delay(tmp_path: Path) -> None:
    async def before(sqs: Opened) -> None:
        url = await sqs.create("q.fifo", DelaySeconds=30, VisibilityTimeout=100)
        await sent(sqs, url, "a:1")
        await sqs("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "0"})
        await sent(sqs, url, "a:2", "b:1")
        assert await sqs.bodies(url) == ["b:1"]

    async def after(sqs: Opened) -> None:
        url = "/000000000000/q.fifo"
        await sent(sqs, url, "a:3")
        assert await sqs.bodies(url) == ["b:1"]  # it was in flight when the server ended
        await sqs.advance(31)
        assert await sqs.bodies(url) == ["a:1", "a:2", "a:3"]

    run(tmp_path, before, after)


def test_a_handle_of_the_last_run_deletes_until_another_has_the_message(tmp_path: Path) -> None:
    handles: list[str] = []

    async def before(sqs: Opened) -> None:
        url = await sqs.create("q.fifo")
        await sent(sqs, url, "a:1", "b:1")
        handles.extend(message["ReceiptHandle"] for message in await sqs.take(url))
        await sqs.written()

    async def after(sqs: Opened) -> None:
        url = "/000000000000/q.fifo"
        await sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=handles[0])
        (message,) = await sqs.take(url)
        assert message["Body"] == "b:1"
        _, text = await sqs.refused("DeleteMessage", QueueUrl=url, ReceiptHandle=handles[1])
        assert "The receipt handle has expired." in (text or "")
        await sqs.delete(url, message)

    run(tmp_path, before, after)


def test_a_receive_repeated_by_its_attempt_id_gives_the_same(tmp_path: Path) -> None:
    async def body(sqs: Opened) -> None:
        url = await sqs.create("q.fifo", VisibilityTimeout=10)
        await sent(sqs, url, "a:1", "b:1")
        first = await sqs.take(url, 1, ReceiveRequestAttemptId="x")
        await sqs.advance(8)
        assert await sqs.take(url, 1, ReceiveRequestAttemptId="x") == first
        await sqs.advance(8)  # the second one hides it anew
        assert await sqs.bodies(url) == ["b:1"]
        await sqs.delete(url, first[0])
        assert await sqs.take(url, 1, ReceiveRequestAttemptId="x") == []
        standard = await sqs.create()
        code, _ = await sqs.refused("ReceiveMessage", QueueUrl=standard, ReceiveRequestAttemptId="x")
        assert code == "InvalidParameterValueException"

    run(tmp_path, body)
