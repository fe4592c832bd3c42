"""`stoker dev`: a template deployed, its files watched, and what becomes of them live before the next request."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import queue
import selectors
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ..errors import EngineError
from . import guided, stacks
from .client import SERVER, Link, ServerError, client, endpoint, named_endpoint, reachable, server_errors
from .debugging import Debugged, parse
from .editing import edited, single_keys
from .hosted import DEFAULT_PORT, hosted
from .sources import Change, Sources, Watcher
from .status import OK, UsageError, option
from .tail import BLUE, GREY, RED, Printer, Screen, Tail
from .texts import microseconds

_DESCRIPTION = """\
Deploys a template to a server, which is started if there is none, and watches its files. A saved file is live before
the next request; one that cannot be compiled is shown, and the version before goes on. A changed template updates its
stack. Each invocation is a line, whatever initiated it.

keys, on a terminal:
  r  the last event once more     l  logs on, off
  e  edit it, then send it        q  quit

examples:
  stoker dev template.yaml
  stoker dev template.yaml --parameter Stage=dev --aws moto
  stoker dev template.yaml --debug Checkout
"""


PARSER = {"help": "deploy a template, and reload what is saved", "description": _DESCRIPTION}
OPTIONS = (
    option("source TEMPLATE", "the template (.yaml, .yml, .json)"),
    *stacks.OPTIONS,
    option(
        "--debug NAME[:PORT]",
        "the function of this logical id waits for a debugger (pip install 'stoker[debug]') at its first event, on "
        "port 5678, and has no timeout",
    ),
    SERVER,
    option("--port PORT", f"of a server that is started (default: {DEFAULT_PORT})", type=int),
    option("--state DIR", "where that keeps all (default: .stoker)", default=".stoker"),
    option(
        "--aws moto|real", "what other AWS services are to it (see: stoker serve)", choices=("moto", "real")
    ),
)


@server_errors()
def run(options: argparse.Namespace) -> int:
    guided.recall(options)
    stacks.declared(options)  # it is there, and a template, before a server is started for it
    debugged = parse(options.debug) if options.debug else None
    with contextlib.ExitStack() as stack:
        if options.endpoint or named_endpoint() or (not options.port and reachable(options)):
            if not reachable(options):
                raise ServerError(f"there is no server at {endpoint(options)}. Start it with: stoker serve")
            if options.aws:
                raise UsageError(f"--aws is for a server that is started: {endpoint(options)} runs already")
        else:
            options.endpoint = stack.enter_context(hosted(options))
        Dev(options, debugged).run()
    return OK


class Dev:
    """One run of it. What happens elsewhere (files, lines of invocations) comes in by a queue; all else is here."""

    def __init__(self, options: argparse.Namespace, debugged: Debugged | None) -> None:
        self._options = options
        self._debugged = debugged
        self._link = Link(options)
        self._api = stacks.connect(options)
        self._lambda = client(options)
        self._stack = stacks.stack_name(options)
        self._screen = Screen(os.environ)
        self._printer = Printer(self._screen, Path.cwd())
        self._sources = Sources(Path(options.source).resolve())
        self._cache: dict[tuple[Path, str, str], str] = {}
        self._digests: dict[str, str] = {}  # of code that is live, by logical id
        self._held: set[Path] = set()  # files that were saved while one of them cannot be compiled
        self._last: tuple[str, str] | None = None  # a function, and its latest event
        self._happened: queue.Queue[set[Path] | dict[str, Any]] = queue.Queue()
        self._wake = os.eventfd(0)
        self._running = True

    def run(self) -> None:
        with contextlib.ExitStack() as stack:
            watcher = self._watcher = Watcher(self._tell)
            stack.callback(watcher.close)
            tail = self._tail = Tail(self._link, self._tell)
            stack.callback(tail.close)
            self._deploy(first=True)
            keys = stack.enter_context(single_keys())
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(self._wake, selectors.EVENT_READ)
            if keys:
                selector.register(sys.stdin, selectors.EVENT_READ, "keys")
                self._screen.say("r: rerun  e: edit  l: logs  q: quit", GREY)
            self._screen.say(f"watching {len(watcher.folders)} directories", GREY)
            while self._running:
                for found, _ in selector.select():
                    if found.data:
                        self._key(os.read(sys.stdin.fileno(), 1).decode("latin-1"))
                    else:
                        os.eventfd_read(self._wake)
                for each in self._pending():
                    if isinstance(each, set):
                        self._saved(each)
                    else:
                        self._line(each)

    def _tell(self, what: set[Path] | dict[str, Any]) -> None:
        """From any thread."""
        self._happened.put(what)
        os.eventfd_write(self._wake, 1)

    def _pending(self) -> Iterator[set[Path] | dict[str, Any]]:
        """What has happened, files that were saved in one piece."""
        files: set[Path] = set()
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                each = self._happened.get_nowait()
                if isinstance(each, set):
                    files |= each
                else:
                    lines.append(each)
        if files:
            yield files
        yield from lines

    def _line(self, line: dict[str, Any]) -> None:
        if "gone" in line:
            raise ServerError(str(line["gone"]))
        if "event" in line:
            self._last = (line["function"], line["event"])
        else:
            self._printer.show(line)

    def _saved(self, files: set[Path]) -> None:
        began = time.perf_counter_ns()
        if any(path.is_dir() for path in files):
            self._watcher.follow(self._sources.folders())
        if not (fresh := self._sources.fresh(files)):
            return
        change = self._sources.change(fresh | self._held)
        if change.broken:
            self._held = change.files
            for path, why in change.broken.items():
                self._screen.say(f"{_shown(path)} cannot be compiled: the version before goes on\n{why}", RED)
            return
        self._held = set()
        if change.whole:
            self._forget(change.files)
            self._deploy()
        elif change.functions:
            try:
                with server_errors():
                    self._swap(change, began)
            except EngineError as error:
                self._screen.say(str(error), RED)

    def _forget(self, files: set[Path]) -> None:
        """What is packed of these is packed again."""
        for key in [key for key in self._cache if any(path.is_relative_to(key[0]) for path in files)]:
            del self._cache[key]

    def _swap(self, change: Change, began: int) -> None:
        """Bring the functions' code, and nothing else."""
        from ..deploy.artifacts import SWAPS
        from ..deploy.packaging import archive

        self._forget(change.files)
        live = []
        for path in sorted({source.path for source in change.functions}):
            names = [source.logical for source in change.functions if source.path == path]
            code = archive(path)
            digest = hashlib.sha256(code).hexdigest()
            names = [name for name in names if self._digests.get(name) != digest]
            if not names:
                continue
            query = urlencode([("stack", self._stack), *(("function", name) for name in names)])
            response = self._link.send("POST", f"{SWAPS}?{query}", code)
            if response.status_code == 409:
                self._forget(change.files)
                self._deploy()
                return
            if response.status_code != 200:
                self._screen.say(f"{', '.join(names)}: {response.text}", RED)
                continue
            self._cache[path, "", ""] = digest
            self._digests |= dict.fromkeys(names, digest)
            live += names
        if live:
            took = microseconds(time.perf_counter_ns() - began)
            files = ", ".join(sorted(_shown(path) for path in change.files))
            self._screen.say(f"{files}: {', '.join(sorted(live))} live after {took}", BLUE)

    def _deploy(self, *, first: bool = False) -> None:
        """The whole template. What is wrong with it is shown, unless there is nothing yet that could go on."""
        change = self._debugged.change if self._debugged else None
        try:
            with server_errors():
                brought = stacks.bring(self._options, self._link, self._cache, change)
                self._sources.packed = brought.packed
                self._watcher.follow(self._sources.folders())
                after = stacks.deploy(self._api, self._options, self._stack, brought)
        except (UsageError, EngineError) as error:
            if first:
                raise
            self._screen.say(str(error), RED)
            return
        self._follow(brought)
        done = "unchanged" if after is None else "updated" if after["before"] else "created"
        self._screen.say(f"{self._stack} {done}", BLUE)
        found = after or stacks.stack(self._api, self._stack) or {}
        for each in found.get("Outputs", []) if first or after else []:
            self._screen.say(f"  {each['OutputKey']} = {each['OutputValue']}")
        if first and self._debugged:
            self._screen.say(self._debugged.hint(), BLUE)

    def _follow(self, brought: stacks.Brought) -> None:
        """The functions that there are now."""
        resources = self._api.get_paginator("list_stack_resources").paginate(StackName=self._stack)
        names = {
            each["PhysicalResourceId"]: each["LogicalResourceId"]
            for page in resources
            for each in page["StackResourceSummaries"]
            if each["ResourceType"] == "AWS::Lambda::Function"
        }
        self._printer.names = names
        self._printer.sources = {source.logical: source.path for source in brought.packed.sources}
        self._digests = {
            source.logical: self._cache[source.path, "", ""]
            for source in brought.packed.sources
            if source.function
        }
        self._tail.follow(sorted(names))

    def _key(self, key: str) -> None:
        if key == "q":
            self._running = False
        elif key == "l":
            self._printer.logs = not self._printer.logs
            self._screen.say(f"logs {'on' if self._printer.logs else 'off'}", GREY)
        elif key in ("r", "e"):
            if self._last is None:
                self._screen.say("there was no event yet", GREY)
            elif key == "r":
                self._invoke(*self._last)
            elif (event := edited(self._last[1], self._screen.say)) is not None:
                self._invoke(self._last[0], event)

    def _invoke(self, function: str, event: str) -> None:
        """Its line says what comes of it."""
        self._screen.say(f"{self._printer.names.get(function, function)} once more", GREY)

        def invoke() -> None:
            try:
                with server_errors():
                    self._lambda.invoke(FunctionName=function, Payload=event.encode())["Payload"].read()
            except ServerError as error:
                self._screen.say(str(error), RED)

        threading.Thread(target=invoke, daemon=True).start()


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
