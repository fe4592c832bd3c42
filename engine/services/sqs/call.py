"""What an operation knows of the request that it is carried out for."""

from __future__ import annotations

from dataclasses import dataclass

from ...aws.names import Place
from .polls import Left


@dataclass(slots=True)
class Call:
    """place: of the caller; base: the URL that the client knows the server by; trace: X-Amzn-Trace-Id, "" for none."""

    place: Place
    base: str
    trace: str = ""
    left: Left | None = None
