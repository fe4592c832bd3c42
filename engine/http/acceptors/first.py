"""The first process's side: starts acceptors and starts them again, tells them what changes, takes what they did.

Invariants.
- A change is acknowledged to who asked for it once every acceptor that accepts has Applied it, or is dead. It is told
  in the order in which records became visible, to those that are starting, too; and these accept after Go, which comes
  behind all of it.
- An invocation's outcome is in the acceptor's journal, memory that this process has as well, before its response is
  written. It is taken in steps, before anything is read that is made of outcomes, and when the acceptor is dead.
- What a dead acceptor held is given back here: its column of the quota, the packages it used. The socket that it
  accepted from stays open here, with the connections that wait in it, for the next one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...aws.names import Place
from ...durable.state import Change, State, States
from ...errors import EngineError, InitError
from ...hosting.layout import Layouts
from ...hosting.placements import Hosting, Placement
from ...hosting.quota import Quota
from ...observe.journal import (
    Counted,
    Described,
    Entry,
    Forgotten,
    JournalReader,
    Step,
    Taken,
    Throttled,
)
from ...observe.journal import (
    shared as journal_memory,
)
from ...observe.outcomes import Outcomes, Publisher, Throttle
from ...observe.records import DeploymentInfo, FunctionOutput, InvocationRecord, Quiet
from ...observe.tally import Subject, Tally
from ..options import Options
from ..parts import GRACE
from .messages import (
    Applied,
    Begin,
    Changed,
    Channel,
    Go,
    LaidOut,
    LayOut,
    Ready,
    Steps,
    Stop,
    Tapped,
    ToFirst,
    Use,
    Watched,
)
from .passing import Passed
from .router import TABLES

START = 60.0  # seconds that an acceptor may take until it is ready
PATIENCE = 5.0  # seconds that one may take for a change; it is killed then
_BACK_OFF = (0.0, 0.1, 1.0, 5.0)  # seconds before it is started again, by how often it did not last
_LASTS = 10.0  # seconds after which it did
_PUBLISHERS = 1000  # that are remembered


@dataclass(frozen=True, slots=True)
class Around:
    """The parts of the first process that acceptors need. printed: take what functions print; take: gets a connection,
    and what came on it."""

    options: Options
    url: str
    states: States
    hosting: Hosting
    layouts: Layouts
    quota: Quota
    outcomes: Outcomes
    tally: Tally
    printed: Sequence[Callable[[FunctionOutput], object]]
    take: Callable[[socket.socket, bytes], object]


class Acceptors:
    """All but the first process. Belongs to its event loop."""

    def __init__(self, states: States) -> None:
        """From now on, changes wait for those that there are."""
        self._loop = asyncio.get_running_loop()
        self._acceptors: list[_Acceptor] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._failed = ""  # how one ended that was never ready
        self._closed = False
        self._telling = threading.Lock()  # is it closed?
        states.watchers.append(self._changed)

    async def start(self, around: Around, sockets: Sequence[socket.socket]) -> None:
        """One for each of these sockets; they are all ready then. Raises EngineError."""
        processes = len(sockets) + 1
        around.hosting.tap_watchers.append(self._tapped)
        self._acceptors = [
            _Acceptor(around, sock, (number, processes)) for number, sock in enumerate(sockets, 1)
        ]
        for each in self._acceptors:
            task = self._loop.create_task(self._keep(each))
            self._tasks.add(task)
        try:
            async with asyncio.timeout(START):
                for each in self._acceptors:
                    await each.ready.wait()
        except TimeoutError:
            raise EngineError(f"--workers: a process was not ready in {START:g} seconds") from None
        if self._failed:
            raise EngineError(f"--workers: a process ended ({self._failed}) before it was ready")

    async def _keep(self, acceptor: _Acceptor) -> None:
        """Runs one, and another when it has ended."""
        failed = 0
        while not self._stopping:
            await asyncio.sleep(_BACK_OFF[min(failed, len(_BACK_OFF) - 1)])
            if self._stopping:
                break
            began = self._loop.time()
            try:
                status = await acceptor.run()
            except OSError as error:  # there are no processes, or descriptors, to be had
                status = str(error)
            if not acceptor.ready.is_set():  # nor would the next one be
                self._failed = status
                acceptor.ready.set()
                return
            failed = 0 if self._loop.time() - began > _LASTS else failed + 1
            if not self._stopping:
                print(
                    f"stoker: an accepting process ended ({status}), and is started again",
                    file=sys.stderr,
                    flush=True,
                )

    @property
    def pids(self) -> list[int]:
        return [each.pid for each in self._acceptors if each.pid]

    def collect(self) -> None:
        """What they have answered until now is in the outcomes."""
        for each in self._acceptors:
            each.collect()

    def stop(self) -> None:
        """What runs there ends; asked twice: now."""
        self._stopping = True
        for each in self._acceptors:
            each.stop()

    async def aclose(self) -> None:
        """Until all have ended, and what they did is taken."""
        self.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=2.0 * GRACE + 5)
            for each in self._acceptors if late else ():
                each.kill()
            if late:
                await asyncio.wait(late)
        with self._telling:
            self._closed = True
        await asyncio.sleep(0)  # what was told before that is done

    def _tapped(self, placement: Placement) -> None:
        for each in self._acceptors:
            each.send(Watched(placement.place.partition, placement.invoker.tap is not None))

    def _changed(self, state: State, change: Change) -> None:
        """In the thread that changed it, which waits: never the loop's."""
        steps = [step for step in change.steps if step[0] in TABLES]
        if not steps:
            return
        with self._telling:
            if self._closed or not self._acceptors:
                return
            told = asyncio.run_coroutine_threadsafe(self._tell(state.partition, steps), self._loop)
        told.result()

    async def _tell(self, partition: str, steps: Steps) -> None:
        await asyncio.gather(*[each.tell(partition, steps) for each in self._acceptors])


