"""Memory floor: one copy of a payload into a buffer that already exists."""

from __future__ import annotations

from bench.peers.base import Peer


class Memcpy(Peer):
    name = "memcpy"

    def __init__(self, size: int) -> None:
        self.size = size

    def start(self) -> None:
        self.buffer = memoryview(bytearray(self.size))  # bytearray writes its zeros: the pages are there

    def call(self, event: bytes) -> memoryview:
        self.buffer[: len(event)] = event
        return self.buffer[: len(event)]

    def close(self) -> None:
        self.buffer.release()
