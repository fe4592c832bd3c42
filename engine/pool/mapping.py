"""map(): its results as they are asked for, in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from ..worker.pickled import Data
from .calls import Calls
from .future import value_of
from .pool import Pool, Result

COLLECTED = 64  # tasks that are submitted between two looks at what is done
_PENDING = object()


class _Item:
    """A place for one task's result."""

    __slots__ = ("_event", "_pool", "result", "ticket")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._event: threading.Event | None = None
        self.result: Any = _PENDING  # or a Result
        self.ticket = -1

    def deliver(self, result: Result, shepherd: bool) -> bool:
        self.result = result
        if self._event is not None:
            self._event.set()
        return True

    def done(self) -> bool:
        return self.result is not _PENDING

    def withdraw(self) -> None:
        if self.result is _PENDING:
            self._pool.collector.cancel(self.ticket)

    def value(self, until: float | None) -> Any:
        while self.result is _PENDING:
            if until is not None and time.monotonic() >= until:
                raise TimeoutError
            self._pool.collector.lead(self, until)
            if self.result is _PENDING:
                self._event = threading.Event()
                if self.result is _PENDING:  # another thread looks for it
                    self._event.wait(None if until is None else max(0.0, until - time.monotonic()))
        return value_of(self._pool, self.result)


def run(
    pool: Pool,
    calls: Calls,
    function: Callable[..., Any],
    arguments: Iterator[tuple[Any, ...]],
    *,
    timeout: float | None,
    chunk: int,
    buffer: int | None,
) -> Iterator[Any]:
    """Begins at once, not when the first result is asked for. buffer: tasks that are under way at most."""
    until = None if timeout is None else time.monotonic() + timeout
    imported = getattr(function, "__module__", None) or ""

    encode: Callable[[Any], Data]
    parts: Iterator[Any] = arguments
    if chunk == 1:
        encode = partial(calls.positional, function)
    else:
        encode = partial(calls.chunk, function)
        parts = iter(lambda: list(islice(arguments, chunk)), [])
    begun = (_submitted(pool, encode, part, imported) for part in parts)
    items: deque[_Item] = deque()
    with pool.collector.submitting() as collect:
        for item in islice(begun, buffer):
            items.append(item)
            if not len(items) % COLLECTED:
                collect()
    return _results(items, begun, until, chunk)


def _submitted(pool: Pool, encode: Callable[[Any], Data], part: Any, imported: str) -> _Item:
    item = _Item(pool)
    try:
        data = encode(part)
    except Exception as error:  # raised where its result would be
        item.result = error
    else:
        item.ticket = pool.submit(data, item, None, imported)
    return item


def _results(items: deque[_Item], begun: Iterator[_Item], until: float | None, chunk: int) -> Iterator[Any]:
    try:
        while items:
            value = items[0].value(until)
            items.popleft()
            items.extend(islice(begun, 1))
            if chunk == 1:
                yield _only(value := [value])
            else:
                value.reverse()
                while value:
                    yield value.pop()
    finally:
        for item in items:
            item.withdraw()


def _only(values: list[Any]) -> Any:
    """So that nobody but the caller refers to it."""
    return values.pop()
