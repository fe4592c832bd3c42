"""Dispatch: one warm call from a thread and awaited, many in flight, map, and a call after idleness."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from bench.harness import make_events
from bench.peers.mp_pipe import MultiprocessingPipe
from bench.peers.process_pool import ProcessPool
from bench.subject import AwaitedStoker, Loop, Stoker

MANY = make_events(2000)
# Spawned: an engine may be running by then and must not be forked along.
PEERS = [ProcessPool(start_method="spawn"), MultiprocessingPipe()]


@pytest.mark.benchmark(group="one call")
def test_sync(benchmark: Any, stoker: Callable[..., Stoker], event: dict[str, Any]) -> None:
    invoke = stoker().function.invoke

    def call() -> None:
        assert invoke(event) == event

    benchmark(call)


@pytest.mark.benchmark(group="one call")
def test_sync_raw(benchmark: Any, stoker: Callable[..., Stoker]) -> None:
    """No decoding on the engine's side: invoke_raw, bytes to bytes."""
    invoke_raw = stoker("raw_echo:handler", codec="raw").function.invoke_raw
    payload = b"x" * 100

    def call() -> None:
        assert invoke_raw(payload).payload == payload

    benchmark(call)


@pytest.mark.benchmark(group="one call")
@pytest.mark.parametrize(
    "peer", [ProcessPool(start_method="spawn"), MultiprocessingPipe()], ids=lambda peer: peer.name
)
def test_peer(benchmark: Any, peer: Any, event: dict[str, Any]) -> None:
    with peer:

        def call() -> None:
            assert peer.call(event) == event

        benchmark(call)


@pytest.mark.benchmark(group="1000 calls awaited")
@pytest.mark.parametrize("window", [1, 64])
def test_awaited(benchmark: Any, window: int) -> None:
    """1000 calls by one task, one after the other, and by 64 tasks."""
    pytest.importorskip("engine")
    events, subject = MANY[:1000], AwaitedStoker()
    with Loop() as loop:
        loop.run(subject.start_async())
        try:
            results = benchmark(lambda: loop.run(subject.pipelined_async(events, window)))
        finally:
            loop.run(subject.close_async())
    assert results == events


@pytest.mark.benchmark(group="2000 events")
def test_map(benchmark: Any, stoker: Callable[..., Stoker]) -> None:
    assert benchmark(stoker().mapped, MANY) == MANY


@pytest.mark.benchmark(group="2000 events")
def test_submit(benchmark: Any, stoker: Callable[..., Stoker]) -> None:
    """Futures, 64 in flight."""
    assert benchmark(stoker().pipelined, MANY) == MANY


@pytest.mark.benchmark(group="after idle")
def test_after_idle(benchmark: Any, stoker: Callable[..., Stoker], event: dict[str, Any]) -> None:
    """2 ms asleep before each call, not timed."""
    invoke = stoker().function.invoke
    result = benchmark.pedantic(
        invoke, (event,), setup=lambda: time.sleep(0.002), rounds=200, warmup_rounds=5
    )
    assert result == event
