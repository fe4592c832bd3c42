"""The log's own process: it renders, writes and reads logs, so that the process that invokes does none of it.

Rendering a log takes as long as invoking, and in a thread it would take turns with the event loop. What ended and what
was printed is in the journal, memory that both share. The rest goes by a socket pair: how far the journal reaches, and
the operations of CloudWatch Logs. Frames: a length of four bytes, then a Message as MessagePack. The process ends, with
all written, when its server has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ... import wire
from ...errors import EngineError
from ...observe.journal import (
    Described,
    Entry,
    Forgotten,
    Journal,
    JournalReader,
    Step,
    Taken,
    shared,
)  # fmt: skip
from ...observe.log import log_events
from ...observe.records import DeploymentInfo, FunctionOutput, InvocationRecord, Quiet
from .disk import rendered
from .measured import EMF, MeasuredPoint, measured
from .reading import FilterRead, TailedEvent

if TYPE_CHECKING:
    from .api import LogsApi
    from .disk import Line, Meta
    from .store import LogStore

_HEAD = struct.Struct("<I")
FLUSH_SECONDS = 0.05


class OperationRequest(msgspec.Struct, tag=True, array_like=True):
    """An operation of CloudWatch Logs, on one account's groups in one region."""

    number: int
    account: str
    region: str
    target: str
    body: bytes


class ReadRequest(msgspec.Struct, tag=True, array_like=True):
    """What the subscription filters of a group match, behind these sequences, by the filters' ids."""

    number: int
    account: str
    region: str
    group: str
    places: dict[str, int]


class TailRequest(msgspec.Struct, tag=True, array_like=True):
    """What a live tail session has got since it was asked before. last: it ends, and nobody waits for the response."""

    number: int
    account: str
    region: str
    session: str
    last: bool = False


class WatchRequest(msgspec.Struct, tag=True, array_like=True):
    """Say which groups with subscription filters there are, and which have new events from now on."""


class OperationResponse(msgspec.Struct, tag=True, array_like=True):
    number: int
    status: int
    headers: dict[str, str]
    body: bytes


class ReadResponse(msgspec.Struct, tag=True, array_like=True):
    number: int
    filters: list[FilterRead]


class TailResponse(msgspec.Struct, tag=True, array_like=True):
    """events: None where there is no such session. sampled: there were more."""

    number: int
    events: list[TailedEvent] | None
    sampled: bool


class Measured(msgspec.Struct, tag=True, array_like=True):
    """What the events that were written say of metrics."""

    account: str
    region: str
    points: list[MeasuredPoint]


class Grown(msgspec.Struct, tag=True, array_like=True):
    """A group with subscription filters has new events: until it is read, this is not said again."""

    account: str
    region: str
    group: str


Message = Step | OperationRequest | ReadRequest | TailRequest | WatchRequest
Reply = OperationResponse | ReadResponse | TailResponse | Grown | Measured | Taken
_decode = msgspec.msgpack.Decoder(Message).decode
_decode_reply: Callable[[bytes], Reply] = msgspec.msgpack.Decoder(Reply).decode
_encode = msgspec.msgpack.Encoder().encode


