"""Output that comes with no reply: an environment's, what fills a worker's pipe, what a handler left running prints."""

from __future__ import annotations

from .._native import ffi, lib
from .output_pipes import Pipes
from .population import FunctionState, Population, WorkerState

Source = tuple[FunctionState, WorkerState | None]  # None: the function's environment


class StrayOutput:
    """Brings such output to its invocation, or else to its function's log."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self.pipes = Pipes(population.loop, self._running, self._from_pipe)

    def flush(self, worker: WorkerState) -> None:
        """What its lane holds that belongs to no invocation, into the log."""
        scratch = self._population.scratch
        n = lib.stk_lane_orphan_log(self._population.engine, worker.lane, scratch, len(scratch))
        if n:
            text = bytes(ffi.buffer(scratch, n)).decode("utf-8", "replace")
            self._population.log(worker.function.log_name, "", text)

    def _running(self, source: Source) -> int:
        worker = source[1]
        return lib.stk_lane_running(self._population.engine, worker.lane) if worker is not None else 0

    def _from_pipe(self, source: Source, running: int, data: bytes) -> None:
        state, worker = source
        if worker is None:
            self._population.log(state.log_name, "", data.decode("utf-8", "replace"))
        else:
            lib.stk_lane_append_log(self._population.engine, worker.lane, running, data, len(data))
