"""HTTP/1.1 by hand: requests whole, split at every byte and one behind the other; what is refused; how one ends."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
import uvloop

from engine.http.acceptor import Acceptor
from engine.http.budget import Budget
from engine.http.exchange import Exchange
from engine.http.protocol import Protocol

MIB = 1 << 20
HEAD = b"POST /p HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
Response = tuple[int, dict[str, str], bytes]


async def app(exchange: Exchange) -> None:
    """Responds with what it has received; the path says how."""
    request, start = exchange.request, {"type": "http.response.start", "status": 200, "headers": []}
    if request.path == "/early":
        exchange.respond(413, [], b"too large")
        return
    body, more = b"", True
    while more:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    if request.path == "/streamed":
        await exchange.send(start)
        for piece in (b"one ", b"", b"two ", body):
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        await exchange.send({"type": "http.response.body"})
    elif request.path in ("/short", "/long"):
        await exchange.send({**start, "headers": [(b"content-length", b"6")]})
        piece = b"abc" if request.path == "/short" else b"abcdefg"
        await exchange.send({"type": "http.response.body", "body": piece})
    elif request.path == "/large":
        exchange.respond(200, [], b"z" * 8 * MIB)
    elif request.path == "/broken":
        raise RuntimeError("of a test")
    elif request.path == "/injected":
        exchange.respond(200, [(b"x", b"a\r\nset-cookie: b")], b"")
    elif request.path in ("/204", "/304"):
        exchange.respond(int(request.path[1:]), [], b"not sent")
    else:
        headers = ",".join(f"{name}={value}" for name, value in request.headers if name.startswith("x-"))
        text = f"{request.method} {request.path} {request.query} {headers} ".encode() + body
        exchange.respond(200, [(b"content-type", b"text/plain")], text)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    started: Future[tuple[asyncio.AbstractEventLoop, Acceptor]] = Future()
    listening = socket.create_server(("127.0.0.1", 0))

    async def serve() -> None:
        acceptor = Acceptor(Protocol, app, None, Budget())  # type: ignore[arg-type]
        await acceptor.start([listening])
        started.set_result((asyncio.get_running_loop(), acceptor))
        await acceptor.serve(10)

    thread = threading.Thread(target=uvloop.run, args=[serve()])
    thread.start()
    loop, acceptor = started.result(10)
    yield listening.getsockname()
    loop.call_soon_threadsafe(acceptor.stop)
    thread.join()


def connect(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def everything(sock: socket.socket) -> bytes:
    found = b""
    while piece := sock.recv(1 << 16):
        found += piece
    return found


def responses(data: bytes, heads: int = 0) -> list[Response]:
    """All of them; the first `heads` are of HEAD requests."""
    found: list[Response] = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        status = int(lines[0].split()[1])
        headers = dict(line.split(": ", 1) for line in lines[1:])
        body = b""
        if "transfer-encoding" in headers:
            while True:
                size, _, data = data.partition(b"\r\n")
                piece, data = data[: int(size, 16)], data[int(size, 16) + 2 :]
                body += piece
                if not piece:
                    break
        elif status >= 200 and status not in (204, 304) and len(found) >= heads:
            length = int(headers["content-length"])
            body, data = data[:length], data[length:]
            assert len(body) == length
        found.append((status, headers, body))
    return found


def asked(address: tuple[str, int], *pieces: bytes, heads: int = 0) -> list[Response]:
    """What comes of these pieces, each sent on its own, from a client that is done sending then."""
    with connect(address) as sock:
        for piece in pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        return responses(everything(sock), heads)


GOOD = {
    "no body": (b"GET /p?q=1&r HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n", b"GET /p q=1&r x-a=b "),
    "a length": (HEAD + b"Content-Length: 5\r\n\r\nabcde", b"POST /p   abcde"),
    "a length of nothing": (HEAD + b"Content-Length: 0\r\n\r\n", b"POST /p   "),
    "spaces around a value": (HEAD + b"X-A: \t b \r\nContent-Length:  1 \r\n\r\na", b"POST /p  x-a=b a"),
    "nothing for a value": (HEAD + b"X-A:\r\n\r\n", b"POST /p  x-a= "),
    "chunks": (CHUNKED + b"2\r\nab\r\nA;x=y\r\ncdefghijkl\r\n0\r\n\r\n", b"POST /p   abcdefghijkl"),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\nX-T: u\r\n\r\n", b"POST /p   a"),
    "an absolute URL": (b"GET http://h:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /p q  "),
    "an escaped path": (b"GET /%2e%2F;a=%20 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /%2e%2F;a=%20   "),
    "a fragment": (b"GET /p#f HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /p   "),
    "empty lines before it": (b"\r\n\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /p   "),
    "a protocol it could change to": (
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /p   abc",
    ),
    "the same in chunks": (
        HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"POST /p   ab",
    ),
    "the same without a body": (
        b"GET /p HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /p   ",
    ),
}  # fmt: skip


@pytest.mark.promise(264)
@pytest.mark.parametrize("name", GOOD)
def test_a_request_whole_split_anywhere_and_behind_others(address: tuple[str, int], name: str) -> None:
    request, expected = GOOD[name]
    assert [response[2] for response in asked(address, request * 3)] == [expected] * 3
    with connect(address) as sock:  # one connection: each way to cut it in two, then byte by byte
        cuts = [[request[:at], request[at:]] for at in range(1, len(request))]
        for pieces in [*cuts, [request[at : at + 1] for at in range(len(request))]]:
            for piece in pieces:
                sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        found = responses(everything(sock))
    assert [response[2] for response in found] == [expected] * len(request)


BAD = {
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "lengths in a list": HEAD + b"Content-Length: 5, 5\r\n\r\nabcde",
    "a length with a sign": HEAD + b"Content-Length: +5\r\n\r\nabcde",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nabcde",
    "a length in hex": HEAD + b"Content-Length: 0x5\r\n\r\nabcde",
    "an empty length": HEAD + b"Content-Length: \r\n\r\nabcde",
    "a length with a space in it": HEAD + b"Content-Length: 1 0\r\n\r\nabcde",
    "a length beyond numbers": HEAD + b"Content-Length: 99999999999999999999\r\n\r\nabcde",
    "chunked, but not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an encoding that is none": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "an encoding twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an encoding behind a control": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "lines that end in LF": b"GET /p HTTP/1.1\nHost: a\n\n",
    "a line that ends in LF": HEAD + b"A: b\nContent-Length: 0\r\n\r\n",
    "a head that ends in LF": HEAD + b"A: b\r\n\n",
    "a CR alone": HEAD + b"A: b\rContent-Length: 5\r\n\r\n",
    "a NUL": HEAD + b"A: b\0c\r\n\r\n",
    "a folded line": HEAD + b"A: b\r\n c\r\n\r\n",
    "no colon": HEAD + b"abc\r\n\r\n",
    "no name": HEAD + b": abc\r\n\r\n",
    "a space in a name": HEAD + b"a b: c\r\n\r\n",
    "a space before the first": b"POST /p HTTP/1.1\r\n Host: a\r\n\r\n",
    "HTTP/0.9": b"GET /p\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that is none": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "a method that is none": b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT h:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path of bytes": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "a control in a path": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a chunk's size with 0x": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    "a space behind a chunk's size": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"1\r\nab0\r\n\r\n",
    "chunks that end in LF": CHUNKED + b"1\na\n0\n\n",
    "a chunk's size beyond numbers": CHUNKED + b"11111111111111111\r\na\r\n0\r\n\r\n",
    "a length in the trailers": CHUNKED + b"1\r\na\r\n0\r\nContent-Length: 3\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
}


@pytest.mark.promise(265)
@pytest.mark.parametrize("name", BAD)
def test_what_is_not_http_is_refused_and_nothing_behind_it_is_read(
    address: tuple[str, int], name: str
) -> None:
    """Whole, and cut in two: 400 and the end, or the end alone where a response was still being made."""
    second = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
    request = BAD[name]
    for pieces in (
        [request + second],
        [request, second],
        [request[: len(request) // 2], request[len(request) // 2 :] + second],
    ):
        with connect(address) as sock:
            for piece in pieces:
                sock.sendall(piece)
            found = responses(everything(sock))  # though the client is not done sending
        assert [status for status, _, _ in found] in ([400], []), found
        assert all(headers["connection"] == "close" for _, headers, _ in found)


def test_head_has_a_gets_headers_and_no_body(address: tuple[str, int]) -> None:
    heads = [b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in (b"/p", b"/streamed", b"/short")]
    found = asked(address, b"".join(heads) + b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n", heads=3)
    assert [status for status, _, _ in found] == [200] * 4
    assert [headers.get("content-length") for _, headers, _ in found] == ["10", None, "6", "9"]
    assert found[3][2] == b"GET /p   "


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_has_no_body_has_none(address: tuple[str, int], status: int) -> None:
    one = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % status
    found = asked(address, one + b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [each[0] for each in found] == [status, 200]


def test_a_response_of_unknown_length_is_in_chunks(address: tuple[str, int]) -> None:
    request = b"POST /streamed HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
    found = asked(address, request * 2)
    assert [(status, body) for status, _, body in found] == [(200, b"one two xyz")] * 2
    assert found[0][1]["transfer-encoding"] == "chunked"


@pytest.mark.parametrize(
    ("version", "field", "closes"),
    [(b"1.1", b"", False), (b"1.1", b"Connection: close\r\n", True), (b"1.0", b"", True),
     (b"1.0", b"Connection: keep-alive\r\n", True)],
)  # fmt: skip
def test_the_connection_stays_or_ends(
    address: tuple[str, int], version: bytes, field: bytes, closes: bool
) -> None:
    request = b"GET /p HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, field)
    with connect(address) as sock:
        sock.sendall(request)
        if closes:
            found = responses(everything(sock))
            assert found[0][1]["connection"] == "close"
            return
        data = sock.recv(65536)
        assert "connection" not in responses(data)[0][1]
        sock.sendall(request)
        assert responses(sock.recv(65536))[0][0] == 200


def test_what_is_behind_a_last_request_is_not_carried_out(address: tuple[str, int]) -> None:
    last = b"GET /p HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert len(asked(address, last + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")) == 1


def test_100_continue_comes_before_the_body_is_sent(address: tuple[str, int]) -> None:
    with connect(address) as sock:
        sock.sendall(HEAD + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        sock.shutdown(socket.SHUT_WR)
        assert responses(everything(sock))[0][2] == b"POST /p   abc"


def test_a_response_before_the_body_is_there_ends_the_connection(address: tuple[str, int]) -> None:
    """And the client, which goes on sending, reads it."""
    with connect(address) as sock:
        sock.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (4 * MIB))
        for _ in range(64):
            sock.sendall(bytes(4 * MIB // 64))
        ((status, headers, body),) = responses(everything(sock))
    assert (status, headers["connection"], body) == (413, "close", b"too large")


@pytest.mark.parametrize("path", [b"/broken", b"/injected"])
def test_what_cannot_be_a_response_is_500(address: tuple[str, int], path: bytes) -> None:
    ((status, headers, _),) = asked(address, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
    assert (status, headers["connection"]) == (500, "close")
    assert "set-cookie" not in headers


@pytest.mark.parametrize("path", [b"/short", b"/long"])
def test_a_body_of_another_length_is_not_whole(address: tuple[str, int], path: bytes) -> None:
    with connect(address) as sock:
        sock.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        assert len(everything(sock).partition(b"\r\n\r\n")[2]) < 6


@pytest.mark.promise(266)
def test_a_client_that_does_not_read_keeps_nobody_waiting(address: tuple[str, int]) -> None:
    """Its next request is begun once it has taken the response before."""
    with connect(address) as lazy:
        lazy.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" + GOOD["no body"][0])
        for _ in range(3):
            assert asked(address, GOOD["no body"][0])[0][0] == 200
        lazy.shutdown(socket.SHUT_WR)
        found = responses(everything(lazy))
    assert [len(body) for _, _, body in found] == [8 * MIB, len(GOOD["no body"][1])]


@pytest.mark.promise(266)
@pytest.mark.parametrize("part", [b"GET /p HT", HEAD + b"Content-Length: 9\r\n\r\nabc", CHUNKED + b"5\r\nab"])
def test_a_reset_in_the_middle_leaves_nothing(address: tuple[str, int], part: bytes) -> None:
    for _ in range(20):
        with connect(address) as sock:
            sock.sendall(part)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert asked(address, GOOD["no body"][0])[0][0] == 200


def test_many_requests_in_one_piece(address: tuple[str, int]) -> None:
    begun = time.monotonic()
    assert len(asked(address, GOOD["no body"][0] * 2000)) == 2000
    assert time.monotonic() - begun < 30
