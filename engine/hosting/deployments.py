"""Versions of functions as the engine runs them: started by their first invocation, replaced when they change, ended
when they had no invocation for long.

All of it belongs to the event loop that serves requests. A deployment is one version with one configuration: what
changes makes a new deployment, and the old one ends with its last invocation.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs

from .._native import lib
from ..aws import traces
from ..aws.names import Place
from ..calls.dispatch import FunctionEntry, Outcome
from ..calls.reaper import Owed, Reaper
from ..errors import EngineError, InitError
from ..observe.lines import ON_DEMAND
from ..observe.outcomes import Outcomes, Publisher
from ..observe.records import DeploymentInfo, deployment_info
from ..runtime import Runtime
from ..wire import Deployed
from .layout import Layout, LaysOut
from .outside import stream_arn
from .packages import needs

# Called with how an invocation ended, or why it never began.
OnOutcome = Callable[[Outcome | EngineError], None]
_LOOK = 0.05  # seconds between two looks at whether workers have ended
_WANT_TAIL: int = lib.STK_WANT_TAIL
# Members of a record that make another deployment when they change.
_RUNS = (
    "_digest", "_layers", "Handler", "MemorySize", "Timeout", "Environment", "LoggingConfig", "FunctionArn", "Runtime",
    "EphemeralStorage", "TracingConfig",
)  # fmt: skip
CLOCK = (
    time.time_ns() - time.monotonic_ns()
)  # fixed, so that workers and the server agree on an invocation's time


class InitTimedOut(InitError):
    """An init that had taken too long took all of the function's timeout when it was done once more: seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__("Sandbox.Timedout", f"Error: Task timed out after {seconds:.2f} seconds")
        self.seconds = seconds


