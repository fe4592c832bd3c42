"""The log's own process: it renders, writes and reads logs, so that the process that invokes does none of it.

Rendering a log takes as long as invoking, and in a thread it would take turns with the event loop. The server sends
what ended, in batches, and the operations of CloudWatch Logs. Frames on a socket pair: a length of four bytes, then a
Message as MessagePack. The process ends, with all written, when its server has gone.
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
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ... import wire
from ...errors import EngineError
from ...observe.log import log_events
from ...observe.records import DeploymentInfo, FunctionOutput, InvocationRecord

if TYPE_CHECKING:
    from .api import LogsApi
    from .store import LogStore

_HEAD = struct.Struct("<I")
MAX_PENDING = 64 * 1024 * 1024  # bytes that may wait for the process; what is beyond is dropped, and counted


class InvocationsEnded(msgspec.Struct, tag=True, array_like=True):
    """Invocations of one deployment that ended."""

    deployment: DeploymentInfo
    records: list[InvocationRecord]


class OperationRequest(msgspec.Struct, tag=True, array_like=True):
    """An operation of CloudWatch Logs, on one account's groups in one region."""

    number: int
    account: str
    region: str
    target: str
    body: bytes


class OperationResponse(msgspec.Struct, array_like=True):
    number: int
    status: int
    headers: dict[str, str]
    body: bytes


Message = InvocationsEnded | FunctionOutput | OperationRequest
_decode = msgspec.msgpack.Decoder(list[Message]).decode
_decode_response = msgspec.msgpack.Decoder(OperationResponse).decode
_encode = msgspec.msgpack.Encoder().encode


class LogsProcess:
    """The server's side. Belongs to its event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._numbers = itertools.count(1)
        self._requests: dict[int, asyncio.Future[OperationResponse]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None
        self.dropped = 0  # invocations whose log was lost

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            code = f"import sys; sys.path[:] = {sys.path!r}; from engine.services.logs.process import main; main()"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, str(theirs.fileno()), self._folder],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reader = asyncio.get_running_loop().create_task(self._read(reader))

    def send(self, *messages: Message) -> None:
        """Without waiting. What the process cannot take now is dropped, and counted."""
        writer = self._writer
        if (
            writer is None
            or writer.transport.is_closing()
            or writer.transport.get_write_buffer_size() > MAX_PENDING
        ):
            self.dropped += sum(len(m.records) for m in messages if isinstance(m, InvocationsEnded))
            return
        data = _encode(messages)
        writer.write(_HEAD.pack(len(data)) + data)

    async def request(self, account: str, region: str, target: str, body: bytes) -> OperationResponse:
        """Carry out an operation. Raises EngineError when the process is gone."""
        number = next(self._numbers)
        future: asyncio.Future[OperationResponse] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        try:
            if self._writer is None or self._writer.transport.is_closing():
                raise EngineError("the log's process has ended")
            self.send(OperationRequest(number, account, region, target, body))
            return await future
        finally:
            self._requests.pop(number, None)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                response = _decode_response(await reader.readexactly(length))
                future = self._requests.get(response.number)
                if future is not None and not future.done():
                    future.set_result(response)
        for future in self._requests.values():
            if not future.done():
                future.set_exception(EngineError("the log's process has ended"))
        if self._writer is not None:
            self._writer.close()

    async def close(self) -> None:
        """Everything sent is written, then the process ends."""
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


class Places:
    """The process's side: a store of log groups for each account and region, opened when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: dict[tuple[str, str], LogStore] = {}
        self._apis: dict[tuple[str, str], LogsApi] = {}

    def store(self, account: str, region: str) -> LogStore:
        found = self._stores.get((account, region))
        if found is None:
            from .store import LogStore

            found = self._stores[account, region] = LogStore(self._folder / account / region)
        return found

    def api(self, account: str, region: str) -> LogsApi:
        found = self._apis.get((account, region))
        if found is None:
            from .api import LogsApi

            found = self._apis[account, region] = LogsApi(self.store(account, region), region, account)
        return found

    def close(self) -> None:
        for store in self._stores.values():
            store.close()

    def take(self, message: Message) -> OperationResponse | None:
        if isinstance(message, InvocationsEnded):
            of = message.deployment
            store = self.store(of.account, of.region)
            for born, records in _by_worker(message.records).items():
                store.append(of.log_group, wire.log_stream(of.log_stream, born), log_events(of, records))
        elif isinstance(message, FunctionOutput):
            store = self.store(message.account, message.region)
            store.append(message.log_group, message.log_stream, [(message.at, message.text)])
        else:
            api = self.api(message.account, message.region)
            return OperationResponse(message.number, *api.call(message.target, message.body))
        return None


def _by_worker(records: list[InvocationRecord]) -> dict[int, list[InvocationRecord]]:
    found: dict[int, list[InvocationRecord]] = {}
    for record in records:
        found.setdefault(record.born, []).append(record)
    return found


def main() -> None:
    """The process's life."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with its server, not before
        signal.signal(number, signal.SIG_IGN)
    fd, folder = sys.argv[1:]
    places = Places(Path(folder))
    sock = socket.socket(fileno=int(fd))
    with sock, sock.makefile("rb") as stream, contextlib.suppress(ConnectionError):
        while head := stream.read(_HEAD.size):
            (length,) = _HEAD.unpack(head)
            data = stream.read(length)
            if len(data) < length:
                break
            for message in _decode(data):
                response = places.take(message)
                if response is not None:
                    encoded = _encode(response)
                    sock.sendall(_HEAD.pack(len(encoded)) + encoded)
    places.close()
    os._exit(0)
