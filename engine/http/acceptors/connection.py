"""A connection of an acceptor: each request is looked at before it is read, and what does not belong here is passed on
with its connection.

A request is looked at when nothing is owed on its connection, by its head alone, which must have come in one piece and
be plain: with another framing than a Content-Length, or in pieces, it is the first process's. What came behind a
request that is served here waits for its response; nothing is parsed that is not this process's to answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..._http import scan
from ..budget import FREE
from ..cycle import Header
from ..protocol import Protocol

if TYPE_CHECKING:
    from ..acceptor import Acceptor
    from ..quick import Known
    from .router import Router

_PAUSE = 0.005  # seconds until it is looked again whether a client has taken its response
_REQUEST = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1\Z")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t]*?)[ \t]*\Z")
_NOTHING: dict[bytes, Known] = {}  # is known of what is not small
_FRAMING = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"connection", b"trailer"))


class RoutedConnection(Protocol):
    """Of an acceptor process."""

    def __init__(self, acceptor: Acceptor, router: Router) -> None:
        super().__init__(acceptor)
        self._router = router
        self._left = 0  # bytes of a request that is served here which are still to come
        self._held = b""  # came behind that request
        self._passed = False

    def data_received(self, data: bytes) -> None:
        if self.linger is not None:
            self.read(data)
            return
        if self._left:
            now, data = data[: self._left], data[self._left :]
            self._left -= len(now)
            self.read(now)
            if not data:
                return
        if self._held or self._owes():
            self._held += data
            if not self.head_hold.take(len(self._held)):
                self.refuse(503)
            self.pause_reading()
        elif not self.transport.is_closing():
            self._look(data)

    def responded(self) -> None:
        super().responded()
        if self._held:
            self.pause_reading()
            self.loop.call_soon(self._look_at_held)

    def _owes(self) -> bool:
        cycle = self.cycle
        return (
            (cycle is not None and (cycle.more_body or not cycle.response_complete))
            or self.write_paused
            or self.transport.get_write_buffer_size() > 0
        )

    def _look_at_held(self) -> None:
        if self.transport.is_closing() or self.linger is not None:
            return
        if self._owes():
            self.loop.call_later(_PAUSE, self._look_at_held)
        elif self._held:
            data, self._held = self._held, b""
            self.head_hold.release()
            self.resume_reading()
            self._look(data)

    def _look(self, data: bytes) -> None:
        """At what begins with a request."""
        found = scan(data, self.acceptor.known if len(data) <= FREE else _NOTHING)
        if found is not None:
            if len(found) == 2 or self._router.serves(*found[:3]):
                self.take(data, found)
                return
        elif (head := plain_head(data)) is not None:
            method, url, headers, size = head
            if size >= len(data) and self._router.serves(method, url, headers):
                self._left = size - len(data)
                self.read(data)
                return
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        self._router.passing.pass_on(self.descriptor, data)
        self.transport.abort()  # this process's descriptor: the socket lives on


def plain_head(data: bytes) -> tuple[str, bytes, list[Header], int] | None:
    """Method, URL, headers with their names in lower case, and the bytes of the whole request, of one whose body may be
    still to come; None: the head is not complete, or not plain."""
    end = data.find(b"\r\n\r\n")
    first, *lines = data[: max(end, 0)].split(b"\r\n")
    request = _REQUEST.match(first)
    if request is None:
        return None
    headers: list[Header] = []
    length = b""
    for line in lines:
        header = _HEADER.match(line)
        if header is None:
            return None
        name, value = header[1].lower(), header[2]
        if name in _FRAMING or (
            name == b"content-length" and (length or not value.isdigit() or len(value) > 9)
        ):
            return None
        if name == b"content-length":
            length = value
        headers.append((name, value))
    return request[1].decode(), request[2], headers, end + 4 + int(length or 0)
