"""HTTP/1.1 on a connection, parsed by httptools: what arrives becomes requests, which are carried out in order.
A request that came whole and has nothing unusual takes a short cut past the parser (`_http.scan`), and so does a known
one that came in pieces (pieces.py).

An Invoke is answered by callbacks alone: its body goes to the engine as it arrived, and its response to the socket as
the worker wrote it. Every other request is an Exchange, with a task of its own. A request behind another one, whichever
kind it is, waits; while its client does not read, a connection's next request is not begun.

A request's head has a bound, and must be complete in READ_SECONDS, as must a body that is not worth counting; what is
larger has its room in the budget (budget.py), and moves or is cut off.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httptools

from .._http import scan
from .acceptor import KEEP_ALIVE
from .budget import FREE
from .connection import FIELDS, HEAD_BYTES, Connection
from .cycle import Cycle, Header, InvokeCycle
from .exchange import Exchange, request_of
from .pieces import Pieces
from .quick import QuickCycle

if TYPE_CHECKING:
    from .._http import Scanned
    from .acceptor import Acceptor
    from .quick import Known

READ_SECONDS = 30.0
LINGER_PAUSE = 0.005  # seconds between two pieces of what is not read any more
_PIECE = 64 * 1024  # that the parser is given at once
_FIELD_BYTES = 170  # that a header costs beside its text
_QUEUED_BYTES = 2048  # that a request costs which waits behind another
_ROUTE = b"/2015-03-31/functions/"
_INVOCATIONS = b"/invocations"
_WEB_SOCKET = (b"upgrade", b"websocket")
_NOTHING: dict[bytes, Known] = {}  # is known of a request that waits behind another one, or is counted


class Protocol(Connection):
    """A connection of the server's."""

    def __init__(self, acceptor: Acceptor, came: bytes = b"") -> None:
        """came: what was read before of a connection that another process has accepted."""
        super().__init__(acceptor)
        self._came = came
        self.endpoint = acceptor.endpoint
        self._renew()
        self._upgrades = False
        self._upgraded: asyncio.Protocol | None = None  # who has the connection from now on
        self._url = b""
        self._headers: list[Header] = []
        self._expects_100 = False
        self._head = 0  # of a head that is not complete: bytes but those of its first piece, and 1
        self._first = 0  # of that piece
        self._size = 0  # of the piece that is parsed
        self._status = 400  # for what the parser was made to stop at
        self._bodiless = 0  # bytes behind a head that were not a body's: trailers, extensions of chunks
        self._counted: Cycle | None = None  # the cycle that they are behind
        self._received = 0
        self._blocked = False  # the next request, by a response that is not taken
        self._beginning = False
        self._pieces = Pieces(self)
        self._quick: QuickCycle | None = None  # of all requests that are known, one after the other

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._timer is None:
            self.after(READ_SECONDS, self.too_slow)
        if self._came:
            came, self._came = self._came, b""
            self.read(came)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upgraded is not None:
            self._upgraded.connection_lost(exc)
        super().connection_lost(exc)

    @property
    def busy(self) -> bool:
        return self._upgraded is not None or bool(self._pieces.came) or super().busy

    def forget(self) -> None:
        if self._pieces.came:
            self._pieces.end()
        super().forget()

    def shut_down(self) -> None:
        if self._pieces.came:
            self._usually()
        super().shut_down()

    def _renew(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        # What comes behind a request that ends the connection does not keep that from its response.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    # What arrives.

    def data_received(self, data: bytes) -> None:
        self.read(data)

    def read(self, data: bytes | memoryview) -> None:
        if self._upgraded is not None:
            self._upgraded.data_received(bytes(data))
            return
        if self.linger is not None:
            self.linger -= len(data)
            if self.linger < 0:
                self.transport.abort()
            self.pause_reading()  # the more there are of these, the slower: others are served meanwhile
            self.loop.call_later(LINGER_PAUSE * len(self.acceptor.lingering), self.resume_reading)
            return
        if self._pieces.came:
            if self._pieces.add(bytes(data)):
                self._put_together()
            return
        if not self.begun and type(data) is bytes:
            before = self.cycle
            alone = before is None or before.response_complete
            found = scan(data, self.acceptor.known if alone else _NOTHING)
            if found is not None:
                self._size = len(data)
                self.take(data, found)
                return
            if alone and self._pieces.begin(data):
                self.begun = True
                if self._timer is None:
                    self.after(READ_SECONDS, self.too_slow)
                return
        self._parse(data)

    def _parse(self, data: bytes | memoryview) -> None:
        size = self._size = len(data)
        if size > _PIECE:
            view = memoryview(data)
            for at in range(0, size, _PIECE):
                self.read(view[at : at + _PIECE])
                if self.transport.is_closing():
                    return
            return
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                rest = bytes(data[upgrade.args[0] :])
                if self._upgrade(rest):
                    return
                data = self._without_upgrade() + rest
            except httptools.HttpParserError:
                self.refuse(self._status)
                return
        if self.begun:
            self._unfinished(size)
        elif self._timer is not None:
            self._in_time()

    def take(self, data: bytes, found: Scanned) -> None:
        """A plain request has come, all of it, as `scan` found it."""
        if len(found) == 2:
            if self._quickly(*found):
                return
            again = scan(data, _NOTHING)
            assert again is not None and len(again) == 5
            found = again
            if len(data) <= FREE:
                self.acceptor.known.pop(found[4] or b"", None)
        self.whole(*found)

    def _quickly(self, known: Known, body: bytes) -> bool:
        """The same of one that is known. False, with nothing done: it is for the usual way."""
        self._quick = self._quick or QuickCycle(self)
        if not self.endpoint.quickly(self._quick, known, body):
            return False
        if self._timer is not None:
            self._in_time()
        return True

    def _put_together(self) -> None:
        """A known one has come in pieces."""
        found = self._pieces.whole()
        if found is None:
            self._usually()
            return
        came = self._pieces.end()
        self.begun = False
        if not self._quickly(*found):
            self._feed(came)

    def _usually(self) -> None:
        """Nothing that came in pieces is kept any more."""
        self.begun = False
        self._feed(self._pieces.end())

    def _feed(self, came: list[bytes]) -> None:
        """Pieces of what is not for the short way, after all."""
        for piece in came:
            if self.transport.is_closing() or self.linger is not None:
                return
            self._parse(piece)

    def whole(self, method: str, url: bytes, headers: list[Header], body: bytes, key: bytes | None) -> None:
        """The same of one that nothing is known of."""
        self.begun = True
        self._expects_100 = False
        try:
            self._arrived(method, url, headers, True, key)
            if body:
                self.on_body(body)
        except httptools.HttpParserError:
            self.refuse(self._status)
            return
        self.begun = False
        assert self.cycle is not None
        self.cycle.completed()
        if self._timer is not None:
            self._in_time()

    def _in_time(self) -> None:
        """What was read is complete: its timer is not needed any more."""
        if self._timer is not None and self.linger is None and not self.transport.is_closing():
            self._timer.cancel()
            self._timer = None

    def _upgrade(self, rest: bytes) -> bool:
        """Has somebody taken the connection, whose request asks for a WebSocket? rest: what came behind its head."""
        if not any((name, value.lower()) == _WEB_SOCKET for name, value in self._headers):
            return False
        size = sum(len(name) + len(value) + 4 for name, value in self._headers) + len(self._url)
        queued = self.cycle is not None and not self.cycle.response_complete
        if queued or size > HEAD_BYTES or len(self._headers) > FIELDS:
            return False
        try:
            method = self.parser.get_method().decode("ascii")
            taken = self.acceptor.upgrade(request_of(self, method, self._url, self._headers))
        except (ValueError, httptools.HttpParserError):  # a URL that is none
            return False
        if taken is None:
            return False
        for timer in (self._timer, self._quiet_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._quiet_timer = None
        self.begun = False
        self.head_hold.release()
        self._upgraded = taken
        taken.connection_made(self.transport)
        if rest:
            taken.data_received(rest)
        return True

    def _without_upgrade(self) -> bytes:
        """The head of a request to go on in a protocol that nobody has here, and that is like any other then (RFC 9110,
        7.8). httptools takes what is behind it for that protocol, and not for its body: so it is parsed again, without
        the header."""
        method, url = self.parser.get_method(), self._url
        lines = [b"%b: %b\r\n" % header for header in self._headers if header[0] != b"upgrade"]
        self._upgrades = False
        self._renew()
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, url, b"".join(lines))

    def _unfinished(self, size: int) -> None:
        """A piece of that size left a request incomplete."""
        if self.transport.is_closing():
            return
        if self._timer is None:
            self.after(READ_SECONDS, self.too_slow)
        cycle = self.cycle
        if cycle is None or not cycle.more_body:
            if self._head:
                self._head += size
            else:
                self._head, self._first = 1, size
            costs = self._first + self._head + _FIELD_BYTES * len(self._headers)
            if self._head > HEAD_BYTES or len(self._headers) > FIELDS:
                self.refuse(431)
            elif costs > FREE and not self.head_hold.take(costs):
                self.refuse(503)
            return
        if cycle is not self._counted:
            self._counted, self._received, self._bodiless = cycle, -1, 0
        self._bodiless = self._bodiless + size if cycle.received == self._received else 0
        self._received = cycle.received
        if self._bodiless > HEAD_BYTES or len(self._headers) > FIELDS:
            self.refuse(431)
        elif isinstance(cycle, InvokeCycle) and not self.waits and not cycle.response_complete:
            if cycle.queued:
                if not cycle.take():
                    self.refuse(503)
            else:
                cycle.admit()

    def go_on(self) -> None:
        """There is room for what is to come."""
        self.resume_reading()
        if self._expects_100:
            self._expects_100 = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # What the parser finds.

    def on_message_begin(self) -> None:
        self.begun = True
        self._url = b""
        if self._headers:  # trailers
            self._headers = []
        self._expects_100 = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_100 = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        url, headers, parser = self._url, self._headers, self.parser
        version = parser.get_http_version()
        if parser.should_upgrade() or version == "0.9":
            self._upgrades = parser.get_method() != b"CONNECT" and version == "1.1"
            if self._upgrades:
                return
            self._stop(400)
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self._arrived(parser.get_method().decode("ascii"), url, headers, keep_alive)

    def _arrived(
        self, method: str, url: bytes, headers: list[Header], keep_alive: bool, key: bytes | None = None
    ) -> None:
        """A request's head is there. key: of an event (`_http.scan`)."""
        head = 0
        if self._head or self._size > FREE:
            self.head_hold.release()
            self._head = 0
            head = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
        if head > HEAD_BYTES or len(headers) > FIELDS:
            self._stop(431)
        before = self.cycle
        queued = before is not None and not before.response_complete
        cycle: Cycle
        if url.startswith(_ROUTE) and _INVOCATIONS in url and method == "POST":
            cycle = InvokeCycle(self, url, headers, keep_alive, self.endpoint.body_limit, key)
        else:
            cycle = Exchange(self, request_of(self, method, url, headers), keep_alive, self._expects_100)
        if queued or head > FREE:
            cycle.head = head + _FIELD_BYTES * len(headers) + _QUEUED_BYTES
            if not cycle.take():
                self._stop(503)
        self._headers = []  # of what comes behind a chunked body, which nobody reads
        self.cycle = cycle
        if queued:
            cycle.queued = True
            self.pause_reading()
            self.pipeline.append(cycle)
        elif isinstance(cycle, Exchange):
            cycle.begin()

    def _stop(self, status: int) -> None:
        """Ends parsing, and the connection."""
        self._status = status
        raise httptools.HttpParserError

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        assert cycle is not None
        cycle.feed(body)
        if isinstance(cycle, Exchange) and not cycle.take():
            self._stop(503)

    def on_message_complete(self) -> None:
        if self._upgrades:
            return
        self.begun = False
        assert self.cycle is not None
        self.cycle.completed()

    # The next request, and what ends the connection from here.

    def responded(self) -> None:
        """The response to the request whose turn it was is written."""
        self.heard = self.loop.time()
        if self.transport.is_closing() or self.linger is not None:
            return
        if self.write_paused:
            self._blocked = True
            self.pause_reading()
        elif self.read_paused or self.pipeline or self._blocked:
            self._next()
        if self._quiet_timer is None:
            self._quiet_timer = self.loop.call_later(KEEP_ALIVE, self._look_whether_quiet)

    def _next(self) -> None:
        """Begins the next request, and reads on."""
        self._blocked = False
        if self.read_paused:
            self.resume_reading()
        if self._beginning:
            return  # one that was answered at once: the loop goes on
        self._beginning = True
        while (
            self.pipeline and not self._blocked and (self.running is None or self.running.response_complete)
        ):
            self.pipeline.popleft().begin()
        self._beginning = False

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._blocked and not self.transport.is_closing():
            self._next()

    def eof_received(self) -> bool:
        """A client that is done sending still gets what it asked for, and that is the end of the connection."""
        if self._upgraded is not None:
            return bool(self._upgraded.eof_received())
        cycle = self.cycle
        if self.begun or self.linger is not None or cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def _look_whether_quiet(self) -> None:
        """One timer a connection, which looks when it ends whether it was quiet; not one a request."""
        self._quiet_timer = None
        if self.transport.is_closing():
            return
        busy = self.begun or self._blocked or (self.cycle is not None and not self.cycle.response_complete)
        left = KEEP_ALIVE - (self.loop.time() - self.heard)
        if busy or left > 0:
            self._quiet_timer = self.loop.call_later(max(left, 1.0), self._look_whether_quiet)
        else:
            self.close()

    def too_slow(self) -> None:
        """A request did not arrive in time."""
        self._timer = None
        if self.transport.is_closing() or self.linger is not None:
            return
        cycle = self.cycle
        reading = cycle is not None and cycle.more_body and self.begun
        watched = reading and cycle is not None and cycle.hold is not None and cycle.hold.watched
        watched = watched or self.head_hold.watched
        if self.pipeline or self.waits or watched:
            self.after(READ_SECONDS, self.too_slow)  # it is not read now; or it is for the budget to say
        elif self.begun:
            self.refuse(408)
        else:
            self.hang_up()
