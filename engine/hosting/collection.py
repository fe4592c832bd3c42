"""What the records of every place need on the disk: counted as they change, so that what nothing names goes at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..durable.state import Change, State, States
from .allocator import give_back
from .packages import Packages, needs

TRIMMED = 16  # packages that go until the memory that handling them took is given back
_log = logging.getLogger("stoker.hosting")
_Key = tuple[str, str, str, str]  # partition, table, owner, id


class Collection:
    """Counts for `packages` which records need what. Made at the server's start, once its records are settled."""

    def __init__(self, states: States, packages: Packages, later: Callable[..., object]) -> None:
        """later: calls a function with arguments in the loop that starts versions. Raises OSError."""
        self._packages = packages
        self._later = later
        self._gone = 0
        self._needs: dict[_Key, list[str]] = {}
        for state in states.all():
            for table, owner, id, record in state.records():
                self._put((state.partition, table, owner, id), record)
        named = {name for names in self._needs.values() for name in names}
        if aside := packages.reconcile(named):
            _log.warning(
                "%d packages that no function needs were set aside, in %s", len(aside), packages.aside
            )
        states.watchers.append(self._changed)

    def _put(self, key: _Key, record: dict[str, Any]) -> None:
        if names := needs(record):
            self._needs[key] = names
            self._packages.record(names)

    def _changed(self, state: State, change: Change) -> None:
        """In the thread that changes records. What is no longer needed is let go in the loop, behind what it does about
        the same change: it starts no version any more of a record that it has seen gone."""
        gone: list[str] = []
        for table, owner, id, record in change.steps:
            key = (state.partition, table, owner, id)
            gone += self._needs.pop(key, ())
            if record is not None:
                self._put(key, record)
        if gone:
            self._later(self._let_go, gone)

    def _let_go(self, names: list[str]) -> None:
        self._packages.unrecord(names)
        self._gone += len(names)
        if self._gone >= TRIMMED:
            self._gone = 0
            give_back()
