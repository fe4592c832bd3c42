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
from typing import Any

from .._native import lib
from ..aws.names import Place
from ..calls.dispatch import FunctionEntry, Outcome
from ..calls.reaper import Reaper
from ..errors import EngineError, InitError
from ..observe.outcomes import Outcomes, Publisher
from ..observe.records import DeploymentInfo, deployment_info
from ..runtime import Runtime
from ..wire import Deployed
from .layout import Layout, Layouts
from .outside import stream_arn
from .packages import needs

# Called with how an invocation ended, or why it never began.
OnOutcome = Callable[[Outcome | EngineError], None]
_LOOK = 0.05  # seconds between two looks at whether workers have ended
_WANT_TAIL: int = lib.STK_WANT_TAIL
# Members of a record that make another deployment when they change.
_RUNS = (
    "_digest", "_layers", "Handler", "MemorySize", "Timeout", "Environment", "LoggingConfig", "FunctionArn", "Runtime",
    "EphemeralStorage",
)  # fmt: skip


class Deployment:
    """One version, running or not yet."""

    __slots__ = (
        "broken", "early", "ended", "entry", "fleet", "idle_since", "in_flight", "init_began", "init_ms", "key",
        "outcomes", "record", "reply_bytes", "reserved", "retired", "warm",
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

    def _submit(self, event: bytes, on_outcome: OnOutcome, flags: int, id: bytes) -> None:
        def done(outcome: Outcome | None, _value: Any) -> None:
            assert outcome is not None, "submitted with _WANT_TAIL"
            self._over()
            on_outcome(outcome)

        assert self.entry is not None
        try:
            self.fleet.reaper.submit(self.entry, event, done, flags | _WANT_TAIL, id)
        except EngineError as error:
            self._over()
            on_outcome(error)
            return
        self.fleet.reaper.heat()

    def up(self, entry: FunctionEntry) -> None:
        """It runs: submit what came early."""
        self.entry = entry
        self.broken = False
        early, self.early = self.early or [], None
        for event, on_outcome, flags, id in early:
            self._submit(event, on_outcome, flags, id)

    def failed(self, error: EngineError) -> None:
        """It could not be started: what came early fails with that; the next invocation tries again."""
        self.broken = True
        early, self.early = self.early or [], None
        for _event, on_outcome, _flags, _id in early:
            self._over()
            on_outcome(error)

    def retire(self) -> None:
        """It has a successor, or none is needed: it ends with its last invocation."""
        self.retired = True
        if not self.in_flight:
            self._end()

    def _over(self) -> None:
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
        layouts: Layouts,
        outcomes: Outcomes,
        keep: float,
    ) -> None:
        """keep: seconds that a deployment stays up without an invocation."""
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
        entry: FunctionEntry | None = None
        began = time.monotonic()
        deployment.init_began = time.time() * 1e3
        try:
            layout = await asyncio.get_running_loop().run_in_executor(
                None, self.layouts.of, self.place, deployment.record, deployment.reserved, deployment.warm
            )
            entry, up = self._run(deployment, layout)
            entry.init_seconds = await asyncio.wrap_future(up)
        except (EngineError, OSError, MemoryError) as error:
            if entry is not None:
                self.runtime.stop(entry)
            if not isinstance(error, EngineError):
                error = InitError("Runtime.Unknown", str(error))
            deployment.init_ms = (time.monotonic() - began) * 1e3
            deployment.failed(error)
        else:
            deployment.up(entry)
        if deployment.retired and not deployment.in_flight:
            deployment.retire()

    def _run(self, deployment: Deployment, layout: Layout) -> tuple[FunctionEntry, Any]:
        # Tried again, it writes where it wrote before.
        stream = deployment.info.log_stream or layout.log_stream
        deployed = Deployed(
            version=layout.version, arn=layout.arn, log_group=layout.log_group, log_stream=stream,
            path_first=layout.path_first, base=layout.base, python=layout.python, strict=True,
            sandbox=layout.sandbox,
        )  # fmt: skip
        place = self.place
        log_name = stream_arn(place, layout.log_group, stream)
        started = self.runtime.start(layout.config, deployed, raw_results=True, log_name=log_name)
        info = deployment_info(deployment.record, place.region, place.account, layout.log_group, stream)
        deployment.outcomes.describe(info)
        return started

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