class LogsProcess:
    """The server's side. Belongs to its event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._numbers = itertools.count(1)
        self._requests: dict[int, asyncio.Future[Any]] = {}
        self._flushing = False
        self._on_grown: Callable[[Grown], object] = lambda grown: None
        self.gather: Callable[[], object] = lambda: None  # what ended elsewhere, into the journal
        self.on_measured: Callable[[Measured], object] = lambda measured: None  # called in the loop
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None
        self._memory = shared()
        self.journal = Journal(self._memory, self._send)

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            code = f"import sys; sys.path[:] = {sys.path!r}; from engine.services.logs.process import main; main()"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, str(theirs.fileno()), str(self._memory), self._folder],
                pass_fds=(theirs.fileno(), self._memory),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reader = asyncio.get_running_loop().create_task(self._read(reader))

    def printed(self, output: FunctionOutput) -> None:
        """To be logged, without waiting."""
        self.journal.printed(output)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self.journal.flush()

    def _send(self, message: Message) -> None:
        writer = self._writer
        if writer is not None and not writer.transport.is_closing():
            data = _encode(message)
            writer.write(_HEAD.pack(len(data)) + data)

    async def request(self, account: str, region: str, target: str, body: bytes) -> OperationResponse:
        """Carry out an operation. Raises EngineError when the process is gone."""
        number = next(self._numbers)
        response: OperationResponse = await self._ask(
            number, OperationRequest(number, account, region, target, body)
        )
        return response

    async def read(self, account: str, region: str, group: str, places: dict[str, int]) -> list[FilterRead]:
        """What a group's subscription filters match; none of a group that is gone. Raises EngineError when the
        process is gone."""
        number = next(self._numbers)
        response: ReadResponse = await self._ask(number, ReadRequest(number, account, region, group, places))
        return response.filters

    async def tail(self, account: str, region: str, session: str) -> tuple[list[TailedEvent], bool] | None:
        """What a live tail session has got; None: it is over. Raises EngineError when the process is gone."""
        number = next(self._numbers)
        response: TailResponse = await self._ask(number, TailRequest(number, account, region, session))
        return None if response.events is None else (response.events, response.sampled)

    def end_tail(self, account: str, region: str, session: str) -> None:
        self._send(TailRequest(0, account, region, session, last=True))

    def watch(self, on_grown: Callable[[Grown], object]) -> None:
        """Call it, in the loop, with each group that has subscription filters now, and whenever one has new events."""
        self._on_grown = on_grown
        self._send(WatchRequest())

    async def _ask(self, number: int, message: Message) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        try:
            if self._writer is None or self._writer.transport.is_closing():
                raise EngineError("the log's process has ended")
            self.gather()
            self.journal.flush()  # what ended before is in the log that it reads
            self._send(message)
            return await future
        finally:
            self._requests.pop(number, None)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                reply = _decode_reply(await reader.readexactly(length))
                if isinstance(reply, Grown):
                    self._on_grown(reply)
                    continue
                if isinstance(reply, Measured):
                    self.on_measured(reply)
                    continue
                if isinstance(reply, Taken):
                    self.journal.taken(reply)
                    continue
                future = self._requests.get(reply.number)
                if future is not None and not future.done():
                    future.set_result(reply)
        for future in self._requests.values():
            if not future.done():
                future.set_exception(EngineError("the log's process has ended"))
        if self._writer is not None:
            self._writer.close()

    async def close(self) -> None:
        """Everything is written, then the process ends."""
        self.journal.flush()
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                await writer.drain()
                writer.write_eof()
        if self._process is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        if self._reader is not None:
            await self._reader
        if writer is not None:
            writer.close()
        self.journal.close()
        os.close(self._memory)


def folder_of(state: Path, account: str, region: str) -> Path:
    """Where log groups lie, by account and region. What was logged before there were several is the server's own."""
    folder, single = state / "log-groups", state / "logs"
    if single.exists() and not folder.exists():
        (folder / account).mkdir(parents=True)
        single.rename(folder / account / region)
    return folder


