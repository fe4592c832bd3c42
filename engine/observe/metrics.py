"""What metrics were given since they were last taken: each value into the point of its minute. Kept elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .points import Point

MINUTE = 60


class Series(NamedTuple):
    """One metric, as CloudWatch tells them apart. dimensions: in the order of their names; unit: CloudWatch's."""

    region: str
    account: str
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    unit: str = "None"


Key = tuple[Series, int, int]  # and the span of time: its length, its beginning in epoch seconds


class Metrics:
    """Any thread may add."""

    def __init__(self, clock: Callable[[], float] = time.time, own: bool = True) -> None:
        """own: keep the server's own, of the namespaces AWS/…, too."""
        self.clock = clock
        self.own = own
        self._points: dict[Key, Point] = {}
        self._lock = threading.Lock()
        self._collectors: list[Callable[[Metrics], object]] = []

    def collect(self, collector: Callable[[Metrics], object]) -> None:
        """Have it called, in the event loop, before points are taken: it adds what it has."""
        self._collectors.append(collector)

    def gather(self) -> None:
        """Belongs to the event loop."""
        for collector in self._collectors:
            collector(self)

    def add(
        self, series: Series, value: float, times: float = 1, at: float | None = None, span: int = MINUTE
    ) -> None:
        """at: epoch seconds, or now; span: a minute, or a second."""
        if not self._wanted(series):
            return
        at = self.clock() if at is None else at
        key = (series, span, int(at // span) * span)
        with self._lock:
            point = self._points.get(key)
            if point is None:
                point = self._points[key] = Point(buckets={})
            point.add(value, times)

    def merge(self, series: Series, point: Point, at: float, span: int = MINUTE) -> None:
        """What several values add up to."""
        if not self._wanted(series):
            return
        key = (series, span, int(at // span) * span)
        with self._lock:
            known = self._points.get(key)
            if known is None:
                self._points[key] = point.copy()
            else:
                known.merge(point)

    def _wanted(self, series: Series) -> bool:
        return self.own or not series.namespace.startswith("AWS/")

    def take(self) -> dict[Key, Point]:
        """What came since the last time."""
        with self._lock:
            taken, self._points = self._points, {}
        return taken
