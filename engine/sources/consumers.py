"""The consumers of a source, whatever they feed: a mapping's function, or a pipe."""

from __future__ import annotations

from ..aws.clients import Clients, named_endpoint
from ..services.sqs.service import Sqs
from .function import Fed
from .settings import Settings
from .source import Consumer
from .sqs.consumer import SqsConsumer
from .sqs.local import LocalReader
from .sqs.reader import Reader
from .sqs.remote import RemoteReader
from .status import Status
from .streams.api import Stream
from .streams.dynamodb import DynamoDb
from .streams.fan_out import FanOut
from .streams.kinesis import Kinesis


def queue_consumer(clients: Clients, sqs: Sqs, settings: Settings, fed: Fed, status: Status) -> Consumer:
    """Of a queue: this server's, unless the environment names another endpoint."""
    reader: Reader = RemoteReader(clients, settings)
    if not named_endpoint("sqs"):
        reader = LocalReader(sqs, settings.source, settings.window)
    return SqsConsumer(settings, reader, fed, status)


def stream_of(clients: Clients, settings: Settings, flat: bool = False) -> Stream:
    """flat: records have Kinesis's members at their top, as pipes do."""
    if settings.kind == "kinesis":
        kind = FanOut if "/consumer/" in settings.source else Kinesis
        return kind(clients, settings, flat)
    return DynamoDb(clients, settings)
