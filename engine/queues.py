"""The durable queue as an engine has it: named queues of JSON values, put, received, and settled.

What is received is the receiver's for a time, and comes back unless it was deleted by then: at least once. With a state
directory, what is put is on the disk before `put` returns, and outlives the process, and a SIGKILL; else it lies in a
temporary directory, and goes with the engine.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import weakref
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from . import wire
from .calls.dispatch import encode_event
from .durable.queue import Leased, Queues
from .durable.queue_rows import QueueRows
from .durable.records import Records
from .durable.store import Store
from .errors import EngineClosed, InvalidConfiguration

SERVICE = "embedded"  # of the queues' names
LEASE = 30.0  # seconds
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Message:
    """A value that was received. id: grows with each put; attempts: how often it was received, this time included;
    age: seconds since it was put, of those that an engine had it open."""

    value: Any
    id: int
    attempts: int
    age: float


class AsyncQueue:
    """A queue of an AsyncEngine, in its event loop."""

    __slots__ = ("_dead_letters", "_max_receives", "_queues", "_row", "_store", "name")

    def __init__(
        self, store: QueueStore, name: str, max_receives: int | None, dead_letters: str | None
    ) -> None:
        self.name = name
        self._store = store
        self._queues = store.queues
        self._row = f"{SERVICE}:{name}"
        self._max_receives = max_receives
        self._dead_letters = f"{SERVICE}:{dead_letters}"

    async def put(self, value: Any, *, delay: float = 0.0) -> int:
        """A new message, which can be received after `delay` seconds; its id, once it is on the disk. Raises
        InvalidEvent for what JSON cannot express, QueueFull, StoreError, EngineClosed."""
        self._store.check_open()
        return await self._queues.put(self._row, encode_event(value), delay=delay)

    async def receive(self, n: int = 1, *, wait: float = 0.0, lease: float = LEASE) -> list[Message]:
        """Up to n messages, the oldest first; of an empty queue the first that come within `wait` seconds. Nobody else
        gets them for `lease` seconds; then they can be received again. Raises EngineClosed, StoreError."""
        end = self._store.loop.time() + wait
        while True:
            self._store.check_open()
            coming = self._store.coming(self._row)
            if (found := await self._lease(n, lease)) or (left := end - self._store.loop.time()) <= 0:
                return found
            await asyncio.wait([coming], timeout=left)

    async def _lease(self, n: int, lease: float) -> list[Message]:
        now = self._queues.now()
        found: list[Message] = []
        while rows := self._queues.lease(self._row, n - len(found), lease):
            for row in rows:
                if self._max_receives is not None and row.attempts > self._max_receives:
                    await self._queues.move(row.id, self._dead_letters)
                else:
                    found.append(_message(row, now))
            if len(found) == n:
                break
        return found

    async def delete(self, *messages: Message) -> None:
        """They are done: gone for ever, once this returns."""
        self._store.check_open()
        await self._queues.settle([message.id for message in messages])

    async def extend(self, message: Message, lease: float = LEASE) -> bool:
        """It is the receiver's for so many seconds from now. False: it was not any more."""
        self._store.check_open()
        return self._queues.extend(message.id, lease)

    async def release(self, message: Message, *, delay: float = 0.0) -> None:
        """It can be received again after `delay` seconds."""
        self._store.check_open()
        await self._queues.release(message.id, delay)

    async def purge(self) -> int:
        """Every message is gone, received or not: how many there were."""
        self._store.check_open()
        count, done = self._queues.purge(self._row)
        await done
        return count

    async def depth(self) -> int:
        """How many messages there are: waiting, delayed and received."""
        self._store.check_open()
        return self._queues.sizes(self._row)[0]

    def __repr__(self) -> str:
        return f"<AsyncQueue {self.name}>"


