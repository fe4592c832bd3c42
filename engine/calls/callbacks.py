"""The thread that runs the callbacks of submitted invocations."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread, current_thread


class Callbacks:
    """The thread that runs futures' callbacks, which may wait for other results, configure functions, close the engine:
    never the control loop, which does all that. It is there once it is needed."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, function: Callable[[], None]) -> None:
        """From the control loop."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="stoker-callbacks", daemon=True)
            self._thread.start()
        self._waiting.put(function)

    def close(self) -> None:
        """Those that are due are run."""
        self._waiting.put(None)
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (function := self._waiting.get()) is not None:
            function()
            function = None  # while it waits for the next it refers to none: each has its function's slot
