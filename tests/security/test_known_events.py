"""Events like one that was accepted before are taken by a shorter way, past no check of the door's."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from served import ECHO, REGION, ROLE, RUNTIME, Served, zipped

PATH = "/2015-03-31/functions/f/invocations"
KEY, SECRET = "AKIAEXAMPLE", "secret"
pytestmark = pytest.mark.slow


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One that is kept, on which each request is one packet: so that it comes whole."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        name, _, port = self.host.partition(":")
        self._socket = socket.create_connection((name, int(port)), 30)
        self._file = self._socket.makefile("rb")

    def send(self, body: bytes = b"{}", path: str = PATH, **headers: str) -> Response:
        fields = {"Host": self.host, "X-Amz-Invocation-Type": "Event", "Content-Length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._socket.sendall(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        status = int(self._file.readline().split()[1])
        found = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            found[name.lower()] = value
        return Response(status, found, self._file.read(int(found["content-length"])))

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def _create(api: Any, name: str) -> None:
    code = {"ZipFile": zipped(**{"app.py": ECHO})}
    api.create_function(FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code)
    api.get_waiter("function_active_v2").wait(FunctionName=name)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "state")
    _create(made.client(), "f")
    _create(made.client(), "g")
    yield made
    assert made.stop() == 0


@pytest.fixture
def known(server: Served) -> Iterator[Connection]:
    """On which such an event was accepted twice, with an id of its own each time."""
    made = Connection(server.url)
    ids = {uuid.UUID(made.send().headers["x-amzn-requestid"]) for _ in range(2)}
    assert len(ids) == 2 and {id.version for id in ids} == {4}
    yield made
    made.close()


@pytest.mark.promise(327)
def test_a_body_is_looked_at_each_time(known: Connection) -> None:
    assert known.send(b"{").status == 400
    assert known.send(b"").status == known.send(b"3").status == 202
    response = known.send(b"x" * (1 << 20) + b"x")
    assert response.status == 413 and response.headers["x-amzn-errortype"] == "RequestTooLargeException"
    assert known.send().status == 202


@pytest.mark.parametrize(
    "headers", [{"Host": "rebound.example"}, {"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}]
)  # fmt: skip
@pytest.mark.promise(327)
def test_a_page_of_another_site_sends_none(known: Connection, headers: Mapping[str, str]) -> None:
    assert known.send(**headers).status == 403
    assert known.send().status == 202


@pytest.mark.promise(327)
def test_each_function_and_place_has_its_own(known: Connection) -> None:
    """What is asked of another one is answered of that."""
    scope = "AWS4-HMAC-SHA256 Credential=111111111111/20260101/eu-west-1/lambda/aws4_request, Signature=0"
    assert known.send(path=PATH.replace("/f/", "/g/")).status == 202
    assert known.send(Authorization=scope).status == 404  # an account that has no function
    assert known.send(path=f"{PATH}?Qualifier=7").status == 404
    assert known.send(path=PATH.replace("/f/", "/h/")).status == 404
    assert known.send().status == 202


@pytest.mark.promise(327)
def test_a_function_that_is_gone_takes_none_and_comes_again(server: Served, known: Connection) -> None:
    api = server.client()
    api.delete_function(FunctionName="f")
    response = known.send()
    assert response.status == 404 and response.headers["x-amzn-errortype"] == "ResourceNotFoundException"
    _create(api, "f")
    assert known.send().status == 202


@pytest.mark.promise(327)
def test_where_requests_must_be_signed_each_signature_is_held_against_its_body(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[a]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
    server = Served(tmp_path / "state", "--auth", str(credentials))
    _create(server.client(aws_access_key_id=KEY, aws_secret_access_key=SECRET), "f")
    connection = Connection(server.url)

    def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
        headers = {"Host": connection.host, "X-Amz-Invocation-Type": "Event"}
        request = AWSRequest("POST", f"http://{connection.host}{PATH}", data=body, headers=headers)
        SigV4Auth(Credentials(KEY, secret), "lambda", REGION).add_auth(request)
        return dict(request.headers)

    for _ in range(2):
        assert connection.send(b"1", **signed(b"1")).status == 202
        assert connection.send(b"2", **signed(b"1")).status == 403
        assert connection.send(b"1", **signed(b"1", "another")).status == 403
        assert connection.send(b"1").status == 403
    connection.close()
    assert server.stop() == 0
