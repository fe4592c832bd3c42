"""The door to where workers come from: what the control loop asks of an environment, and what that reports.

An environment initialises one function and makes its workers. How is its own affair; forked.py is the kind that forks
them. Everything here is called in the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .population import FunctionState


class Environment(Protocol):
    """One function's."""

    @property
    def full(self) -> bool:
        """It has as many requests for workers under way as it takes at a time."""

    def spawn(self, lane: int, core: int, more: bool, born: int, fds: list[int]) -> None:
        """Make a worker for a lane, of these descriptors: down, up, event, and both ends of its output.

        core: the one to pin it to, or -1; more: the function may have another worker after this one; born: epoch us,
        0: it is the function's first. Raises OSError when the environment is gone.
        """

    def worker_died(self, lane: int) -> None:
        """That lane's worker is dead: it has to report so."""

    def kill(self) -> None:
        """Its init takes too long: end it, and report that."""

    def stop(self) -> None:
        """End it and report nothing of it any more. It has no workers."""


class Environments(Protocol):
    """All of one kind."""

    def open(self) -> None:
        """What can be done before the first function comes. Raises OSError."""

    def start(self, state: FunctionState) -> Environment | None:
        """A new one, which begins the function's init. None when that cannot be now: `Owner.scale` is called when it
        can. Raises OSError."""

    def close(self) -> None:
        """End them all, and every process below them."""


class InitReports(Protocol):
    """What an environment reports of itself until it is stopped; `not_made` and `ended` come last."""

    def began(self, state: FunctionState) -> None:
        """Its process is there: the time that its init may take begins."""

    def not_made(self, state: FunctionState, errno: int) -> None:
        """There is no process, or no memory, for it."""

    def initialised(self, state: FunctionState, seconds: float) -> None:
        """It makes workers from now on. seconds: what the init took."""

    def init_failed(self, state: FunctionState, error: bytes, peak_kib: int) -> None:
        """The init raised. error: Lambda's error object as JSON."""

    def cannot_fork(self, state: FunctionState, reason: str) -> None:
        """The init left what must not be shared: each worker needs an init of its own."""

    def ended(self, state: FunctionState, ready: bool, status: int, peak_kib: int) -> None:
        """It ended of itself, or was killed, and its workers with it. ready: its init was over."""


class WorkerReports(Protocol):
    """What it reports of the workers that it was to make, by their lanes: one of the first two, then the third."""

    def forked(self, state: FunctionState, lane: int, pid: int, pidfd: int) -> None:
        """It is there; the receiver owns the pidfd."""

    def fork_failed(self, state: FunctionState, lane: int, errno: int) -> None:
        """There is no process, or no memory, for it."""

    def ended(self, lane: int, status: int, peak_kib: int) -> None:
        """status: an exit status, or -signal."""
