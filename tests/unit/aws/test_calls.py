"""The server's own calls over real sockets: connections that end, bodies in every framing, retries, clocks, TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from engine.aws import retries
from engine.aws.clients import CallFailed, Clients
from engine.aws.connections import Connections, Origin, TransportError
from engine.aws.names import Place
from engine.aws.registry import Registry
from engine.aws.upstream import Upstream

PLACE = Place("us-east-1", "000000000000")
ASKED = {"QueueName": "q"}
URL = b'{"QueueUrl":"http://q"}'
HANG, CUT = b"hang", b"cut"  # in place of a response: none comes; the connection ends


def response(body: bytes = URL, status: int = 200, *lines: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"content-length: {len(body)}", *lines))
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


def refusal(code: str, status: int = 400, *lines: str) -> bytes:
    return response(json.dumps({"__type": code, "message": "no"}).encode(), status, *lines)


class Endpoint:
    """Gives each request the next of its responses, the last one for ever; each response may be in pieces."""

    def __init__(self, *responses: bytes | list[bytes]) -> None:
        self.responses = list(responses)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = self.open = self.most = 0
        self.gate: asyncio.Event | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")[1:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                self.requests.append((headers, await reader.readexactly(int(headers["content-length"]))))
                self.open += 1
                self.most = max(self.most, self.open)
                if self.gate is not None:
                    await self.gate.wait()
                self.open -= 1
                made = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
                for piece in made if isinstance(made, list) else [made]:
                    if piece == HANG:
                        await reader.read()
                        return
                    if piece == CUT:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def run(self, work: Callable[[str], Awaitable[Any]], tls: ssl.SSLContext | None = None) -> Any:
        async def whole() -> Any:
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
            port = server.sockets[0].getsockname()[1]
            try:
                return await work(f"http{'s' if tls else ''}://127.0.0.1:{port}")
            finally:
                server.close()

        return asyncio.run(whole())

    def call(self, count: int = 1, upstream: type[Upstream] = Upstream) -> list[Any]:
        """So many calls, one after the other: their results, or failures."""

        async def work(url: str) -> list[Any]:
            clients = Clients(lambda: Registry([]), upstream(url))
            found: list[Any] = []
            for _ in range(count):
                try:
                    found.append((await clients.call("sqs", "GetQueueUrl", ASKED, PLACE))["QueueUrl"])
                except CallFailed as failed:
                    found.append(failed.code)
            await clients.aclose()
            return found

        result: list[Any] = self.run(work)
        return result


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "delay", lambda retry: 0.0)


@pytest.mark.promise(269)
def test_one_connection_serves_many_calls() -> None:
    endpoint = Endpoint(response())
    assert endpoint.call(5) == ["http://q"] * 5
    assert endpoint.connections == 1


@pytest.mark.promise(269)
@pytest.mark.parametrize(
    "made",
    [
        [
            b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n8\r\n" + URL[:8],
            b"\r\nf\r\n" + URL[8:] + b"\r\n0\r\n\r\n",
        ],
        [b"HTTP/1.0 200 X\r\n\r\n", URL, CUT],
        [b"HTTP/1.1 100 Continue\r\n\r\n", response()],
        [bytes([each]) for each in response()],
        response(URL, 200, "connection: close"),
    ],
    ids=["chunked", "until the end", "continue", "byte for byte", "close"],
)  # fmt: skip
def test_bodies_in_every_framing(made: Any) -> None:
    assert Endpoint(made).call(2) == ["http://q"] * 2


@pytest.mark.promise(269)
def test_a_connection_that_the_other_side_ended_is_no_failure() -> None:
    """While it was idle, or just as the next request came; of that, no attempt is lost."""
    ending = [response(), CUT]
    endpoint = Endpoint(response(), CUT, ending, ending, ending, ending)
    assert endpoint.call(5) == ["http://q"] * 5
    assert len(endpoint.requests) <= 7


@pytest.mark.promise(269)
def test_what_is_worth_another_attempt() -> None:
    for first in (refusal("InternalFailure", 500), refusal("ThrottlingException"), CUT, b"no HTTP\r\n\r\n"):
        endpoint = Endpoint(first, response())
        assert endpoint.call() == ["http://q"]
        assert len(endpoint.requests) == 2
    endpoint = Endpoint(refusal("ServiceUnavailable", 503))
    assert endpoint.call() == ["ServiceUnavailable"]
    assert len(endpoint.requests) == retries.ATTEMPTS


@pytest.mark.promise(269)
def test_what_is_not() -> None:
    endpoint = Endpoint(refusal("QueueDoesNotExist"))
    assert endpoint.call() == ["QueueDoesNotExist"]
    assert len(endpoint.requests) == 1
    assert Endpoint(response(b"<html>", 200)).call() == ["ResponseParserError"]


@pytest.mark.promise(269)
def test_an_endpoint_that_is_down_is_not_flooded() -> None:
    """The quota: 500, five for each retry."""
    endpoint = Endpoint(refusal("InternalFailure", 500))
    endpoint.call(120)
    assert len(endpoint.requests) == 120 + retries.CAPACITY // retries.COST


@pytest.mark.promise(269)
@pytest.mark.parametrize("hours", [-3, 5])
def test_a_wrong_clock_is_corrected(hours: int) -> None:
    date = f"date: {formatdate(time.time() + 3600 * hours, usegmt=True)}"
    endpoint = Endpoint(refusal("InvalidSignatureException", 403, date), response())
    assert endpoint.call(2) == ["http://q"] * 2
    stamps = [headers["x-amz-date"] for headers, _ in endpoint.requests]
    ours, *theirs = (datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").timestamp() for stamp in stamps)
    assert [round((each - ours) / 3600) for each in theirs] == [hours, hours]
    right = f"date: {formatdate(time.time(), usegmt=True)}"
    endpoint = Endpoint(refusal("InvalidSignatureException", 403, right), response())
    assert endpoint.call() == ["InvalidSignatureException"]  # it is another reason


class Renewed(Upstream):
    """Has other credentials once the first ones were refused."""

    key = "first"

    async def credentials(self, place: Place) -> Credentials:
        return Credentials(self.key, "secret", "token")

    def refused(self, credentials: Credentials) -> bool:
        self.key = "second"
        return True


@pytest.mark.promise(269)
def test_refused_credentials_are_looked_for_anew_once() -> None:
    endpoint = Endpoint(refusal("ExpiredTokenException", 403), response())
    assert endpoint.call(1, Renewed) == ["http://q"]
    keys = [
        headers["authorization"].partition("Credential=")[2].partition("/")[0]
        for headers, _ in endpoint.requests
    ]
    assert keys == ["first", "second"]
    endpoint = Endpoint(refusal("ExpiredTokenException", 403))
    assert endpoint.call(1, Renewed) == ["ExpiredTokenException"]
    assert len(endpoint.requests) == 2


@pytest.mark.promise(269)
def test_no_response_in_time() -> None:
    async def work(url: str) -> None:
        connections = Connections(2)
        with pytest.raises(TransportError, match="within") as raised:
            await connections.send(Origin.of(url), request(url), 0.05)
        assert raised.value.slow
        connections.close()

    Endpoint(HANG).run(work)


def request(url: str) -> bytes:
    return f"POST / HTTP/1.1\r\nhost: {Origin.of(url).host}\r\ncontent-length: 0\r\n\r\n".encode()


@pytest.mark.promise(269)
def test_no_more_requests_at_a_time_than_there_may_be() -> None:
    """Who comes beyond waits; one that is cancelled, waiting or sent, leaves its place to others."""
    endpoint = Endpoint(response())

    async def work(url: str) -> None:
        endpoint.gate = asyncio.Event()
        connections, origin = Connections(3), Origin.of(url)
        tasks = [asyncio.ensure_future(connections.send(origin, request(url), 30.0)) for _ in range(20)]
        while endpoint.open < 3:
            await asyncio.sleep(0.001)
        tasks[0].cancel()
        tasks[10].cancel()
        endpoint.gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each).__name__ for each in done].count("Reply") == 18
        reply = await asyncio.gather(*(connections.send(origin, request(url), 30.0) for _ in range(3)))
        assert [each.status for each in reply] == [200] * 3
        connections.close()

    endpoint.run(work)
    assert endpoint.most <= 4  # the server sees the end of a cancelled one a moment later


@pytest.mark.promise(269)
def test_nobody_listens() -> None:
    async def work(_: str) -> None:
        connections = Connections(1)
        with pytest.raises(TransportError) as raised:
            await connections.send(Origin.of("http://127.0.0.1:9"), b"", 1.0)
        assert raised.value.name == "ConnectError"

    Endpoint(response()).run(work)


@pytest.mark.promise(269)
def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the certificates that AWS_CA_BUNDLE names; none that these do not vouch for."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    more = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*map(str, command), *more], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def work(url: str) -> tuple[str, int]:
        with pytest.raises(TransportError) as raised:
            await Connections(1).send(Origin.of(url), request(url), 5.0)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        reply = await Connections(1).send(Origin.of(url), request(url), 5.0)
        return raised.value.name, reply.status

    assert Endpoint(response()).run(work, context) == ("SSLError", 200)
