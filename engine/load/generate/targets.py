"""What is put under load: functions of an engine in this process, functions on a Lambda endpoint, a plain URL.

`functions`: how many there are; a request's number is taken modulo it.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
from msgspec import structs

from ... import errors
from ..._native import lib
from .http_client import Client, Credentials, HttpResponse, Signer
from .record import Ending, Response

if TYPE_CHECKING:
    from ...aio import AsyncEngine
    from ...calls.dispatch import FunctionEntry, Outcome

Done = Callable[[Response], None]
# One invocation in so many tells where its time went, which costs some of it: fewer where there are more than one of
# these times (ns) between two.
SAMPLED, SELDOM = 16, 1024
_BETWEEN = 4_000_000
PARTS = ("queue", "dispatch", "execute", "reply")
_WANT_TAIL: int = lib.STK_WANT_TAIL
_TIMED_OUT = ("Sandbox.Timedout", "Task timed out")


class Sampling:
    """Which invocations tell where their time went."""

    def __init__(self) -> None:
        self._number, self._step, self._at = 0, SAMPLED, 0
        self._next = SAMPLED

    def due(self) -> bool:
        """Of the next one."""
        self._number += 1
        if self._number < self._next:
            return False
        now = time.monotonic_ns()
        if now - self._at < _BETWEEN:
            self._step = min(2 * self._step, SELDOM)
        elif now - self._at > 4 * _BETWEEN:
            self._step = max(self._step // 2, SAMPLED)
        self._at = now
        self._next += self._step
        return True


class Embedded:
    """Functions of an AsyncEngine of this loop, which stays the caller's to close."""

    def __init__(self, engine: AsyncEngine, names: Sequence[str]) -> None:
        """Raises FunctionNotFound."""
        runtime = engine._runtime
        self._entries = [
            structs.replace(runtime.entry(name), raw=True) for name in names
        ]  # replies as they came
        self._reaper = engine._reaping()
        self._sampled = Sampling()

    @property
    def functions(self) -> int:
        return len(self._entries)

    def send(self, payload: bytes, function: int, done: Done) -> None:
        entry = self._entries[function % len(self._entries)]
        flags = _WANT_TAIL if self._sampled.due() else 0

        def finished(outcome: Outcome | None, value: bytes) -> None:
            # A plain value came from a worker that was there: a cold start has an outcome.
            done(Response("ok", value, cold=False) if outcome is None else _of_outcome(entry, outcome))

        try:
            self._reaper.submit(entry, payload, finished, flags)
            self._reaper.heat()
        except errors.TooManyRequests as error:
            done(Response("throttle", why=str(error)))
        except errors.EngineError as error:
            done(Response("failure", why=f"{type(error).__name__}: {error}"))

    async def close(self) -> None:
        return None


def _of_outcome(entry: FunctionEntry, o: Outcome) -> Response:
    from ...calls.dispatch import failure

    parts = None
    if o.done:
        times = (o.submitted, o.dispatched or o.done, o.started or o.done, o.ended or o.done, o.done)
        parts = dict(zip(PARTS, (max(0, b - a) for a, b in itertools.pairwise(times)), strict=True))
    if o.status == lib.STK_OK:
        return Response("ok", o.data, cold=o.cold, parts=parts)
    error = failure(entry, o)
    ending: Ending = "timeout" if isinstance(error, errors.FunctionTimeout) else "error"
    return Response(ending, why=str(error)[:200], cold=o.cold, parts=parts)


