"""What queues say of their rows, and that they have no room for more."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import EngineError


class QueueFull(EngineError):
    """The queues have as many rows or bytes as they may: nothing was taken."""


class Leased(NamedTuple):
    """A row that is the caller's until it is settled, released or moved, or its term ends."""

    id: int
    attempts: int  # leases, this one included; of those without a term, the ones since the start
    first: int  # when it was put, by the service clock
    meta: bytes
    value: bytes


class Counts(NamedTuple):
    """ready: due, and leased by nobody; delayed: due later; bytes: of all of them, as limits count."""

    ready: int
    delayed: int
    leased: int
    bytes: int


class First(NamedTuple):
    """The row that a lease would get, in the order of leases: (due, id). put: by the service clock."""

    due: int
    id: int
    put: int
    meta: bytes


class Standing(NamedTuple):
    """Where a row stands. leased: or on its way back from a lease; due: by the service clock, and of a lease with a
    term that is not in place, its end."""

    queue: str
    attempts: int
    leased: bool
    due: int
