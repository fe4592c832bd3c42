"""Points of metrics on the disk: by series and time, merged as they come, coarser with age, within a bound of bytes.

As CloudWatch keeps them: points of a second for 3 hours, of a minute for 15 days, of five minutes for 63 days, of an
hour for 455 days. A database of its own: what it loses is no state. Belongs to one thread.

A point of the running minute comes again and again. So what was written last is kept in memory until the next time:
what is found there need not be read. Invariant: `_written` is what the database has, or empty.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from ...durable.aside import Aside
from ...observe.metrics import Key, Series
from ...observe.points import Point, decode, encode
from . import index
from .index import Listed, SeriesIndex, Wanted

HOUR, DAY = 3600, 86_400
# Seconds of a point, how long it is kept, and the seconds of the point that it is merged into then (0: none).
SPANS = ((1, 3 * HOUR, 60), (60, 15 * DAY, 300), (300, 63 * DAY, 3600), (3600, 455 * DAY, 0))
MOST_BYTES = 256 << 20
_BATCH = 2_000  # points that are merged or dropped in one transaction
_TABLES = """
CREATE TABLE IF NOT EXISTS points (series INTEGER NOT NULL, span INTEGER NOT NULL, stamp INTEGER NOT NULL,
                                   value BLOB NOT NULL, PRIMARY KEY (series, span, stamp)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS points_by_age ON points (span, stamp);
"""


class PointStore:
    """Raises StoreError where the disk fails; nothing was changed then."""

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.time, most_bytes: int = MOST_BYTES
    ) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._database = Aside(path, index.TABLES + _TABLES)
        self._connection = self._database.connection
        self._index = SeriesIndex(self._connection)
        self._written: dict[Key, tuple[int, Point]] = {}  # and the series' number

    def close(self) -> None:
        self._database.close()

    def put(self, points: Mapping[Key, Point]) -> None:
        """Durable when this returns."""
        before, self._written = self._written, {}
        written = {}
        with self._database.explained():
            with self._database.transaction():
                for key, point in points.items():
                    series, span, stamp = key
                    id, known = before.get(key) or (self._index.enter(series, stamp), None)
                    written[key] = id, self._merge(id, span, stamp, point, known)
            self._written = written
            self._shrink()

    def _merge(self, id: int, span: int, stamp: int, point: Point, stored: Point | None = None) -> Point:
        """What is there then, which is its caller's. stored: what is there, where that is known."""
        key = (id, span, stamp)
        if stored is None:
            row = self._connection.execute(
                "SELECT value FROM points WHERE series=? AND span=? AND stamp=?", key
            ).fetchone()
            stored = _point(row[0]) if row is not None else None
        if stored is None:
            stored = point.copy()
        else:
            stored.merge(point)
        self._connection.execute("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", (*key, encode(stored)))
        return stored

    def read(self, wanted: Series, start: float, end: float, period: int, first: int = 0) -> dict[int, Point]:
        """By the beginning of each period: what a series, or all of its units (index.ANY), adds up to from start to
        end. first: the beginning of any period."""
        found: dict[int, Point] = {}
        with self._database.explained():
            for id, _ in self._index.find(wanted):
                rows = self._connection.execute(
                    "SELECT stamp, value FROM points WHERE series=? AND span<=? AND stamp>=? AND stamp<?",
                    (id, period, math.floor(start), math.ceil(end)),
                )
                for stamp, value in rows:
                    at = (stamp - first) // period * period + first
                    point = found.get(at)
                    if point is None:
                        found[at] = _point(value)
                    else:
                        point.merge(_point(value))
        return found

    def units(self, wanted: Series) -> list[str]:
        """Those that there are of a series whose unit may be any."""
        with self._database.explained():
            return [unit for _, unit in self._index.find(wanted)]

    def page(self, wanted: Wanted, most: int) -> list[Listed]:
        with self._database.explained():
            return self._index.page(wanted, most)

    def tidy(self) -> None:
        """What is old enough becomes coarser, or goes; so does the oldest where there are too many bytes."""
        now = int(self._clock())
        self._written = {}
        with self._database.explained():
            for span, keep, coarser in SPANS:
                while self._age(span, now - keep, coarser):
                    pass
            self._shrink()
            gone = self._index.pointless(now - SPANS[1][1])
            with self._database.transaction():
                self._index.forget(gone)

    def _shrink(self) -> None:
        while self._database.size() > self._most_bytes and self._drop_oldest():
            pass

    def _age(self, span: int, before: int, coarser: int) -> bool:
        """Some of one span that are older than that. False: there are none."""
        rows = self._connection.execute(
            "SELECT series, stamp, value FROM points WHERE span=? AND stamp<? ORDER BY stamp LIMIT ?",
            (span, before, _BATCH),
        ).fetchall()
        with self._database.transaction() as run:
            for id, stamp, value in rows:
                if coarser:
                    self._merge(id, coarser, stamp // coarser * coarser, _point(value))
                run("DELETE FROM points WHERE series=? AND span=? AND stamp=?", (id, span, stamp))
        return len(rows) == _BATCH

    def _drop_oldest(self) -> bool:
        """And the series that have no other point. False: there are none."""
        self._written = {}
        with self._database.transaction() as run:
            rows = run("SELECT series, span, stamp FROM points ORDER BY stamp LIMIT ?", (_BATCH,)).fetchall()
            for row in rows:
                run("DELETE FROM points WHERE series=? AND span=? AND stamp=?", row)
            self._index.forget({id for id, _, _ in rows if not self._has(id)})
        self._database.shrink()
        return bool(rows)

    def _has(self, id: int) -> bool:
        found = self._connection.execute("SELECT 1 FROM points WHERE series=? LIMIT 1", (id,))
        return found.fetchone() is not None


def _point(data: bytes) -> Point:
    """A row's point; an empty one where it cannot be read: it keeps nothing else from being written and read."""
    try:
        return decode(data)
    except msgspec.DecodeError:
        return Point(buckets={})
