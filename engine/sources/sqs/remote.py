"""A queue of another endpoint, read by long polls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...aws.clients import CallFailed, Clients
from ..function import Function
from ..settings import Settings
from .reader import Received
from .records import Message

_WAIT = 20  # seconds: AWS's longest poll


class RemoteReader:
    many = True
    most = 10
    patience = 30.0

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._place = settings.owner
        self._name = settings.source.rsplit(":", 1)[1]
        self._url = ""

    async def _call(self, operation: str, **members: Any) -> dict[str, Any]:
        if not self._url:
            named = {"QueueName": self._name, "QueueOwnerAWSAccountId": self._place.account}
            self._url = str((await self._clients.call("sqs", "GetQueueUrl", named, self._place))["QueueUrl"])
        try:
            return await self._clients.call("sqs", operation, {"QueueUrl": self._url, **members}, self._place)
        except CallFailed:
            self._url = ""  # it may be elsewhere from now on
            raise

    async def receive(self, n: int, seconds: float, function: Function) -> list[Received]:
        while (full := function.full()) is not None:
            await function.changed(full)
        found = await self._call(
            "ReceiveMessage", MaxNumberOfMessages=min(n, self.most), WaitTimeSeconds=min(_WAIT, math.ceil(seconds)),
            AttributeNames=["All"], MessageAttributeNames=["All"],
        )  # fmt: skip
        return [(each["ReceiptHandle"], each) for each in found.get("Messages") or ()]

    async def delete(self, messages: Iterable[Message]) -> int:
        left, deleted = list(messages), 0
        for at in range(0, len(left), self.most):
            entries = [
                {"Id": str(number), "ReceiptHandle": each.handle}
                for number, each in enumerate(left[at : at + self.most])
            ]
            result: Mapping[str, Any] = await self._call("DeleteMessageBatch", Entries=entries)
            deleted += len(result.get("Successful") or ())
        return deleted

    async def keep(self, messages: Iterable[Message]) -> bool:
        """AWS's pollers never prolong a visibility timeout."""
        return False
