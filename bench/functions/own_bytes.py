"""Returns bytes of its own, as a handler that makes its result does (for codec="raw")."""

from typing import Any


def handler(payload: Any, context: Any) -> bytes:
    return bytes(payload)
