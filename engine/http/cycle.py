"""A request on its connection, and an Invoke: as it arrives, and the one response that is written for it."""

from __future__ import annotations

import http
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..aws.faults import Fault
from ..calls.dispatch import uuid_text
from .budget import FREE, WRITTEN, Hold

if TYPE_CHECKING:
    from ..aws.sigv4 import Claim
    from .protocol import Protocol

COPIES = 2  # of a body that are in memory at once: as it came, and the engine's
_STEP = 512 * 1024  # that a body of unknown length takes more at a time
_HEAD = b"HTTP/1.1 200 OK\r\ndate: %b\r\n%bcontent-length: %d\r\n\r\n%b"
_PHRASES = {each.value: each.phrase.encode() for each in http.HTTPStatus}
# To which the date is to be added.
STATUS_LINE = {n: b"HTTP/1.1 %d %b\r\ndate: " % (n, _PHRASES.get(n, b"")) for n in range(100, 1000)}
# Of an accepted event, to which the date is to be added; its request id is between them.
ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\ndate: %b\r\nx-amzn-requestid: ",
    b"\r\nx-amzn-remapped-content-length: 0\r\ncontent-length: 0\r\n\r\n",
)
Header = tuple[bytes, bytes]
REMAPPED: Header = (b"x-amzn-remapped-content-length", b"0")


def no_room() -> Fault:
    """For a request or a response that there was no room for."""
    message = "The clients of this server make it hold as many bytes as it may (stoker serve --inflight)"
    return Fault("ServiceUnavailableException", message, Type="Service")


