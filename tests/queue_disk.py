"""What a queue's files have, read beside the server."""

from __future__ import annotations

import sqlite3
from fnmatch import fnmatchcase

from engine.durable import queue_images


def rows(connection: sqlite3.Connection, pattern: str = "*") -> list[int]:
    """The ids of rows of queues of such names, whether they have rows of their own or are in an image."""
    connection.execute("BEGIN")  # all as of one moment
    found = list(connection.execute("SELECT id, queue FROM queue"))
    for (queue,) in connection.execute("SELECT DISTINCT queue FROM queue_image").fetchall():
        for row in queue_images.after(connection, queue, -1, 0, 0, 1 << 60):
            assert not isinstance(row, int), f"the image {row} is damaged"
            found.append((row.id, queue))
    connection.execute("ROLLBACK")
    ids = [id for id, queue in found if fnmatchcase(queue, pattern)]
    assert len(ids) == len(set(ids)), "a row is there twice"
    return ids
