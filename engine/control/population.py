"""What the control loop knows: an engine's functions, their templates and their workers. Records, and who owns them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from .. import wire
from .._native import ffi
from ..calls.dispatch import LogSink
from .backoff import Breaker
from .scaling import Bounds


@dataclass(slots=True)
class Lane:
    """A worker as the control loop knows it."""

    index: int
    function: FunctionState
    core: int
    event_fd: int
    stdio_r: int
    began: int  # ns
    pid: int = 0
    pidfd: int = -1
    ready: bool = False
    retired: bool = False
    doomed: bool = False
    timed_out: bool = False


@dataclass(slots=True)
class Template:
    """A function's template process. `number` tells it from the function's earlier ones."""

    number: int
    state: FunctionState
    sock: socket.socket
    output_r: int
    pidfd: int = -1
    ready: bool = False
    unanswered: int = 0
    timed_out: bool = False
    timer: Any = None


@dataclass(slots=True)
class FunctionState:
    """A function's processes. `key` is its index in the C engine."""

    key: int
    spec: wire.FunctionSpec
    bounds: Bounds
    init_timeout: float
    log_name: str  # by which the log sink knows its output
    template: Template | None = None
    lanes: dict[int, Lane] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    init_error: bytes = b""
    init_peak: int = 0  # KiB, of the init that failed so
    init_seconds: float = 0.0
    up: list[Future[float | None]] = field(default_factory=list)
    added: int = 0
    removed: bool = False
    retry: asyncio.TimerHandle | None = None


class Owner(Protocol):
    """Who decides how many workers a function has."""

    def scale(self, state: FunctionState) -> None:
        """Start what the function lacks, its template first."""

    def forget(self, state: FunctionState) -> None:
        """A removed function's last worker is gone."""


class Population:
    """What the parts of the control loop share. Touched in the loop only."""

    def __init__(self, engine: Any, loop: asyncio.AbstractEventLoop, log: LogSink) -> None:
        self.engine = engine  # the C engine
        self.loop = loop
        self.log = log
        self.functions: dict[int, FunctionState] = {}
        self.lanes: dict[int, Lane] = {}
        self.closing = False
        self.scratch = ffi.new("uint8_t[]", 64 * 1024)


def send_kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