class Deployment:
    """One version, running or not yet."""

    __slots__ = (
        "broken", "early", "ended", "entry", "fleet", "idle_since", "in_flight", "init_began", "init_lost_ms",
        "init_ms", "key", "outcomes", "record", "reply_bytes", "reserved", "retired", "sampled", "warm",
    )  # fmt: skip

    def __init__(self, fleet: Fleet, record: Mapping[str, Any], reserved: int | None, warm: int) -> None:
        self.fleet = fleet
        self.record = record
        self.key = (record["FunctionName"], record["Version"])
        self.reserved = reserved
        self.warm = warm
        self.entry: FunctionEntry | None = None  # once it is up
        # Invocations that came while it is being started.
        self.early: list[tuple[bytes, OnOutcome, int, bytes]] | None = None
        self.broken = False  # it could not be started, the last time that was tried
        self.init_ms = 0.0  # how long that took
        self.init_began = 0.0  # epoch ms; 0 once an invocation's record has it
        self.init_lost_ms = 0.0  # of one that took too long; 0 once an invocation's record has it
        self.sampled: bool = fleet.traced or record.get("TracingConfig", {}).get("Mode") == "Active"
        info = deployment_info(record, fleet.place.region, fleet.place.account)
        self.outcomes = Publisher(fleet.outcomes, info)
        self.in_flight = 0
        self.idle_since = time.monotonic()
        self.retired = self.ended = False
        fleet.packages.use(needs(record))
        self.reply_bytes = -1  # of its largest reply lately; 0: they are small; -1: there was none yet

    @property
    def info(self) -> DeploymentInfo:
        return self.outcomes.info

    def submit(self, event: bytes, on_outcome: OnOutcome, flags: int, id: bytes) -> None:
        """Run it on an event, under a request id of 16 bytes. `on_outcome` is called in the loop, exactly once; before
        this returns, even, when the engine refuses."""
        self.in_flight += 1
        if self.entry is None:
            if self.early is None:
                self.early = []
                self.fleet.start(self)
            self.early.append((event, on_outcome, flags, id))
            return
        self._submit(event, on_outcome, flags, id)

    def _submit(self, event: bytes, on_outcome: OnOutcome, flags: int, id: bytes, spent: float = 0.0) -> None:
        """spent: seconds of its timeout that an init has taken."""

        def done(outcome: Outcome | None, _value: Any) -> None:
            assert outcome is not None, "submitted with _WANT_TAIL"
            outcome.again = int(spent * 1e9)
            self.over()
            on_outcome(outcome)

        assert self.entry is not None
        try:
            left = int(max(0.001, self.record["Timeout"] - spent) * 1e9) if spent else 0
            self.fleet.reaper.submit(self.entry, event, done, flags | _WANT_TAIL, id, left)
        except EngineError as error:
            self.over()
            on_outcome(error)
            return
        self.fleet.reaper.heat()

    def submit_owed(self, event: bytes, owed: Owed) -> None:
        """The same once it is up, of an invocation whose end is told with others'. Raises what the engine refuses
        with."""
        assert self.entry is not None
        reaper = self.fleet.reaper
        reaper.submit_owed(self.entry, event, owed, _WANT_TAIL)
        self.in_flight += 1
        reaper.heat()

    def up(self, entry: FunctionEntry, spent: float) -> None:
        """It runs: submit what came early, which an init has cost so many seconds of its timeout."""
        self.entry = entry
        self.broken = False
        early, self.early = self.early or [], None
        for event, on_outcome, flags, id in early:
            self._submit(event, on_outcome, flags, id, spent)

    def failed(self, error: EngineError) -> None:
        """It could not be started: what came early fails with that; the next invocation tries again."""
        self.broken = True
        early, self.early = self.early or [], None
        for _event, on_outcome, _flags, _id in early:
            self.over()
            on_outcome(error)

    def retire(self) -> None:
        """It has a successor, or none is needed: it ends with its last invocation."""
        self.retired = True
        if not self.in_flight:
            self._end()

    def over(self) -> None:
        """One of its invocations has ended."""
        self.in_flight -= 1
        if not self.in_flight:
            self.idle_since = time.monotonic()
            if self.retired:
                self._end()

    def _end(self) -> None:
        if self.ended or self.early is not None:  # one that is being started ends once it has been
            return
        self.ended = True
        if self.entry is None:
            self.fleet.packages.release(needs(self.record))
        else:
            self.fleet.stop(self.entry, needs(self.record))


