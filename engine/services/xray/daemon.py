"""The X-Ray daemon's UDP address: what SDKs send there is taken as PutTraceSegments takes it. Loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

from ... import wire
from .documents import Unprocessed, read
from .keeper import Keeper

HOST = "127.0.0.1"
_BUFFER = 1 << 20  # bytes of datagrams that wait
_log = logging.getLogger("stoker.xray")


class Daemon(asyncio.DatagramProtocol):
    """Belongs to the event loop; `listen` makes it."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._transport: asyncio.DatagramTransport | None = None
        self.address = ""  # "": there is none

    @classmethod
    async def listen(cls, keeper: Keeper, port: int) -> Daemon:
        """At this port, or, where that is taken, any other."""
        made, loop = cls(keeper), asyncio.get_running_loop()
        for each in (port, 0):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                sock.setblocking(False)
                sock.bind((HOST, each))
            except OSError:
                sock.close()
                continue
            made.address = f"{HOST}:{sock.getsockname()[1]}"
            made._transport, _ = await loop.create_datagram_endpoint(lambda: made, sock=sock)
            break
        return made

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def variables(self) -> dict[str, str]:
        """Of functions' environments."""
        if not self.address:
            return {}
        port = self.address.rpartition(":")[2]
        return {
            "AWS_XRAY_DAEMON_ADDRESS": self.address, "_AWS_XRAY_DAEMON_ADDRESS": HOST, "_AWS_XRAY_DAEMON_PORT": port,
        }  # fmt: skip

    def datagram_received(self, data: bytes, addr: object) -> None:
        header, _, document = data.partition(b"\n")
        with contextlib.suppress(ValueError, RecursionError):
            found = wire.decode(header)
            if isinstance(found, dict) and found.get("format") == "json" and found.get("version") == 1:
                try:
                    self._keeper.hear(read(document))
                except Unprocessed as error:
                    _log.warning("a segment from %s was not taken: %s", addr, error)

    def error_received(self, exc: Exception) -> None:
        _log.warning("the X-Ray daemon's socket: %s", exc)
