"""Requests for native/http, built with sanitizers: what it takes, httptools takes likewise; and what is sent.

http_requests.py FOLDER_OF_THE_BUILD SEED; a sanitizer ends the process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import json
import random
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from parsed_request import Parsed

REQUESTS = 10_000
MOST_HEADERS, LONGEST_NAME = 64, 64  # request.c
ALPHABET = b'\r\n :/?#\t,;\x00\x7f\x80\xffaZ09-_{}"'
PIECES = [
    b"POST", b"GET", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n", b"\r\n\r\n", b"content-length: 2\r\n",
    b"Content-Length:", b"99999999999999999999", b"a: b\r\n c\r\n", b"{}", b"expect: 100-continue\r\n",
    b"content-length: 000000002\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n",
]  # fmt: skip
METHODS = [b"POST", b"GET", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b""]
MOST_PAYLOAD = 50_000
poison = ctypes.CDLL(None).__asan_poison_memory_region


def bounded(data: bytes) -> bytes:
    """The same bytes, without the zero that Python keeps behind them: reading that far is a fault, too."""
    own = bytes(bytearray(data))
    if len(own) > 1:  # shorter ones are shared
        poison(ctypes.c_void_p(id(own) + sys.getsizeof(own) - 1), ctypes.c_size_t(1))
    return own


def a_request(draw: random.Random) -> bytes:
    headers = [b"host: a"]
    event = draw.random() < 0.3
    if event:
        headers.append(draw.choice([b"X-Amz-Invocation-Type: Event", b"x-amz-invocation-type:Event"]))
        if draw.random() < 0.5:
            headers.append(
                b"authorization: AWS4-HMAC-SHA256 Credential=a/b" + draw.choice([b"", b", c", b"d" * 2000])
            )
    many = draw.random() < 0.1
    for _ in range(draw.randrange(MOST_HEADERS - 5, MOST_HEADERS + 1) if many else draw.choice([0, 1, 3, 8])):
        longest = LONGEST_NAME + (draw.random() < 0.02)
        name = bytes(draw.choices(b"abcXYZ-_019", k=draw.choice([1, 5, longest - 1, longest])))
        headers.append(
            name + draw.choice([b":", b": ", b":\t "]) + draw.choice([b"", b"v", b"a b ", b"x" * 300])
        )
    body = draw.choice([b"", b"{}", b"x" * draw.randrange(5000)])
    if body or draw.random() < 0.5:
        headers.insert(draw.randrange(len(headers) + 1), b"Content-Length: %d" % len(body))
    url = b"/" + bytes(draw.choices(b"abc/?=&%20.", k=draw.randrange(40)))
    head = b"POST" if event else draw.choices(METHODS, [20, 9, 9, 9, 9, 9, 9, 1, 1, 1])[0]
    head += b" " + url + b" HTTP/1.1\r\n"
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def spoiled(draw: random.Random, data: bytes) -> bytes:
    for _ in range(draw.choice([0, 0, 0, 1, 1, 2, 5])):
        at, kind = draw.randrange(len(data) + 1), draw.randrange(5)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data = data[:at] + bytes([draw.choice(ALPHABET)]) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + draw.choice(PIECES) + data[at:]
        elif kind == 3:
            data = data[:at] + data[at + draw.randrange(10) :]
        else:
            data = data[:at] + draw.randbytes(draw.randrange(20)) + data[at:]
    return data


class Outcome(ctypes.Structure):
    """stk_outcome (native/engine/queue.h)."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("ticket", "token")),
        *((name, ctypes.c_uint32) for name in ("status", "detail")),
        ("data", ctypes.c_void_p),
        ("len", ctypes.c_uint64),
        ("log", ctypes.c_void_p),
        *((name, ctypes.c_uint64) for name in ("log_len", "log_dropped")),
        *((name, ctypes.c_uint64) for name in ("submit", "dispatch", "start", "end", "done")),
        *((name, ctypes.c_uint32) for name in ("peak_kib", "cold")),
        ("born", ctypes.c_uint64),
        ("id", ctypes.c_uint8 * 16),
    )


