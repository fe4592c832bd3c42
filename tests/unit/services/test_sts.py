"""STS, asked by boto3 over a socket: who the caller is, and how everything else is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.faults import Fault
from engine.aws.messages import Request
from engine.aws.names import Place
from engine.aws.service import Caller
from engine.services.sts import Sts

STS = Sts()
CALLER = Caller(Place("eu-west-1", "123456789012"))


def call(body: bytes, query: str = "") -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of the response to a request."""
    request = Request("POST", "/", query, [], body)
    try:
        response = asyncio.run(STS.call(request, CALLER))
    except Fault as fault:
        response = STS.error(request, fault)
    return response.status, [(n.decode(), v.decode()) for n, v in response.headers], response.body


class Front(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, answer = call(body, self.path.partition("?")[2])
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(answer)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield boto3.client(
        "sts", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="eu-west-1",
        aws_access_key_id="A", aws_secret_access_key="s", config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    server.shutdown()
    thread.join()
    server.server_close()


def test_who_one_is(client: Any) -> None:
    answer = client.get_caller_identity()
    meta = answer.pop("ResponseMetadata")
    assert answer == {
        "UserId": "123456789012",
        "Account": "123456789012",
        "Arn": "arn:aws:iam::123456789012:root",
    }
    assert meta["HTTPStatusCode"] == 200
    assert meta["RequestId"] == meta["HTTPHeaders"]["x-amzn-requestid"]


def test_by_a_presigned_url(client: Any) -> None:
    url = client.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    with urlopen(url) as answer:
        assert b"<Account>123456789012</Account>" in answer.read()


def test_credentials_are_handed_out_to_nobody(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        client.get_session_token()
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert caught.value.response["Error"]["Message"] == "GetSessionToken is not implemented by this endpoint."
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


@pytest.mark.parametrize("name", Loader().load_service_model("sts", "service-2")["operations"])
def test_every_operation_of_the_model_is_known(name: str) -> None:
    request = f"Action={name}&Version=2011-06-15".encode()
    here = name == "GetCallerIdentity"
    assert (name in STS.operations) is here
    assert call(request)[0] == (200 if here else 501)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingAction"), (b"Action=", "MissingAction"), (b"{}", "MissingAction"),
        (b"Action=A&Action=GetCallerIdentity&Version=2011-06-15", "MissingAction"),
        (b"Action=Other&Version=2011-06-15", "InvalidAction"), (b"Action=GetCallerIdentity", "InvalidAction"),
        (b"&a=1" * 5000, "MissingAction"),
    ],
)  # fmt: skip
def test_what_is_no_request(body: bytes, code: str) -> None:
    status, _, answer = call(body)
    assert (status, ElementTree.fromstring(answer).findtext(".//{*}Code")) == (400, code)


@given(st.text())
def test_a_refusal_is_well_formed_whatever_was_asked(action: str) -> None:
    from urllib.parse import quote

    _, _, answer = call(f"Action={quote(action, errors='replace')}&Version=2011-06-15".encode())
    assert ElementTree.fromstring(answer).tag.endswith("}ErrorResponse")
