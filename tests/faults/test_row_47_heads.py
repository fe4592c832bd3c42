"""Row 47: what stands before a body has a bound, and decides whether the body is read."""

from __future__ import annotations

import json

import pytest
from served import REGION, url_id

from .conftest import wait_until
from .flooded import HEAD, KEY, MIB, SECRET, UNFINISHED, Start, response

FIELD = b"x: " + b"y" * 1000 + b"\r\n"
LONG = b"GET /2015-03-31/functions HTTP/1.1\r\nhost: localhost\r\n"
ENDLESS = {
    "a header's value": (LONG + b"x: ", b"y" * 5000),
    "a header's name": (LONG, b"y" * 5000),
    "headers": (LONG, FIELD * 5),
    "headers of nothing": (LONG, b"a:\r\n" * 1000),
    "a path": (b"GET /", b"y" * 5000),
    "trailers": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", FIELD * 5),
    "a trailer": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: ", b"y" * 5000),
    "an extension of a chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\n2;", b"y" * 5000),
}


@pytest.mark.promise(90)
@pytest.mark.parametrize("what", ENDLESS)
def test_row_47_what_has_no_end_is_refused(start: Start, what: str) -> None:
    server = start()
    client = server.connect()
    first, more = ENDLESS[what]
    client.sendall(first)
    client.settimeout(0.001)
    sent, received = 0, b""
    while not received:
        assert sent < MIB, "it is still read"
        client.settimeout(30)
        client.sendall(more)
        sent += len(more)
        client.settimeout(0.001)
        try:
            received = client.recv(65536)
        except TimeoutError:
            continue
    assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large"), received[:100]
    client.settimeout(30)
    assert b"connection: close" in received and client.recv(65536) == b""


@pytest.mark.promise(90)
@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("pieces", [1, 3])
def test_row_47_headers_at_the_limit(start: Start, beyond: int, pieces: int) -> None:
    server = start()
    room = 65_536 - len("/_stoker/health") - len("host: localhost\r\n") - len("x: \r\n") + beyond
    whole = b"GET /_stoker/health HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * room + b"\r\n\r\n"
    client = server.connect()
    for n in range(pieces):
        client.sendall(whole[n * len(whole) // pieces : (n + 1) * len(whole) // pieces])
        if n + 1 < pieces:
            wait_until(lambda: server.held() > 0)
    assert response(client)[0] == (431 if beyond else 200)


def test_row_47_a_trailer_is_no_header(start: Start) -> None:
    """It came behind what was looked at."""
    server = start()
    body = b"2\r\n{}\r\n0\r\nx-amz-invocation-type: DryRun\r\n\r\n"
    assert server.ask(HEAD + b"transfer-encoding: chunked\r\n\r\n" + body) == (200, b"0")


EXPECT = b"expect: 100-continue\r\n"
UNSIGNED = [
    HEAD + b"content-length: 5000000\r\n",
    HEAD + b"transfer-encoding: chunked\r\n",
    UNFINISHED[:-2],
    b"POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: Logs_20140328.PutLogEvents\r\ncontent-length: 900000\r\n",
    b"PUT /bucket/key HTTP/1.1\r\nhost: s3.localhost\r\ncontent-length: 60000000\r\n",
    b"POST /x HTTP/1.1\r\nhost: sqs.localhost\r\ncontent-length: 60000000\r\n",
]


@pytest.mark.promise(90)
@pytest.mark.parametrize("expects", [False, True])
@pytest.mark.parametrize("head", UNSIGNED, ids=range(len(UNSIGNED)))
def test_row_47_who_may_not_come_in_hears_so_before_the_body(
    start: Start, head: bytes, expects: bool
) -> None:
    server = start(auth=True)
    client = server.connect()
    client.sendall(head + EXPECT * expects + b"\r\n")
    status, body = response(client)
    assert status == 403 and b"MissingAuthenticationToken" in body.replace(b" ", b""), body
    wait_until(lambda: server.held() == 0)
    client.close()
    credential = (
        f"Credential=NOBODY/20200101/{REGION}/lambda/aws4_request, SignedHeaders=host, Signature={'0' * 64}"
    )
    signed = f"authorization: AWS4-HMAC-SHA256 {credential}\r\nx-amz-date: 20200101T000000Z\r\n".encode()
    if head.startswith(HEAD):
        for key, code in ((b"NOBODY", b"security token"), (KEY.encode(), b"Signature expired")):
            client = server.connect()
            client.sendall(head + signed.replace(b"NOBODY", key) + b"\r\n")
            status, body = response(client)
            assert status == 403 and code in body, body


@pytest.mark.promise(90)
def test_row_47_who_may_come_in_is_told_to_go_on(start: Start) -> None:
    """Signed with a header that declares the body's hash, and without; the body then has to be that one."""
    import hashlib

    server = start(auth=True)
    body = json.dumps({"pad": "z" * 200_000}).encode()
    path = "/2015-03-31/functions/f/invocations"
    for declared in (None, hashlib.sha256(body).hexdigest()):
        for sent, expected in ((body, 200), (body.replace(b"z", b"y"), 403)):
            more = {"Expect": "100-continue"} | ({"X-Amz-Content-SHA256": declared} if declared else {})
            head = server.written(path, body, more)[: -len(body)]
            client = server.connect()
            client.sendall(head)
            assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(sent)
            assert response(client)[0] == expected
    client = server.connect()
    head = server.written(path, body, {"X-Amz-Content-SHA256": "0" * 64})[: -len(body)]
    wrong = head.replace(b"Signature=", b"Signature=0")[:-1]
    client.sendall(wrong + b"\n")
    assert response(client)[0] == 403
    url = server.served.client(
        aws_access_key_id=KEY, aws_secret_access_key=SECRET
    ).create_function_url_config(FunctionName="f", AuthType="AWS_IAM")["FunctionUrl"]
    path = f"/lambda-url/{url_id(url)}/"
    assert server.ask(server.written(path, b"{}"))[0] == 200
    client = server.connect()
    client.sendall(server.written(path, b"", sign=False).replace(b"Length: 0", b"Length: 5000000"))
    assert response(client)[0] == 403
