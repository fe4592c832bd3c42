"""Files of a bucket that come, change and go by themselves: told of as uploads and deletions are.

What is known of each file is on the disk, in one commit with the notification of it: so what happened while no server
ran is told of at the next start, and nothing twice because of a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from ...aws.faults import Fault
from ...aws.service import Caller
from ...durable.folder import StoreError
from ...durable.records import Delete, Put
from ...durable.state import States
from ...durable.store import Step, Store
from .folders import Entry, Folder, being_written
from .records import Bucket, Cause, Happening

TABLE = "s3-files"  # by bucket and key: the stamp; of the key "": which folder it is
LOOK_S = 0.02  # until a file that is being written is looked at again
RETRY_S = 5.0  # at most, until one is that could not be told of
STILL_S = 0.5  # that a file is left alone, where it cannot be told whether anyone writes it
RESCAN_S = 60.0  # between two looks at the whole folder, for what no event came of; and 100 times as long as one takes
ADDRESS = "127.0.0.1"
_UNTOLD = "untold"  # the stamp of no file
# Tells of what happened; also: goes into the same commit, unless it returns False. Raises Fault.
Tell = Callable[[str, Sequence[Happening], Cause, tuple[Step, ...]], Awaitable[bool]]


class Watch:
    """Of one bucket. Belongs to the event loop."""

    def __init__(self, bucket: Bucket, folder: Folder, store: Store, states: States, tell: Tell) -> None:
        self._bucket = bucket
        self._folder = folder
        self._store = store
        self._tell = tell
        records = states.of(bucket.place.partition).owned(TABLE, bucket.name)
        self._fresh = records.get("", {}).get("Stamp") != str(folder.root)
        self._known = {
            key: str(record["Stamp"]) for key, record in records.items() if key and not self._fresh
        }
        self._forgotten = [key for key in records if self._fresh]
        self._looking: set[str] = set()
        self._busy: Counter[str] = Counter()  # keys that requests are changing
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def start(self) -> None:
        """What is in a bucket that is new is no upload; what comes from now on is. Raises StoreError."""
        if self._fresh:
            await self._begin(await asyncio.to_thread(lambda: list(self._folder.entries())))
        self._watching = self._spawn(self._run())

    async def aclose(self) -> None:
        self._stop.set()
        for task in self._tasks - {self._watching}:  # which ends by itself, with the thread that it has
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What requests do is told of by them.

    @contextlib.asynccontextmanager
    async def changing(
        self, key: str, entry: Entry | None, happening: Happening, cause: Cause
    ) -> AsyncIterator[None]:
        """`async with`: inside, this file comes into its place, or, None, goes; at its end that is told of, durably.
        Raises Fault, StoreError: then it is told of later."""
        self._busy[key] += 1
        try:
            yield
            self._know(key, entry.stamp if entry else "")
            try:
                await self._put(happening, entry, cause)
            except (Fault, StoreError):
                self._known[key] = _UNTOLD
                self._look(key)
                raise
        finally:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]

    async def _put(self, happening: Happening, entry: Entry | None, cause: Cause) -> None:
        key, name = happening.key, self._bucket.name
        partition = self._bucket.place.partition
        step: Step = Delete(partition, TABLE, name, key)
        if entry is not None:
            step = Put(partition, TABLE, name, key, _value(entry.stamp))
        if not await self._tell(name, [happening], cause, (step,)):
            await asyncio.wrap_future(self._store.commit([step]))

    # What happens by itself.

    async def _run(self) -> None:
        import watchfiles

        scanned = 0.0
        rest = 0.0
        async for changes in watchfiles.awatch(
            self._folder.root, watch_filter=None, step=10, debounce=100, rust_timeout=500, yield_on_timeout=True,
            stop_event=self._stop,
        ):  # fmt: skip
            now = time.monotonic()
            if not scanned or now - scanned > rest:
                await self._scan()
                scanned = time.monotonic()
                rest = max(RESCAN_S, 100 * (scanned - now))
            for _, path in changes:
                await self._changed(path)

    async def _scan(self) -> None:
        found = await asyncio.to_thread(lambda: {entry.key: entry.stamp for entry in self._folder.entries()})
        for key in [key for key, stamp in found.items() if self._known.get(key) != stamp]:
            self._look(key)
        for key in [key for key in self._known if key not in found]:
            self._look(key)

    async def _begin(self, entries: list[Entry]) -> None:
        partition, name = self._bucket.place.partition, self._bucket.name
        steps: list[Step] = [Delete(partition, TABLE, name, key) for key in self._forgotten]
        for entry in entries:
            self._known[entry.key] = entry.stamp
            steps.append(Put(partition, TABLE, name, entry.key, _value(entry.stamp)))
        steps.append(Put(partition, TABLE, name, "", _value(str(self._folder.root))))
        await asyncio.wrap_future(self._store.commit(steps))

    async def _changed(self, path: str) -> None:
        key = self._folder.key(path)
        if key is None:
            return
        self._look(key)
        # A folder that came or went with all that is in it.
        for entry in await asyncio.to_thread(lambda: list(self._folder.entries(key))):
            self._look(entry.key)
        for below in [each for each in self._known if each.startswith(f"{key}/")]:
            self._look(below)

    def _look(self, key: str) -> None:
        if key not in self._looking:
            self._looking.add(key)
            self._spawn(self._settle(key))

    async def _settle(self, key: str) -> None:
        """Tells of a file once nobody writes it any more."""
        try:
            since, seen, delay = time.monotonic(), "", LOOK_S
            while True:
                if key in self._busy:
                    await asyncio.sleep(LOOK_S)
                    continue
                entry = self._entry(key)
                with contextlib.suppress(Fault, StoreError, OSError):
                    stamp = entry.stamp if entry else ""
                    if stamp == self._known.get(key, ""):
                        return
                    if stamp != seen:
                        since, seen = time.monotonic(), stamp
                    if entry is None or self._is_whole(key, since):
                        delay = min(2 * delay, RETRY_S)  # if that fails
                        await self._told(key, entry)
                        continue  # it may have changed meanwhile
                await asyncio.sleep(delay)
        finally:
            self._looking.discard(key)

    def _entry(self, key: str) -> Entry | None:
        with contextlib.suppress(Fault):  # it leads out of the folder by a link, say
            return self._folder.entry(key)
        return None

    def _is_whole(self, key: str, since: float) -> bool:
        written = being_written(str(self._folder.path(key)))
        return not written if written is not None else time.monotonic() - since > STILL_S

    async def _told(self, key: str, entry: Entry | None) -> None:
        """Raises Fault, StoreError, OSError: then it is looked at again."""
        happening = Happening("ObjectRemoved:Delete", key)
        if entry is not None:
            etag = await asyncio.to_thread(self._folder.etag, entry)
            happening = Happening("ObjectCreated:Put", key, entry.size, etag)
        before, stamp = self._known.get(key, ""), entry.stamp if entry else ""
        self._know(key, stamp)
        try:
            await self._put(happening, entry, Cause.of(Caller(self._bucket.place), ADDRESS))
        except (Fault, StoreError):
            if self._known.get(key, "") == stamp:  # no request has put another meanwhile
                self._know(key, before)
            raise

    def _know(self, key: str, stamp: str) -> None:
        if stamp:
            self._known[key] = stamp
        else:
            self._known.pop(key, None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            context = {"message": f"{self._folder.root} is not watched any more", "exception": fault}
            asyncio.get_running_loop().call_exception_handler(context)


def _value(stamp: str) -> bytes:
    return msgspec.json.encode({"Stamp": stamp})
