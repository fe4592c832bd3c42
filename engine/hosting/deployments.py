"""Versions of functions as the engine runs them: started by their first invocation, replaced when they change, gone
when nobody asks for them any more.

All of it belongs to the event loop that serves requests. A deployment is one version with one configuration: what
changes makes a new deployment, and the old one ends with its last invocation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from .._native import lib
from ..calls.dispatch import FunctionEntry, Outcome
from ..calls.reaper import Reaper
from ..errors import EngineError, InitError
from ..observe.ended import about
from ..runtime import Runtime
from ..wire import Deployed
from .layout import Layouts

# How an invocation ended: what the engine says of it, or why it never began.
OnOutcome = Callable[[Outcome | EngineError], None]
_WANT_TAIL: int = lib.STK_WANT_TAIL
# What makes another deployment when it changes, of all that a record has.
_RUNS = (
    "_digest", "_layers", "Handler", "MemorySize", "Timeout", "Environment", "LoggingConfig", "FunctionArn", "Runtime",
)  # fmt: skip


class Deployment:
    """One version, running or not yet."""

    __slots__ = (
        "about",
        "answered_at",
        "began",
        "broken",
        "early",
        "ended",
        "entry",
        "fleet",
        "in_flight",
        "init_ms",
        "key",
        "record",
        "reserved",
        "retired",
        "warm",
    )  # fmt: skip

    def __init__(self, fleet: Fleet, record: Mapping[str, Any], reserved: int | None, warm: int) -> None:
        self.fleet = fleet
        self.record = record
        self.key = (record["FunctionName"], record["Version"])
        self.reserved = reserved
        self.warm = warm
        self.entry: FunctionEntry | None = None  # once it is up
        self.early: list[tuple[bytes, OnOutcome, int, bytes]] | None = (
            None  # what came while it is being started
        )
        self.broken = False  # it could not be started, the last time that was tried
        self.init_ms = 0.0  # what that took
        self.began = 0.0  # epoch ms at which its init began, until an invocation's log has said so
        self.about = about(record, "", "")
        self.in_flight = 0
        self.answered_at = time.monotonic()
        self.retired = self.ended = False

    def submit(self, event: bytes, answer: OnOutcome, flags: int, id: bytes) -> None:
        """Run it on an event, under a request id of 16 bytes. `answer` is called in the loop, exactly once; before
        this returns, even, when the engine refuses."""
        self.in_flight += 1
        if self.entry is None:
            if self.early is None:
                self.early = []
                self.fleet.start(self)
            self.early.append((event, answer, flags, id))
            return
        self._submit(event, answer, flags, id)

    def _submit(self, event: bytes, answer: OnOutcome, flags: int, id: bytes) -> None:
        def done(outcome: Outcome | None, _value: Any) -> None:
            assert outcome is not None, "asked for with its tail"
            self._over()
            answer(outcome)

        assert self.entry is not None
        try:
            self.fleet.reaper.submit(self.entry, event, done, flags | _WANT_TAIL, id)
        except EngineError as error:
            self._over()
            answer(error)
            return
        self.fleet.reaper.heat()

    def up(self, entry: FunctionEntry) -> None:
        """It runs: now what came early."""
        self.entry = entry
        self.broken = False
        early, self.early = self.early or [], None
        for event, answer, flags, id in early:
            self._submit(event, answer, flags, id)

    def failed(self, error: EngineError) -> None:
        """It could not be started: each of those who wait hears why; the next one tries again."""
        self.broken = True
        early, self.early = self.early or [], None
        for _event, answer, _flags, _id in early:
            self._over()
            answer(error)

    def retire(self) -> None:
        """It has a successor, or none is needed: it ends with its last invocation."""
        self.retired = True
        if not self.in_flight:
            self._end()

    def _over(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self.answered_at = time.monotonic()
            if self.retired:
                self._end()

    def _end(self) -> None:
        if self.entry is not None and not self.ended:
            self.ended = True
            self.fleet.runtime.stop(self.entry)


class Fleet:
    """Every deployment of a server."""

    def __init__(self, runtime: Runtime, reaper: Reaper, layouts: Layouts, keep: float) -> None:
        """keep: seconds that a deployment stays up unasked."""
        self.runtime = runtime
        self.reaper = reaper
        self.layouts = layouts
        self._keep = keep
        self._deployments: dict[tuple[str, str], Deployment] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._logs: dict[str, tuple[str, str]] = {}  # by function, the group and stream that it last began

    def deployment(self, record: Mapping[str, Any], reserved: int | None, warm: int) -> Deployment:
        """The deployment that runs this version as it is configured now. One with workers to keep warm is started."""
        key = (record["FunctionName"], record["Version"])
        old = self._deployments.get(key)
        if old is not None:
            if old.reserved == reserved and old.warm == warm and _same(old.record, record):
                return old
            old.retire()
        new = self._deployments[key] = Deployment(self, record, reserved, warm)
        if warm:
            new.early = []
            self.start(new)
        return new

    def has(self, name: str, version: str) -> bool:
        return (name, version) in self._deployments

    def withdraw(self, name: str, version: str) -> None:
        """That version is no more."""
        old = self._deployments.pop((name, version), None)
        if old is not None:
            old.retire()

    def sweep(self) -> list[tuple[str, str]]:
        """End what was not asked for lately; which those were."""
        before = time.monotonic() - self._keep
        idle = [
            key
            for key, it in self._deployments.items()
            if not it.in_flight and not it.warm and it.early is None and it.answered_at < before
        ]
        for key in idle:
            self._deployments.pop(key).retire()
        return idle

    def start(self, deployment: Deployment) -> None:
        task = asyncio.get_running_loop().create_task(self._start(deployment))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, deployment: Deployment) -> None:
        entry: FunctionEntry | None = None
        began = time.monotonic()
        deployment.began = time.time() * 1e3
        try:
            layout = await asyncio.get_running_loop().run_in_executor(
                None, self.layouts.of, deployment.record, deployment.reserved, deployment.warm
            )
            stream = (
                deployment.about.stream or layout.log_stream
            )  # tried again, it writes where it wrote before
            deployed = Deployed(
                version=layout.version, arn=layout.arn, log_group=layout.log_group, log_stream=stream,
                path_first=layout.path_first, base=layout.base, python=layout.python, strict=True,
            )  # fmt: skip
            entry, up = self.runtime.start(layout.config, deployed, raw_results=True)
            deployment.about = about(deployment.record, layout.log_group, stream)
            self._logs[deployment.key[0]] = layout.log_group, stream
            entry.init_seconds = await asyncio.wrap_future(up)
        except (EngineError, OSError, MemoryError) as error:
            if entry is not None:
                self.runtime.stop(entry)
            told = error if isinstance(error, EngineError) else InitError("Runtime.Unknown", str(error))
            deployment.init_ms = (time.monotonic() - began) * 1e3
            deployment.failed(told)
            return
        deployment.up(entry)
        if deployment.retired and not deployment.in_flight:
            deployment.retire()

    def log_of(self, name: str) -> tuple[str, str]:
        """The log group and stream for what a function says outside its invocations."""
        return self._logs.get(name, (f"/aws/lambda/{name}", "output"))

    def running(self) -> dict[tuple[str, str], int]:
        """In flight, by name and version, of each deployment that is up."""
        return {key: it.in_flight for key, it in self._deployments.items() if it.entry is not None}

    def warmed(self, name: str, version: str) -> int | None:
        """How many workers are there for a version; None: it cannot be started. From any thread."""
        it = self._deployments.get((name, version))
        if it is not None and it.broken:
            return None
        entry = it.entry if it is not None else None
        try:
            return len(self.runtime.supervisor.workers(entry.index)) if entry is not None else 0
        except KeyError:  # it ended meanwhile
            return 0


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one is other or all(one.get(member) == other.get(member) for member in _RUNS)
