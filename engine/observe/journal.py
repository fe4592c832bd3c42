"""What is to be logged, in memory that the server shares with the log's process.

An invocation's record is here before its response is written, and stays when the server is killed: the process then
takes what it has not taken yet. Nothing is copied between the two but these lines of JSON, and the server says only now
and then, in even steps, how far they reach.

The memory has a page of two words and two halves. The server appends to one half; when the process has taken all of
the other one and this one has grown, they change places. So neither waits for the other, and no line is in two pieces.
A word says which use of its half this is and where it ends (generation << 32 | end): it is written after the lines
that it covers, and is read only once the server is dead. A server that lives says it in a message (`Step`), whose
system calls order the memory for both.

An acceptor process of the server has one, too, whose reader is the first process: `whole`, as there is no other way
for its outcomes. Its words may be read at any time, so they are written and read in order.

Invariants. Only the server writes. [sent, end) of the current half was not said yet; a half is used again only when
`Taken` has come for all of it; generations grow over both halves, so what is left of a dead server is in their order.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator

import msgspec

from .._native import ffi, lib
from .records import DeploymentInfo, FunctionOutput, InvocationRecord, Quiet

HALF = 32 * 1024 * 1024  # bytes; what the process has not taken beyond that is dropped, and counted
TURN = 256 * 1024  # bytes after which the halves change places
KEPT = 1024 * 1024  # bytes of a half that stay with the server when it needed more
STEP = 8 * 1024  # bytes after which the process is told: some 60 invocations
_PAGE = mmap.PAGESIZE
_SIZE = _PAGE + 2 * HALF
_END = (1 << 32) - 1


class Described(msgspec.Struct, tag=1, array_like=True, gc=False):
    """The number that a deployment's records name it by, until all are forgotten."""

    number: int
    deployment: DeploymentInfo


class Forgotten(msgspec.Struct, tag=2, array_like=True, gc=False):
    """The numbers of before mean nothing any more."""


class Throttled(msgspec.Struct, tag=4, array_like=True, gc=False):
    """An invocation of the deployment of that number was refused: as outcomes.Throttle."""

    number: int
    at: float
    reason: str
    alias: str


class Counted(msgspec.Struct, tag=5, array_like=True, gc=False):
    """Values of a tally, and of what."""

    region: str
    account: str
    namespace: str
    dimensions: list[tuple[tuple[str, str], ...]]
    values: dict[str, float]


Entry = InvocationRecord | Quiet | Described | Forgotten | FunctionOutput | Throttled | Counted


class Step(msgspec.Struct, tag=True, array_like=True, gc=False):
    """These bytes of a half are there to be taken."""

    half: int
    generation: int
    start: int
    end: int


class Taken(msgspec.Struct, tag=True, array_like=True, gc=False):
    """All of a half up to there was taken."""

    half: int
    generation: int
    end: int


_encode = msgspec.json.Encoder().encode_lines
_decoder = msgspec.json.Decoder(Entry)


