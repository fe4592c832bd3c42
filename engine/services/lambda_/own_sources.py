"""Event sources that AWS has not, for those who host themselves: the member `Source` of an event source mapping.

    {"Type": "redis", "Url": "redis://127.0.0.1:6379/0", "Stream": "orders"}
    {"Type": "nats", "Url": "nats://127.0.0.1:4222", "Stream": "ORDERS"}

What they are called instead of an ARN has the form of one, so that clients of AWS's can show and select it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from botocore.model import ServiceModel

from ...aws.model import description
from ...aws.names import Place
from ...durable.state import Record
from .responses import invalid

# By kind: the schemes of its URLs, and the members beside Type, Url and Stream.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "redis": (("redis", "rediss", "unix"), ("Group", "Consumer", "ClaimAfterSeconds")),
    "nats": (("nats", "tls", "ws", "wss"), ("Consumer", "Subject", "CredentialsFile", "AckWaitSeconds")),
}
_PORTS = {"redis": 6379, "nats": 4222}
_FORMS = {"redis": "redis://HOST:PORT/DATABASE", "nats": "nats://HOST:PORT"}
_NUMBERS = ("ClaimAfterSeconds", "AckWaitSeconds")
_MEMBERS = ("Type", "Url", "Stream", *dict.fromkeys(each for _, more in KINDS.values() for each in more))
_SHAPES = ("CreateEventSourceMappingRequest", "EventSourceMappingConfiguration")
_SHAPE = "StokerSource"


def model() -> ServiceModel:
    """Lambda's, in which mappings have that member."""
    found = dict(description("lambda"))
    shapes = dict(found["shapes"])
    text, number = "StokerSourceText", "StokerSourceNumber"
    members = {name: {"shape": number if name in _NUMBERS else text} for name in _MEMBERS}
    shapes |= {
        text: {"type": "string", "max": 4096},
        number: {"type": "double", "min": 0.1},
        _SHAPE: {"type": "structure", "required": ["Type", "Url", "Stream"], "members": members},
    }
    for name in _SHAPES:
        shapes[name] = {
            **shapes[name],
            "members": {**shapes[name]["members"], "Source": {"shape": _SHAPE}},
        }
    found["shapes"] = shapes
    return ServiceModel(found, "lambda")


def kind_of(source: Mapping[str, Any]) -> str:
    """Raises Fault for a source that is none."""
    kind = str(source.get("Type"))
    if kind not in KINDS:
        raise invalid(f"Unrecognized source type {kind}: {', '.join(KINDS)}.")
    more = KINDS[kind][1]
    for name in source:
        if name not in ("Type", "Url", "Stream", *more):
            raise invalid(f"A source of the type {kind} has no {name}: {', '.join(more)}.")
    if not source.get("Stream"):
        raise invalid("A source has a Stream.")
    try:
        address(kind, str(source.get("Url", "")))
    except ValueError as error:
        raise invalid(str(error)) from None
    return kind


def members(source: Mapping[str, Any], place: Place) -> Record:
    """What a mapping of it has: with its secrets, which are not shown, and without."""
    kind = str(source["Type"])
    parts = urlsplit(source["Url"])
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit(parts._replace(netloc=f"***@{host}" if "@" in parts.netloc else host, query=""))
    return {
        "EventSourceArn": arn(kind, source["Url"], source["Stream"], place),
        "Source": {**source, "Url": shown},
        "_source": dict(source),
    }


def arn(kind: str, url: str, stream: str, place: Place) -> str:
    """Raises ValueError."""
    return f"arn:aws-stoker:{kind}:{place.region}:{place.account}:{address(kind, url)}/{stream}"


def address(kind: str, url: str) -> str:
    """What of a URL says where it is, and is not secret: HOST:PORT, of Redis with the database. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in KINDS[kind][0] or not (parts.hostname or parts.scheme == "unix"):
        raise ValueError(f"the URL of a source of the type {kind} is {_FORMS[kind]}")
    if parts.scheme == "unix":
        return parts.path
    place = f"{parts.hostname}:{parts.port or _PORTS[kind]}"
    return f"{place}/{parts.path.strip('/') or 0}" if kind == "redis" else place
