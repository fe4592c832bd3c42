"""A request to a service and its response, as transport and protocols hand them over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Headers = Sequence[tuple[str, str]]  # names in lower case


@dataclass(slots=True)
class Request:
    """An HTTP request. path and query as they were on the wire, percent-encoded; client: the peer's address; left:
    waits, once the body was read, until the client has left, for operations that wait themselves."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = b""
    scheme: str = "http"
    client: str = "127.0.0.1"
    port: int = 80
    left: Callable[[], Awaitable[object]] | None = None
    _values: dict[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    def header(self, name: str) -> str:
        """A header's first value, "" when there is none. name: in lower case."""
        values = self._values
        if values is None:
            values = self._values = dict(reversed(self.headers))
        return values.get(name, "")


@dataclass(slots=True)
class Response:
    """file, pieces: what is sent, a piece at a time, in the place of the body; of pieces, each as it comes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    file: Path | None = None
    pieces: AsyncGenerator[bytes, None] | None = None
