"""The logs of functions: taken from any thread at the cost of a list's append, written in batches.

An event gets a sequence when it is written; (timestamp, sequence) orders a group and is what tokens carry.
Nothing is synced: a crash of the machine may cost the last seconds of a log, a crash of this process 200 ms, one of the
server nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import limits
from ...errors import EngineError
from ...observe.log import Plain
from .disk import EMPTY, Key, Line, Meta, StoredEvent, Stream, folder_name, name_of
from .group import Group

MAX_TIME = 1 << 62
DAY_MS = 86_400_000
FLUSH_SECONDS = 0.2
FLUSH_BYTES = limits.MIB
PENDING_BYTES = 64 * limits.MIB
SEGMENT_BYTES = 16 * limits.MIB
GROUP_BYTES = 256 * limits.MIB
OPEN_FILES = 64
SWEEP_SECONDS = 3600.0
EVENT_OVERHEAD = 128  # bytes that an event costs in memory beside its message
PAGE_EVENTS = 10_000  # CloudWatch Logs' largest page, in events and in bytes
PAGE_BYTES = limits.MIB
SCAN_BYTES = 32 * limits.MIB  # messages that one page of a search looks at: the next page goes on from there

Lines = Sequence[tuple[int, str] | Plain]  # epoch ms, message


class LogNotFound(EngineError, LookupError):
    """No such log group or stream; `what` is "group" or "stream"."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"no log {what} {name!r}")
        self.what = what


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order of their time. `at`: where the next page starts; None: this is the last."""

    events: list[StoredEvent]
    at: Key | None


@dataclass(slots=True)
class _Dropped:
    stream: str
    records: int = 0
    size: int = 0


class LogStore:
    """Log groups in a folder. clock: the wall clock, seconds since 1970.

    Methods that name a group or stream raise LogNotFound when there is none, and OSError where the disk fails.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        segment_bytes: int = SEGMENT_BYTES,
        group_bytes: int = GROUP_BYTES,
        pending_bytes: int = PENDING_BYTES,
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._group_bytes = group_bytes
        self._pending_bytes = pending_bytes
        folder.mkdir(parents=True, exist_ok=True)
        found = ((name_of(path), path) for path in folder.iterdir() if path.is_dir())
        self._folders = {name: path for name, path in found if name is not None}
        self._groups: dict[str, Group] = {}
        self._groups_lock = threading.Lock()
        self._files: OrderedDict[str, Group] = OrderedDict()  # the writer's, as _writing guards it
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._pending: list[tuple[str, str, int, Lines | Callable[[], Lines], int]] = []
        self._size = 0
        self._dropped: dict[str, _Dropped] = {}
        self._work = threading.Event()  # there is something to write
        self._urgent = threading.Event()  # and it should not wait
        self._closed = False
        self.on_written: Callable[[list[str]], object] = lambda groups: None  # called from any thread
        # likewise, of one group
        self.on_events: Callable[[Meta, list[Line]], object] = lambda meta, lines: None
        self._swept = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="stoker-logs", daemon=True)
        self._thread.start()

    def now(self) -> int:
        """Epoch ms."""
        return int(self._clock() * 1000)

    # Writing

    def append(
        self, group: str, stream: str, events: Lines | Callable[[], Lines], size: int | None = None
    ) -> None:
        """Keep (epoch ms, message) pairs, and plain invocations; group and stream are made when there are none. Never
        blocks, never raises.

        events may be a function that makes them, run by the writer's thread. size: about the bytes of their
        messages, which are not yet there to count.
        """
        if size is None:
            size = 1024 if callable(events) else sum(0 if isinstance(e, Plain) else len(e[1]) for e in events)
        size += EVENT_OVERHEAD if callable(events) else EVENT_OVERHEAD * len(events)
        with self._lock:
            if self._closed:
                return
            if self._size + size > self._pending_bytes:
                self._drop(group, stream, 1 if callable(events) else len(events), size)
                return
            self._pending.append((group, stream, self.now(), events, size))
            self._size += size
            urgent = self._size >= FLUSH_BYTES
        if urgent:
            self._urgent.set()
        if not self._work.is_set():
            self._work.set()

    def _drop(self, group: str, stream: str, records: int, size: int) -> None:
        lost = self._dropped.setdefault(group, _Dropped(stream))
        lost.stream = stream
        lost.records += records
        lost.size += size

    def flush(self) -> None:
        """Write what was appended before this call."""
        with self._writing:
            with self._lock:
                pending, self._pending = self._pending, []
                dropped, self._dropped = self._dropped, {}
            if not pending and not dropped:
                return
            batches: defaultdict[str, list[Line]] = defaultdict(list)
            sizes: Counter[str] = Counter()
            last: dict[str, str] = {}
            for group, stream, at, events, size in pending:
                sizes[group] += size
                last[group] = stream
                lines = batches[group]
                for event in _made(events):
                    if isinstance(event, Plain):
                        event.ingested, event.stream = at, stream
                        lines += (EMPTY, EMPTY, event)
                    elif event[1]:
                        lines.append((event[0], at, stream, event[1]))
            now = self.now()
            for group, lost in dropped.items():
                line = f"[stoker] {lost.records} log events of {lost.size} bytes were dropped\n"
                last[group] = lost.stream
                batches[group].append((now, now, lost.stream, line))
            for group, batch in batches.items():
                self._write(group, batch, last[group], dropped.get(group), sizes[group])
            with self._lock:  # what is pending counts until it is written
                self._size -= sizes.total()
        self.on_written(list(batches))

    def _write(self, name: str, batch: list[Line], stream: str, lost: _Dropped | None, size: int) -> None:
        if not batch:
            return
        written = 0
        with contextlib.suppress(Exception):  # one group's fault must not end the writer
            group = self._group(name, make=True)
            written = group.append(batch)
        if written < len(batch):  # the disk is full, say: once it is back, the log says what was lost
            with self._lock:
                self._drop(name, stream, len(batch) - written - bool(lost), size)
                if lost:
                    self._drop(name, lost.stream, lost.records, lost.size)
            return
        with contextlib.suppress(Exception):
            self.on_events(group.meta, batch)
        self._files[name] = group
        self._files.move_to_end(name)
        while len(self._files) > OPEN_FILES:
            self._files.popitem(last=False)[1].close()

    def _run(self) -> None:
        while not self._closed:
            if self._work.wait(SWEEP_SECONDS):
                self._urgent.wait(FLUSH_SECONDS)
                self._work.clear()
                self._urgent.clear()
                self.flush()
            if time.monotonic() - self._swept >= SWEEP_SECONDS:
                self._swept = time.monotonic()
                self.expire()

    def expire(self) -> None:
        """Drop what is older than its group's retention. Done every hour; reads do not show it before that."""
        for name in self.groups():
            with contextlib.suppress(LogNotFound, OSError):
                self._group(name).expire(self.now())

    def close(self) -> None:
        """Write what is pending and end. Later appends are dropped."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._urgent.set()
        self._work.set()
        self._thread.join()
        self.flush()
        for group in self._groups.values():
            group.close()

    # Groups

    def groups(self) -> list[str]:
        """All names, sorted."""
        self.flush()
        with self._groups_lock:
            return sorted(self._folders)

    def create_group(
        self, name: str, log_class: str = "STANDARD", tags: dict[str, str] | None = None
    ) -> bool:
        """False when it is there already."""
        self.flush()
        with self._groups_lock:
            if name in self._folders:
                return False
            group = self._make(name)
        if log_class != "STANDARD" or tags:

            def edit(meta: Meta) -> None:
                meta.log_class = log_class
                meta.tags = dict(tags or {})

            group.change(edit)
        return True

    def delete_group(self, name: str) -> None:
        self.flush()
        with self._writing:  # the writer may have it open
            group = self._group(name)
            with self._groups_lock:
                group.delete()
                del self._folders[name], self._groups[name]
            self._files.pop(name, None)

    def meta(self, name: str) -> Meta:
        """What is kept of a group beside its events; not to be changed in place."""
        return self._group(name).meta

    def change(self, name: str, edit: Callable[[Meta], None], *, sync: bool = False) -> None:
        """Change retention_days, tags or filters. sync: on the disk when this returns."""
        self._group(name).change(edit, sync)

    def put_retention(self, name: str, days: int | None) -> None:
        """None: for ever."""
        self.change(name, lambda meta: setattr(meta, "retention_days", days))
        self._group(name).expire(self.now())

    def stored_bytes(self, name: str) -> int:
        return self._group(name).stored()

    # Streams

    def streams(self, name: str) -> list[Stream]:
        """By name."""
        return self._flushed(name).streams()

    def create_stream(self, group: str, name: str) -> bool:
        """False when it is there already."""
        return self._flushed(group).make_stream(name, self.now())

    def delete_stream(self, group: str, name: str) -> None:
        if not self._flushed(group).delete_stream(name):
            raise LogNotFound("stream", name)

    # Events

    def read(
        self,
        group: str,
        stream: str,
        start: int | None = None,
        end: int | None = None,
        *,
        from_head: bool = True,
        at: Key | None = None,
        limit: int = PAGE_EVENTS,
    ) -> Page:
        """A page of one stream's events with start <= timestamp < end: the first ones after `at`, or with
        from_head False the last ones before it."""
        if not any(s.name == stream for s in self.streams(group)):
            raise LogNotFound("stream", stream)
        return self.filter(group, (stream,), start, end, from_head=from_head, at=at, limit=limit)

    def filter(
        self,
        group: str,
        streams: Collection[str] | None = None,
        start: int | None = None,
        end: int | None = None,
        *,
        prefix: str = "",
        matches: Callable[[str], bool] = lambda _: True,
        from_head: bool = True,
        at: Key | None = None,
        limit: int = PAGE_EVENTS,
    ) -> Page:
        """A page of a group's events whose message matches, over all streams or those named or with a prefix."""
        found = self._flushed(group)
        names = None if streams is None else frozenset(streams)

        def selected(stream: str) -> bool:
            return stream in names if names is not None else stream.startswith(prefix)

        low = (max(start or 0, self._oldest(found)), 0)
        high = (MAX_TIME if end is None else end, 0)
        if at is not None:
            low, high = (max(low, at), high) if from_head else (low, min(high, at))
        events: list[StoredEvent] = []
        size = scanned = 0
        more = None
        for event in found.ordered(selected, low, high, not from_head):
            length = len(event.message)
            hit = matches(event.message)
            full = len(events) >= limit or size + length > PAGE_BYTES
            if (hit and events and full) or scanned > SCAN_BYTES:
                # Forward and backward alike, what comes next starts at this very event.
                more = (event.timestamp, event.sequence - 1 if from_head else event.sequence + 1)
                break
            scanned += length
            if hit:
                events.append(event)
                size += length
        if not from_head:
            events.reverse()
        return Page(events, more)

    def last_sequence(self, group: str) -> int:
        """Of the event that was written last; 0: there is none."""
        return self._flushed(group).last_sequence()

    def opened(self, name: str) -> tuple[Group, int]:
        """A group, written up to now, and the oldest epoch ms that its retention leaves."""
        group = self._flushed(name)
        return group, self._oldest(group)

    def arrived(self, group: str, sequence: int) -> Iterator[StoredEvent]:
        """Events that were written after that one, as they arrived."""
        found, oldest = self.opened(group)
        return found.after(sequence, oldest)

    def _oldest(self, group: Group) -> int:
        days = group.meta.retention_days
        return 0 if days is None else self.now() - days * DAY_MS

    def _flushed(self, name: str) -> Group:
        self.flush()
        return self._group(name)

    def _group(self, name: str, make: bool = False) -> Group:
        with self._groups_lock:
            if name not in self._folders and not make:
                raise LogNotFound("group", name)
            return self._groups.get(name) or self._make(name)

    def _make(self, name: str) -> Group:
        folder = self._folders.get(name) or self.folder / folder_name(name)
        self._groups[name] = Group(folder, name, self.now(), self._segment_bytes, self._group_bytes)
        self._folders[name] = folder
        return self._groups[name]


def _made(events: Lines | Callable[[], Lines]) -> Lines:
    if not callable(events):
        return events
    try:
        return events()
    except Exception as error:  # one that fails must not cost the others
        return [(int(time.time() * 1000), f"[stoker] this invocation's log cannot be written: {error!r}\n")]
