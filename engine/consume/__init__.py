"""What functions of an embedded engine consume: queues and streams, as event source mappings of a server do.

    from engine.consume import redis

    engine.consume(function, redis("redis://127.0.0.1:6379/0", "orders"), batch_size=50)

Light to import: what a source needs is loaded when it is consumed.
"""

from __future__ import annotations

from .origins import Source, dynamodb, kafka, kinesis, nats, rabbitmq, redis, sqs
from .wanted import Wanted

__all__ = ["Source", "Wanted", "dynamodb", "kafka", "kinesis", "nats", "rabbitmq", "redis", "sqs"]
