"""The aws-chunked encoding of bodies: chunks that each have a length, and a signature of their own or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from .faults import Fault

_LINE = 8192  # bytes of a chunk's head, or of a trailer, at most
_STREAMED = "STREAMING-"


def is_chunked(headers: Sequence[tuple[str, str]]) -> bool:
    """Is the body of a request with these headers (names in lower case) so encoded?"""
    return any(name == "x-amz-content-sha256" and value.startswith(_STREAMED) for name, value in headers)


class Chunked:
    """Decodes one body. What stands in the chunks' heads beside their lengths, and the trailers, is skipped."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._left = 0  # of the chunk
        self._in_data = False
        self.done = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that data completes. Raises Fault: it is not so encoded."""
        self._held += data
        while self._held and not self.done:
            if self._in_data:
                piece = bytes(self._held[: self._left])
                del self._held[: len(piece)]
                self._left -= len(piece)
                if piece:
                    yield piece
                if self._left or len(self._held) < 2:
                    return
                if self._held[:2] != b"\r\n":
                    raise _broken()
                del self._held[:2]
                self._in_data = False
                continue
            line, end, rest = self._held.partition(b"\r\n")
            if not end:
                if len(line) > _LINE:
                    raise _broken()
                return
            length = bytes(line.partition(b";")[0])
            if not length or length.strip(b"0123456789abcdefABCDEF"):
                raise _broken()
            self._held, self._left = rest, int(length, 16)
            self._in_data, self.done = self._left > 0, self._left == 0


async def decoded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body without its encoding. Raises Fault."""
    chunked = Chunked()
    async for piece in pieces:
        for each in chunked.feed(piece):
            yield each
    if not chunked.done:
        raise _broken()


def _broken() -> Fault:
    text = "The request body terminated unexpectedly, or is not aws-chunked as its headers say"
    return Fault("IncompleteBody", text)
