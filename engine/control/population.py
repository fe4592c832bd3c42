"""The control loop's records: an engine's functions, their environments and their workers."""

from __future__ import annotations

import contextlib
import signal
from concurrent.futures import Future
from typing import Any, Protocol

import msgspec

from .. import wire
from .._native import ffi
from ..calls.dispatch import FunctionSlot, LogSink
from .backoff import Breaker
from .environment import Environment
from .loop import Loop, Timer
from .scaling import Bounds


class WorkerState(msgspec.Struct, eq=False):
    """A worker as the control loop sees it."""

    lane: int  # the index of its lane
    function: FunctionState
    core: int
    event_fd: int
    stdio_r: int
    began: int  # ns
    born: int  # epoch us; 0: the function's first one
    pid: int = 0
    pidfd: int = -1
    ready: bool = False
    retired: bool = False
    doomed: bool = False
    late: bool = False  # its init, or its after-restore hooks, took too long
    timer: Timer | None = None  # when they do

    @property
    def log_name(self) -> str:
        """By which the log sink knows its output."""
        name, first = self.function.log_name, self.function.spec.deployed.log_stream
        return name.removesuffix(first) + wire.log_stream(first, self.born) if first else name


class FunctionState(msgspec.Struct, eq=False):
    """A function's processes."""

    slot: FunctionSlot
    spec: wire.FunctionSpec
    bounds: Bounds
    init_timeout: float
    log_name: str  # by which the log sink knows its output
    environment: Environment | None = None
    ready: bool = False  # the environment is initialised
    late: bool = False  # its init took too long
    init_timer: Timer | None = None
    workers: dict[int, WorkerState] = msgspec.field(default_factory=dict)  # by their lanes
    breaker: Breaker = msgspec.field(default_factory=Breaker)
    init_error: bytes = b""
    init_peak: int = 0  # KiB, of the init that failed so
    init_seconds: float = 0.0
    up: Future[float | None] = msgspec.field(default_factory=Future)  # of its start; its init's seconds
    added: int = 0
    births: int = 0  # workers that there were
    stopped: bool = False
    retry: Timer | None = None

    @property
    def key(self) -> int:
        """Its index in the C engine."""
        return self.slot.index


class Owner(Protocol):
    """Decides how many workers a function has."""

    def scale(self, state: FunctionState) -> None:
        """Start what the function lacks, its environment first."""

    def forget(self, state: FunctionState) -> None:
        """A stopped function's last worker has ended."""


class Population(msgspec.Struct, eq=False):
    """What the parts of the control loop share. Touched in the loop only."""

    engine: Any  # the C engine
    loop: Loop
    log: LogSink
    functions: dict[int, FunctionState] = msgspec.field(default_factory=dict)
    workers: dict[int, WorkerState] = msgspec.field(default_factory=dict)  # by their lanes
    closing: bool = False
    scratch: Any = msgspec.field(default_factory=lambda: ffi.new("uint8_t[]", 64 * 1024))


def send_kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
