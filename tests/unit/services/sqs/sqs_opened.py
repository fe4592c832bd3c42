"""SQS in the running loop, without a server: on a folder, and on a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support import ManualClock

from engine.aws.faults import Fault
from engine.aws.model import Model
from engine.aws.names import Place
from engine.durable.queue import Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store
from engine.services.sqs.call import Call
from engine.services.sqs.deduplication import TakenRows
from engine.services.sqs.service import Sqs

PLACE = Place("us-east-1", "000000000000")
MODEL = Model.load("sqs")
CALL = Call(PLACE, "http://here")
ALL = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}


class Opened:
    """One life of it."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.store = Store(folder, [Records(), QueueRows(), TakenRows()])
        states = States(self.store)
        self.rows = Queues(self.store, clock=clock.now)
        self.sqs = Sqs(self.store, states, self.rows)
        self.sqs.start()

    async def __call__(self, operation: str, call: Call = CALL, **members: Any) -> dict[str, Any]:
        """An operation's result. Raises Fault."""
        return await self.sqs.perform(MODEL.operation(operation), members, call) or {}

    async def refused(self, operation: str, call: Call = CALL, **members: Any) -> tuple[str, str | None]:
        """The code and the message of an operation's fault."""
        with pytest.raises(Fault) as raised:
            await self(operation, call, **members)
        return raised.value.code, raised.value.message

    async def create(self, name: str = "q", **attributes: Any) -> str:
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        made = await self(
            "CreateQueue", QueueName=name, Attributes={k: str(v) for k, v in attributes.items()}
        )
        return str(made["QueueUrl"])

    async def send(self, url: str, body: str, **more: Any) -> dict[str, Any]:
        return await self("SendMessage", QueueUrl=url, MessageBody=body, **more)

    async def take(self, url: str, n: int = 10, **more: Any) -> list[dict[str, Any]]:
        found = await self("ReceiveMessage", QueueUrl=url, **{**ALL, "MaxNumberOfMessages": n, **more})
        return list(found.get("Messages", []))

    async def bodies(self, url: str, n: int = 10, **more: Any) -> list[str]:
        return [message["Body"] for message in await self.take(url, n, **more)]

    async def delete(self, url: str, message: dict[str, Any]) -> None:
        await self("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    async def counts(self, url: str) -> tuple[int, int, int]:
        """Visible, delayed, in flight."""
        found = (await self("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        names = ("", "Delayed", "NotVisible")
        visible, delayed, hidden = (int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)
        return visible, delayed, hidden

    async def advance(self, seconds: float) -> None:
        """Time goes by, and what it changes has been done."""
        await self.written()
        self.clock.advance(seconds)
        self.rows.tick()
        await self.written()

    async def written(self) -> None:
        await self.rows.settle([])

    def close(self) -> None:
        self.sqs.close()
        self.rows.close()
        self.store.close()


def run(folder: Path, *bodies: Callable[[Opened], Awaitable[None]]) -> None:
    """Each body in a life of its own, on the same folder."""
    clock = ManualClock(5_000_000_000)

    async def inside(body: Callable[[Opened], Awaitable[None]]) -> None:
        opened = Opened(folder, clock)
        try:
            await body(opened)
        finally:
            opened.close()

    for body in bodies:
        asyncio.run(inside(body))
