"""multiprocessing.Pipe: a pickled object sent to a child process that sends it back, placed in three ways."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from typing import Any, Literal

from bench.peers.base import Peer, Unavailable, echo, pinned
from engine.load import machine

Cores = Literal["one core", "two cores"]


def _serve_bytes(connection: Connection, core: int | None) -> None:
    while True:
        try:
            connection.send_bytes(connection.recv_bytes())
        except EOFError:
            return


def _serve(connection: Connection, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    while True:
        try:
            event = connection.recv()
        except EOFError:
            return
        connection.send(echo(event))


class MultiprocessingPipe(Peer):
    """`cores`: both processes on the same core, or pinned to one each. Without it the kernel places them,
    now together, now apart, and the figures are those of one case or the other."""

    serve = staticmethod(_serve)

    def __init__(self, cores: Cores | None = None) -> None:
        self.cores = cores
        self.name = f"multiprocessing.Pipe, {cores}" if cores else "multiprocessing.Pipe"

    def start(self) -> None:
        self.allowed = machine.cores()
        if self.cores == "two cores" and len(self.allowed) < 2:
            raise Unavailable("needs two cores")
        core = {"one core": self.allowed[0], "two cores": self.allowed[-1], None: None}[self.cores]
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.child = context.Process(target=self.serve, args=(theirs, core), daemon=True)
        self.child.start()
        theirs.close()
        self.call(None)

    def turn(self) -> AbstractContextManager[None]:
        return pinned(self.allowed[:1] if self.cores else ())

    def call(self, event: Any) -> Any:
        self.connection.send(event)
        return self.connection.recv()

    def close(self) -> None:
        self.connection.close()
        # End of file is not enough: a peer forked since may hold a copy of our end.
        self.child.terminate()
        self.child.join()


class PipeOfBytes(MultiprocessingPipe):
    """The same with bytes, which are not pickled; where the kernel places it."""

    serve = staticmethod(_serve_bytes)

    def start(self) -> None:
        self.name = "multiprocessing.Pipe, send_bytes"
        super().start()

    def call(self, event: Any) -> Any:
        self.connection.send_bytes(event or b"")
        return self.connection.recv_bytes()
