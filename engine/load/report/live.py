"""What a run is doing, in the terminal while it does it.

Sorting latencies, drawing and waiting for the terminal take milliseconds, for which a request that is due would have to
wait, so a process of its own does that (a thread would take turns with the loop). The loop copies counts into messages
on a socket pair, which are dropped while the process is behind; the process ends when its socket is closed.

A stream that is no terminal gets a line every ten seconds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self, TextIO

import msgspec

from .. import words
from ..generate.record import Interval, Record, Tally
from .summary import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

HISTORY = 60  # seconds are drawn
LINE_EVERY = 10.0  # seconds, where there is no terminal
_LAG_EVERY = 5.0  # seconds: of all that is sent it has the most to copy
_AT_ONCE = 4  # seconds that are sent anew in one update
_BUFFER = 1 << 20  # bytes of messages that may wait, as far as the system allows it
_PATIENCE = 3.0  # seconds that a terminal may take for the end of the view
_BARS = "▁▂▃▄▅▆▇█"


class Phase(msgspec.Struct, tag=True, array_like=True):
    """What begins now. seconds: 0 for a time without bounds."""

    name: str
    seconds: float


class Second(msgspec.Struct, tag=True, array_like=True):
    """One second of the phase; it is sent again after a late response."""

    number: int
    ended: dict[str, int]
    latency: dict[int, int]


class Lag(msgspec.Struct, tag=True, array_like=True):
    """The generator's, of the whole run without its warm-up."""

    counts: dict[int, int]


class Now(msgspec.Struct, tag=True, array_like=True):
    """The run at one moment: counts since its start, `ended` without the warm-up."""

    elapsed: float
    warmup: float
    sent: int
    in_flight: int
    ended: dict[str, int]


Message = Phase | Second | Lag | Now
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class Live:
    """A view of one run: enter it, name the phases, and update it a few times a second from the run's loop."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = sys.stderr if stream is None else stream
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._plain = View(title)
        self._ended: dict[int, int] = {}  # of the seconds that were sent, by their numbers
        self._line_at = LINE_EVERY
        self._lag_at = 0.0

    def __enter__(self) -> Self:
        if _can_draw(self._stream):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def phase(self, name: str, seconds: float = 0.0) -> None:
        """A new one, with a record of its own. That named "run" is called a warm-up as long as its record does, and
        draining when its time is over."""
        self._ended.clear()
        self._line_at, self._lag_at = LINE_EVERY, 0.0
        self._plain.take(phase := Phase(name, seconds))
        self._send(phase)

    def update(self, record: Record, elapsed: float) -> None:
        """elapsed: seconds of the phase. For the run's loop: well below a millisecond."""
        over, now = min(len(record.intervals), int(elapsed)), _now(record, elapsed)
        if self._socket is None:
            if elapsed >= self._line_at:
                self._line_at = elapsed + LINE_EVERY
                if over:
                    self._plain.take(_second(over - 1, record.intervals[over - 1]))
                self._plain.take(now)
                print(self._plain.line(), file=self._stream, flush=True)
            return
        if not self._send(now):
            return
        if elapsed >= self._lag_at and record.lag.counts and self._send(Lag(record.lag.counts)):
            self._lag_at = elapsed + _LAG_EVERY
        sent = 0
        for number in range(over - 1, max(0, over - HISTORY) - 1, -1):
            interval = record.intervals[number]
            ended = interval.ended.total()
            # A late response belongs to the second that its request was intended for.
            if self._ended.get(number) != ended and self._send(_second(number, interval)):
                self._ended[number] = ended
                sent += 1
                if sent == _AT_ONCE:
                    return

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        code = f"import sys; sys.path[:] = {sys.path!r}; from engine.load.report.live import main; main()"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, str(theirs.fileno()), self._title],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stream.fileno(),
                start_new_session=True,  # Ctrl-C is for the run
            )

    def _send(self, message: Message) -> bool:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is behind, or has ended: the run goes on
                self._socket.send(_encode(message))
                return True
        return False


def _can_draw(stream: TextIO) -> bool:
    return (
        stream.isatty()
        and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
        and importlib.util.find_spec("rich") is not None
    )


def _second(number: int, interval: Interval) -> Second:
    return Second(number, interval.ended, interval.latency.counts)


def _now(record: Record, elapsed: float) -> Now:
    return Now(elapsed, record.warmup / 1e9, record.sent, record.in_flight, record.ended)


