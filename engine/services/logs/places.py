"""The log's own process: stores of log groups for each account and region, written from the journal and read by
messages. It ends, with all written, when its server has gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ... import wire
from ...observe.journal import Described, Entry, Forgotten, JournalReader, Step, Taken
from ...observe.log import log_events
from ...observe.records import DeploymentInfo, FunctionOutput, InvocationRecord, Quiet
from .disk import rendered
from .measured import EMF, measured
from .messages import (
    HEAD,
    Grown,
    Measured,
    Message,
    OperationResponse,
    ReadRequest,
    ReadResponse,
    Reply,
    TailRequest,
    TailResponse,
    WatchRequest,
    decode,
    encode,
)  # fmt: skip

if TYPE_CHECKING:
    from .api import LogsApi
    from .disk import Line, Meta
    from .store import LogStore


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
        encoded = encode(reply)
        with sending, contextlib.suppress(OSError):  # the server has gone: the end comes soon
            sock.sendall(HEAD.pack(len(encoded)) + encoded)

    places = Places(Path(folder), JournalReader(int(memory)), send)
    with sock, sock.makefile("rb") as stream, contextlib.suppress(ConnectionError):
        while head := stream.read(HEAD.size):
            (length,) = HEAD.unpack(head)
            data = stream.read(length)
            if len(data) < length:
                break
            reply = places.take(decode(data))
            if reply is not None:
                send(reply)
    places.log(places.journal.rest())
    places.close()
    os._exit(0)
