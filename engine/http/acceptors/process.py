"""An acceptor: a process with an engine of its own, which answers what router.py says and follows the first process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import uvloop

from ..._native import lib
from ...aws.model import Model
from ...aws.names import Place
from ...aws.registry import Registry
from ...aws.upstream import Upstream
from ...calls.reaper import Reaper
from ...durable.state import Change, States
from ...errors import InitError
from ...hosting.allocator import keep_large_buffers_apart
from ...hosting.layout import Layout
from ...hosting.outside import Outside
from ...hosting.placements import Hosting
from ...hosting.quota import Quota
from ...observe.journal import Counted, Journal
from ...observe.outcomes import Outcomes
from ...observe.tally import Subject, Tally
from ...services.lambda_ import own_sources
from ...services.lambda_.wording import WORDING
from ...services.urls.service import FunctionUrlRequests
from ..acceptor import Acceptor
from ..app import App
from ..invoke import Endpoint
from ..measuring import SWEEP
from ..parts import GRACE, KEEP, door_of, engine, room, settled
from ..passthrough import Passthrough
from .connection import RoutedConnection
from .messages import (
    Applied,
    Begin,
    Changed,
    Channel,
    Go,
    LaidOut,
    LayOut,
    Ready,
    Stop,
    Tapped,
    ToAcceptor,
    Use,
    Watched,
)
from .passing import Passing
from .router import Router


class _Packages:
    """Which the first process keeps: it counts what is used here, in order with what is Applied."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def use(self, names: Iterable[str]) -> None:
        self._channel.send(Use(list(names), over=False))

    def release(self, names: Iterable[str]) -> None:
        self._channel.send(Use(list(names), over=True))