class _Acceptor:
    """One, and those in its place after it."""

    def __init__(self, around: Around, sock: socket.socket, turn: tuple[int, int]) -> None:
        self._around, self._socket, self._turn = around, sock, turn
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._reader: JournalReader | None = None
        self._accepts = False
        self.ready = asyncio.Event()
        self._asked: dict[int, asyncio.Future[None]] = {}  # changes that are to be Applied
        self._numbers = 0
        self._used: Counter[str] = Counter()
        self._laying: set[asyncio.Task[None]] = set()
        self._publishers: dict[DeploymentInfo, Publisher] = {}
        self._described: dict[int, Publisher] = {}

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def send(self, message: Any) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def stop(self) -> None:
        self._socket.close()  # nobody is to come any more
        self.send(Stop())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def run(self) -> str:
        """From its start to its end. How it ended."""
        around, number = self._around, self._turn[0]
        ours, theirs = socket.socketpair()
        passed, passing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        journal = journal_memory()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from engine.http.acceptors.process import main; main()"
        )
        inherited = (
            theirs.fileno(), self._socket.fileno(), passing.fileno(), journal, around.quota.descriptor,
        )  # fmt: skip
        with theirs, passing:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, str(theirs.fileno()), str(os.getpid())],
                pass_fds=inherited, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True,
            )  # fmt: skip
        self._reader = JournalReader(journal)
        os.close(journal)
        taking = Passed(passed, self._loop, around.take)
        self._channel = channel = Channel(ToFirst, self._take, lambda: None)
        await self._loop.create_unix_connection(lambda: channel, sock=ours)
        options = replace(around.options, python=(), bucket=())
        self.send(Begin(options, around.url, self._turn, *inherited[1:]))
        self._tell_all()
        descriptor, ended = os.pidfd_open(process.pid), asyncio.Event()
        try:
            self._loop.add_reader(descriptor, ended.set)
            await ended.wait()
        finally:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        status = process.wait()
        self.collect()
        self._reader = self._process = self._channel = None
        channel.close()
        taking.close()
        self._accepts = False
        around.quota.clear(number)
        used, self._used = self._used, Counter()
        around.layouts.packages.release(used.elements())
        self._described.clear()
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_result(None)
        return f"signal {-status}" if status < 0 else f"status {status}"

    # What it is told.

    def _tell_all(self) -> None:
        """As it is now. What changed meanwhile comes once more, from its own change."""
        for state in self._around.states.all():
            steps: Steps = [
                (table, owner, id, record)
                for table in sorted(TABLES)
                for owner in state.owners(table)
                for id, record in list(state.owned(table, owner).items())
            ]
            if steps:
                self.send(Changed(0, state.partition, steps, self._slots(state.partition, steps)))
        for placement in self._around.hosting.known():
            if placement.invoker.tap is not None:
                self.send(Watched(placement.place.partition, True))

    def _slots(self, partition: str, steps: Steps) -> list[tuple[str, str, int]]:
        names = {owner for table, owner, *_ in steps if table == "function"} | {""}
        found = ((name, self._around.quota.slot((partition, name))) for name in sorted(names))
        return [(partition, name, slot) for name, slot in found if slot is not None]

    async def tell(self, partition: str, steps: Steps) -> None:
        """Until it is Applied, or it is dead, or does not accept yet."""
        if self._channel is None:
            return
        slots = self._slots(partition, steps)
        if not self._accepts:
            self.send(Changed(0, partition, steps, slots))
            return
        self._numbers += 1
        number = self._numbers
        applied = self._asked[number] = self._loop.create_future()
        self.send(Changed(number, partition, steps, slots))
        done, _ = await asyncio.wait((applied,), timeout=PATIENCE)
        if not done:
            self.kill()
            await applied

    # What it says.

    def _take(self, message: Any) -> None:
        kind = type(message)
        if kind is Step:
            self._taken(message)
        elif kind is Applied:
            applied = self._asked.pop(message.number, None)
            if applied is not None and not applied.done():
                applied.set_result(None)
        elif kind is Use:
            self._use(message)
        elif kind is LayOut:
            task = self._loop.create_task(self._lay_out(message))
            self._laying.add(task)
            task.add_done_callback(self._laying.discard)
        elif kind is Tapped:
            placement = self._around.hosting.of(Place.of(message.partition))
            if placement.invoker.tap is not None:
                placement.invoker.tap(message.name, message.event)
        elif kind is Ready:
            self._accepts = True
            self.send(Go())
            self.ready.set()

    def _use(self, use: Use) -> None:
        packages = self._around.layouts.packages
        if use.over:
            self._used.subtract(use.names)
            packages.release(use.names)
        else:
            self._used.update(use.names)
            packages.use(use.names)

    async def _lay_out(self, asked: LayOut) -> None:
        layouts, place = self._around.layouts, Place.of(asked.partition)
        try:
            layout = await self._loop.run_in_executor(
                None, layouts.of, place, asked.record, asked.reserved, asked.warm
            )
        except InitError as error:
            self.send(LaidOut(asked.number, None, (error.error_type, error.error_message)))
        except (EngineError, OSError, MemoryError) as error:
            self.send(LaidOut(asked.number, None, ("Runtime.Unknown", str(error))))
        else:
            self.send(LaidOut(asked.number, layout))

    # What it did.

    def _taken(self, step: Step) -> None:
        if self._reader is not None:
            self._note(self._reader.take(step))
        self.send(Taken(step.half, step.generation, step.end))

    def collect(self) -> None:
        if self._reader is not None:
            self._note(self._reader.rest())

    def _note(self, entries: Iterable[Entry]) -> None:
        described, around = self._described, self._around
        for entry in entries:
            if isinstance(entry, Quiet | InvocationRecord):
                if (publisher := described.get(entry.deployment)) is not None:
                    publisher.ended(entry.record() if isinstance(entry, Quiet) else entry)
            elif isinstance(entry, Described):
                described[entry.number] = self._publisher(entry.deployment)
            elif isinstance(entry, Forgotten):
                described.clear()
            elif isinstance(entry, Throttled):
                if (publisher := described.get(entry.number)) is not None:
                    publisher.throttled(Throttle(entry.at, entry.reason, entry.alias))
            elif isinstance(entry, Counted):
                subject = Subject(entry.region, entry.account, entry.namespace, *entry.dimensions)
                around.tally.add(subject, entry.values)
            elif isinstance(entry, FunctionOutput):
                for take in around.printed:
                    take(entry)

    def _publisher(self, info: DeploymentInfo) -> Publisher:
        found = self._publishers.get(info)
        if found is None:
            if len(self._publishers) >= _PUBLISHERS:
                self._publishers.clear()
            found = self._publishers[info] = Publisher(self._around.outcomes, info)
        return found
