"""The short cut past the parser takes a request as the parser does, or leaves it to that."""

from __future__ import annotations

import socket
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsed_request import Parsed

from engine._http import scan, send_all

POST = b"POST /2015-03-31/functions/f/invocations?Qualifier=1 HTTP/1.1\r\n"


def _agree(data: bytes) -> bool:
    """Was it taken? Then the parser takes it likewise, as one whole request of a connection that stays open."""
    found = scan(data, {})
    if found is None:
        return False
    parsed = Parsed(data)
    assert found[:4] == (parsed.method, parsed.url, parsed.headers, parsed.body)
    assert parsed.ends == 1 and parsed.parser.should_keep_alive() and not parsed.parser.should_upgrade()
    assert parsed.parser.get_http_version() == "1.1"
    return True


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Host: a:1\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"\r\n",
        POST + b"content-length: 0\r\n\r\n",
        POST + b"X-Amz-Date:\t 20260101T000000Z \t\r\nAuthorization: AWS4 a=b, c\r\nempty:\r\nHOST:b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"DELETE /a/%20b?c=d&e HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
@pytest.mark.promise(324)
def test_a_plain_request_is_taken(data: bytes) -> None:
    assert _agree(data)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n", b"POST", POST, POST + b"host: a\r\n", POST + b"\r\nx", b"\r\n" + POST + b"\r\n",
        POST + b"content-length: 2\r\n\r\n{", POST + b"content-length: 2\r\n\r\n{}x",
        POST + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
        *(POST + b"content-length:%b\r\n\r\nxx" % value for value in (b" +2", b" 2,2", b" 0x2", b" 2 2", b"", b" -2")),
        POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        *(POST + name + b": x\r\n\r\n" for name in (
            b"transfer-encoding", b"Connection", b"upgrade", b"Expect", b"TE", b"trailer", b"Proxy-Connection",
        )),
        POST + b"a: b\r\n c\r\n\r\n", POST + b"a : b\r\n\r\n", POST + b": b\r\n\r\n", POST + b"a\r\n\r\n",
        POST + b"a: \x00\r\n\r\n", POST + b"a: \xe4\r\n\r\n", POST + b"a: b\n\r\n", POST + b"a: b\r\r\n\r\n",
        POST + b"a: b\r\n\n", b"post / HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1 \r\n\r\n", b"GET a HTTP/1.1\r\n\r\n", b"GET /#a HTTP/1.1\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n\r\n", b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", b"GET /\x7f HTTP/1.1\r\n\r\n",
        POST + b"a: b\r\n" * 65 + b"\r\n", POST + b"a" * 65 + b": b\r\n\r\n",
    ],
)  # fmt: skip
@pytest.mark.promise(324)
def test_everything_else_is_the_parsers(data: bytes) -> None:
    assert scan(data, {}) is None


EVENT = b"host: a\r\nX-Amz-Invocation-Type: Event\r\n"
SIGNED = (
    b"authorization: AWS4-HMAC-SHA256 Credential=k/d/r/s/aws4_request, SignedHeaders=host, Signature=%d\r\n"
)


def _key(headers: bytes, start: bytes = POST) -> bytes | None:
    found = scan(start + headers + b"content-length: 2\r\n\r\n{}", {})
    assert found is not None and len(found) == 5
    return found[4]


@pytest.mark.promise(326)
def test_invokes_have_a_key_of_what_decides_about_them() -> None:
    """What differs from one to the next of the same sender and function is not in it; all else is."""
    plain = _key(EVENT + SIGNED % 1)
    harmless = b"User-Agent: b\r\nX-Amz-Date: 2\r\namz-sdk-invocation-id: c\r\n"
    assert plain is not None and plain == _key(harmless + SIGNED % 2 + EVENT)
    others = [
        _key(b"host: a\r\n" + SIGNED % 1), _key(EVENT),
        _key(EVENT.replace(b"a\r", b"b\r") + SIGNED % 1),
        _key(EVENT + (SIGNED % 1).replace(b"k/", b"l/")),
        _key(EVENT + SIGNED % 1, POST.replace(b"/f/", b"/g/")), _key(EVENT + SIGNED % 1, POST.replace(b"=1", b"=2")),
    ]  # fmt: skip
    assert None not in others and len({plain, *others}) == 7