class _OverHttp:
    """What both kinds of HTTP target share: a client, and a head for each function."""

    def __init__(self, client: Client, heads: Sequence[bytes]) -> None:
        self._client = client
        self._heads = heads

    @property
    def functions(self) -> int:
        return len(self._heads)

    def send(self, payload: bytes, function: int, done: Done) -> None:
        def finished(came: HttpResponse | str) -> None:
            done(Response("failure", why=came) if isinstance(came, str) else self._response(came))

        self._client.send(self._head(function % len(self._heads), payload), payload, finished)

    async def reach(self) -> None:
        """Raises OSError when nothing listens there."""
        host, port = self._client.host, self._client.port
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise OSError(f"no connection to {host}:{port}: {error.strerror or error}") from None
        writer.close()

    async def close(self) -> None:
        await self._client.close()

    def _head(self, function: int, payload: bytes) -> bytes:
        return self._heads[function]

    def _response(self, came: HttpResponse) -> Response:
        raise NotImplementedError


_USUAL = {"Content-Type": "application/json"}
_TAIL = {**_USUAL, "X-Amz-Log-Type": "Tail"}
_REPORT = re.compile(rb"\tDuration: ([\d.]+) ms\t")


class LambdaEndpoint(_OverHttp):
    """Functions by name on any endpoint that speaks Lambda's Invoke. credentials: None: requests are not signed."""

    def __init__(self, url: str, names: Sequence[str], credentials: Credentials | None = None) -> None:
        client = Client(url)
        functions = f"{client.path}/2015-03-31/functions"
        self._paths = [f"{functions}/{quote(name, safe='')}/invocations" for name in names]
        host = client.host_header
        self._signers = [Signer(credentials, host, path) for path in self._paths] if credentials else []
        super().__init__(client, [client.request("POST", path, _USUAL) for path in self._paths])
        self._with_tail = [client.request("POST", path, _TAIL) for path in self._paths]
        self._sampled = Sampling()

    def _head(self, function: int, payload: bytes) -> bytes:
        if not self._signers:
            return (self._with_tail if self._sampled.due() else self._heads)[function]
        signed = self._signers[function].headers(payload)
        return self._client.request("POST", self._paths[function], {**_USUAL, **signed})

    def _response(self, came: HttpResponse) -> Response:
        if came.status == 429:
            return Response("throttle", why=_message(came.body) or "429")
        if came.status != 200:
            return Response("failure", why=f"{came.status} {_message(came.body)}".strip())
        cold, parts = _reported(came.headers.get(b"x-amz-log-result"))
        if b"x-amz-function-error" not in came.headers:
            return Response("ok", came.body, cold=cold, parts=parts)
        why = _message(came.body)
        ending: Ending = "timeout" if any(it in why for it in _TIMED_OUT) else "error"
        return Response(ending, why=why, cold=cold, parts=parts)


def _reported(tail: bytes | None) -> tuple[bool | None, dict[str, int] | None]:
    """Of a log's tail (base64): was it a cold start, and how long did the handler run?"""
    try:
        log = base64.b64decode(tail or b"", validate=True)
    except ValueError:
        log = b""
    if found := _REPORT.search(log):
        return b"\tInit Duration: " in log, {"execute": round(float(found[1]) * 1e6)}
    return None, None


class PlainUrl(_OverHttp):
    """A URL that is sent each payload. 429 is a throttle, 504 a timeout, any other status of 400 or more an error."""

    def __init__(self, url: str, method: str = "POST", content_type: str = "application/json") -> None:
        client = Client(url)
        path = (client.path or "/") + (f"?{client.query}" if client.query else "")
        super().__init__(client, [client.request(method, path, {"Content-Type": content_type})])

    def _response(self, came: HttpResponse) -> Response:
        if came.status < 400:
            return Response("ok", came.body)
        endings: dict[int, Ending] = {429: "throttle", 504: "timeout"}
        why = f"{came.status} {_message(came.body)}".strip()
        return Response(endings.get(came.status, "error"), why=why)


def _message(body: bytes) -> str:
    """Of an error's body, shortened."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:120].decode("utf-8", "replace").strip()
    if not isinstance(document, dict):
        return str(document)[:120]
    kind = document.get("errorType")
    text = document.get("errorMessage") or document.get("Message") or document.get("message") or ""
    return (f"{kind}: {text}" if kind else str(text))[:200]