def answers(http: Any, draw: random.Random) -> None:
    """Outcomes as large as they may be, and a little larger."""
    payload = ctypes.create_string_buffer(draw.randbytes(MOST_PAYLOAD), MOST_PAYLOAD)
    outcomes: dict[int, Outcome] = {}
    freed: list[int] = []

    def outcome_of(engine: int, ticket: int, to: Any) -> int:
        if ticket not in outcomes:
            return 0
        ctypes.memmove(to, ctypes.byref(outcomes[ticket]), ctypes.sizeof(Outcome))
        return 1

    find = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p)(outcome_of)
    free = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64)(
        lambda engine, ticket: freed.append(ticket)
    )
    http.bind(ctypes.cast(find, ctypes.c_void_p).value, ctypes.cast(free, ctypes.c_void_p).value, 10**18)
    rooms = (0, 4097, MOST_PAYLOAD, 1 << 40)
    for number, room in itertools.product((0, 1, 15, 16, 17, 100), rooms):
        mine, other = socket.socketpair()
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        outcomes.clear()
        freed.clear()
        quiet = []
        for ticket in range(number):
            largest, one = draw.random() < 0.3, Outcome(ticket=ticket, peak_kib=draw.choice([0, 2**32 - 1]))
            one.len = draw.choice([0, 1, 4095, 4096, 4097, MOST_PAYLOAD]) if largest else draw.randrange(100)
            one.data = ctypes.addressof(payload) + MOST_PAYLOAD - one.len
            one.start, one.end = (1, 2**64 - 1) if largest else (5, 9)
            one.born = 2**64 - 1 if largest else 0
            one.id = (ctypes.c_uint8 * 16)(*draw.randbytes(16))
            for name in ("status", "cold", "log_len", "log_dropped"):
                setattr(one, name, int(draw.random() < 0.03))
            if draw.random() < 0.97:
                outcomes[ticket] = one
                if not (one.status or one.cold or one.log_len or one.log_dropped):
                    quiet.append(one)
        rest = room
        for one in list(quiet):  # the large ones for which there is room
            if one.len > 4096 and one.len > rest:
                quiet.remove(one)
            elif one.len > 4096:
                rest -= one.len
        before, middle = draw.randbytes(draw.randrange(170)), draw.randbytes(draw.randrange(170))
        noted: list[tuple[bytes, bytes]] = []
        calls = [(ticket, mine.fileno(), None) for ticket in range(number)]
        left, cut, longest = http.answer(
            1, calls, before, middle, 2**64 - 1, lambda *what, noted=noted: noted.append(what), room
        )
        mine.close()
        sent = b""
        while piece := other.recv(1 << 20):
            sent += piece
        other.close()
        rests = dict(cut)
        assert sorted(freed) == [one.ticket for one in quiet] and rests.keys() <= set(freed)
        assert longest == max((one.len for one in quiet), default=0)
        assert sorted(left + freed) == list(range(number))
        lines = [json.loads(line) for some, _ in noted for line in some.splitlines()]
        assert len(lines) == len(quiet) == sum(len(times) for _, times in noted) // 16
        for one, line in zip(quiet, lines, strict=True):
            id = str(uuid.UUID(bytes=bytes(one.id)))
            text = b"%x-%b;sampled=0\r\ncontent-length: %d\r\n\r\n" % (
                (one.start + 10**18) // 10**9, bytes(one.id).hex()[:24].encode(), one.len,
            )  # fmt: skip
            response = before + id.encode() + middle + text + payload.raw[MOST_PAYLOAD - one.len :]
            rest = rests.get(one.ticket, b"")
            assert response.endswith(rest)
            response = response[: len(response) - len(rest)]
            assert sent.startswith(response), (sent[:300], response[:300])
            sent = sent[len(response) :]
            assert line[:2] == [6, id] and line[3:] == [
                one.end - one.start, one.peak_kib, one.len, one.born, 2**64 - 1,
            ]  # fmt: skip
        assert sent == b""

    def refuses(*what: bytes) -> None:
        raise RuntimeError

    outcomes[0] = Outcome(ticket=0, start=1, end=2)
    good = (1, [(0, 1 << 20, None)], b"", b"", 1, lambda *what: None, 0)
    for at, wrong in (
        (0, "x"),
        (1, ()), (1, [1]), (1, [(1,)]), (1, [("a", 1)]), (1, [(1, "a")]), (1, [(1 << 70, 1)]), (2, ""), (3, 1),
        (3, b"x" * 600), (4, -1), (5, None), (5, refuses), (6, -1), (6, "x"),
    ):  # fmt: skip
        try:
            http.answer(*good[:at], wrong, *good[at + 1 :])
        except (TypeError, OverflowError, ValueError, RuntimeError):
            continue
        raise AssertionError(wrong)
    assert http.answer(*good)[1][0][0] == 0, "no such socket"


