"""A zygote as the control loop sees it: started, sent messages, read from, ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .. import wire
from ..launch import Launched
from .backoff import Breaker
from .loop import Loop
from .watchdog import Watchdog


class ZygoteProcess:
    """The zygote of one interpreter ("": the engine's own). `on_message` gets each message; `on_end` is called when it
    has ended without being stopped; environment: its variables, None: as they are here; `breaker` says when to start
    it again. `watchdog` knows what messages it owes, and has it killed when none comes. All of it belongs to the
    loop."""

    def __init__(
        self,
        loop: Loop,
        python: str,
        on_message: Callable[[ZygoteProcess, wire.Message, list[int]], None],
        on_end: Callable[[ZygoteProcess], None],
        environment: Mapping[str, str] | None,
    ) -> None:
        self.python = python
        self.breaker = Breaker()
        self._loop = loop
        self._on_message = on_message
        self._on_end = on_end
        self._environment = environment
        self._process: Launched | None = None
        self.up = False
        self.watchdog = Watchdog(loop, self._listen, self._kill)

    @property
    def pid(self) -> int:
        """0 when there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self, launched: Launched | None = None) -> None:
        """launched: it has begun already. Raises OSError."""
        process = launched or Launched(self.python, self._environment)
        self._loop.add_reader(process.sock.fileno(), self._listen)
        self._process = process
        self.up = True

    def send(self, message: wire.Message, fds: Sequence[int]) -> None:
        """Raises OSError when it is gone; its end is reported all the same."""
        assert self._process is not None
        wire.send(self._process.sock, message, fds)

    def hang_up(self) -> None:
        """It ends when its socket closes, and everything below it before."""
        if self.up and self._process is not None:
            self._loop.remove_reader(self._process.sock.fileno())
            self._process.sock.close()
        self.up = False
        self.watchdog.stop()

    def wait(self) -> None:
        """Until it has ended."""
        if self._process is not None:
            self._process.wait()
        self._process = None

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _listen(self) -> None:
        while self.up and self._process is not None:
            try:
                received = wire.receive(self._process.sock)
            except BlockingIOError:
                return
            if received is None:
                self.hang_up()
                self.wait()
                self._on_end(self)
                return
            self._on_message(self, *received)
