"""Output that no caller gets: an environment's, what fills a worker's pipe, what a handler left running prints, and
that of functions which other functions called.

A worker reads the pipe behind its own descriptors 1 and 2 after each invocation; this side reads only when a pipe holds
so much that the writer could soon block, or when its worker is dead. Edge-triggered: a write wakes us once.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import termios

from .._native import ffi, lib
from ..calls.dispatch import read_outcome
from .population import FunctionState, Population, WorkerState

_HIGH_WATER = 16 * 1024
_CHUNK = 64 * 1024
_AT_ONCE = 16  # chunks a turn: a flood must not keep the loop from its deadlines

Source = tuple[FunctionState, WorkerState | None]  # None: the function's environment


class StrayOutput:
    """Brings such output to its invocation, or else to its function's log."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._sources: dict[int, Source] = {}  # by their pipes' read ends
        self._epoll = select.epoll()
        self._outcome = ffi.new("stk_outcome *")
        population.loop.add_reader(self._epoll.fileno(), self._readable)

    def close(self) -> None:
        self._population.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._sources.clear()

    def watch(self, fd: int, source: Source) -> None:
        self._sources[fd] = source
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def unwatch(self, fd: int) -> None:
        if self._sources.pop(fd, None) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(fd)

    def flush(self, worker: WorkerState) -> None:
        """What its lane holds that belongs to no invocation, into the log."""
        scratch = self._population.scratch
        n = lib.stk_lane_orphan_log(self._population.engine, worker.lane, scratch, len(scratch))
        if n:
            text = bytes(ffi.buffer(scratch, n)).decode("utf-8", "replace")
            self._population.log(worker.log_name, "", text)

    def flush_calls(self) -> None:
        """What invocations printed that handlers made, into the log."""
        engine = self._population.engine
        while (key := lib.stk_logged(engine, self._outcome)) >= 0:
            outcome = read_outcome(self._outcome)
            lib.stk_call_free(engine, self._outcome.ticket)
            state = self._population.functions.get(key)
            text = outcome.log
            if outcome.log_dropped:
                text += f"[stoker] {outcome.log_dropped} bytes of log dropped\n"
            if state is not None:
                self._population.log(state.log_name, outcome.request_id, text)

    def _readable(self) -> None:
        for fd, _events in self._epoll.poll(0):
            source = self._sources.get(fd)
            if source is not None and (source[1] is None or _held(fd) >= _HIGH_WATER):
                self.drain(fd)

    def drain(self, fd: int) -> None:
        """Read what is there now, never waiting."""
        engine, source = self._population.engine, self._sources.get(fd)
        for _ in range(_AT_ONCE):
            if source is None or not _held(fd):
                return
            state, worker = source
            running = lib.stk_lane_running(engine, worker.lane) if worker is not None else 0
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:  # the worker took it meanwhile
                return
            if worker is None:
                self._population.log(state.log_name, "", data.decode("utf-8", "replace"))
            else:
                lib.stk_lane_append_log(engine, worker.lane, running, data, len(data))
        self._population.loop.call_soon(self.drain, fd)


def _held(fd: int) -> int:
    """Bytes in a pipe."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
