"""Returns bytes of its own making: a copy of the payload (for codec="raw")."""

from typing import Any


def handler(payload: Any, context: Any) -> Any:
    return bytes(payload)
