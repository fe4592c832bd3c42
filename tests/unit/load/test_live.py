"""The live view: what stands in it, what it costs nobody, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import socket
from collections.abc import Iterator

import pytest

pytest.importorskip("rich", reason="pip install stoker[load]")
from rich.console import Console

from engine.load.generate.record import Record, Response
from engine.load.report import live
from engine.load.report.live import HISTORY, Lag, Live, Now, Phase, Second, View, sparkline

MS = 1_000_000
SECOND = 1000 * MS


def drawn(view: View, width: int = 80) -> list[str]:
    """Its lines in a terminal of such a width."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(view.draw())
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).splitlines()]


def running() -> View:
    """Eleven seconds of a run, of which the fourth was slow."""
    view = View("steady: echo")
    view.take(Phase("run", 60.0))
    for number in range(11):
        latency = {MS: 98, (100 if number == 3 else 2) * MS: 2}
        view.take(Second(number, {"ok": 97, "error": 3}, latency))
        view.take(Now(number + 1.0, 2.0, 100 * (number + 1), 7, {"ok": 970, "error": 30}))
    view.take(Lag({20_000: 99, 90_000: 1}))
    return view


def test_a_run() -> None:
    lines = drawn(running())
    assert lines[0] == "steady: echo"
    assert re.fullmatch(r"run +[━╸╺ ]+ 11 s of 60 s", lines[1])
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "rate 100/s offered 100/s answered 7 in flight",
        "latency p50 1.00 ms p99 2.00 ms p99.9 2.00 ms",
        "wrong 30 error (in the last second: 3 error)",
        "lag p99 20.0 µs behind schedule",
        "p99 ▁▁▁█▁▁▁▁▁▁▁",
        "2.00 ms to 100 ms, second by second",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_it_fits_the_terminal(width: int) -> None:
    lines = drawn(running(), width)
    assert max(map(len, lines)) <= width
    assert len(lines) == 8


def test_phases_have_names_by_the_time() -> None:
    view = View("t")
    assert drawn(view)[:2] == ["t", "starting"]
    view.take(Phase("self-check", 2.0))
    assert drawn(view)[1] == "self-check"
    view.take(Now(1.0, 0.0, 10, 0, {}))
    assert drawn(view)[1].startswith("self-check")
    view.take(Phase("run", 10.0))
    for elapsed, name in ((1.0, "warm-up"), (3.0, "run"), (11.0, "draining")):
        view.take(Now(elapsed, 2.0, 10, 0, {}))
        assert drawn(view)[1].startswith(name)


def test_rates_are_those_of_about_a_second() -> None:
    """Answers that stay out are not answered."""
    view = View("t")
    view.take(Phase("run", 60.0))
    for quarter in range(41):
        waiting = max(0, quarter - 20) * 25  # after five seconds there is no response any more
        view.take(Now(quarter / 4, 0.0, quarter * 25, waiting, {}))
    assert "100/s offered   0/s answered   500 in flight" in "\n".join(drawn(view))


def test_a_second_that_is_answered_late_is_seen_late() -> None:
    view = View("t")
    view.take(Phase("run", 60.0))
    view.take(Second(0, {"ok": 1}, {MS: 1}))
    view.take(Second(1, {}, {}))
    view.take(Now(2.5, 0.0, 2, 1, {}))
    assert drawn(view)[6].split() == ["p99", "▁"]
    view.take(Second(1, {"ok": 1}, {1000 * MS: 1}))
    assert drawn(view)[6].split() == ["p99", "▁█"]


def test_the_last_minute_is_drawn() -> None:
    view = View("t")
    view.take(Phase("run", 200.0))
    for number in range(150):
        view.take(Second(number, {"ok": 1}, {(1000 if number < 150 - HISTORY else 1) * MS: 1}))
    view.take(Now(150.0, 0.0, 150, 0, {}))
    assert drawn(view)[6].split() == ["p99", "▁" * HISTORY]


def test_sparklines() -> None:
    assert sparkline([1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000]) == "▁▂▃▄▅▆▇█"
    assert sparkline([100, 101, 102]) == "▁▁▁"  # no mountains of chance
    assert sparkline([5, None, 0, 50]) == "▁  █"
    assert sparkline([None, 0]) == "  "


