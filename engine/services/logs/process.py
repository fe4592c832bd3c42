"""The server's side of the log's own process, which renders, writes and reads logs (places.py).

Rendering a log takes as long as invoking, and in a thread it would take turns with the event loop. What ended and what
was printed is in the journal, memory that both share. The rest goes by a socket pair: how far the journal reaches, and
the operations of CloudWatch Logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...observe.journal import Journal, Taken, shared
from ...observe.records import FunctionOutput
from .messages import (
    HEAD,
    Grown,
    Measured,
    Message,
    OperationRequest,
    OperationResponse,
    ReadRequest,
    ReadResponse,
    TailRequest,
    TailResponse,
    WatchRequest,
    decode_reply,
    encode,
)  # fmt: skip
from .reading import FilterRead, TailedEvent

FLUSH_SECONDS = 0.05


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
            code = f"import sys; sys.path[:] = {sys.path!r}; from engine.services.logs.places import main; main()"
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
            data = encode(message)
            writer.write(HEAD.pack(len(data)) + data)

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
                (length,) = HEAD.unpack(await reader.readexactly(HEAD.size))
                reply = decode_reply(await reader.readexactly(length))
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
