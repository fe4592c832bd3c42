"""A request to a service and its response, as the transport hands them over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[str, str]]  # names in lower case


@dataclass(slots=True)
class Request:
    """path and query are raw: percent-encoded, as on the wire."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = b""
    scheme: str = "http"
    client: str = "127.0.0.1"
    port: int = 80

    def header(self, name: str) -> str:
        """The first value of a header, "" when it is absent."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass(slots=True)
class Response:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
