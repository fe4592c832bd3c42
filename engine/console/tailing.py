"""Live logs of pages: a live tail session of the log's process for each that follows a group."""

from __future__ import annotations

from collections.abc import Sequence

from .. import wire
from ..errors import EngineError
from ..services.logs.live import started
from ..services.logs.process import LogsProcess
from .stream import Stream, event

_START = "Logs_20140328.StartLiveTail"


class Tailing:
    """Belongs to the event loop."""

    def __init__(self, process: LogsProcess) -> None:
        self._process = process

    async def look(self, streams: Sequence[Stream]) -> None:
        """Send each what its group has got since the last time."""
        for stream in streams:
            if stream.group:
                try:
                    await self._follow(stream, stream.group)
                except EngineError:
                    continue  # the log's process begins anew

    def stop(self, stream: Stream) -> None:
        if stream.tail:
            self._process.end_tail(stream.place.account, stream.place.region, stream.tail)
        stream.tail = stream.group = ""

    async def _follow(self, stream: Stream, group: str) -> None:
        place = stream.place
        if not stream.tail:
            body = wire.encode({"logGroupIdentifiers": [group]})
            response = await self._process.request(place.account, place.region, _START, body)
            if response.status != 200:  # there is no such group yet, or there are as many sessions as may be
                return
            session = started(response.body)["sessionId"]
            if stream.group != group:  # it follows another one by now
                self._process.end_tail(place.account, place.region, session)
                return
            stream.tail = session
        session = stream.tail
        found = await self._process.tail(place.account, place.region, session)
        if stream.tail != session:
            return
        if found is None:
            stream.tail = ""
            return
        events, sampled = found
        if events:
            lines = [[each.timestamp, each.stream, each.message] for each in events]
            stream.send(event("logs", {"group": group, "events": lines, "sampled": sampled}))