class View:
    """What is drawn, from the messages that came."""

    def __init__(self, title: str) -> None:
        self._title = printable(title)
        self.take(Phase("starting", 0.0))

    def take(self, message: Message) -> None:
        if isinstance(message, Phase):
            self._phase = message
            self._now: Now | None = None
            self._before: deque[Now] = deque(maxlen=8)  # looks of about the last second
            self._p99: dict[int, int] = {}
            self._last: Second | None = None
            self._quantiles: list[int] = []
            self._lag: int | None = None
        elif isinstance(message, Second):
            p50, p99, p999 = Tally(counts=message.latency).quantiles(0.5, 0.99, 0.999)
            self._p99[message.number] = p99
            self._p99.pop(message.number - HISTORY, None)
            if self._last is None or message.number >= self._last.number:
                self._last, self._quantiles = message, [p50, p99, p999]
        elif isinstance(message, Lag):
            self._lag = Tally(counts=message.counts).quantiles(0.99)[0]
        else:
            if self._now is not None:
                self._before.append(self._now)
            self._now = message
            while len(self._before) > 1 and self._before[1].elapsed <= message.elapsed - 1:
                self._before.popleft()

    @property
    def name(self) -> str:
        """The phase's, by the time."""
        name, now = self._phase.name, self._now
        if name != "run" or now is None:
            return name
        if now.elapsed < now.warmup:
            return "warm-up"
        return name if now.elapsed < self._phase.seconds else "draining"

    def line(self) -> str:
        """For a log."""
        if self._now is None:
            return f"{self._title}: {self.name}"
        head, wrong = f"{self._title}: {self.name}, {self._time()}", _wrong(self._now.ended)
        return ", ".join([head, *self._flow(), *self._latency(), wrong or "none wrong"])

    def draw(self) -> RenderableType:
        """For a terminal."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        title = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        if self._now is None:
            return Group(title, Text(self.name))
        now, seconds = self._now, self._phase.seconds
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(no_wrap=True, min_width=10)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        style = {"run": "green", "draining": "yellow"}.get(self.name, "cyan")
        done = min(now.elapsed, seconds)
        bar = ProgressBar(seconds or 1.0, done, complete_style=style, finished_style=style)
        head.add_row(Text(self.name, style=style), bar, self._time())

        body = Table.grid(padding=(0, 1), expand=True)
        body.add_column(no_wrap=True, min_width=10, style="dim")
        body.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        body.add_row("rate", "   ".join(self._flow()))
        body.add_row("latency", "   ".join(self._latency()) or words.NONE)
        recent = _wrong(self._last.ended) if self._last is not None else ""
        wrong = _wrong(now.ended)
        text = f"{wrong or 'none'}{f'   (in the last second: {recent})' if recent else ''}"
        body.add_row("wrong", Text(text, style="red" if wrong or recent else ""))
        late = words.NONE if self._lag is None else f"p99 {words.duration(self._lag)} behind schedule"
        body.add_row("lag", late)
        if self._p99:
            newest = max(self._p99)
            history = [self._p99.get(it) for it in range(max(0, newest - HISTORY + 1), newest + 1)]
            body.add_row("p99", Text(sparkline(history), style="cyan"))
            if seen := [it for it in history if it]:
                low, high = words.duration(min(seen)), words.duration(max(seen))
                body.add_row("", f"{low} to {high}, second by second")
        return Group(title, head, body)

    def _time(self) -> str:
        elapsed = 0.0 if self._now is None else self._now.elapsed
        return f"{elapsed:.0f} s" + (f" of {self._phase.seconds:g} s" if self._phase.seconds else "")

    def _flow(self) -> list[str]:
        """Rates over about a second."""
        now = self._now
        if now is None:
            return []
        first = self._before[0] if self._before else Now(0.0, 0.0, 0, 0, {})
        span = now.elapsed - first.elapsed
        offered = now.sent - first.sent
        answered = offered - (now.in_flight - first.in_flight)
        rates = [words.rate(count / span) if span > 0 else words.NONE for count in (offered, answered)]
        return [f"{rates[0]} offered", f"{rates[1]} answered", f"{now.in_flight:,} in flight"]

    def _latency(self) -> list[str]:
        """Of the last whole second that has responses."""
        named = zip(("p50", "p99", "p99.9"), self._quantiles, strict=False)
        return [f"{name} {words.duration(it)}" for name, it in named if it]


def _wrong(ended: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in ended.items() if kind != "ok" and count)


def sparkline(values: Sequence[int | None]) -> str:
    """A bar for each, by its logarithm, blank for None or 0. The whole height is a factor of ten at least."""
    seen = [it for it in values if it]
    if not seen:
        return " " * len(values)
    low = math.log(min(seen))
    step = max(math.log(max(seen)) - low, math.log(10)) / (len(_BARS) - 1)
    return "".join(_BARS[round((math.log(it) - low) / step)] if it else " " for it in values)


def main() -> None:
    """The life of the process that draws."""
    from rich.console import Console
    from rich.live import Live as Screen

    view = View(sys.argv[2])
    with (
        socket.socket(fileno=int(sys.argv[1])) as ours,
        contextlib.suppress(OSError),  # the terminal has gone
        Screen(console=Console(stderr=True), auto_refresh=False, transient=True) as screen,
    ):
        while data := ours.recv(2 * _BUFFER):
            message = _decode(data)
            view.take(message)
            if isinstance(message, Phase | Now):
                screen.update(view.draw(), refresh=True)
