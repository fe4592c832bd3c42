"""Handlers whose ends are more than a result: one that fails, one that prints."""

from typing import Any


def fail(event: Any, context: Any) -> Any:
    raise ValueError("it cannot be")


def chatter(event: Any, context: Any) -> Any:
    for number in range(100):
        print("line", number)
    return event