class Cycle:
    """What a connection knows of a request. more_body: it is not complete; head: bytes that URL and headers count as;
    queued: behind another one; hold: its room in the budget, once it has asked for any."""

    __slots__ = (
        "disconnected", "head", "hold", "keep_alive", "more_body", "protocol", "queued", "response_complete",
        "response_started",
    )  # fmt: skip

    def __init__(self, protocol: Protocol, keep_alive: bool) -> None:
        self.protocol = protocol
        self.keep_alive = keep_alive
        self.more_body = True
        self.response_started = self.response_complete = False
        self.disconnected = self.queued = False
        self.head = 0
        self.hold: Hold | None = None

    @property
    def received(self) -> int:
        """Bytes of its body that have come."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        raise NotImplementedError

    def completed(self) -> None:
        """The body is complete."""
        self.more_body = False

    def begin(self) -> None:
        """It is its turn."""
        raise NotImplementedError

    def take(self) -> bool:
        """Holds what has come. Is there room?"""
        raise NotImplementedError

    def leave(self) -> None:
        """The connection is over."""
        raise NotImplementedError

    def holding(self) -> Hold:
        if self.hold is None:
            self.hold = Hold(self.protocol.budget)
        return self.hold

    def release(self) -> None:
        if self.hold is not None:
            self.hold.release()


class InvokeCycle(Cycle):
    """One Invoke."""

    __slots__ = (
        "_pieces", "_size", "claim", "crowded", "headers", "key", "limit", "looked_at", "too_large", "url",
    )  # fmt: skip

    def __init__(
        self,
        protocol: Protocol,
        url: bytes,
        headers: list[Header],
        keep_alive: bool,
        limit: int,
        key: bytes | None = None,
    ) -> None:
        """key: under which an event is known once it is accepted."""
        super().__init__(protocol, keep_alive)
        self.key = key
        self.url = url
        self.headers = headers
        self.limit = limit
        self._pieces: list[bytes] = []  # of the body
        self._size = 0
        self.looked_at = False
        self.too_large = False
        self.crowded = False  # there was no room for what came
        self.claim: Claim | None = None

    def feed(self, data: bytes) -> None:
        if self.too_large or self._size + len(data) > self.limit:
            self.too_large = True
            self.taken()
            return
        self._size += len(data)
        self._pieces.append(data)

    @property
    def received(self) -> int:
        return self._size

    def taken(self) -> bytes:
        """What has come of the body, which is not held here any more."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        return b"".join(pieces)

    def declared(self) -> int | None:
        """The body's length, if the headers have it."""
        return next((int(value) for name, value in self.headers if name == b"content-length"), None)

    def needs(self) -> int:
        """Bytes to be reserved for the body, when it is still to come: 0 while it needs no more than it has."""
        length, size = self.declared(), self._size
        if length is None:
            length = min(self.limit, size + _STEP)
        held = 0 if self.hold is None else self.hold.bytes
        enough = self.head + COPIES * min(length, size + _STEP // 2) <= held
        return 0 if enough or length <= FREE else self.head + COPIES * length

    def take(self) -> bool:
        """Holds what has come."""
        size = self.head + COPIES * self._size
        if size > FREE:
            self.crowded = not self.holding().take(size)
        return not self.crowded

    def completed(self) -> None:
        self.more_body = False
        if self._size > FREE:
            self.take()
        if not self.queued:
            self._run()

    def begin(self) -> None:
        self.queued = False
        if self.more_body:
            self.admit()
        else:
            self._run()

    def _run(self) -> None:
        protocol = self.protocol
        protocol.running = self
        if self.hold is not None:
            if protocol.waits:
                protocol.waits = False
                protocol.budget.leave_line(self.hold)
                protocol.resume_reading()
            self.hold.unwatch()
        if self.crowded:
            protocol.endpoint.refuse(self, no_room())
        else:
            protocol.endpoint.invoke(self)

    def admit(self) -> None:
        """The body is still to come: its sender is looked at, then room is made for it."""
        protocol = self.protocol
        protocol.running = self
        if not self.looked_at:
            self.looked_at = True
            if not protocol.endpoint.look(self):
                return
            self.too_large = self.too_large or (self.declared() or 0) > self.limit
        if self.too_large:
            protocol.endpoint.invoke(self)  # which says so
        elif not self.take():
            protocol.endpoint.refuse(self, no_room())
        elif total := self.needs():
            self._reserve(total)
        else:
            protocol.go_on()

    def _reserve(self, total: int) -> None:
        protocol = self.protocol
        hold = self.holding()
        hold.unwatch()

        def then(room: bool) -> None:
            protocol.waits = False
            if room:
                hold.watch(total, lambda: self.received, protocol.too_slow)
                protocol.go_on()
            else:
                protocol.endpoint.refuse(self, no_room())

        protocol.waits = True
        hold.reserve(total, then)
        if protocol.waits:
            protocol.pause_reading()

    def leave(self) -> None:
        """The connection is over."""
        self.disconnected = True
        if self.hold is not None and (
            self.more_body or self.queued
        ):  # else it is running, and ends with a response
            self.hold.release()

    def respond(self, status: int, headers: Sequence[Header], payload: bytes) -> bool:
        """The one response; dropped when the client has left. False, with nothing done: there is no room for it."""
        if self.response_complete:
            return True
        if self.hold is not None:
            self.hold.release()
        protocol = self.protocol
        transport = protocol.transport
        if self.disconnected or transport.is_closing():
            self.response_complete = True
            return True
        if len(payload) > WRITTEN and not protocol.outgoing.room(len(payload)):
            return False
        self.response_complete = True
        out = [STATUS_LINE[status], protocol.acceptor.date(), b"\r\n"]
        for name, value in headers:
            out += (name, b": ", value, b"\r\n")
        if status != 204:
            out += (b"content-length: ", b"%d" % len(payload), b"\r\n")
        ends = not self.keep_alive or self.more_body
        if ends:
            out.append(b"connection: close\r\n")
        out.append(b"\r\n")
        if len(payload) <= WRITTEN:
            transport.write(b"".join((*out, payload)))
        else:
            transport.writelines((b"".join(out), payload))
            protocol.outgoing.wrote(len(payload))
        if ends:
            protocol.finish()
        protocol.responded()
        return True

    def accepted(self, id: bytes, together: list[tuple[int, bytes, Protocol]]) -> None:
        """The response to an event that cannot be lost any more, in one write: now, or by who writes those of all of
        `together` (its descriptor and id) before anything else."""
        protocol = self.protocol
        transport = protocol.transport
        usual = self.keep_alive and not (
            self.response_complete or self.disconnected or transport.is_closing()
        )
        if not usual or protocol.pipeline or transport.get_write_buffer_size():
            self.respond(202, [(b"x-amzn-requestid", uuid_text(id).encode()), REMAPPED], b"")
            return
        self.response_complete = True
        if self.hold is not None:
            self.hold.release()
        together.append((protocol.descriptor, id, protocol))
        protocol.responded()

    def succeed(self, lines: bytes, payload: bytes) -> bool:
        """The usual response, in one write: 200, with these header lines. False as in respond()."""
        protocol = self.protocol
        transport = protocol.transport
        if self.response_complete or not self.keep_alive or self.disconnected or transport.is_closing():
            headers = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n") if line]
            return self.respond(200, headers, payload)  # type: ignore[arg-type]
        if self.hold is not None:
            self.hold.release()
        size = len(payload)
        large = size > WRITTEN
        if large and not protocol.outgoing.room(size):
            return False
        self.response_complete = True
        if large:
            transport.writelines((_HEAD % (protocol.acceptor.date(), lines, size, b""), payload))
            protocol.outgoing.wrote(size)
        else:
            transport.write(_HEAD % (protocol.acceptor.date(), lines, size, payload))
        protocol.responded()
        return True