class _Layouts:
    """Which the first process makes, with its interpreters, sandboxes and credentials."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self.packages = _Packages(channel)
        self._channel, self._loop = channel, loop
        self._asked: dict[int, asyncio.Future[LaidOut]] = {}
        self._number = 0

    def of(self, place: Place, record: Mapping[str, Any], reserved: int | None, warm: int) -> Layout:
        """Waits for it: not in the loop. Raises InitError."""
        asking = self._ask(place.partition, dict(record), reserved, warm)
        made = asyncio.run_coroutine_threadsafe(asking, self._loop).result()
        if made.layout is None:
            raise InitError(*made.error)
        return made.layout

    async def _ask(self, partition: str, record: dict[str, Any], reserved: int | None, warm: int) -> LaidOut:
        self._number += 1
        asked = self._asked[self._number] = self._loop.create_future()
        self._channel.send(LayOut(self._number, partition, record, reserved, warm))
        laid_out: LaidOut = await asked
        return laid_out

    def made(self, laid_out: LaidOut) -> None:
        asked = self._asked.pop(laid_out.number, None)
        if asked is not None and not asked.done():
            asked.set_result(laid_out)


class _Tally(Tally):
    """Counts on in the first process."""

    def __init__(self, journal: Journal, wanted: bool) -> None:
        super().__init__()
        self._journal, self.wanted = journal, wanted

    def add(self, subject: Subject, values: Mapping[str, float]) -> None:
        if self.wanted:
            of = subject.region, subject.account, subject.namespace
            self._journal.counted(Counted(*of, list(subject.dimensions), dict(values)))


class AcceptorProcess:
    """Until the first process says Stop, or is gone."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(ToAcceptor, self._take, self._lost)
        self._states = States(None)
        self._acceptor: Acceptor
        self._stopping = False
        self._may_go: asyncio.Future[Begin] = self._loop.create_future()

    async def run(self, descriptor: int) -> None:
        sock = socket.socket(fileno=descriptor)
        await self._loop.create_unix_connection(lambda: self._channel, sock=sock)
        begin = await self._may_go
        settled()
        acceptor = self._acceptor
        await acceptor.start([socket.socket(fileno=begin.listening)])
        sweeping = self._loop.create_task(self._sweep())
        await acceptor.serve(GRACE)
        sweeping.cancel()
        await self._loop.run_in_executor(None, self._runtime.close_processes, float(GRACE))
        self._reaper.flush()
        self._outside.flush()
        self._outcomes.flush()
        self._channel.close()

    def _assemble(self, begin: Begin) -> None:
        """The parts, as the first process has them, but for those that keep anything."""
        self._begin = begin
        options, loop = begin.options, self._loop
        number, processes = begin.turn
        channel = self._channel
        self._journal = Journal(begin.journal, channel.send, whole=True)
        self._quota = Quota(begin.quota, number)
        self._outcomes = Outcomes(loop, self._journal)
        self._outside = Outside(loop, self._journal.printed, lambda output: self._flush_soon())
        self._runtime = engine(self._outside, *begin.turn)
        runtime = self._runtime
        self._reaper = Reaper(runtime.dispatch, loop, runtime.data_epoll, runtime.spin_ns, serving=True)
        self._layouts = _Layouts(channel, loop)
        self._hosting = Hosting(
            self._states, runtime, self._reaper, self._layouts, self._outcomes, KEEP, loop, quota=self._quota
        )
        place = Place(options.region, options.account)
        door = door_of(options, place)
        urls = FunctionUrlRequests(
            self._hosting, door.guarded, self._journal.printed, options.strict,
            _Tally(self._journal, options.metrics),
        )  # fmt: skip
        nowhere = Passthrough(Upstream(None), None, options.account)
        app = App(Registry([urls]), door, nowhere)
        endpoint = Endpoint(self._hosting, None, Model(own_sources.model(), WORDING), door)
        held, most = room(options, processes)
        self._passing = Passing(socket.socket(fileno=begin.passing), loop)
        self._router = Router(self._states, self._quota, door, self._passing)
        self._states.watchers[:] = [self._hosting.changed]  # at once: no request comes between
        make = partial(RoutedConnection, router=self._router)
        self._acceptor = Acceptor(make, app.respond, endpoint, held, most, app.upgrade)
        channel.send(Ready())  # what is told until Go comes in front of it

    def _flush_soon(self) -> None:
        self._loop.call_later(0.05, self._journal.flush)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            self._hosting.sweep()

    def _take(self, message: Any) -> None:
        kind = type(message)
        if kind is Changed:
            self._change(message)
        elif kind is LaidOut:
            self._layouts.made(message)
        elif kind is Watched:
            self._watch(message)
        elif kind is Begin:
            self._assemble(message)
        elif kind is Go:
            self._may_go.set_result(self._begin)
        elif kind is Stop:
            self._stopping = True
            self._acceptor.stop()
        else:
            self._journal.taken(message)

    def _change(self, changed: Changed) -> None:
        """Routes, deployments and limits follow before it is Applied."""
        self._quota.learn({(partition, name): slot for partition, name, slot in changed.slots})
        change = Change()
        change.steps = list(changed.steps)
        self._states.of(changed.partition).apply(change)
        self._router.changed()
        self._acceptor.known.clear()
        if changed.number:
            self._channel.send(Applied(changed.number))

    def _watch(self, watched: Watched) -> None:
        placement = self._hosting.of(Place.of(watched.partition))

        def tap(name: str, event: bytes) -> None:
            self._channel.send(Tapped(watched.partition, name, event))

        placement.invoker.tap = tap if watched.watched else None

    def _lost(self) -> None:
        """The first process is gone: nobody could be told of what is answered from now on."""
        os._exit(0 if self._stopping else 1)


async def _run(descriptor: int) -> None:
    await AcceptorProcess().run(descriptor)


def main() -> None:
    """Its life. Arguments: the descriptor of its channel, and its parent."""
    descriptor, parent = (int(each) for each in sys.argv[1:])
    lib.stk_pdeathsig(signal.SIGKILL)
    if os.getppid() != parent:
        return
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal's are for the first process
        signal.signal(number, signal.SIG_IGN)
    keep_large_buffers_apart()
    uvloop.run(_run(descriptor))
