"""What is put under load: functions of an engine in this process, functions on a Lambda endpoint, a plain URL.

`functions`: how many there are; a request's number is taken modulo it.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from ... import errors
from ..._native import lib
from .record import Answer
from .signing import Credentials, Signer

if TYPE_CHECKING:
    from ...aio import AsyncEngine
    from ...calls.dispatch import FunctionEntry, Outcome
    from .http_client import Client, Response

Done = Callable[[Answer], None]
SAMPLED = 16  # one invocation in so many is asked where its time went: to say so costs some of it
PARTS = ("queue", "dispatch", "execute", "reply")
_TIMED_OUT = "Sandbox.Timedout"


class Embedded:
    """Functions of an AsyncEngine of this loop, which stays the caller's to close."""

    def __init__(self, engine: AsyncEngine, names: Sequence[str]) -> None:
        """Raises FunctionNotFound."""
        runtime = engine._runtime
        self._started = [replace(runtime.entry(name), raw=True) for name in names]  # replies as they came
        self._reaper = engine._reaping()
        self._number = 0

    @property
    def functions(self) -> int:
        return len(self._started)

    def send(self, payload: bytes, function: int, done: Done) -> None:
        started = self._started[function % len(self._started)]
        self._number += 1
        flags = 0 if self._number % SAMPLED else lib.STK_WANT_TAIL

        def taken(outcome: Outcome | None, value: bytes) -> None:
            # What is plain came from a worker that was there: a cold start has an outcome.
            done(Answer("ok", value, cold=False) if outcome is None else _of_outcome(started, outcome))

        try:
            self._reaper.submit(started, payload, taken, flags)
            self._reaper.heat()
        except errors.TooManyRequests as error:
            done(Answer("throttle", why=str(error)))
        except errors.EngineError as error:
            done(Answer("failure", why=f"{type(error).__name__}: {error}"))

    async def close(self) -> None:
        return None


def _of_outcome(started: FunctionEntry, o: Outcome) -> Answer:
    from ...calls.dispatch import failure

    parts = None
    if o.done:
        times = (o.submitted, o.dispatched or o.done, o.started or o.done, o.ended or o.done, o.done)
        parts = dict(zip(PARTS, (max(0, b - a) for a, b in itertools.pairwise(times)), strict=True))
    if o.status == lib.STK_OK:
        return Answer("ok", o.data, cold=o.cold, parts=parts)
    error = failure(started, o)
    ending = "timeout" if isinstance(error, errors.FunctionTimeout) else "error"
    return Answer(ending, why=str(error)[:200], cold=o.cold, parts=parts)  # type: ignore[arg-type]


class _OverHttp:
    """What both kinds of HTTP target share: a client, and a head for each function."""

    def __init__(self, client: Client, heads: Sequence[bytes]) -> None:
        self._client = client
        self._heads = heads
        self._number = 0

    @property
    def functions(self) -> int:
        return len(self._heads)

    def send(self, payload: bytes, function: int, done: Done) -> None:
        def taken(response: Response | str) -> None:
            done(Answer("failure", why=response) if isinstance(response, str) else self._answer(response))

        self._number += 1
        self._client.send(self._head(function % len(self._heads), payload), payload, taken)

    async def reach(self) -> None:
        """Raises OSError when nobody listens there."""
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

    def _answer(self, response: Response) -> Answer:
        raise NotImplementedError


_USUAL = {"Content-Type": "application/json"}
_TAIL = {**_USUAL, "X-Amz-Log-Type": "Tail"}
_REPORT = re.compile(rb"\tDuration: ([\d.]+) ms\t")


class LambdaEndpoint(_OverHttp):
    """Functions by name on an endpoint that speaks Lambda's Invoke: Stoker's, AWS's runtime interface emulator, any.
    credentials: to sign each request with; None: it is asked unsigned."""

    def __init__(self, url: str, names: Sequence[str], credentials: Credentials | None = None) -> None:
        from .http_client import Client

        client = Client(url)
        self._paths = [
            f"{client.path}/2015-03-31/functions/{quote(name, safe='')}/invocations" for name in names
        ]
        host = client.host if client.port == 80 else f"{client.host}:{client.port}"
        self._signers = [Signer(credentials, host, path) for path in self._paths] if credentials else []
        super().__init__(client, [client.request("POST", path, _USUAL) for path in self._paths])
        self._asking = [client.request("POST", path, _TAIL) for path in self._paths]

    def _head(self, function: int, payload: bytes) -> bytes:
        if not self._signers:
            return (self._heads if self._number % SAMPLED else self._asking)[function]
        signed = self._signers[function].headers(payload)
        return self._client.request("POST", self._paths[function], {**_USUAL, **signed})

    def _answer(self, response: Response) -> Answer:
        if response.status == 429:
            return Answer("throttle", why=_message(response.body) or "429")
        if response.status != 200:
            return Answer("failure", why=f"{response.status} {_message(response.body)}".strip())
        cold, parts = _reported(response.headers.get(b"x-amz-log-result"))
        if b"x-amz-function-error" not in response.headers:
            return Answer("ok", response.body, cold=cold, parts=parts)
        why = _message(response.body)
        timed_out = _TIMED_OUT in why or "Task timed out" in why
        return Answer("timeout" if timed_out else "error", why=why, cold=cold, parts=parts)


def _reported(tail: bytes | None) -> tuple[bool | None, dict[str, int] | None]:
    """What a log's tail (base64) says: was it a cold start, and how long did the handler run?"""
    if tail is None:
        return None, None
    try:
        log = base64.b64decode(tail, validate=True)
    except ValueError:
        return None, None
    found = _REPORT.search(log)
    if found is None:
        return None, None
    return b"\tInit Duration: " in log, {"execute": round(float(found[1]) * 1e6)}


class PlainUrl(_OverHttp):
    """A URL that is sent each payload: by POST, or by GET where there is none. 429 is a throttle, 504 a timeout, any
    other status of 400 or more an error."""

    def __init__(self, url: str, method: str = "POST", content_type: str = "application/json") -> None:
        from .http_client import Client

        client = Client(url)
        path = (client.path or "/") + (f"?{client.query}" if client.query else "")
        super().__init__(client, [client.request(method, path, {"Content-Type": content_type})])

    def _answer(self, response: Response) -> Answer:
        if response.status < 400:
            return Answer("ok", response.body)
        kinds = {429: "throttle", 504: "timeout"}
        why = f"{response.status} {_message(response.body)}".strip()
        return Answer(kinds.get(response.status, "error"), why=why)  # type: ignore[arg-type]


def _message(body: bytes) -> str:
    """What an error's body says, shortly."""
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:120].decode("utf-8", "replace").strip()
    if not isinstance(said, dict):
        return str(said)[:120]
    kind = said.get("errorType")
    text = said.get("errorMessage") or said.get("Message") or said.get("message") or ""
    return (f"{kind}: {text}" if kind else str(text))[:200]
