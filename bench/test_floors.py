"""The floors under everything: spinning, pipes, memcpy and fork on this machine."""

from __future__ import annotations

import os
from typing import Any

import pytest

from bench.peers.base import Peer, Unavailable
from bench.peers.fork_floor import ForkFloor
from bench.peers.memcpy_floor import Memcpy
from bench.peers.raw_pipe import RawPipe
from bench.peers.spin_floor import SpinFloor


def _start(peer: Peer) -> None:
    try:
        peer.start()
    except Unavailable as why:
        pytest.skip(str(why))


def test_spin(benchmark: Any) -> None:
    """A thousand round trips in C."""
    peer = SpinFloor()
    _start(peer)
    with peer.turn():
        samples = benchmark(peer.round_trips, 1000)
    assert len(samples) == 1000
    assert min(samples) > 0


def test_raw_pipe(benchmark: Any) -> None:
    peer = RawPipe(two_cores=True)
    _start(peer)
    try:
        with peer.turn():
            assert benchmark(peer.call, b"x" * 100) == b"x" * 100
    finally:
        peer.close()


def test_memcpy_6_mib(benchmark: Any) -> None:
    payload = os.urandom(6 << 20)
    with Memcpy(len(payload)) as peer:
        assert bytes(benchmark(peer.call, payload)) == payload


@pytest.mark.parametrize(("label", "imports"), [("bare", []), ("numpy+boto3", ["numpy_boto3"])])
def test_fork(benchmark: Any, label: str, imports: list[str]) -> None:
    """Ten forks of a prepared process, each to its first byte, with reaping."""
    for name in imports:
        pytest.importorskip("boto3", reason=f"{name} imports it")
    with ForkFloor(label, imports) as peer:
        assert isinstance(peer, ForkFloor)
        assert len(benchmark.pedantic(peer.forks, (10,), rounds=5, warmup_rounds=1)) == 10
