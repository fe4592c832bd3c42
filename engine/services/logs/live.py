"""A live tail session as its client gets it: an event stream, of an update a second for three hours at most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from ... import wire
from ...aws import eventstream
from ...aws.messages import Request
from ...aws.names import Place
from ...errors import EngineError
from .process import LogsProcess

SECONDS = 3 * 60 * 60.0  # AWS's
UPDATE = 1.0  # seconds between two updates
HEADERS = [(b"content-type", b"application/vnd.amazon.eventstream")]


def started(body: bytes) -> dict[str, Any]:
    """The sessionStart of a response of the log's process."""
    found: dict[str, Any] = wire.decode(body)["responseStream"]["sessionStart"]
    return found


async def session(
    process: LogsProcess, place: Place, request: Request, start: dict[str, Any], ended: asyncio.Event
) -> AsyncGenerator[bytes, None]:
    """Until the client leaves, or `ended` is set."""
    loop = asyncio.get_running_loop()
    until, number = loop.time() + SECONDS, start["sessionId"]
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(ended.wait())]
    if request.left is not None:
        waits.append(asyncio.ensure_future(request.left()))
    try:
        yield _event("initial-response", {})
        yield _event("sessionStart", start)
        while True:
            done, _ = await asyncio.wait(waits, timeout=UPDATE, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            if loop.time() > until:
                yield _exception("SessionTimeoutException", "The session was open for three hours.")
                return
            found = await process.tail(place.account, place.region, number)
            if found is None:
                yield _exception(
                    "SessionStreamingException", "The session is over: it was not read for long."
                )
                return
            events, sampled = found
            results = [
                {
                    "logStreamName": each.stream, "logGroupIdentifier": each.group, "message": each.message,
                    "timestamp": each.timestamp, "ingestionTime": each.ingested,
                }
                for each in events
            ]  # fmt: skip
            yield _event(
                "sessionUpdate", {"sessionMetadata": {"sampled": sampled}, "sessionResults": results}
            )
    except EngineError as error:
        yield _exception("SessionStreamingException", str(error))
    finally:
        for each in waits:
            each.cancel()
        process.end_tail(place.account, place.region, number)


def _event(kind: str, members: dict[str, Any]) -> bytes:
    headers = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    return eventstream.message(headers, wire.encode(members))


def _exception(kind: str, text: str) -> bytes:
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return eventstream.message(headers, wire.encode({"message": text}))
