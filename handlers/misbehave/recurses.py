"""Sin: recurses without end in Python (a RecursionError, not a crash)."""

from typing import Any


def handler(event: Any, context: Any) -> Any:
    return handler(event, context)
