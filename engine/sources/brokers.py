"""Where the clusters and brokers are that a mapping's EventSourceArn names.

STOKER_BROKERS says so for those that are not AWS's, as "ARN=ADDRESS" with spaces between them; an ADDRESS is a list of
bootstrap servers (Kafka: host:port,host:port) or a URL (RabbitMQ: amqp://host:port). An ARN may end in `*`.
"""

from __future__ import annotations

import os

VARIABLE = "STOKER_BROKERS"


def named(arn: str) -> str:
    """The address that the environment has for this one, or ""."""
    for each in os.environ.get(VARIABLE, "").split():
        key, _, address = each.partition("=")
        if key == arn or (key.endswith("*") and arn.startswith(key[:-1])):
            return address
    return ""
