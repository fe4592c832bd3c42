"""The sources that there are, each by what its users know it by. Pure; a new one is a function here and an entry in
sources/consumers.py."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..errors import InvalidConfiguration

_ACCOUNT = "000000000000"  # where nothing says which


@dataclass(frozen=True, slots=True)
class Source:
    """arn: of what AWS has; options: of what it has not, as a mapping's member `Source` has them; endpoint: of the
    service, if it is not where the environment says."""

    kind: str
    arn: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str | None = None


def sqs(url: str) -> Source:
    """A queue of Amazon SQS, or of a server that speaks as it does, by its URL. Raises InvalidConfiguration."""
    parts = urlsplit(url)
    account, _, name = parts.path.strip("/").rpartition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not account or not name:
        raise InvalidConfiguration(f"{url!r} is no queue's URL: https://HOST/ACCOUNT/NAME")
    found = re.fullmatch(r"(?:sqs\.)?([a-z0-9-]+)(?:\.queue)?\.amazonaws\.com(?:\.cn)?", parts.hostname)
    region = found[1] if found else _region()
    return Source("sqs", f"arn:aws:sqs:{region}:{account}:{name}", {}, f"{parts.scheme}://{parts.netloc}")


def kinesis(stream: str, *, endpoint: str | None = None) -> Source:
    """A stream of Amazon Kinesis, by its ARN, or by its name in the region of AWS_REGION."""
    arn = stream if stream.startswith("arn:") else f"arn:aws:kinesis:{_region()}:{_ACCOUNT}:stream/{stream}"
    return Source("kinesis", arn, {}, endpoint)


def dynamodb(stream: str, *, endpoint: str | None = None) -> Source:
    """The stream of a DynamoDB table, by its ARN (LatestStreamArn). Raises InvalidConfiguration."""
    if not re.fullmatch(r"arn:[^:]+:dynamodb:[^:]+:[^:]+:table/.+/stream/.+", stream):
        raise InvalidConfiguration(f"{stream!r} is no ARN of a table's stream: its LatestStreamArn is")
    return Source("dynamodb", stream, {}, endpoint)


def redis(
    url: str, stream: str, *, group: str | None = None, consumer: str | None = None, claim_after: float = 60.0
) -> Source:
    """A stream of Redis or Valkey, by its consumer group. url: redis://[USER:PASSWORD@]HOST:PORT/DATABASE. consumer:
    of the group; one that keeps its name finds what it left. claim_after: seconds after which what another consumer
    left is taken over."""
    return Source(
        "redis",
        "",
        _given("redis", url, stream, Group=group, Consumer=consumer, ClaimAfterSeconds=claim_after),
    )


def nats(
    url: str, stream: str, *, consumer: str | None = None, subject: str | None = None,
    credentials_file: str | None = None, ack_wait: float = 30.0,
) -> Source:  # fmt: skip
    """A stream of NATS JetStream. url: nats://[USER:PASSWORD@]HOST:PORT. consumer: a durable one, made if it is not
    there; subject: only messages of these; ack_wait: seconds after which what a reader left goes to another."""
    return Source(
        "nats", "", _given(
            "nats", url, stream, Consumer=consumer, Subject=subject, CredentialsFile=credentials_file,
            AckWaitSeconds=ack_wait,
        ),
    )  # fmt: skip


def _given(kind: str, url: str, stream: str, **more: Any) -> dict[str, Any]:
    options = {name: value for name, value in more.items() if value is not None}
    return {"Type": kind, "Url": url, "Stream": stream, **options}


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
