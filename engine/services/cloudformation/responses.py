"""Responses of custom resources: PUT /_stoker/cloudformation-responses/ID, by whoever was told the id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.service import Access, Caller, Service

PATH = "/_stoker/cloudformation-responses/"
_ROUTE = re.compile(rf"PUT {PATH}([\w-]+)\Z")
BODY_BYTES = 4096  # of a response, as on AWS


class Awaited:
    """One response."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.document: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def within(self, seconds: float) -> dict[str, Any]:
        """Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            return await self.document


class Responses(Service):
    """Of one server. Belongs to the event loop."""

    name = "custom resources"
    paths = _ROUTE
    body_bytes = BODY_BYTES

    def __init__(self, base_url: Callable[[], str]) -> None:
        self._base_url = base_url
        self._awaited: dict[str, Awaited] = {}

    @contextlib.asynccontextmanager
    async def expected(self, id: str) -> AsyncIterator[Awaited]:
        """What comes for an id, as long as somebody waits for it."""
        awaited = self._awaited[id] = Awaited(f"{self._base_url()}{PATH}{id}")
        try:
            yield awaited
        finally:
            del self._awaited[id]

    def access(self, request: Request) -> Access:
        return Access.OPEN  # AWS's URLs are signed; here who knows the id was told

    async def call(self, request: Request, caller: Caller) -> Response:
        found = _ROUTE.match(f"PUT {request.path}")
        awaited = self._awaited.get(found[1]) if found else None
        if awaited is None:
            raise Fault("NoSuchKey", "nobody waits for this response")
        try:
            document = json.loads(request.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            document = {"Status": "FAILED", "Reason": "Invalid response object: it is no JSON object"}
        if not awaited.document.done():
            awaited.document.set_result(document)
        return Response(200, [], b"")

    def error(self, request: Request, fault: Fault) -> Response:
        status = {"NoSuchKey": 404, "RequestEntityTooLargeException": 413}.get(fault.code, 400)
        return Response(status, [(b"content-type", b"text/plain")], (fault.message or fault.code).encode())

    def too_large(self, request: Request) -> Response:
        """Whoever waits knows what became of it."""
        found = _ROUTE.match(f"PUT {request.path}")
        if found and (awaited := self._awaited.get(found[1])) and not awaited.document.done():
            reason = f"Response object is too long: it may have {BODY_BYTES} bytes"
            awaited.document.set_result({"Status": "FAILED", "Reason": reason})
        return super().too_large(request)
