"""Gives the payload's bytes back as they are (for codec="raw")."""

from typing import Any


def handler(payload: Any, context: Any) -> Any:
    return payload
