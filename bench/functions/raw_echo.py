"""Returns the payload's bytes as they are (for codec="raw")."""

from typing import Any


def handler(payload: Any, context: Any) -> Any:
    return payload