def main(folder: Path, seed: int) -> None:
    spec = importlib.util.spec_from_file_location("engine._http", folder / "_http.so")
    assert spec is not None and spec.loader is not None
    http = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(http)
    draw = random.Random(seed)
    taken = keys = 0
    for _ in range(REQUESTS):
        data = spoiled(draw, a_request(draw))
        found = http.scan(bounded(data), {})
        begun = data[: draw.randrange(len(data) + 1)]
        if found is None:
            assert http.begins(bounded(begun), {}) is None
            continue
        taken += 1
        *parts, key = found
        assert len(parts[2]) <= MOST_HEADERS, data
        parsed = Parsed(data)
        assert parts == [parsed.method, parsed.url, parsed.headers, parsed.body], data
        if key is not None:
            keys += 1
            assert http.scan(bounded(data), {key: 1}) == (1, parsed.body), data
            there = len(begun) + len(parsed.body) - len(data)
            known = (1, there, len(data) - len(begun)) if there >= 0 and begun != data else None
            assert http.begins(bounded(begun), {key: 1}) == known, (data, begun)
            assert http.begins(bounded(begun), {}) is None
        assert (
            parsed.ends == 1 and parsed.parser.should_keep_alive() and not parsed.parser.should_upgrade()
        ), data
    assert REQUESTS / 20 < taken < REQUESTS * 0.9, taken
    assert REQUESTS / 100 < keys < taken, keys
    for wrong in (
        ("", {}),
        (1, {}),
        (None, {}),
        (memoryview(b"GET / HTTP/1.1\r\n\r\n"), {}),
        (b"", None),
        (b"",),
    ):
        for function in (http.scan, http.begins):
            try:
                function(*wrong)
            except TypeError:
                continue
            raise AssertionError(wrong)
    for number in (0, 1, 255, 256, 257, 600):
        pairs = [socket.socketpair() for _ in range(min(number, 100))]
        receivers = [(pairs[at % len(pairs)][0].fileno(), draw.randbytes(16)) for at in range(number)]
        before, after = draw.randbytes(draw.randrange(100)), draw.randbytes(draw.randrange(100))
        assert http.send_all(before, receivers, after) == []
        for mine, other in pairs:
            ids = [uuid.UUID(bytes=id) for descriptor, id in receivers if descriptor == mine.fileno()]
            assert other.recv(100_000) == b"".join(before + str(id).encode() + after for id in ids)
            mine.close()
            other.close()
    id = bytes(16)
    for wrong in ([1], [(1,)], [("a", id)], [(1, "a")], [(1, b"a")], [(1, id), (2,)], [(1 << 70, id)]):
        try:
            http.send_all(b"", wrong, b"")
        except (TypeError, OverflowError):
            continue
        raise AssertionError(wrong)
    answers(http, draw)
    try:
        http.send_all(b"x" * 600, [], b"")
    except ValueError:
        return
    raise AssertionError("a response that is too large")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
