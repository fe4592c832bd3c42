"""Documents for native/json, built with sanitizers: what it writes is what json writes, and what it reads what json
reads, for whatever comes.

json_documents.py FOLDER_OF_THE_BUILD SEED; a sanitizer ends the process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import random
import struct
import sys
from pathlib import Path
from typing import Any

DOCUMENTS = 4000
LEAST, KEPT = 4096, 2 << 20  # encode.c: bytes of its buffer, at first and at most between two documents
TEXTS = [
    "",
    "a",
    "\x00",
    "\x1f",
    "\x7f",
    "\x80",
    "é",
    "\uffff",
    "😀",
    '"',
    "\\",
    "\n",
    "x" * 31,
    "x" * 32,
    "x" * 33,
]
NUMBERS = [0, 1, -1, 2**31, 2**63 - 1, -(2**63), 2**63, 0.0, -0.0, 0.1, 1e-3, 999999999.5, 1e9, 1e300, 5e-324, 1e22,
           float("nan"), float("inf"), float("-inf")]  # fmt: skip


def a_text(draw: random.Random) -> str:
    if draw.random() < 0.4:
        return draw.choice(TEXTS)
    alphabet = draw.choice(["ab", 'a"\\\n', "aé", "a😀", "".join(TEXTS)])
    return "".join(draw.choices(alphabet, k=draw.choice([3, 31, 32, 33, 64, 100, 5000])))


def a_value(draw: random.Random, depth: int = 5) -> Any:
    kind = draw.randrange(9 if depth else 6)
    if kind == 0:
        return draw.choice([None, True, False])
    if kind == 1:
        return draw.choice(NUMBERS)
    if kind == 2:
        return draw.randrange(-(10 ** draw.randrange(1, 25)), 10 ** draw.randrange(1, 25))
    if kind == 3:
        return round(draw.uniform(-1e6, 1e6), draw.randrange(8))
    if kind == 4:
        return struct.unpack("d", draw.randbytes(8))[0]
    if kind == 5:
        return a_text(draw)
    inner = [a_value(draw, depth - 1) for _ in range(draw.randrange(6))]
    return inner if kind == 6 else tuple(inner) if kind == 7 else {a_text(draw): each for each in inner}


def unencodable() -> list[Any]:
    """What it leaves to json, and what is in itself."""
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = 1
    for _ in range(201):
        deep = [deep]
    return [circle, deep, "\ud800", {1: 2}, {"a": {1, 2}}, object(), b"bytes", ["x" * 5000, "\udfff"]]


def check(dumps: Any, value: Any) -> None:
    for only_ascii in (True, False):
        try:
            written = dumps(value, only_ascii)
            if written is not None:
                assert written == json.dumps(value, ensure_ascii=only_ascii).encode(), repr(value)[:500]
        except OverflowError:
            continue


def check_into(dumps: Any, value: Any) -> None:
    """Into buffers that are too small, and one that is not."""
    written = dumps(value, False)
    if written is None:
        return
    for size in {0, 1, len(written) // 2, len(written) - 1, len(written), len(written) + 64}:
        buffer = bytearray(max(0, size))
        n = dumps(value, False, buffer)
        assert n is None or bytes(buffer[:n]) == written
    assert n is not None or len(written) + 64 != size


def a_document(draw: random.Random) -> bytes:
    """Of a value, as it is, cut off, or with a fault."""
    value = a_value(draw)
    document = json.dumps(value, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 2])).encode(
        "utf-8", "replace"
    )
    kind = draw.randrange(3)
    if kind == 1:
        return document[: draw.randrange(len(document) + 1)]
    if kind == 2:
        at = draw.randrange(len(document) + 1)
        return document[:at] + draw.choice(FAULTS) + document[at + draw.randrange(3) :]
    return document


FAULTS = [
    b'"',
    b"\\",
    b"{",
    b"]",
    b",",
    b"\x00",
    b"\\u",
    b"\\ud83d\\u",
    b"\xf0\x9f",
    b"-",
    b"1e",
    b"9" * 70,
    b"." + b"0" * 70,
]


def check_loads(loads: Any, document: bytes) -> None:
    try:
        # Of its size exactly, without a zero behind it.
        value = loads((ctypes.c_char * len(document)).from_buffer_copy(document))
    except ValueError:
        return
    assert repr(value) == repr(json.loads(document)), document[:500]


def main(folder: str, seed: str) -> None:
    place = importlib.util.spec_from_file_location("engine._json", next(Path(folder).glob("_json*.so")))
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    dumps = module.dumps
    for size in range(LEAST - 16, LEAST + 2):  # up to its first buffer's end, and the first beyond it
        check(dumps, [1] * (size // 3 - size % 3) + [10] * (size % 3))
    for value in unencodable():
        assert dumps(value, True) is None
        check(dumps, ["after", "it"])
    for around in range(LEAST - 6, LEAST + 4):
        for end in ("", '"', "\n", "é", "😀"):
            check(dumps, "x" * around + end)
    for size in (KEPT - 3, KEPT, KEPT + 1, 4 * KEPT):
        check(dumps, ["😀" * (size // 4), "x" * size])
    draw = random.Random(int(seed))
    for _ in range(DOCUMENTS):
        value = a_value(draw)
        check(dumps, value)
        check_into(dumps, value)
        check_loads(module.loads, a_document(draw))
    for n in range(100):  # the end of what is read is the end of what may be read
        for end in ("", '"', "\\", "\\u12", "\\ud83d\\u", "é", '"}'):
            check_loads(module.loads, ('{"a": "' + "x" * n + end).encode())
            check_loads(module.loads, ('{"' + "k" * n + end).encode())
    for wrong in ((), (1,), (1, True, 3), (1, True, b"read-only"), (1, True, bytearray(9), 4)):
        try:
            dumps(*wrong)
        except (TypeError, BufferError):
            continue
        raise AssertionError(wrong)


if __name__ == "__main__":
    main(*sys.argv[1:])
