"""A request whose operation a header names, for a service that is asked often: no ASGI between it and the socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..aws.messages import Request
from .cycle import Header, InvokeCycle

if TYPE_CHECKING:
    from .app import App
    from .protocol import Protocol

_TARGET = b"x-amz-target"
_LENGTH = 8 << 20  # of a body; what is longer is refused by what the service allows


class TargetCycle(InvokeCycle):
    """One of them on its connection."""

    def __init__(self, protocol: Protocol, headers: list[Header], keep_alive: bool) -> None:
        super().__init__(protocol, b"/", headers, keep_alive, _LENGTH)
        self.message_event = asyncio.Event()  # set once the client has left

    async def serve(self, app: App) -> None:
        """Respond to it, once it is complete. Never raises."""
        client, server = self.protocol.client, self.protocol.server
        request = Request(
            method="POST",
            path="/",
            query="",
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers],
            body=bytes(self.body),
            scheme=self.protocol.scheme or "http",
            client=client[0] if client else "127.0.0.1",
            port=(server[1] if server else None) or 80,
            left=self.message_event.wait,
        )
        response = await app.serve(request, too_large=self.dropped > 0)
        self.respond(response.status, response.headers, response.body)


def is_direct(method: bytes, url: bytes, headers: list[Header], targets: tuple[bytes, ...]) -> bool:
    """Is it one? targets: what X-Amz-Target begins with then."""
    return (
        url == b"/"
        and method == b"POST"
        and any(name == _TARGET and value.startswith(targets) for name, value in headers)
    )