def run(view: Live, seconds: int, every: float = 0.25) -> Record:
    """A run of a hundred requests per second, one of them wrong, updated as often."""
    record = Record()
    view.phase("run", seconds)
    for step in range(int(seconds / every) + 1):
        view.update(record, step * every)
        for number in range(int(100 * every)):
            offset = int(step * every * 1e9) + number
            record.send(offset, 1000)
            record.receive(offset, 3 * MS, Response("error" if number == 0 and step % 4 == 0 else "ok"))
    return record


def test_a_line_every_ten_seconds_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with Live("steady", out) as view:
        assert view.pid is None
        run(view, 35)
    lines = out.getvalue().splitlines()
    assert lines[0] == (
        "steady: run, 10 s of 35 s, 100/s offered, 100/s answered, 0 in flight, p50 3.00 ms, p99 3.00 ms, "
        "p99.9 3.00 ms, 10 error"
    )
    assert [line.split(", ")[1] for line in lines] == ["10 s of 35 s", "20 s of 35 s", "30 s of 35 s"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    monkeypatch.setenv("TERM", "xterm")
    ends = pty.openpty()
    yield ends
    for fd in ends:
        os.close(fd)


def written(master: int) -> str:
    os.set_blocking(master, False)
    output = b""
    try:
        while data := os.read(master, 65536):
            output += data
    except BlockingIOError:
        pass
    return output.decode()


def test_a_terminal_is_drawn_on_by_another_process_and_left_as_it_was(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PATIENCE", 60.0)
    master, slave = terminal
    with os.fdopen(os.dup(slave), "w") as stream, Live("steady", stream) as view:
        assert view.pid not in (None, os.getpid())
        run(view, 3, every=1.0)
    output = written(master)
    assert "steady" in output
    assert "100/s offered" in output
    assert "p50 3.00 ms" in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")  # the cursor is back
    after = output[output.rindex("\x1b[?25h") :]
    assert after.count("\x1b[2K") >= 8  # each line of the view is cleared
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", after).strip() == ""
    with pytest.raises(ProcessLookupError):
        os.kill(view.pid or 0, 0)


def test_a_second_is_sent_once_and_again_when_more_is_known_of_it() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Live("steady", io.StringIO()) as view:
        theirs.setblocking(False)
        view._socket = ours
        record = Record()
        view.phase("run", 20)
        for second in range(6):
            for late in range(2):
                record.send(second * SECOND, 1000)
                if not (second == 2 and late):
                    record.receive(second * SECOND, MS, Response("ok"))

        def sent(elapsed: float) -> list[object]:
            """What an update at that time sends, seconds by their numbers and what ended in them."""
            view.update(record, elapsed)
            messages = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    messages.append(live._decode(theirs.recv(1 << 20)))
            return [
                (it.number, it.ended["ok"]) if isinstance(it, Second) else type(it).__name__
                for it in messages
            ]

        assert sent(5.5) == [
            "Phase",
            "Now",
            "Lag",
            (4, 2),
            (3, 2),
            (2, 1),
            (1, 2),
        ]  # four at a time, the newest first
        assert sent(5.75) == ["Now", (0, 2)]
        record.receive(2 * SECOND, 3 * SECOND, Response("ok"))
        assert sent(6.0) == ["Now", (5, 2), (2, 2)]
        assert sent(6.25) == ["Now"]
        assert sent(10.5) == ["Now", "Lag"]


def test_a_view_that_has_ended_stops_no_run(terminal: tuple[int, int]) -> None:
    with os.fdopen(os.dup(terminal[1]), "w") as stream, Live("steady", stream) as view:
        os.kill(view.pid or 0, 9)
        os.waitid(os.P_PID, view.pid or 0, os.WEXITED | os.WNOWAIT)
        assert run(view, 3).sent == 325


def test_a_view_that_does_not_listen_stops_no_run_and_is_ended(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PATIENCE", 0.0)
    with os.fdopen(os.dup(terminal[1]), "w") as stream, Live("steady", stream) as view:
        os.kill(view.pid or 0, 19)  # stopped, as by a terminal that takes nothing
        record = run(view, 600)
        assert len(record.intervals) == 601
    with pytest.raises(ProcessLookupError):
        os.kill(view.pid or 0, 0)


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    master, slave = terminal
    with os.fdopen(os.dup(slave), "w") as stream, Live("steady", stream) as view:
        run(view, 12)
    assert written(master).startswith("steady: run, 10 s of 12 s")
