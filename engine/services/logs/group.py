"""One log group: append-only segments of lines, and an index of blocks that is made when the group is first read."""

from __future__ import annotations

import contextlib
import copy
import heapq
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .disk import (
    EMPTY,
    Block,
    Key,
    Line,
    Meta,
    Stamp,
    StoredEvent,
    Stream,
    decode,
    encode,
    read_meta,
    stamps,
    write_meta,
)  # fmt: skip

BLOCK_BYTES = 64 * 1024  # what a reader takes from a file at once


class Group:
    """A group's folder. Thread-safe; every method raises OSError where the disk fails."""

    def __init__(self, folder: Path, name: str, now_ms: int, segment_bytes: int, group_bytes: int) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.alive = True
        self._segment_bytes = segment_bytes
        self._group_bytes = group_bytes
        self._blocks: list[Block] | None = None
        self._streams: dict[str, Stream] = {}
        self._file: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        meta = read_meta(folder)
        self.meta = meta or Meta(name, now_ms)
        if not meta:
            write_meta(folder, self.meta)
        self._segments = sorted(int(p.stem) for p in folder.glob("*.log") if p.stem.isdigit())
        self._next = 0 if self._segments else 1  # the next event's sequence; 0: not yet counted
        self._size = 0  # of the segment that is written

    def change(self, edit: Callable[[Meta], None], sync: bool = False) -> None:
        with self.lock:
            edit(self.meta)
            write_meta(self.folder, self.meta, sync)

    # Writing

    def append(self, events: Sequence[Line]) -> int:
        """Write these lines in this order; how many were, fewer where the disk fails."""
        start = 0
        with self.lock:
            try:
                self._recover()
                while start < len(events) and self.alive:
                    start += self._append_block(events[start:])
            except OSError:
                return start
            return len(events)

    def _append_block(self, events: Sequence[Line]) -> int:
        size = n = 0
        while n < len(events) and size < BLOCK_BYTES:  # a block's worth, so that no block grows large
            line = events[n]
            size += len(line[3]) + len(line[2]) + 32 if isinstance(line, tuple) else 64
            n += 1
        while events[n - 1] is EMPTY:  # what belongs to it is in the same block
            n += 1
        batch = events[:n]
        data = encode(batch)
        if self._segments and self._size and self._size + len(data) > self._segment_bytes:
            self._roll()
            self._trim(lambda: self._total() + self._segment_bytes > self._group_bytes)
        file = self._open()
        written = 0
        try:
            while written < len(data):
                written += os.write(file, data[written:])
        except OSError:
            os.ftruncate(file, self._size)
            raise
        if self._blocks is not None:
            self._index(self._segments[-1], self._size, data, self._next, stamps(batch))
        self._size += len(data)
        self._next += len(batch)
        return len(batch)

    def _open(self) -> int:
        if self._file is None:
            if not self._segments:
                self._segments.append(self._next)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(self._path(self._segments[-1]), flags, 0o644)
        return self._file

    def _roll(self) -> None:
        """Go on in a new segment."""
        self._shut()
        self._segments.append(self._next)
        self._size = 0

    def _trim(self, surplus: Callable[[], bool]) -> None:
        """Drop the oldest segments, never the one being written."""
        while len(self._segments) > 1 and surplus():
            segment = self._segments.pop(0)
            self._path(segment).unlink(missing_ok=True)
            if self._blocks is not None:
                self._blocks = [b for b in self._blocks if b.segment != segment]
                self._forget()

    def expire(self, now_ms: int) -> None:
        """Drop the segments whose every event is older than the retention allows."""
        days = self.meta.retention_days
        with self.lock:
            if days is None or not self._segments or not self.alive:
                return
            self._recover()
            oldest = now_ms / 1000 - days * 86_400

            def old() -> bool:
                try:
                    return self._path(self._segments[0]).stat().st_mtime < oldest
                except FileNotFoundError:
                    return True

            if len(self._segments) == 1 and self._size and old():
                self._roll()
            self._trim(old)

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        with self.lock:
            self._shut()

    def _shut(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def delete(self) -> None:
        with self.lock:
            self.alive = False
            self._shut()
            self._segments, self._blocks, self._streams, self._next = [], [], {}, 1
            shutil.rmtree(self.folder, ignore_errors=True)

    def stored(self) -> int:
        """Bytes on disk."""
        with self.lock:
            return self._total()

    def _total(self) -> int:
        total = 0
        for segment in self._segments:
            with contextlib.suppress(FileNotFoundError):
                total += self._path(segment).stat().st_size
        return total

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:016d}.log"

    def _recover(self) -> None:
        """Count what an earlier process wrote; a torn last line is cut off."""
        if self._next:
            return
        path = self._path(self._segments[-1])
        data = path.read_bytes()
        self._size = data.rfind(b"\n") + 1
        if self._size != len(data):
            os.truncate(path, self._size)
        self._next = self._segments[-1] + data.count(b"\n")

    # Reading

    def streams(self) -> list[Stream]:
        """All streams, by name."""
        with self.lock:
            self._load()
            made = (Stream(n, at) for n, at in self.meta.streams.items() if n not in self._streams)
            return sorted([*map(copy.copy, self._streams.values()), *made], key=lambda s: s.name)

    def make_stream(self, name: str, now_ms: int) -> bool:
        """False when it is there already."""
        with self.lock:
            self._load()
            if name in self._streams or name in self.meta.streams:
                return False
            self.meta.streams[name] = now_ms
            write_meta(self.folder, self.meta)
            return True

    def delete_stream(self, name: str) -> bool:
        """False when there is none."""
        with self.lock:
            self._load()
            if self._streams.pop(name, None) is None and name not in self.meta.streams:
                return False
            self.meta.streams.pop(name, None)
            self.meta.gone[name] = self._next - 1
            write_meta(self.folder, self.meta)
            return True

    def last_sequence(self) -> int:
        with self.lock:
            self._recover()
            return self._next - 1

    def after(self, sequence: int, since: int) -> Iterator[StoredEvent]:
        """Events that arrived after that one, as they arrived, of a timestamp from `since` on."""
        for block in self._snapshot():
            if block.latest >= since and block.sequence + block.events - 1 > sequence:
                yield from (e for e in self._read(block) if e.sequence > sequence and e.timestamp >= since)

    def ordered(
        self, selected: Callable[[str], bool], low: Key, high: Key, backward: bool = False
    ) -> Iterator[StoredEvent]:
        """Events of the selected streams with low < (timestamp, sequence) < high, in that order or backward."""
        sign = -1 if backward else 1
        blocks = [b for b in self._snapshot() if b.latest >= low[0] and b.earliest <= high[0]]
        blocks.sort(key=(lambda b: -b.latest) if backward else (lambda b: b.earliest))
        waiting: list[tuple[int, int, StoredEvent]] = []
        for block in blocks:
            edge = -block.latest if backward else block.earliest
            while waiting and waiting[0][0] < edge:
                yield heapq.heappop(waiting)[2]
            if not any(selected(s) for s in block.streams):
                continue
            for e in self._read(block):
                if low < (e.timestamp, e.sequence) < high and selected(e.stream):
                    heapq.heappush(waiting, (sign * e.timestamp, sign * e.sequence, e))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def extents(self, low: int, high: int) -> list[tuple[Path, int, int, int]]:
        """Where events of low <= timestamp < high are, among others: a file, an offset, a length, and the sequence of
        the first event there. Whole segments, as long as nothing has read the group: that would take long."""
        with self.lock:
            self._recover()
            if self._blocks is not None:
                blocks = (b for b in self._blocks if b.latest >= low and b.earliest < high)
                return [(self._path(b.segment), b.offset, b.length, b.sequence) for b in blocks]
            found = []
            for segment in self._segments:
                with contextlib.suppress(FileNotFoundError):
                    path = self._path(segment)
                    found.append((path, 0, path.stat().st_size, segment))
            return found

    def _snapshot(self) -> list[Block]:
        with self.lock:
            return list(self._load())

    def _load(self) -> list[Block]:
        if self._blocks is None:
            self._recover()
            self._blocks = []
            for segment in self._segments:
                self._scan(segment)
        return self._blocks

    def _scan(self, segment: int) -> None:
        """Index a segment that was written before this process, or before the group was first read."""
        try:
            data = self._path(segment).read_bytes()
        except FileNotFoundError:
            return
        offset, sequence = 0, segment
        while offset < len(data):
            end = data.rfind(b"\n", offset, offset + BLOCK_BYTES) + 1 or data.find(b"\n", offset) + 1
            if not end:
                return
            while end - 1 > offset and data[end - 2 : end] == b"\n\n":
                end -= 1
            chunk = data[offset:end]
            events = decode(chunk, sequence, self.meta.gone)
            self._index(
                segment, offset, chunk, sequence, [(e.timestamp, e.ingested, e.stream) for e in events]
            )
            offset, sequence = end, sequence + chunk.count(b"\n")

    def _index(self, segment: int, offset: int, data: bytes, sequence: int, events: list[Stamp]) -> None:
        """A block of the index, and the streams' bounds, from lines and the events in them."""
        assert self._blocks is not None
        if not events:
            return
        times, streams = [at for at, _, _ in events], frozenset(stream for _, _, stream in events)
        count = data.count(b"\n")
        block = Block(segment, offset, len(data), sequence, count, min(times), max(times), streams)
        last = self._blocks[-1] if self._blocks else None
        adjoins = last and last.segment == block.segment and last.offset + last.length == block.offset
        if last and adjoins and last.length + block.length <= BLOCK_BYTES:
            self._blocks[-1] = last._replace(
                length=last.length + block.length,
                events=last.events + block.events,
                earliest=min(last.earliest, block.earliest),
                latest=max(last.latest, block.latest),
                streams=last.streams | block.streams,
            )
        else:
            self._blocks.append(block)
        for at, ingested, stream in events:
            s = self._streams.get(stream)
            if s is None:
                s = self._streams[stream] = Stream(stream, self.meta.streams.get(stream, ingested))
            s.first = min(s.first or at, at)
            s.last = max(s.last or at, at)
            s.ingested = ingested

    def _forget(self) -> None:
        """Streams and tombstones go with the last of their events."""
        left = frozenset[str]().union(*(b.streams for b in self._blocks or ()))
        self._streams = {n: s for n, s in self._streams.items() if n in left}
        oldest = self._segments[0]
        gone = {n: at for n, at in self.meta.gone.items() if at >= oldest}
        if gone != self.meta.gone:
            self.meta.gone = gone
            write_meta(self.folder, self.meta)

    def _read(self, block: Block) -> list[StoredEvent]:
        try:
            with open(self._path(block.segment), "rb") as f:
                data = os.pread(f.fileno(), block.length, block.offset)
        except FileNotFoundError:  # dropped since
            return []
        return list(decode(data, block.sequence, self.meta.gone))
