"""The table of records: a value by its partition, table, owner and id. What a partition is is its writers' business."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from .store import Damage, checksum, intact

_TABLE = """
CREATE TABLE records (part TEXT NOT NULL, tbl TEXT NOT NULL, owner TEXT NOT NULL, id TEXT NOT NULL,
                      value BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (part, tbl, owner, id)) WITHOUT ROWID
"""
Row = tuple[str, str, str, str, bytes]  # partition, table, owner, id, value


@dataclass(frozen=True, slots=True)
class Put:
    partition: str
    table: str
    owner: str
    id: str
    value: bytes

    def apply(self, connection: sqlite3.Connection) -> None:
        key = (self.partition, self.table, self.owner, self.id)
        connection.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)",
            (*key, self.value, checksum(self.value, *key)),
        )


@dataclass(frozen=True, slots=True)
class Delete:
    partition: str
    table: str
    owner: str
    id: str

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM records WHERE part=? AND tbl=? AND owner=? AND id=?",
            (self.partition, self.table, self.owner, self.id),
        )


class Records:
    """The kind. Version 1 had no partitions: what it holds goes to `partition`."""

    name = "records"
    version = 2

    def __init__(self, partition: str = "") -> None:
        self._partition = partition

    def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        if version:
            connection.execute("ALTER TABLE records RENAME TO records_1")
        connection.execute(_TABLE)
        if version:
            for table, owner, id, value, sum in connection.execute(
                "SELECT tbl, owner, id, value, sum FROM records_1"
            ):
                if not intact(sum, value, table, owner, id):
                    raise _changed(table, owner, id)
                Put(self._partition, table, owner, id, value).apply(connection)
            connection.execute("DROP TABLE records_1")

    def load(self, connection: sqlite3.Connection) -> Iterator[Row]:
        for *key, value, sum in connection.execute("SELECT part, tbl, owner, id, value, sum FROM records"):
            partition, table, owner, id = key
            if not intact(sum, value, *key):
                raise _changed(table, owner, id)
            yield partition, table, owner, id, value


def _changed(table: str, owner: str, id: str) -> Damage:
    return Damage(f"the record {table} {owner} {id} is not what was written")
