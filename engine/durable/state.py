"""Records by partition: in memory for reading, and on disk before any change is seen.

A partition's tables have owners (a function's name, say) and each owner its records by id (a version). A record is a
dict of what an API shows, and of private members whose names begin with "_". Records are never changed in place: a
change puts new ones, so a reader (the invoke path, in another thread) sees the old or the new one, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from .records import Delete, Put, Records
from .store import Store

Record = dict[str, Any]
Tables = dict[str, dict[str, dict[str, Record]]]
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


Watcher = Callable[["State", Change], object]


class State:
    """Every table of one partition. A table is changed from one thread; any thread may read."""

    def __init__(self, store: Store | None, partition: str, tables: Tables, watchers: list[Watcher]) -> None:
        """store: None, of a copy, whose changes another process has made durable."""
        self._store = store
        self.partition = partition
        self._tables = tables
        self._watchers = watchers

    def get(self, table: str, owner: str, id: str = "") -> Record | None:
        return self._tables.get(table, {}).get(owner, _EMPTY).get(id)

    def owned(self, table: str, owner: str) -> Mapping[str, Record]:
        """An owner's records by id."""
        return self._tables.get(table, {}).get(owner, _EMPTY)

    def owners(self, table: str) -> list[str]:
        """In order."""
        return sorted(self._tables.get(table, {}))

    def records(self) -> Iterator[tuple[str, str, str, Record]]:
        """Every one, with its table, owner and id."""
        for table, owners in self._tables.items():
            for owner, owned in owners.items():
                for id, record in owned.items():
                    yield table, owner, id, record

    @contextmanager
    def change(self) -> Iterator[Change]:
        """`with state.change() as change:` collects puts and deletes; at its end they are made durable, then
        visible. An exception inside drops them. Raises StoreError when they cannot be made durable: nothing changed."""
        change = Change()
        yield change
        if not change.steps:
            return
        assert self._store is not None, "a copy follows by apply()"
        self._store.commit(
            [
                Delete(self.partition, table, owner, id)
                if record is None
                else Put(self.partition, table, owner, id, msgspec.json.encode(record))
                for table, owner, id, record in change.steps
            ]
        ).result()
        self.apply(change)

    def apply(self, change: Change) -> None:
        """What is durable becomes visible."""
        for table, owner, id, record in change.steps:
            owners = self._tables.setdefault(table, {})
            # Copied, so that an iteration under way goes on undisturbed.
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
        for watcher in self._watchers:
            watcher(self, change)


class States:
    """Every partition's state, as loaded from the store in one pass. store: None, of copies."""

    def __init__(self, store: Store | None) -> None:
        self.watchers: list[Watcher] = []  # called after each change, once it is durable and visible
        self._store = store
        self._states: dict[str, State] = {}
        partitions: dict[str, Tables] = {}
        for partition, table, owner, id, value in store.load(Records()) if store else ():
            tables = partitions.setdefault(partition, {})
            tables.setdefault(table, {}).setdefault(owner, {})[id] = msgspec.json.decode(value)
        for partition, tables in partitions.items():
            self._states[partition] = State(store, partition, tables, self.watchers)

    def of(self, partition: str) -> State:
        """Made when it is first asked for, from any thread."""
        state = self._states.get(partition)
        return state or self._states.setdefault(partition, State(self._store, partition, {}, self.watchers))

    def known(self, partition: str) -> bool:
        """Was it loaded, or asked for?"""
        return partition in self._states

    def all(self) -> list[State]:
        return list(self._states.values())
