"""The control plane's records: in memory for reading, and on disk before any change is seen.

A table has owners (a function's name, say) and each owner its records by id (a version). A record is the dict that
the API answers with, in AWS's member names, and whatever private members begin with "_". Records are never changed in
place: a change puts new ones, so who reads (the invoke path, in another thread) sees the old or the new one, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from .store import Delete, Put, Store

Record = dict[str, Any]
_EMPTY: Mapping[str, Record] = {}


class Change:
    """What one operation changes, all of it or nothing."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str, str, Record | None]] = []

    def put(self, table: str, owner: str, id: str, record: Record) -> Record:
        self.steps.append((table, owner, id, record))
        return record

    def delete(self, table: str, owner: str, id: str) -> None:
        self.steps.append((table, owner, id, None))


class State:
    """Every table, as loaded from the store. Operations change it from one thread; any thread may read."""

    def __init__(self, store: Store, region: str, account: str) -> None:
        self.store = store
        self.region = region
        self.account = account
        self.watchers: list[
            Callable[[Change], object]
        ] = []  # told of each change after it is durable and visible
        self._tables: dict[str, dict[str, dict[str, Record]]] = {}
        for table, owner, id, value in store.load():
            self._tables.setdefault(table, {}).setdefault(owner, {})[id] = msgspec.json.decode(value)

    def get(self, table: str, owner: str, id: str = "") -> Record | None:
        return self._tables.get(table, {}).get(owner, _EMPTY).get(id)

    def owned(self, table: str, owner: str) -> Mapping[str, Record]:
        """An owner's records by id."""
        return self._tables.get(table, {}).get(owner, _EMPTY)

    def owners(self, table: str) -> list[str]:
        """In order."""
        return sorted(self._tables.get(table, {}))

    @contextmanager
    def change(self) -> Iterator[Change]:
        """`with state.change() as change:` collects puts and deletes; at its end they are made durable, then
        visible. An exception inside drops them. Raises StoreError when they cannot be made durable: nothing changed."""
        change = Change()
        yield change
        if not change.steps:
            return
        self.store.commit(
            [
                Delete(table, owner, id)
                if record is None
                else Put(table, owner, id, msgspec.json.encode(record))
                for table, owner, id, record in change.steps
            ]
        ).result()
        for table, owner, id, record in change.steps:
            owners = self._tables.setdefault(table, {})
            # Copied, so that who iterates goes on undisturbed.
            owned = dict(owners.get(owner, _EMPTY))
            if record is None:
                owned.pop(id, None)
            else:
                owned[id] = record
            fresh = dict(owners) if (owner in owners) != bool(owned) else owners
            if owned:
                fresh[owner] = owned
            else:
                fresh.pop(owner, None)
            self._tables[table] = fresh
        for watcher in self.watchers:
            watcher(change)
