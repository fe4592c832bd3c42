"""Output of functions outside their invocations: put together to whole events, for the log stream that is its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .. import frames
from ..aws.names import Place
from ..observe.records import FunctionOutput

_HOLD = 0.05  # seconds that the beginning of an event waits for its end


def stream_arn(place: Place, log_group: str, log_stream: str) -> str:
    """A log stream's ARN: the name under which the engine hands on a deployment's output."""
    return f"arn:aws:logs:{place.region}:{place.account}:log-group:{log_group}:log-stream:{log_stream}"


class Outside:
    """A log sink: takes text as processes write it, in pieces, from any thread. `sends` are called in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *sends: Callable[[FunctionOutput], object]) -> None:
        self._loop = loop
        self._sends = sends
        self._held: dict[str, tuple[int, str]] = {}  # by the log stream's ARN: since when, and what

    def __call__(self, stream: str, _request_id: str, text: str) -> None:
        self._loop.call_soon_threadsafe(self._take, stream, int(time.time() * 1000), text)

    def _take(self, stream: str, at: int, text: str) -> None:
        since, held = self._held.pop(stream, (at, ""))
        whole, rest = frames.events(held + text)
        # What was printed before a record is no later than that, though it came here later.
        latest = min((made for made, _ in whole if made), default=since)
        since = min(since, latest)
        for made, event in whole:
            since = max(since, made)
            self._send(stream, since, event)
        since = max(since, at)
        if rest:
            if not self._held:
                self._loop.call_later(_HOLD, self.flush)
            self._held[stream] = since, rest

    def flush(self) -> None:
        """What has no end yet goes as it is."""
        held, self._held = self._held, {}
        for stream, (since, text) in held.items():
            made, event = frames.cut_off(text)
            self._send(stream, made or since, event)

    def _send(self, stream: str, at: int, text: str) -> None:
        output = _output(stream, at, text)
        for send in self._sends:
            send(output)


def _output(stream: str, at: int, text: str) -> FunctionOutput:
    _arn, _aws, _logs, region, account, _group, log_group, _stream, log_stream = stream.split(":", 8)
    return FunctionOutput(region, account, log_group, log_stream, at, text)
