"""Invocations as lines of a terminal: how long, cold or warm, what was printed, and where in the sources it failed."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

from .client import Link, ServerError
from .terminal import unguarded, visible

PATH = "/_stoker/invocations"
RED, GREEN, YELLOW, BLUE, GREY = 31, 32, 33, 34, 90
# Where a function's code is: in a sandbox, and without one.
_TASK = re.compile(r"(?:/var/task|/[^\s\"']*/code/[0-9a-f]{64})/([^\s\"'\\:]+)")
_ERROR = re.compile(r"\[ERROR\]|Traceback \(most recent call last\)|^\s*\{.*\"level\": ?\"ERROR\"")


class Screen:
    """Prints, in colours where that is a terminal; what others wrote never with an effect on it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.colours = sys.stdout.isatty() and not environment.get("NO_COLOR")

    def say(self, text: str, colour: int = 0) -> None:
        if colour and self.colours:
            text = f"\x1b[{colour}m{visible(text)}\x1b[0m"
            print(text, file=unguarded(sys.stdout), flush=True)
        else:
            print(text, flush=True)


class Tail:
    """What a server says of its functions' invocations, from a thread of its own."""

    def __init__(self, link: Link, tell: Callable[[dict[str, Any]], object]) -> None:
        self._link = link
        self._tell = tell
        self._names: list[str] = []
        self._following: _Following | None = None

    def follow(self, names: list[str]) -> None:
        """Of these functions, from now on."""
        if names == self._names and self._following is not None:
            return
        self.close()
        self._names, self._following = names, _Following()
        Thread(target=self._run, args=(names, self._following), daemon=True).start()
        self._following.ready.wait(10)

    def close(self) -> None:
        if self._following is not None:
            self._following.end()

    def _run(self, names: list[str], following: _Following) -> None:
        data, why = json.dumps({"functions": names}).encode(), "the server has ended"
        try:
            for line in self._link.lines(PATH, data, "lambda", following.opened):
                following.ready.set()
                if not following.ended:
                    self._tell(json.loads(line))
        except (ServerError, OSError, ValueError) as error:
            why = str(error)
        following.ready.set()
        if not following.ended:
            self._tell({"gone": why})


class _Following:
    """One connection's life."""

    def __init__(self) -> None:
        self.ready = Event()
        self.ended = False
        self._socket: socket.socket | None = None

    def opened(self, connection: socket.socket) -> None:
        self._socket = connection

    def end(self) -> None:
        self.ended = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class Printer:
    """Lines, as they are shown. names: logical ids by functions; sources: where the code of each is."""

    def __init__(self, screen: Screen, here: Path) -> None:
        self._screen = screen
        self._here = here
        self.names: dict[str, str] = {}
        self.sources: dict[str, Path] = {}
        self.logs = True

    def show(self, line: dict[str, Any]) -> None:
        function = str(line.get("function", ""))
        name = self.names.get(function, function)
        now = time.strftime("%H:%M:%S")
        output = self.mapped(str(line.get("output", "")), function)
        if "dropped" in line:
            self._screen.say(f"{now}  {line['dropped']} more lines", GREY)
        elif "throttled" in line:
            self._screen.say(f"{now}  {name}  throttled: {line['throttled']}", YELLOW)
        elif "status" in line:
            start = f"cold, init {line.get('initMs', 0):.0f} ms" if line["cold"] else "warm"
            failed = line["status"] != "success"
            text = f"{now}  {name}  {duration(line['ms'])}  {start}"
            if failed:
                text += f"  {line['status']}: {line.get('errorType') or 'it did not end'}"
            self._screen.say(text, RED if failed else GREEN)
            self._output(output, failed)
        elif output:
            self._output(output, bool(_ERROR.search(output)))

    def mapped(self, text: str, function: str) -> str:
        """With the files of the sources for those of the deployed code."""
        root = self.sources.get(self.names.get(function, ""))
        if root is None or "/" not in text:
            return text

        def place(found: re.Match[str]) -> str:
            path = root / found[1] if root.is_dir() else root
            if not path.exists():
                return found[0]
            return str(path.relative_to(self._here)) if path.is_relative_to(self._here) else str(path)

        return _TASK.sub(place, text)

    def _output(self, text: str, failed: bool) -> None:
        """Errors are shown even where logs are not."""
        for block, wrong in _blocks(text):
            if self.logs or (failed and wrong):
                self._screen.say(block, RED if wrong else GREY)


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Lines, indented, and whether they are of an error: from where it begins to the next line of another kind."""
    wrong = False
    for line in text.splitlines():
        if _ERROR.search(line):
            wrong = True
        elif wrong and not line.startswith((" ", "\t")) and line.strip():
            wrong = bool(
                re.match(r"[\w.]+(Error|Exception|Warning|Exit|Interrupt)\b|During |The above ", line)
            )
        yield f"  {line}", wrong


def duration(ms: float) -> str:
    if ms >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.1f} ms" if ms >= 1 else f"{ms * 1000:.0f} µs"
