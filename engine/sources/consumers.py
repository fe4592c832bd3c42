"""The kinds of sources: each has one entry, which makes its consumer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..aws.clients import Clients, named_endpoint
from ..durable.state import Record
from .batches import event
from .failures import shard_info
from .function import Function
from .settings import Settings
from .source import Consumer
from .status import Status
from .streams.records import GivenUp

if TYPE_CHECKING:
    from ..services.sqs.service import Sqs
    from .acked.broker import Broker
    from .streams.api import Stream


@dataclass(frozen=True, slots=True)
class Services:
    """What sources are read with. sqs: this server's own queues, if there is a server."""

    clients: Clients
    sqs: Sqs | None = None


class Progress(Protocol):
    """How far one mapping is, by shard, durably; and what becomes of the batches that it gives up."""

    def saved(self) -> Mapping[str, Record]: ...

    async def write(self, records: Mapping[str, Record | None]) -> None:
        """None: forget that one. Raises StoreError."""

    async def report(
        self, name: str, batch_info: str, info: Mapping[str, Any], given: GivenUp, event: bytes
    ) -> None:
        """Done once nothing can lose it. name: of the shard or partition; batch_info: the member that describes the
        batch, which is `info`; event: with its records."""


Make = Callable[[Settings, Services, Function, Status, Progress], Consumer]
_Report = Callable[[str, GivenUp], Awaitable[None]]


def _sqs(
    settings: Settings, services: Services, function: Function, status: Status, progress: Progress
) -> Consumer:
    from .sqs.consumer import SqsConsumer
    from .sqs.reader import Reader
    from .sqs.remote import RemoteReader

    reader: Reader = RemoteReader(services.clients, settings)
    if services.sqs is not None and not named_endpoint("sqs"):
        from .sqs.local import LocalReader

        reader = LocalReader(services.sqs, settings)
    return SqsConsumer(settings, reader, function, status)


def _reporting(settings: Settings, progress: Progress, batch_info: str) -> _Report:
    async def report(shard: str, given: GivenUp) -> None:
        info = shard_info(settings, shard, given)
        await progress.report(shard, batch_info, info, given, event(given.piece.records))

    return report


def _streams(stream: Callable[[Clients, Settings], Stream]) -> Make:
    def made(
        settings: Settings, services: Services, function: Function, status: Status, progress: Progress
    ) -> Consumer:
        from .streams.consumer import StreamConsumer

        read = stream(services.clients, settings)
        report = _reporting(settings, progress, read.batch_info)
        return StreamConsumer(settings, read, function, status, progress.saved, progress.write, report)

    return made


def _kinesis(clients: Clients, settings: Settings) -> Stream:
    """Pushed, where the source is a consumer of the stream."""
    if "/consumer/" in settings.source:
        from .streams.fan_out import FanOut

        return FanOut(clients, settings)
    from .streams.kinesis import Kinesis

    return Kinesis(clients, settings)


def _dynamodb(clients: Clients, settings: Settings) -> Stream:
    from .streams.dynamodb import DynamoDb

    return DynamoDb(clients, settings)


def _acked(
    settings: Settings, services: Services, function: Function, status: Status, progress: Progress
) -> Consumer:
    from .acked.consumer import AckedConsumer

    read = broker(settings)
    plain = _reporting(settings, progress, read.batch_info)

    async def report(_shard: str, given: GivenUp) -> None:
        await plain(settings.options["Stream"], given)

    return AckedConsumer(settings, read, function, status, progress.saved, progress.write, report)


def broker(settings: Settings) -> Broker:
    """Of a source that AWS has not. Raises CallFailed when its client library is not installed."""
    if settings.kind == "redis":
        from .acked.redis_streams import RedisStream

        return RedisStream(settings)
    from .acked.jetstream import JetStream

    return JetStream(settings)


def _kafka(
    settings: Settings, services: Services, function: Function, status: Status, progress: Progress
) -> Consumer:
    from .kafka.consumer import KafkaConsumer
    from .kafka.failures import INFO

    async def report(name: str, given: GivenUp, info: Mapping[str, Any], event: bytes) -> None:
        await progress.report(name, INFO, info, given, event)

    return KafkaConsumer(settings, services.clients, function, status, progress.saved, progress.write, report)


def _rabbitmq(
    settings: Settings, services: Services, function: Function, status: Status, _progress: Progress
) -> Consumer:
    from .rabbitmq.consumer import RabbitConsumer

    return RabbitConsumer(settings, services.clients, function, status)


CONSUMERS: dict[str, Make] = {
    "sqs": _sqs,
    "kinesis": _streams(_kinesis),
    "dynamodb": _streams(_dynamodb),
    "kafka": _kafka,
    "mq": _rabbitmq,
    "redis": _acked,
    "nats": _acked,
}