def shared() -> int:
    """A descriptor of new memory for a journal."""
    descriptor = os.memfd_create("stoker-journal", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class Journal:
    """The server's side. Belongs to its event loop. say: passes a step on to the process. whole: what has no log is in
    it, too, and what was refused; and it may be looked at while this lives."""

    def __init__(self, descriptor: int, say: Callable[[Step], object], whole: bool = False) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)
        self.whole = whole
        self._words: memoryview | _Ordered = (
            _Ordered(self._memory) if whole else memoryview(self._memory)[:16].cast("Q")
        )
        self._say = say
        self._numbers = 0  # of deployments
        self._generation = [0, 0]
        self._ends = [0, 0]  # of halves that are not written to now
        self._taken = [True, True]
        self.dropped = 0  # invocations that there was no room for
        # The half that is written to; in the memory: its beginning, what was said, where it goes on, and its end.
        self._half = self._begin = self._sent = self._at = self._limit = 0
        self._due = 0  # where the process is told
        self._high = 0  # the half's word for a place in the memory, less that place
        self._use(0)

    def describe(self, deployment: DeploymentInfo) -> int:
        """A number for a deployment's records, until `forget`."""
        self._numbers += 1
        self._write(Described(self._numbers, deployment))
        return self._numbers

    def ended(self, record: InvocationRecord) -> None:
        if not self._write(record):
            self.dropped += 1

    def quiet(self, lines: bytes, count: int) -> None:
        """So many invocations that ended quietly, as lines already."""
        if not self._append(lines):
            self.dropped += count

    def printed(self, output: FunctionOutput) -> None:
        self._write(output)

    def throttled(self, throttled: Throttled) -> None:
        self._write(throttled)

    def counted(self, counted: Counted) -> None:
        self._write(counted)

    def forget(self) -> None:
        """All numbers; what was written is the process's to take."""
        if self._numbers:
            self._numbers = 0
            self._write(Forgotten())
        self.flush()

    def flush(self) -> None:
        """What was written is the process's to take."""
        half, at = self._half, self._at
        if at > self._sent:
            self._say(Step(half, self._generation[half], self._sent - self._begin, at - self._begin))
            self._sent, self._due = at, at + STEP
        if at - self._begin >= TURN and self._taken[1 - half]:
            self._ends[half] = at - self._begin
            self._use(1 - half)

    def taken(self, taken: Taken) -> None:
        """The process has taken so much."""
        half = taken.half
        if taken.generation != self._generation[half]:
            return
        if half != self._half:
            self._taken[half] = self._taken[half] or taken.end == self._ends[half]
        elif taken.end == self._at - self._begin >= TURN:
            self._ends[half] = taken.end
            self._use(half)

    def close(self) -> None:
        """There is no room any more."""
        self._begin = self._sent = self._at = self._limit = 0
        self._words.release()
        self._memory.close()

    def _write(self, entry: Entry) -> bool:
        try:
            data = _encode((entry,))
        except UnicodeEncodeError:  # lone surrogates, which no UTF-8 has
            data = _encode((_utf8(entry),))
        return self._append(data)

    def _append(self, data: bytes) -> bool:
        """Whole lines. False: there is no room."""
        at = self._at
        end = at + len(data)
        if end > self._limit:
            self.flush()
            at = self._at
            end = at + len(data)
            if end > self._limit:
                return False
        self._memory[at:end] = data
        self._at = end
        self._words[self._half] = self._high + end
        if end >= self._due:
            self.flush()
        return True

    def _use(self, half: int) -> None:
        """From its beginning, once more."""
        begin = _PAGE + half * HALF
        if self._ends[half] > KEPT:
            whole = -(-self._ends[half] // _PAGE) * _PAGE
            self._memory.madvise(mmap.MADV_REMOVE, begin + KEPT, whole - KEPT)
        generation = max(self._generation) + 1
        self._generation[half], self._taken[half] = generation, False
        self._half, self._high = half, (generation << 32) - begin
        self._begin = self._sent = self._at = begin
        self._limit, self._due = begin + HALF, begin + STEP
        self._words[half] = generation << 32


class _Ordered:
    """A journal's words, each of which is seen after what was written before it."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._words = ffi.cast("uint8_t *", ffi.from_buffer(memory))

    def __setitem__(self, half: int, value: int) -> None:
        lib.stk_word_publish(self._words + half * 8, value)

    def __getitem__(self, half: int) -> int:
        return int(lib.stk_word_read(self._words + half * 8))

    def release(self) -> None:
        self._words = ffi.NULL


class JournalReader:
    """The process's side."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE, prot=mmap.PROT_READ)
        self._words = _Ordered(self._memory)
        self._taken = [(0, 0), (0, 0)]  # of each half: generation, end

    def take(self, step: Step) -> Iterator[Entry]:
        yield from self._read(step.half, step.generation, step.end)

    def rest(self) -> Iterator[Entry]:
        """What is there and was not taken: of a server that is dead, or of a whole journal."""
        words = [self._words[0], self._words[1]]
        while (again := self._words[0]) != words[0]:  # else one half may be newer than the other
            words = [again, self._words[1]]
        for word, half in sorted((word, half) for half, word in enumerate(words)):
            yield from self._read(half, word >> 32, word & _END)

    def _read(self, half: int, generation: int, end: int) -> Iterator[Entry]:
        known, taken = self._taken[half]
        start = taken if generation == known else 0
        if end <= start:
            return
        begin = _PAGE + half * HALF
        data = self._memory[begin + start : begin + end]
        self._taken[half] = generation, end
        try:
            yield from _decoder.decode_lines(data)
        except msgspec.DecodeError:  # a server that died within a line
            for line in data.splitlines():
                try:
                    yield _decoder.decode(line)
                except msgspec.DecodeError:
                    continue


def _utf8(entry: Entry) -> Entry:
    """With what UTF-8 does not have escaped."""
    changes = {
        name: value.encode("utf-8", "backslashreplace").decode()
        for name in entry.__struct_fields__
        if isinstance(value := getattr(entry, name), str)
    }
    return msgspec.structs.replace(entry, **changes)
