"""The sources that there are, each by what its users know it by. Pure; a new one is a function here and an entry in
sources/consumers.py."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from ..errors import InvalidConfiguration

_ACCOUNT = "000000000000"  # where nothing says which
_SASL = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SERVER = re.compile(r"(?:[^\s,/:\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # Kafka's own rule
Path = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Source:
    """arn: of what AWS has; options: of what it has not, as a mapping's member `Source` has them, and of brokers,
    passwords among them; endpoint: of the service, if it is not where the environment says."""

    kind: str
    arn: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
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


def kafka(
    servers: str | Sequence[str], topic: str, *, group: str | None = None,
    sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None, username: str | None = None,
    password: str | None = None, tls: bool | None = None, ca_file: Path | None = None,
    cert_file: Path | None = None, key_file: Path | None = None, key_password: str | None = None,
) -> Source:  # fmt: skip
    """A topic of Kafka, by a consumer group. servers: HOST:PORT, several with commas between them, or a list. group: by
    default it is named after the function and the topic. tls: by default where there are certificates, or a password
    goes to another machine. ca_file: whom to trust, instead of whom the machine trusts; cert_file, key_file: who comes.
    Of files, PEM, what is in them when it is consumed counts. Raises InvalidConfiguration."""
    listed = servers.split(",") if isinstance(servers, str) else list(servers)
    for each in listed:
        if not isinstance(each, str) or not _SERVER.fullmatch(each.strip()):
            raise InvalidConfiguration(f"{each!r} is no server of Kafka: HOST:PORT")
    if not listed:
        raise InvalidConfiguration("Kafka's servers: HOST:PORT, at least one")
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise InvalidConfiguration(f"{topic!r} is no topic's name: up to 249 letters, digits, dots, - and _")
    _check_texts(group=group, username=username, password=password, key_password=key_password)
    if sasl is not None and sasl not in _SASL:
        raise InvalidConfiguration(f"sasl={sasl!r}: {', '.join(_SASL)}, or None")
    if sasl is None and (username, password) != (None, None):
        raise InvalidConfiguration(f"username and password are for sasl: {', '.join(_SASL)}")
    if sasl is not None and (username is None or password is None):
        raise InvalidConfiguration(f"sasl={sasl!r} needs username and password")
    if (cert_file is None) != (key_file is None):
        raise InvalidConfiguration("cert_file and key_file go together")
    if key_password is not None and key_file is None:
        raise InvalidConfiguration("key_password is for key_file")
    if tls is False and not (ca_file is None and cert_file is None):
        raise InvalidConfiguration("ca_file and cert_file are for TLS, which tls=False forbids")
    return Source(
        "kafka", "", _options(
            Servers=[each.strip() for each in listed], Topic=topic, Group=group, Sasl=sasl, Username=username,
            Password=password, Tls=tls, CaFile=_path(ca_file), CertFile=_path(cert_file), KeyFile=_path(key_file),
            KeyPassword=key_password,
        ),
    )  # fmt: skip


def rabbitmq(url: str, queue: str, *, ca_file: Path | None = None) -> Source:
    """A queue of RabbitMQ. url: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps; without a user it is guest's, without a
    virtual host that of the name "/", and what is special in them is percent-encoded. ca_file: whom to trust, PEM,
    instead of whom the machine trusts. Raises InvalidConfiguration."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError, TypeError):  # a port that is none
        right = False
    if not right or bool(parts.username) != (parts.password is not None):
        raise InvalidConfiguration(
            "the URL of a RabbitMQ is amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://…"
        )
    if not isinstance(queue, str) or not 0 < len(queue.encode()) < 256:
        raise InvalidConfiguration(f"{queue!r} is no queue's name: up to 255 bytes")
    if ca_file is not None and parts.scheme != "amqps":
        raise InvalidConfiguration("ca_file is for TLS: amqps://…")
    return Source("rabbitmq", "", _options(Url=url, Queue=queue, CaFile=_path(ca_file)))


def _check_texts(**texts: Any) -> None:
    for name, value in texts.items():
        if value is not None and not (isinstance(value, str) and value):
            raise InvalidConfiguration(f"{name} is a text that is not empty")  # which may be a secret


def _path(file: Path | None) -> str | None:
    return None if file is None else os.fspath(file)


def _given(kind: str, url: str, stream: str, **more: Any) -> dict[str, Any]:
    return {"Type": kind, "Url": url, "Stream": stream, **_options(**more)}


def _options(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