class Queue:
    """A queue of an Engine, for any thread."""

    __slots__ = ("_queue", "_run", "name")

    def __init__(self, store: QueueThread, queue: AsyncQueue) -> None:
        self.name = queue.name
        self._run = store.run
        self._queue = queue

    def put(self, value: Any, *, delay: float = 0.0) -> int:
        """As AsyncQueue.put."""
        return self._run(self._queue.put(value, delay=delay))

    def receive(self, n: int = 1, *, wait: float = 0.0, lease: float = LEASE) -> list[Message]:
        """As AsyncQueue.receive."""
        return self._run(self._queue.receive(n, wait=wait, lease=lease))

    def delete(self, *messages: Message) -> None:
        """As AsyncQueue.delete."""
        self._run(self._queue.delete(*messages))

    def extend(self, message: Message, lease: float = LEASE) -> bool:
        """As AsyncQueue.extend."""
        return self._run(self._queue.extend(message, lease))

    def release(self, message: Message, *, delay: float = 0.0) -> None:
        """As AsyncQueue.release."""
        self._run(self._queue.release(message, delay=delay))

    def purge(self) -> int:
        """As AsyncQueue.purge."""
        return self._run(self._queue.purge())

    def depth(self) -> int:
        """As AsyncQueue.depth."""
        return self._run(self._queue.depth())

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"


class QueueStore:
    """An engine's queues, in the running loop. Raises StoreError."""

    def __init__(self, state: Path | None) -> None:
        self.loop = asyncio.get_running_loop()
        folder = Path(tempfile.mkdtemp(prefix="stoker-")) if state is None else state
        # At exit at last.
        self._end = weakref.finalize(self, shutil.rmtree, folder, True) if state is None else None
        self.durable = state is not None
        self.store = Store(folder, [QueueRows(), Records()], sync=self.durable)
        self.queues = Queues(self.store)
        self.queues.listen(SERVICE, self._due)
        self._coming: dict[str, asyncio.Future[None]] = {}
        self._closed = False

    def queue(self, name: str, max_receives: int | None, dead_letters: str | None) -> AsyncQueue:
        """Raises InvalidConfiguration."""
        if not name or "\0" in name:
            raise InvalidConfiguration(f"a queue's name is a text, and not {name!r}")
        if (max_receives is None) != (dead_letters is None):
            raise InvalidConfiguration(
                "max_receives and dead_letters go together: a number, and a queue's name"
            )
        if max_receives is not None and (max_receives < 1 or dead_letters == name):
            raise InvalidConfiguration("max_receives is 1 or more, and dead_letters another queue's name")
        return AsyncQueue(self, name, max_receives, dead_letters)

    def check_open(self) -> None:
        if self._closed:
            raise EngineClosed("the engine is closed")

    def coming(self, row: str) -> asyncio.Future[None]:
        """Done once a message of this queue may have become due, or the engine is closed."""
        return self._coming.get(row) or self._coming.setdefault(row, self.loop.create_future())

    def _due(self, row: str) -> None:
        future = self._coming.pop(row, None)
        if future is not None and not future.done():
            future.set_result(None)

    async def close(self) -> None:
        """What was put stays, if there is a state directory. Who waits for a message gets EngineClosed."""
        if not self._closed:
            self._closed = True
            for row in list(self._coming):
                self._due(row)
            self.queues.close()
            await self.loop.run_in_executor(None, self.store.close)
            if self._end is not None:
                self._end()


class QueueThread:
    """The same in a thread of its own, for an Engine: no loop of the caller's, and out of the control loop's way."""

    def __init__(self, state: Path | None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stoker-queues", daemon=True)
        self._thread.start()
        try:
            self.store = self.run(self._open(state))
        except BaseException:
            self._stop()
            raise

    async def _open(self, state: Path | None) -> QueueStore:
        return QueueStore(state)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if not self._thread.is_alive():
            coroutine.close()
            raise EngineClosed("the engine is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # KeyboardInterrupt: nobody waits any more
            raise

    def queue(self, name: str, max_receives: int | None, dead_letters: str | None) -> Queue:
        return Queue(self, self.store.queue(name, max_receives, dead_letters))

    def close(self) -> None:
        if self._thread.is_alive():
            self.run(self.store.close())
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _message(row: Leased, now: int) -> Message:
    return Message(wire.decode(row.value), row.id, row.attempts, (now - row.first) / 1e9)
