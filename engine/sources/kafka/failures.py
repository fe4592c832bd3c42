"""Records of a topic that were given up: described as AWS does, and written to another topic of the same cluster."""

from __future__ import annotations

import base64
import time
from typing import Any

from ... import wire
from ..failures import report
from ..settings import Settings
from ..streams.flow import GivenUp
from .cluster import Access
from .records import Frame, batch_info, record_info

INFO = "KafkaBatchInfo"
_SCHEME = "kafka://"


class Failed:
    """Of one session. topic: of a mapping whose destination is one."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._settings, self._access = settings, access
        self.topic = ""
        if settings.destination.startswith(_SCHEME):
            self.topic = settings.destination.removeprefix(_SCHEME)
        self._producer: Any = None

    def described(self, name: str, given: GivenUp) -> tuple[bytes, dict[str, Any]]:
        """The event of those of that partition, and their KafkaBatchInfo."""
        event = self._frame(name).event(given.piece.records)
        return event, batch_info(self._settings, self._access.servers, name, given.piece.records, len(event))

    def _frame(self, name: str) -> Frame:
        return Frame(self._settings, self._access.servers, int(name.rpartition("-")[2]))

    async def produce(self, name: str, given: GivenUp) -> bool:
        """A message for each record, with its key. False: they are not all there."""
        from aiokafka import AIOKafkaProducer
        from aiokafka.errors import KafkaError

        frame, servers = self._frame(name), self._access.servers
        try:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=list(servers), acks="all", max_request_size=1 << 24, request_timeout_ms=10_000,
                    **self._access.options,
                )  # fmt: skip
                await producer.start()
                self._producer = producer
            sent = []
            for record in given.piece.records:
                event = frame.event([record])
                info = record_info(self._settings, servers, record, len(event))
                body = wire.encode(report(self._settings, INFO, info, given, time.time()))
                value = body[:-1] + b',"payload":' + event + b"}"
                sent.append(
                    await self._producer.send(self.topic, value, base64.b64decode(record.group) or None)
                )
            for each in sent:
                await each
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
