"""The series that have points, on the disk beside them: found by their names, listed in order.

Nothing of them is kept in memory but the pages that SQLite caches: a name that was there once costs none. Belongs to
the thread of the points.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from ...observe.metrics import Series

TABLES = """
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, region TEXT NOT NULL, account TEXT NOT NULL,
                                   namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL,
                                   unit TEXT NOT NULL, last INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS series_by_name ON series (region, account, namespace, name, dimensions, unit);
CREATE TABLE IF NOT EXISTS dimensions (name TEXT NOT NULL, value TEXT NOT NULL, series INTEGER NOT NULL,
                                       PRIMARY KEY (name, value, series)) WITHOUT ROWID;
"""
STEP = 60  # seconds: so much later than it is written a series' newest point may be
ANY = ""  # of a series' unit: whichever there is
_NAMED = "region=? AND account=? AND namespace=? AND name=? AND dimensions=?"

Dimensions = tuple[tuple[str, str], ...]
Listed = tuple[str, str, Dimensions]  # namespace, name, dimensions
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Dimensions).decode


class Wanted(NamedTuple):
    """Which series a list is to have. dimensions: names, and their values or None for any; since: the epoch seconds
    that their newest point is of, at least; after: the last one of the page before."""

    region: str
    account: str
    namespace: str | None = None
    name: str | None = None
    dimensions: Sequence[tuple[str, str | None]] = ()
    since: float = 0
    after: Listed | None = None


class SeriesIndex:
    def __init__(self, connection: sqlite3.Connection) -> None:
        """The connection has TABLES."""
        self._run = connection.execute

    def enter(self, series: Series, stamp: int) -> int:
        """A series' id, that has a point of this time now; in a transaction."""
        of = _text(series.dimensions)
        key = (*series[:4], of, series.unit)
        row = self._run(f"SELECT id, last FROM series WHERE {_NAMED} AND unit=?", key).fetchone()
        if row is not None:
            if stamp - row[1] >= STEP:
                self._run("UPDATE series SET last=? WHERE id=?", (stamp, row[0]))
            return int(row[0])
        made = self._run("INSERT INTO series VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", (*key, stamp)).lastrowid
        assert made is not None
        for name, value in series.dimensions:
            self._run("INSERT INTO dimensions VALUES (?, ?, ?)", (name, value, made))
        return made

    def find(self, series: Series) -> list[tuple[int, str]]:
        """Ids and units; of one whose unit is ANY, of each unit that there is."""
        rows = self._run(
            f"SELECT id, unit FROM series WHERE {_NAMED} AND (?='' OR unit=?)",
            (*series[:4], _text(series.dimensions), series.unit, series.unit),
        )
        return [(id, unit) for id, unit in rows]

    def page(self, wanted: Wanted, most: int) -> list[Listed]:
        """So many of them, in order; those that differ in their units only are one."""
        plus = "+" if wanted.dimensions else ""  # SQLite is to use the index of dimensions: it finds less
        where = [f"{plus}region=? AND account=? AND last>=?"]
        values: list[Any] = [wanted.region, wanted.account, wanted.since]
        for column, value in (("namespace", wanted.namespace), ("name", wanted.name)):
            if value is not None:
                where.append(f"{column}=?")
                values.append(value)
        for name, given in wanted.dimensions:
            where.append(
                f"id IN (SELECT series FROM dimensions WHERE name=?{'' if given is None else ' AND value=?'})"
            )
            values += [name] if given is None else [name, given]
        if wanted.after is not None:
            namespace, name, of = wanted.after
            where.append("(namespace, name, dimensions) > (?, ?, ?)")
            values += [namespace, name, _text(of)]
        rows = self._run(
            f"SELECT DISTINCT namespace, name, dimensions FROM series WHERE {' AND '.join(where)}"
            " ORDER BY namespace, name, dimensions LIMIT ?",
            (*values, most),
        )
        return [(namespace, name, _decode(of)) for namespace, name, of in rows]

    def pointless(self, before: float) -> list[int]:
        """Those that have no point any more, and have had none since."""
        rows = self._run(
            "SELECT id FROM series WHERE last<? AND NOT EXISTS (SELECT 1 FROM points WHERE series=series.id)",
            (before,),
        )
        return [id for (id,) in rows]

    def forget(self, ids: Iterable[int]) -> None:
        """In a transaction."""
        for id in ids:
            row = self._run("SELECT dimensions FROM series WHERE id=?", (id,)).fetchone()
            for name, value in _decode(row[0]) if row else ():
                self._run("DELETE FROM dimensions WHERE name=? AND value=? AND series=?", (name, value, id))
            self._run("DELETE FROM series WHERE id=?", (id,))


def _text(of: Dimensions) -> str:
    return _encode(of).decode()
