"""Requests for native/http, built with sanitizers: what it takes, httptools takes likewise; and what is sent.

http_requests.py FOLDER_OF_THE_BUILD SEED; a sanitizer ends the process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import random
import socket
import sys
import uuid
from pathlib import Path

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
        if found is None:
            continue
        taken += 1
        *parts, key = found
        assert len(parts[2]) <= MOST_HEADERS, data
        parsed = Parsed(data)
        assert parts == [parsed.method, parsed.url, parsed.headers, parsed.body], data
        if key is not None:
            keys += 1
            assert http.scan(bounded(data), {key: 1}) == (1, parsed.body), data
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
        try:
            http.scan(*wrong)
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
    try:
        http.send_all(b"x" * 600, [], b"")
    except ValueError:
        return
    raise AssertionError("a response that is too large")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
