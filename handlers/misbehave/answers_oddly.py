"""Sin: returns what JSON can hardly express, or not at all (event: a Python expression, or how deep to nest)."""

import sys
from typing import Any


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def handler(event: Any, context: Any) -> Any:
    if isinstance(event, int):
        sys.setrecursionlimit(1_000_000)  # deeper than its caller can read
        return nested(event)
    return eval(event)
