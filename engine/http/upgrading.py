"""Requests that ask for a WebSocket: whoever has their connection from then on gets their head as a Request."""

from __future__ import annotations

from collections.abc import Iterable

import httptools

from ..aws.messages import Request

_ASKED = (b"upgrade", b"websocket")


def asking(
    method: bytes, url: bytes, headers: Iterable[tuple[bytes, bytes]], client: str, port: int
) -> Request | None:
    """None for a request that asks for nothing else than HTTP. headers: names in lower case."""
    given = list(headers)
    if not any((name, value.lower()) == _ASKED for name, value in given):
        return None
    parsed = httptools.parse_url(url)
    return Request(
        method.decode("ascii"), parsed.path.decode("latin-1"), (parsed.query or b"").decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in given], client=client, port=port,
    )  # fmt: skip