@pytest.mark.promise(326)
def test_who_waits_for_the_response_need_not_say_so() -> None:
    waits = b"host: a\r\nx-amz-invocation-type: RequestResponse\r\n"
    assert _key(waits + SIGNED % 1) == _key(b"host: a\r\n" + SIGNED % 2)


@pytest.mark.parametrize(
    "headers",
    [
        b"", b"X-Amz-Invocation-Type: Event\r\n", b"host: a\r\nX-Amz-Invocation-Type: DryRun\r\n",
        EVENT + EVENT, EVENT + b"host: b\r\n",
        EVENT + SIGNED % 1 + SIGNED % 2, EVENT + b"x-amz-invocation-type: RequestResponse\r\n",
        b"host: a\r\nx-amz-invocation-type: event\r\n", EVENT + b"long: b\r\nauthorization: " + b"b" * 2000 + b"\r\n",
        *(EVENT + name + b": b\r\n" for name in (
            b"Origin", b"Sec-Fetch-Site", b"X-Amz-Log-Type", b"X-Amz-Client-Context", b"X-Amzn-Trace-Id",
            b"X-Amz-Tenant-Id", b"X-Amz-Durable-Execution-Name", b"X-Amz-Security-Token", b"X-Amz-Anything",
        )),
    ],
)  # fmt: skip
@pytest.mark.promise(326)
def test_what_is_more_than_a_plain_invoke_has_no_key(headers: bytes) -> None:
    assert _key(headers) is None


@pytest.mark.promise(326)
def test_of_what_is_known_only_the_body_is_taken() -> None:
    key = _key(EVENT)
    assert key is not None
    known = {key: object()}
    found = scan(POST + EVENT + b"content-length: 2\r\n\r\n[]", known)
    assert found == (known[key], b"[]")
    other = scan(POST.replace(b"POST", b"PUT") + EVENT + b"content-length: 2\r\n\r\n[]", known)
    assert other is not None and other[-1] is None
    assert scan(POST + EVENT + b"content-length: 2\r\n\r\n[", known) is None


_PIECES = st.sampled_from(
    [
        b"POST", b"GET", b" ", b"/", b"/a?b#c", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":",
        b"\t", b"host", b"Content-Length", b"content-length: 2\r\n", b"2", b"0", b"{}", b"Transfer-Encoding: chunked",
        b"connection: close", b"\x00", b"\xff", b",", b";", b'"',
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=6), st.integers(0, 80), st.booleans())
@pytest.mark.promise(324)
def test_any_bytes_are_taken_as_the_parser_takes_them(pieces: list[bytes], at: int, instead: bool) -> None:
    """A plain request that something was put into, or in the place of what it had."""
    plain = POST + b"Host: a\r\ncontent-length: 2\r\nx-amz-date: b\r\n\r\n{}"
    put = b"".join(pieces)
    _agree(plain[:at] + put + plain[at + len(put) * instead :])


def test_what_is_no_bytes_is_refused() -> None:
    with pytest.raises(TypeError):
        scan(memoryview(b""), {})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        scan(b"", None)  # type: ignore[arg-type]
    for wrong in ([1], [(1,)], [("a", bytes(16))], [(1, "a")], [(1, bytes(15))]):
        with pytest.raises(TypeError):
            send_all(b"", wrong, b"")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too large"):
        send_all(bytes(512), [], b"")


def test_each_socket_gets_its_own_and_says_how_much_it_took() -> None:
    pairs = [socket.socketpair() for _ in range(300)]
    full, gone = socket.socketpair(), socket.socketpair()
    full[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            full[0].send(bytes(65536))
    gone[1].close()
    ids = [uuid.uuid4() for _ in pairs]
    sends = [(mine.fileno(), id.bytes, None) for id, (mine, _) in zip(ids, pairs, strict=True)]
    others = [
        (full[0].fileno(), bytes(16), None),
        (gone[0].fileno(), bytes(16), None),
        (1 << 20, bytes(16), None),
    ]
    assert send_all(b"<", [*sends, *others], b">") == [(300, 0), (301, 0), (302, 0)]
    assert [other.recv(100) for _, other in pairs] == [b"<%b>" % str(id).encode() for id in ids]
    assert send_all(b"", [], b"") == []
    for each in (*pairs, full, gone):
        for one in each:
            one.close()
