"""The generator's HTTP client against servers of every kind: those that answer, and those that do not; its signatures:
those that the server's verification takes, and botocore would make."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("httptools", reason="pip install stoker[serve]")
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.sigv4 import Credential, Denied, Verifier
from engine.load.generate import http_client
from engine.load.generate.http_client import Client, Credentials, HttpResponse, Signer

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A request's head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def sent(
    serve: Serve, bodies: list[bytes], most: int = 100, path: str = ""
) -> tuple[list[HttpResponse | str], int]:
    """What came of these, sent at once; and how many connections there were."""

    async def main() -> tuple[list[HttpResponse | str], int]:
        connections = 0

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        client = Client(f"http://{host}:{port}{path}", most)
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in bodies]
        head = client.request("POST", client.path or "/", {"X-Name": "value"})
        for body, future in zip(bodies, futures, strict=True):
            client.send(head, body, future.set_result)
        got = [await asyncio.wait_for(future, 20) for future in futures]
        await client.close()
        server.close()
        return got, connections

    return asyncio.run(main())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head, body = await request(reader)
        assert head.startswith(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nX-Name: value\r\n" in head
        writer.write(b"HTTP/1.1 200 OK\r\nX-Answer: yes\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_each_gets_the_answer_to_its_own_request() -> None:
    bodies = [b"%d" % number * (number % 7 * 1000) for number in range(300)]
    got, connections = sent(echo, bodies, most=8)
    assert [it.body for it in got if isinstance(it, HttpResponse)] == bodies
    assert {it.status for it in got if isinstance(it, HttpResponse)} == {200}
    assert connections <= 8


def test_headers_are_told_by_their_lower_case_names() -> None:
    [[answer], _] = sent(echo, [b"x"])
    assert isinstance(answer, HttpResponse)
    assert answer.headers[b"x-answer"] == b"yes"


def test_connections_are_used_again() -> None:
    async def main() -> int:
        ports = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ports.add(writer.get_extra_info("peername")[1])
            try:
                await echo(reader, writer)
            except asyncio.IncompleteReadError:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        head = client.request("POST", "/", {"X-Name": "value"})
        for number in range(20):
            future: asyncio.Future[HttpResponse | str] = asyncio.get_running_loop().create_future()
            client.send(head, b"%d" % number, future.set_result)
            answer = await asyncio.wait_for(future, 20)
            assert isinstance(answer, HttpResponse)
            assert answer.body == b"%d" % number
        await client.close()
        server.close()
        return len(ports)

    assert asyncio.run(main()) == 1


def test_an_answer_in_pieces_and_one_without_a_length() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await request(reader)
        pieces = [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 20",
            b"1 Created\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]
        for piece in [*pieces, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r", b"\n\r\n"] if body == b"chunked" else [
            b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\nabc", b"de",
        ]:  # fmt: skip
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    got, _ = sent(serve, [b"chunked", b"until the end"])
    assert [(it.status, it.body) for it in got if isinstance(it, HttpResponse)] == [(201, b"abcde")] * 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "closed before an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "closed before an answer"),
        (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP"),
    ],
)
def test_what_is_no_answer_is_a_failure_and_the_others_are_answered(answer: bytes, message: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await request(reader)
            if body == b"bad":
                writer.write(answer)
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")

    got, _ = sent(serve, [b"bad", b"1", b"2", b"bad", b"3"], most=2)
    assert ["bad" if isinstance(it, str) and message in it else it.body.decode() for it in got] == [  # type: ignore[union-attr]
        "bad", "good", "good", "bad", "good",
    ]  # fmt: skip


def test_nobody_listens() -> None:
    async def main() -> list[HttpResponse | str]:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        client = Client(f"http://127.0.0.1:{port}")
        futures = [asyncio.get_running_loop().create_future() for _ in range(5)]
        for future in futures:
            client.send(client.request("GET", "/", {}), b"", future.set_result)
        return [await asyncio.wait_for(future, 20) for future in futures]

    got = asyncio.run(main())
    assert all(isinstance(it, str) and it.startswith("no connection: ") for it in got), got


def test_closing_fails_what_is_in_flight() -> None:
    async def main() -> list[HttpResponse | str]:
        arrived = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            arrived.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", most=1)
        futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
        for future in futures:
            client.send(client.request("POST", "/", {}), b"x", future.set_result)
        await asyncio.wait_for(arrived.wait(), 20)
        await client.close()
        server.close()
        return [await asyncio.wait_for(future, 20) for future in futures]

    assert asyncio.run(main()) == ["the client was closed"] * 3


def test_what_is_no_url_and_no_header() -> None:
    for url in ("https://127.0.0.1", "127.0.0.1:80", "http://"):
        with pytest.raises(ValueError, match="an http:// URL is expected"):
            Client(url)
    with pytest.raises(ValueError, match="a line break"):
        Client("http://127.0.0.1").request("GET", "/", {"X": "a\r\nY: b"})


HOST = "127.0.0.1:9001"
PATH = "/2015-03-31/functions/one%3Alive/invocations"
NOW = 1_440_938_160.7


def verified(signer: Signer, credentials: Credentials, body: bytes, path: str = PATH) -> str:
    headers = [("Host", HOST), ("Content-Type", "application/json"), *signer.headers(body).items()]
    keys = {credentials.key: Credential(credentials.secret, credentials.token or None)}
    return Verifier(keys, region=credentials.region, clock=lambda: NOW).verify(
        "POST", path, "", headers, body
    )


@given(
    secret=st.text("abcXYZ019/+", min_size=1), token=st.sampled_from(["", "a/session+token="]),
    body=st.binary(max_size=100), path=st.sampled_from([PATH, "/x/2015-03-31/functions/a/invocations"]),
)  # fmt: skip
def test_what_is_signed_is_taken(secret: str, token: str, body: bytes, path: str) -> None:
    credentials = Credentials("AKIDEXAMPLE", secret, "eu-west-1", token)
    signer = Signer(credentials, HOST, path, clock=lambda: NOW)
    assert verified(signer, credentials, body, path) == "AKIDEXAMPLE"


def test_it_is_of_its_body_and_of_its_time() -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret", "us-east-1")
    now = [NOW]
    signer = Signer(credentials, HOST, PATH, clock=lambda: now[0])
    first = signer.headers(b"1")
    assert signer.headers(b"1") == first != signer.headers(b"2")
    now[0] += 86_400
    assert signer.headers(b"1")["Authorization"] != first["Authorization"]
    with pytest.raises(Denied, match="not yet current"):
        verified(signer, credentials, b"1")


def test_botocore_makes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    credentials = Credentials("AKIDEXAMPLE", "secret", "us-east-1", "token")
    ours = Signer(credentials, HOST, PATH, clock=lambda: NOW).headers(b'{"n": 1}')
    request = AWSRequest("POST", f"http://{HOST}{PATH}", data=b'{"n": 1}')
    signer = auth.SigV4Auth(Theirs("AKIDEXAMPLE", "secret", "token"), "lambda", "us-east-1")
    request.context["timestamp"] = ours["X-Amz-Date"]
    request.headers["X-Amz-Date"] = ours["X-Amz-Date"]
    request.headers["X-Amz-Security-Token"] = "token"
    theirs = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["Authorization"].endswith(f"Signature={theirs}")


class TestCredentials:
    @pytest.fixture(autouse=True)
    def nowhere(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        pytest.importorskip("botocore")
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_REGION",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def test_those_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert http_client.credentials() == Credentials("key", "secret", "us-east-1", "")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        assert http_client.credentials() == Credentials("key", "secret", "eu-west-1", "token")

    def test_none(self) -> None:
        with pytest.raises(ValueError, match="there are no credentials to sign with: set AWS_ACCESS_KEY_ID"):
            http_client.credentials()

    def test_a_profile_that_there_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(ValueError, match=r"there are no credentials to sign with: .*nobody"):
            http_client.credentials()
