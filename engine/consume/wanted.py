"""How a function is to consume: the keywords of `consume`, checked."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from .. import wire
from ..calls.dispatch import encode_event
from ..errors import InvalidConfiguration
from .origins import Source

if TYPE_CHECKING:
    from ..sources.settings import Settings


class Wanted(TypedDict, total=False):
    """All of them may be left out.

    name: of how far it is, by default made of the function's and the source's. batch_size: records of one event;
    window: seconds to gather them. filters: EventBridge's event patterns, one of which a record has to match.
    report_failures: the response says which records failed ({"batchItemFailures": [{"itemIdentifier": …}]}). start:
    "TRIM_HORIZON", "LATEST" or epoch seconds, the first time. Of streams: parallel: batches at once, in order by key
    (Kinesis, DynamoDB) or subject (NATS); retries and max_age (seconds) of a batch that fails, -1 for no limit; bisect:
    split it first; tumbling: seconds of a window with state (Kinesis, DynamoDB). concurrency: of SQS: batches at
    once. dead_letters: the engine's queue for what is given up, or of Kafka kafka://TOPIC. A queue of RabbitMQ has
    rules of its own for what fails: its batches come again until those end it."""

    name: str
    batch_size: int
    window: float
    filters: Sequence[Mapping[str, Any]]
    report_failures: bool
    start: str | float
    parallel: int
    retries: int
    max_age: float
    bisect: bool
    tumbling: float
    concurrency: int | None
    dead_letters: str | None


_LEAST = {
    "batch_size": 1,
    "window": 0,
    "parallel": 1,
    "retries": -1,
    "max_age": -1,
    "tumbling": 0,
    "concurrency": 1,
}
_STREAMS = ("kinesis", "dynamodb", "kafka", "redis", "nats")
# Which kinds take a keyword that not all take.
_TAKEN = {
    **dict.fromkeys(("start", "retries", "max_age", "bisect", "dead_letters"), _STREAMS),
    "parallel": ("kinesis", "dynamodb", "redis", "nats"),
    "tumbling": ("kinesis", "dynamodb"),
    "concurrency": ("sqs",),
    "report_failures": ("sqs", *_STREAMS),
}
_TOPIC = "kafka://"
_AHEAD = 65_535  # messages that RabbitMQ delivers ahead


def settings(source: Source, function: str, wanted: Wanted, instance: str) -> Settings:
    """As a mapping's. instance: which program this is, of several that consume the same. Raises
    InvalidConfiguration."""
    from ..aws.faults import Fault
    from ..aws.names import Place
    from ..routing.grammar import InvalidPattern
    from ..services.lambda_ import own_sources
    from ..sources.filters import Filters
    from ..sources.settings import Settings
    from . import brokers

    _check(source, wanted)
    kind = "mq" if source.kind == "rabbitmq" else source.kind
    more: dict[str, Any] = {"source": source.arn}
    identity, options = source.arn, dict(source.options)
    if source.kind in brokers.LIBRARIES:
        identity, more = brokers.members(source)
        options = {}  # there are secrets in them, which are kept once
    elif options:
        try:
            own_sources.kind_of(options)
        except Fault as fault:
            raise InvalidConfiguration(str(fault.message)) from None
        identity = own_sources.arn(source.kind, options["Url"], options["Stream"], Place("", ""))
        more = {"source": identity}
    if source.options:
        options["Instance"] = instance
    criteria = {"Filters": [{"Pattern": encode_event(each).decode()} for each in wanted.get("filters", ())]}
    try:
        filters = Filters(kind, criteria)
    except InvalidPattern as error:
        raise InvalidConfiguration(f"Event pattern is not valid. Reason: {error}") from None
    start = wanted.get("start", "TRIM_HORIZON")
    timed = not isinstance(start, str)
    id = _id(wanted.get("name"), function, identity)
    return Settings(
        uuid=id, kind=kind, place=Place(*_place(more["source"])), function=function, qualifier=None,
        function_arn=function, batch_size=wanted.get("batch_size", 10 if source.kind == "sqs" else 100),
        window=wanted.get("window", 0.0), reports=wanted.get("report_failures", False), filters=filters,
        concurrency=wanted.get("concurrency"), position="AT_TIMESTAMP" if timed else str(start),
        timestamp=float(start) if timed else None, parallel=wanted.get("parallel", 1),
        bisect=wanted.get("bisect", False), retries=wanted.get("retries", -1), max_age=wanted.get("max_age", -1.0),
        tumbling=wanted.get("tumbling", 0.0), destination=wanted.get("dead_letters") or "", options=options,
        group=str(source.options.get("Group") or id), **more,
    )  # fmt: skip


def _check(source: Source, wanted: Wanted) -> None:
    for name, value in wanted.items():
        if name not in Wanted.__annotations__:
            raise InvalidConfiguration(f"consume has no {name}: {', '.join(Wanted.__annotations__)}")
        least = None if value is None else _LEAST.get(name)
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else float("-inf")
        if least is not None and number < least:
            raise InvalidConfiguration(f"{name}={value!r}: a number, {least} or more")
    start = wanted.get("start", "LATEST")
    if isinstance(start, str) and start not in ("TRIM_HORIZON", "LATEST"):
        raise InvalidConfiguration(f"start={start!r}: TRIM_HORIZON, LATEST, or epoch seconds")
    for name, kinds in _TAKEN.items():
        if wanted.get(name) is not None and source.kind not in kinds:
            raise InvalidConfiguration(f"{name} is for {', '.join(kinds)}, not for {source.kind}")
    if source.kind == "rabbitmq" and wanted.get("batch_size", 1) > _AHEAD:
        raise InvalidConfiguration(f"batch_size={wanted['batch_size']}: up to {_AHEAD} of rabbitmq")
    letters = wanted.get("dead_letters") or ""
    if letters.startswith(_TOPIC):
        topic = letters.removeprefix(_TOPIC)
        if source.kind != "kafka" or not topic or topic == source.options["Topic"]:
            raise InvalidConfiguration(
                f"dead_letters={letters!r}: a queue's name, or of Kafka kafka://ANOTHER-TOPIC"
            )


def _id(name: str | None, function: str, arn: str) -> str:
    """What brokers take for a name, too."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", name or function)
    return (
        plain if name == plain else f"{plain}-{zlib.crc32(wire.encode([name or function, name or arn])):08x}"
    )


def _place(arn: str) -> tuple[str, str]:
    _, _, _, region, account, *_ = f"{arn}:::::".split(":")
    return region, account
