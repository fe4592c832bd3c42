"""How many workers a function should have: a pure decision on what its queue looks like."""

from __future__ import annotations

from typing import NamedTuple

PATIENCE_NS = 2_000_000  # an invocation that waits longer than this is worth a new worker: about one fork


class Load(NamedTuple):
    """One function's queue at one moment. Times in ns; ewma_ns 0: no invocation has ended yet."""

    waiting: int
    idle: int
    busy: int
    starting: int
    ewma_ns: int
    oldest_ns: int
    stuck: int = 0  # of the busy ones: with one invocation for more than a millisecond


class Bounds(NamedTuple):
    """At least `minimum` workers, at most `maximum`; idle ones beyond the minimum go after keep_alive ns."""

    minimum: int
    maximum: int
    keep_alive_ns: int


def workers_to_start(load: Load, bounds: Bounds) -> int:
    """How many to fork now.

    Lambda starts an environment for every invocation that finds none idle. Microsecond functions must not:
    what waits would be done before the fork is. So: one each while no duration is measured or no worker is up;
    otherwise only as many as bring the expected wait below PATIENCE_NS.
    """
    have = load.idle + load.busy + load.starting
    room = bounds.maximum - have
    if room <= 0:
        return 0
    floor = max(0, bounds.minimum - have)
    if load.waiting == 0:
        return min(floor, room)
    working = load.idle + load.busy - load.stuck
    unserved = max(0, load.waiting - load.starting) if load.ewma_ns == 0 or working == 0 else load.waiting
    if load.ewma_ns == 0 or working == 0:
        return min(room, max(floor, unserved))
    expected = load.waiting * load.ewma_ns // max(1, working + load.starting)
    if expected <= PATIENCE_NS and load.oldest_ns <= PATIENCE_NS:
        return min(floor, room)
    useful = -(-load.waiting * load.ewma_ns // PATIENCE_NS)
    return min(room, max(floor, 1, min(load.waiting, useful) - load.starting))


def may_retire(idle_ns: int, have: int, bounds: Bounds) -> bool:
    """Is this worker, idle for so long, one too many?"""
    return have > bounds.minimum and idle_ns >= bounds.keep_alive_ns