class Fleet:
    """Every deployment of a place."""

    def __init__(
        self,
        place: Place,
        runtime: Runtime,
        reaper: Reaper,
        layouts: LaysOut,
        outcomes: Outcomes,
        keep: float,
        traced: bool = False,
    ) -> None:
        """keep: seconds that a deployment stays up without an invocation. traced: is every invocation, unless its
        caller has decided?"""
        self.traced = traced
        self.place = place
        self.runtime = runtime
        self.reaper = reaper
        self.layouts = layouts
        self.packages = layouts.packages
        self.outcomes = outcomes
        self._keep = keep
        self._deployments: dict[tuple[str, str], Deployment] = {}
        self._starting: set[asyncio.Task[None]] = set()

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

    def provisioned(self, name: str) -> tuple[tuple[str, int, int], ...]:
        """Of a function's versions with provisioned concurrency: the version, its invocations, its warm workers."""
        return tuple(
            (version, it.in_flight, it.warm)
            for (each, version), it in self._deployments.items()
            if each == name and it.warm
        )

    def withdraw(self, name: str, version: str) -> None:
        """That version is no more."""
        old = self._deployments.pop((name, version), None)
        if old is not None:
            old.retire()

    def sweep(self) -> list[tuple[str, str]]:
        """End what had no invocation lately; which those were."""
        before = time.monotonic() - self._keep
        idle = [
            key
            for key, it in self._deployments.items()
            if not it.in_flight and not it.warm and it.early is None and it.idle_since < before
        ]
        for key in idle:
            self._deployments.pop(key).retire()
        return idle

    def stop(self, entry: FunctionEntry, names: Sequence[str]) -> None:
        """End a deployment's workers. What it has on the disk is in use until they have ended."""
        workers = self._workers(entry)
        self.runtime.stop(entry)
        asyncio.get_running_loop().call_later(_LOOK, self._release, entry, workers, names)

    def _release(self, entry: FunctionEntry, workers: set[int], names: Sequence[str]) -> None:
        """Once those workers have ended; a later function may have the entry's number, and others."""
        if workers & self._workers(entry):
            asyncio.get_running_loop().call_later(_LOOK, self._release, entry, workers, names)
        else:
            self.packages.release(names)

    def _workers(self, entry: FunctionEntry) -> set[int]:
        with contextlib.suppress(KeyError):
            return set(self.runtime.supervisor.workers(entry.index))
        return set()

    def start(self, deployment: Deployment) -> None:
        task = asyncio.get_running_loop().create_task(self._start(deployment))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, deployment: Deployment) -> None:
        began = time.monotonic()
        spent = 0.0
        deployment.init_began = time.time() * 1e3
        try:
            layout = await asyncio.get_running_loop().run_in_executor(
                None, self.layouts.of, self.place, deployment.record, deployment.reserved, deployment.warm
            )
            try:
                entry = await self._run(deployment, layout)
            except InitError as error:
                if error.error_type != "Sandbox.Timedout" or layout.initialization != ON_DEMAND:
                    raise
                again = time.monotonic()
                deployment.init_lost_ms = (again - began) * 1e3
                entry = await self._run_in_invocation(deployment, layout)
                spent = time.monotonic() - again
        except (EngineError, OSError, MemoryError) as error:
            if not isinstance(error, EngineError):
                error = InitError("Runtime.Unknown", str(error))
            deployment.init_ms = (time.monotonic() - began) * 1e3
            deployment.failed(error)
        else:
            deployment.up(entry, spent)
        if deployment.retired and not deployment.in_flight:
            deployment.retire()

    async def _run_in_invocation(self, deployment: Deployment, layout: Layout) -> FunctionEntry:
        """As AWS does when an init took too long: once more, as a part of the invocation, within its timeout."""
        seconds = layout.config.timeout
        try:
            return await self._run(
                deployment, replace(layout, config=structs.replace(layout.config, init_timeout=seconds))
            )
        except InitError as error:
            raise InitTimedOut(seconds) if error.error_type == "Sandbox.Timedout" else error from None

    async def _run(self, deployment: Deployment, layout: Layout) -> FunctionEntry:
        # Tried again, it writes where it wrote before.
        stream = deployment.info.log_stream or layout.log_stream
        deployed = Deployed(
            version=layout.version, arn=layout.arn, log_group=layout.log_group, log_stream=stream,
            path_first=layout.path_first, base=layout.base, python=layout.python, strict=True,
            strict_imports=layout.strict_imports,
            sandbox=layout.sandbox, fresh=layout.fresh, initialization=layout.initialization, clock=CLOCK,
            trace=traces.tail(self.place.function(deployment.key[0]), deployment.sampled),
        )  # fmt: skip
        place = self.place
        log_name = stream_arn(place, layout.log_group, stream)
        entry, up = self.runtime.start(layout.config, deployed, raw_results=True, log_name=log_name)
        info = deployment_info(
            deployment.record, place.region, place.account, layout.log_group, stream, layout.initialization
        )
        deployment.outcomes.describe(info)
        try:
            entry.init_seconds = await asyncio.wrap_future(up)
        except BaseException:
            self.runtime.stop(entry)
            raise
        return entry

    def warmed(self, name: str, version: str) -> int | None:
        """How many workers are there for a version; None: it cannot be started. From any thread."""
        it = self._deployments.get((name, version))
        if it is not None and it.broken:
            return None
        if it is not None and it.entry is not None:
            with contextlib.suppress(KeyError):  # it ended meanwhile
                return len(self.runtime.supervisor.workers(it.entry.index))
        return 0


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one is other or all(one.get(member) == other.get(member) for member in _RUNS)
