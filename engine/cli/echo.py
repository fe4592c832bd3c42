"""The function that `stoker doctor` invokes to see that the engine runs."""

from typing import Any


def handler(event: Any, _context: Any) -> Any:
    return event
