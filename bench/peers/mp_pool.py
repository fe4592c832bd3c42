"""multiprocessing.Pool(1).apply."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

from bench.peers.base import PIPELINE, PipelinedPeer, echo


class MultiprocessingPool(PipelinedPeer):
    name = "multiprocessing.Pool"

    def start(self) -> None:
        self.pool = multiprocessing.get_context("spawn").Pool(1)
        self.pool.apply(echo, (None,))

    def call(self, event: Any) -> Any:
        return self.pool.apply(echo, (event,))

    def pipelined(self, events: Sequence[Any], window: int = PIPELINE) -> list[Any]:
        results: list[Any] = []
        for begin in range(0, len(events), window):
            batch = [self.pool.apply_async(echo, (event,)) for event in events[begin : begin + window]]
            results.extend(result.get() for result in batch)
        return results

    def mapped(self, events: Sequence[Any], chunksize: int = 1) -> list[Any]:
        return list(self.pool.imap(echo, events, chunksize=chunksize))

    def close(self) -> None:
        self.pool.terminate()
        self.pool.join()