class Places:
    """The process's side: a store of log groups for each account and region, opened when it is first needed."""

    def __init__(
        self, folder: Path, journal: JournalReader, reply: Callable[[Reply], object] = lambda reply: None
    ) -> None:
        """reply: called from any thread."""
        self.journal = journal
        self._folder = folder
        self._reply = reply
        self._watched = False
        self._grown: set[tuple[str, str, str]] = set()  # that were said to have
        self._stores: dict[tuple[str, str], LogStore] = {}
        self._apis: dict[tuple[str, str], LogsApi] = {}
        self._deployments: dict[int, DeploymentInfo] = {}  # by their numbers in the journal

    def store(self, account: str, region: str) -> LogStore:
        found = self._stores.get((account, region))
        if found is None:
            from .store import LogStore

            found = self._stores[account, region] = LogStore(self._folder / account / region)
            found.on_written = partial(self._on_written, found, account, region)
            found.on_events = partial(self._on_events, account, region)
        return found

    def _on_written(self, store: LogStore, account: str, region: str, groups: list[str]) -> None:
        from .store import LogNotFound

        for group in groups if self._watched else ():
            with contextlib.suppress(LogNotFound):
                if store.meta(group).subscriptions:
                    self._say(account, region, group)

    def _on_events(self, account: str, region: str, meta: Meta, lines: list[Line]) -> None:
        if api := self._apis.get((account, region)):
            api.tails.written(meta.name, lines)
        if meta.metrics or any(isinstance(line, tuple) and EMF in line[3] for line in lines):
            points = measured(list(rendered(lines)), meta.metrics)
            if points:
                self._reply(Measured(account, region, points))

    def _say(self, account: str, region: str, group: str) -> None:
        key = account, region, group
        if key not in self._grown:
            self._grown.add(key)
            self._reply(Grown(*key))

    def _watch(self) -> None:
        from .disk import is_subscribed, name_of

        self._watched = True
        for folder in self._folder.glob("*/*/*/"):
            if is_subscribed(folder) and (name := name_of(folder)) is not None:
                self._say(folder.parent.parent.name, folder.parent.name, name)

    def _read(self, message: ReadRequest) -> ReadResponse:
        from .store import LogNotFound
        from .subscribed import read

        self._grown.discard(
            (message.account, message.region, message.group)
        )  # before: what comes now is said again
        try:
            store = self.store(message.account, message.region)
            return ReadResponse(message.number, read(store, message.group, message.places))
        except (LogNotFound, OSError):
            return ReadResponse(message.number, [])

    def api(self, account: str, region: str) -> LogsApi:
        found = self._apis.get((account, region))
        if found is None:
            from .api import LogsApi

            found = self._apis[account, region] = LogsApi(self.store(account, region), region, account)
        return found

    def _tail(self, message: TailRequest) -> TailResponse | None:
        found = self.api(message.account, message.region).tails.taken(message.session, message.last)
        events, sampled = found or (None, False)
        return None if message.last else TailResponse(message.number, events, sampled)

    def close(self) -> None:
        for api in self._apis.values():
            api.close()
        for store in self._stores.values():
            store.close()

    def log(self, entries: Iterable[Entry]) -> None:
        """What the journal has, in its order."""
        ended: dict[tuple[int, int], list[InvocationRecord | Quiet]] = {}  # by deployment and worker
        for entry in entries:
            if isinstance(entry, Quiet | InvocationRecord):
                ended.setdefault((entry.deployment, entry.born), []).append(entry)
            elif isinstance(entry, Described):
                self._deployments[entry.number] = entry.deployment
            elif isinstance(entry, Forgotten):
                self._ended(ended)
                self._deployments.clear()
            elif isinstance(entry, FunctionOutput):
                self._ended(ended)
                store = self.store(entry.account, entry.region)
                store.append(entry.log_group, entry.log_stream, [(entry.at, entry.text)])
        self._ended(ended)

    def _ended(self, ended: dict[tuple[int, int], list[InvocationRecord | Quiet]]) -> None:
        for (number, born), records in ended.items():
            of = self._deployments.get(number)
            if of is not None:
                store = self.store(of.account, of.region)
                store.append(of.log_group, wire.log_stream(of.log_stream, born), log_events(of, records))
        ended.clear()

    def take(self, message: Message) -> Reply | None:
        if isinstance(message, Step):
            self.log(self.journal.take(message))
            return Taken(message.half, message.generation, message.end)
        if isinstance(message, WatchRequest):
            self._watch()
        elif isinstance(message, ReadRequest):
            return self._read(message)
        elif isinstance(message, TailRequest):
            return self._tail(message)
        else:
            api = self.api(message.account, message.region)
            return OperationResponse(message.number, *api.call(message.target, message.body))
        return None


def main() -> None:
    """The process's life."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with its server, not before
        signal.signal(number, signal.SIG_IGN)
    fd, memory, folder = sys.argv[1:]
    sock = socket.socket(fileno=int(fd))
    sending = threading.Lock()

    def send(reply: Reply) -> None:
        encoded = _encode(reply)
        with sending, contextlib.suppress(OSError):  # the server has gone: the end comes soon
            sock.sendall(_HEAD.pack(len(encoded)) + encoded)

    places = Places(Path(folder), JournalReader(int(memory)), send)
    with sock, sock.makefile("rb") as stream, contextlib.suppress(ConnectionError):
        while head := stream.read(_HEAD.size):
            (length,) = _HEAD.unpack(head)
            data = stream.read(length)
            if len(data) < length:
                break
            reply = places.take(_decode(data))
            if reply is not None:
                send(reply)
    places.log(places.journal.rest())
    places.close()
    os._exit(0)
