"""multiprocessing.Pipe: a pickled object sent to a child process that sends it back."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

from bench.peers.base import Peer, echo


def _serve(connection: Connection) -> None:
    while True:
        try:
            event = connection.recv()
        except EOFError:
            return
        connection.send(echo(event))


class MultiprocessingPipe(Peer):
    name = "multiprocessing.Pipe"

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.child = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.child.start()
        theirs.close()
        self.call(None)

    def call(self, event: Any) -> Any:
        self.connection.send(event)
        return self.connection.recv()

    def close(self) -> None:
        self.connection.close()
        # Not left to the end of file: a peer forked since may hold a copy of our end.
        self.child.terminate()
        self.child.join()
