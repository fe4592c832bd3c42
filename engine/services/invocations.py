"""Invocations as they end, for whoever watches: what `stoker dev` prints.

POST /_stoker/invocations {"functions": [NAME, ...]} gets a stream of JSON objects, one a line: an invocation
that ended ("function", "requestId", "ms", "cold", "initMs", "status", "errorType", "output"), one that was refused
("function", "throttled"), what a function printed outside of any ("function", "output"), the latest event of a function
("function", "event"), and how many lines a client that reads slowly has not got ("dropped"). The caller's own functions
only. While nobody watches, an invocation pays for one look at whether somebody does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import Any

from .. import frames
from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.names import LATEST, Place
from ..aws.protocols.base import STATUS
from ..aws.service import Caller
from ..aws.streams import Receive, Send, StreamedService, read_whole, respond
from ..hosting.placements import Hosting
from ..observe.outcomes import OutcomeBatch
from ..observe.records import FunctionOutput

PATH = "/_stoker/invocations"
LINES = 1000  # that wait for a client
_HEADERS = [(b"content-type", b"application/x-ndjson")]


class Invocations(StreamedService):
    """Belongs to the event loop. Subscribes to outcomes (`ended`) and to output outside of invocations (`printed`)."""

    name = "invocations"
    paths = re.compile(rf"POST {PATH}\Z")
    signed_for = "lambda"

    def __init__(self) -> None:
        self._watches: set[_Watch] = set()
        self._hosting: Hosting | None = None

    def start(self, hosting: Hosting) -> None:
        self._hosting = hosting

    async def stream(self, request: Request, receive: Receive, send: Send, caller: Caller) -> None:
        try:
            names = _names(await read_whole(request, receive, 1 << 20))
        except Fault as fault:
            await respond(send, self.error(request, fault))
            return
        assert self._hosting is not None
        placement = self._hosting.of(caller.place)
        groups = {}
        for name in names:
            record = placement.state.get("function", name, LATEST) or {}
            groups[record.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}"] = name
        watch = _Watch(caller.place, names, groups)
        self._watches.add(watch)
        self._hosting.tap(placement, self._tap(caller.place))
        left = asyncio.ensure_future(_left(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": b"{}\n", "more_body": True})
            while not left.done() and not watch.ended:
                waiting = asyncio.ensure_future(watch.ready.wait())
                await asyncio.wait({waiting, left}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if body := watch.taken():
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            if watch.ended:
                await send({"type": "http.response.body", "body": b""})
        finally:
            left.cancel()
            self._watches.discard(watch)
            self._hosting.tap(placement, self._tap(caller.place))

    def error(self, request: Request, fault: Fault) -> Response:
        status = STATUS.get(fault.code, 400)
        return Response(status, [(b"content-type", b"text/plain")], (fault.message or fault.code).encode())

    def drain(self) -> None:
        for watch in self._watches:
            watch.ended = True
            watch.ready.set()

    def ended(self, batch: OutcomeBatch) -> None:
        info = batch.deployment
        for watch in self._watches:
            if info.function_name not in watch.names or watch.place != Place(info.region, info.account):
                continue
            watch.tell_event(info.function_name)
            for each in batch.records:
                found: dict[str, Any] = {
                    "function": info.function_name, "version": info.version, "requestId": each.request_id,
                    "ms": round(each.took / 1e6, 3), "cold": each.cold, "status": each.status,
                }  # fmt: skip
                found |= {"initMs": round(each.init_ms, 1)} if each.cold else {}
                found |= {"errorType": each.error_type} if each.error_type else {}
                found |= {"output": _plain(each.output)} if each.output else {}
                watch.tell(found)
            for throttle in batch.throttles:
                watch.tell({"function": info.function_name, "throttled": throttle.reason})

    def printed(self, message: FunctionOutput) -> None:
        for watch in self._watches:
            name = watch.groups.get(message.log_group)
            if name is not None and watch.place == Place(message.region, message.account):
                watch.tell({"function": name, "output": message.text})

    def _tap(self, place: Place) -> Any:
        """What gets each event of a place: nothing, or whoever watches there."""
        watches = [watch for watch in self._watches if watch.place == place]
        if len(watches) < 2:
            return watches[0].tapped if watches else None

        def tapped(name: str, event: bytes) -> None:
            for watch in watches:
                watch.tapped(name, event)

        return tapped


class _Watch:
    """One client's. names: of functions; groups: those by the log groups that they write to."""

    def __init__(self, place: Place, names: frozenset[str], groups: dict[str, str]) -> None:
        self.place = place
        self.names = names
        self.groups = groups
        self.ready = asyncio.Event()
        self.ended = False
        self._events: dict[str, bytes] = {}
        self._lines: list[dict[str, Any]] = []
        self._dropped = 0

    def tapped(self, name: str, event: bytes) -> None:
        if name in self.names:
            self._events[name] = event

    def tell_event(self, name: str) -> None:
        """The function's latest event, if that is news."""
        event = self._events.pop(name, None)
        if event is not None:
            self.tell({"function": name, "event": event.decode("utf-8", "replace")})

    def tell(self, line: dict[str, Any]) -> None:
        if len(self._lines) >= LINES:
            self._dropped += 1
        else:
            self._lines.append(line)
        self.ready.set()

    def taken(self) -> bytes:
        lines, self._lines = self._lines, []
        if self._dropped:
            lines.append({"dropped": self._dropped})
            self._dropped = 0
        self.ready.clear()
        return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


async def _left(receive: Receive) -> None:
    with contextlib.suppress(Exception):
        while (await receive())["type"] != "http.disconnect":
            pass


def _plain(output: str) -> str:
    """Without the marks of its records' boundaries."""
    whole, rest = frames.events(output)
    texts = [text for _, text in whole] + ([frames.cut_off(rest)[1]] if rest else [])
    return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts)


def _names(body: bytes) -> frozenset[str]:
    """Raises Fault."""
    try:
        names = json.loads(body)["functions"]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return frozenset(names)
    except (ValueError, KeyError, TypeError):
        pass
    raise Fault("ValidationException", 'write {"functions": [NAME, ...]}')
