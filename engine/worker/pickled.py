"""Tasks and their results as bytes: pickles, with large buffers beside them, so that an array is not copied into one.

A task: HEAD (flags, number of buffers, length of the function's pickle), the buffers' lengths, the function, its
arguments, the buffers. A result: a kind, the number of buffers, their lengths, the value, the buffers. Both ends run
the same program; what a worker sends is unpickled by its parent, so it is trusted as far as the task's code is.
"""

from __future__ import annotations

import contextlib
import mmap
import pickle
import struct
from collections.abc import Sequence
from typing import Any

HEAD = struct.Struct("<HHI")
KNOWN = 1  # the function is a module's: its pickle always means the same object
CHUNK = 2  # the arguments are a list of those of several calls
RESULT, RAISED, UNREADY = b"\0", b"\1", b"\2"  # UNREADY: the worker's initializer failed
PLAIN = RESULT + b"\0\0"  # of a result without buffers: nearly all
OUT_OF_BAND = 65536  # bytes from which a buffer is worth a place of its own
HUGE = 4 << 20  # bytes from which memory is asked for in huge pages
_PROTOCOL = 5
_MAX_BUFFERS = 0xFFFF

Buffers = list[pickle.PickleBuffer]
Data = bytes | bytearray | mmap.mmap  # of a message


def dumps(value: Any, buffers: Buffers) -> bytes:
    """A pickle, and the buffers that it leaves out. By cloudpickle, where that is installed and pickle refuses."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        with buffer.raw() as raw:
            if raw.nbytes < OUT_OF_BAND or len(buffers) == _MAX_BUFFERS:
                return True  # in the pickle
        buffers.append(buffer)
        return False

    try:
        return pickle.dumps(value, _PROTOCOL, buffer_callback=keep)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        buffers.clear()
        try:
            import cloudpickle  # type: ignore[import-untyped, import-not-found, unused-ignore]
        except ImportError:
            raise error from None
        data: bytes = cloudpickle.dumps(value, _PROTOCOL, buffer_callback=keep)
        return data


def task(function: bytes, arguments: bytes, flags: int, buffers: Buffers) -> Data:
    if not buffers:
        return b"".join((HEAD.pack(flags, 0, len(function)), function, arguments))
    head = HEAD.pack(flags, len(buffers), len(function))
    return _joined([head], [function, arguments], buffers)


def result(kind: bytes, value: bytes, buffers: Buffers) -> Data:
    if not buffers:
        return kind + b"\0\0" + value
    return _joined([kind, len(buffers).to_bytes(2, "little")], [value], buffers)


def _joined(head: list[bytes], middle: list[bytes], buffers: Buffers) -> Data:
    raws = [buffer.raw() for buffer in buffers]
    lengths = struct.pack(f"<{len(raws)}Q", *(raw.nbytes for raw in raws))
    parts: list[bytes | memoryview] = [*head, lengths, *middle, *raws]
    size = sum(map(len, parts))
    if size < HUGE:
        data: Data = b"".join(parts)
    else:
        data = memory = _huge(size)
        for part in parts:
            memory.write(part)
    for raw in raws:
        raw.release()
    return data


def copied(data: memoryview) -> bytearray | mmap.mmap:
    """A message for its receiver to keep and write to."""
    if len(data) < HUGE:
        return bytearray(data)
    copy = _huge(len(data))
    copy.write(data)
    return copy


def _huge(size: int) -> mmap.mmap:
    """To fill fresh memory takes most of its time in page faults: three times as long without huge pages."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def parted(data: memoryview, at: int, count: int) -> tuple[int, int, list[memoryview]]:
    """Where the pickles of a message begin and end, whose buffers' lengths begin at `at`, and those buffers: parts of
    `data`, which they keep."""
    lengths: Sequence[int] = struct.unpack_from(f"<{count}Q", data, at)
    begin = at + 8 * count
    end = offset = len(data) - sum(lengths)
    buffers = []
    for length in lengths:
        buffers.append(data[offset : offset + length])
        offset += length
    return begin, end, buffers


def read_result(data: Data) -> tuple[int, Any]:
    """A result's kind, and its value. Raises what unpickling raises."""
    count = data[1] | data[2] << 8
    if not count:
        return data[0], pickle.loads(memoryview(data)[3:])
    view = memoryview(data)
    begin, end, buffers = parted(view, 3, count)
    return data[0], pickle.loads(view[begin:end], buffers=buffers)
