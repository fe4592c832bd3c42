"""Other services' requests: which service they are for, and that they reach it whole, with real clients and moto."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
import uvloop
from botocore.config import Config
from botocore.exceptions import ClientError
from clients import moto_server

from engine.aws import service as aws
from engine.aws.names import Place
from engine.aws.registry import signing_name
from engine.aws.upstream import Upstream
from engine.errors import InvalidConfiguration
from engine.http.acceptor import Acceptor
from engine.http.budget import Budget
from engine.http.exchange import Exchange
from engine.http.passthrough import Passthrough
from engine.http.protocol import Protocol

MIB = 1024 * 1024
SCOPE = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("headers", "query", "service"),
    [
        ({"Authorization": SCOPE.format("sqs"), "Host": "s3.amazonaws.com"}, "", "sqs"),
        ({"authorization": SCOPE.format("sts").replace("AKIA", "A/K")}, "", "sts"),
        ({"Authorization": "AWS4-ECDSA-P256-SHA256 Credential=A/20260101/s3/aws4_request, x"}, "", "s3"),
        ({}, "X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request", "s3"),
        ({}, "AWSAccessKeyId=A&Signature=b&Expires=1", "s3"),
        ({"Authorization": "AWS AKIA:sig"}, "", "s3"),
        ({"X-Amz-Target": "DynamoDB_20120810.PutItem"}, "", "dynamodb"),
        ({"X-Amz-Target": "AmazonSQS.SendMessage"}, "", "sqs"),
        ({"X-Amz-Target": "AWSEvents.PutEvents"}, "", "events"),
        ({"X-Amz-Target": "Logs_20140328.PutLogEvents"}, "", "logs"),
        ({"Host": "sts.amazonaws.com"}, "", "sts"),
        ({"Host": "sqs.eu-west-1.amazonaws.com:443"}, "", "sqs"),
        ({"Host": "bucket.with.dots.s3.eu-west-1.amazonaws.com"}, "", "s3"),
        ({"Host": "bucket.s3.localhost:9001"}, "", "s3"),
        ({"Host": "127.0.0.1:9001"}, "", None),
        ({"Host": "localhost:9001"}, "X-Amz-Credential=x", None),
        ({"Authorization": "Bearer x", "X-Amz-Target": "."}, "", None),
    ],
)
def test_service_of(headers: dict[str, str], query: str, service: str | None) -> None:
    given = [(name.lower(), value) for name, value in headers.items()]
    assert signing_name(aws.Request("GET", "/", query, given)) == service


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:5000", "ftp://x", "http://", "http://a/b", "http://a:x", "http://a?b"]
)
def test_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(InvalidConfiguration, match="is no"):
        Upstream(endpoint)


@contextmanager
def front(endpoint: str | None) -> Iterator[str]:
    """A server that passes everything on to the endpoint; its own URL."""
    passthrough = Passthrough(Upstream(endpoint))
    listening = socket.create_server(("127.0.0.1", 0))
    started: Future[tuple[asyncio.AbstractEventLoop, Acceptor]] = Future()

    async def app(exchange: Exchange) -> None:
        place = Place("eu-west-1", "000000000000")
        await passthrough.forward(exchange.request, exchange.receive, exchange.send, place)

    async def serve() -> None:
        acceptor = Acceptor(Protocol, app, None, Budget())  # type: ignore[arg-type]
        await acceptor.start([listening])
        started.set_result((asyncio.get_running_loop(), acceptor))
        await acceptor.serve(10)
        await passthrough.aclose()

    thread = threading.Thread(target=uvloop.run, args=[serve()])
    thread.start()
    try:
        loop, acceptor = started.result(10)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(acceptor.stop)
        thread.join()
        listening.close()


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent: the request line and headers first, then the body."""

    protocol_version = "HTTP/1.1"
    gone = threading.Event()

    def do_POST(self) -> None:
        if self.path == "/endless":
            return self.endless()
        if self.path == "/cut":
            return self.cut()
        head = f"{self.requestline}\n{self.headers}".encode()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.send_response(201)
        for name, value in [("X-Twice", "a"), ("X-Twice", "b"), ("Content-Length", str(len(head + body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(head + body)
        return None

    do_GET = do_PUT = do_POST

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            Echo.gone.set()
        self.close_connection = True

    def cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 10)
        self.close_connection = True

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with front(f"http://127.0.0.1:{server.server_port}") as url:
        yield url
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_arrives_as_it_was_sent(echo: str) -> None:
    sent = {
        "Authorization": "mine",
        "X-Amz-Date": "today",
        "Host": "bucket.localhost:1",
        "Content-Type": "a/b",
    }
    with urlopen(Request(f"{echo}/a%2Fb//c/../%C3%BC?q=%20+&q&r=%2f", b"body", sent)) as answer:
        head, _, body = answer.read().partition(b"\n\n")
        assert answer.status == 201 and body == b"body"
        assert answer.headers.get_all("X-Twice") == ["a", "b"]
        assert len(answer.headers.get_all("Date")) == 1
    first, *lines = head.decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert first == "POST /a%2Fb//c/../%C3%BC?q=%20+&q&r=%2f HTTP/1.1"
    assert {name: headers[name.lower()] for name in sent} == {
        name: value.lower() for name, value in sent.items()
    }
    assert "connection" not in headers and "transfer-encoding" not in headers


def test_a_body_of_unknown_length(echo: str) -> None:
    with urlopen(Request(f"{echo}/", (b"x" * 1000 for _ in range(100)), method="PUT")) as answer:  # type: ignore[arg-type]
        assert answer.read().partition(b"\n\n")[2] == b"x" * 100_000


def test_a_client_that_leaves_ends_the_request_behind_it(echo: str) -> None:
    host, port = echo.removeprefix("http://").split(":")
    Echo.gone.clear()
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(10)
    assert Echo.gone.wait(30)


def test_half_an_answer_is_not_taken_for_a_whole_one(echo: str) -> None:
    with urlopen(f"{echo}/cut") as answer, pytest.raises(IncompleteRead):
        answer.read()


def client(service: str, url: str, **config: Any) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="eu-west-1", aws_access_key_id="A", aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )  # fmt: skip


CALLS: list[tuple[str, Callable[[Any], Any]]] = [
    ("s3", lambda s3: s3.list_buckets()),
    ("sqs", lambda sqs: sqs.list_queues()),
    ("dynamodb", lambda dynamodb: dynamodb.list_tables()),
    ("sns", lambda sns: sns.list_topics()),
    ("apigateway", lambda apigateway: apigateway.get_rest_apis()),
]


@pytest.mark.slow
@pytest.mark.parametrize(("service", "call"), CALLS, ids=[service for service, _ in CALLS])
def test_errors_are_of_the_service(service: str, call: Callable[[Any], Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with front(f"http://127.0.0.1:{port}") as url, pytest.raises(ClientError) as caught:
        call(client(service, url))
    error, meta = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
    assert (meta["HTTPStatusCode"], error["Code"]) == (502, "BadGateway")
    assert error["Message"].startswith(f"{service} could not be reached at http://127.0.0.1:{port}: ")
    with front(None) as url, pytest.raises(ClientError) as caught:
        call(client(service, url))
    error, meta = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
    assert (meta["HTTPStatusCode"], error["Code"]) == (501, "NotImplemented")
    assert "--aws-endpoint" in error["Message"]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """moto's server behind the forwarder."""
    with moto_server() as endpoint, front(endpoint) as url:
        yield url


@pytest.mark.slow
def test_s3_objects_of_20_mib_both_ways(moto: str, tmp_path: Path) -> None:
    s3 = client("s3", moto)
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    data = os.urandom(20 * MIB)
    s3.put_object(Bucket="bucket", Key="a key/ü+%", Body=data, Metadata={"m": "1"})
    answer = s3.get_object(Bucket="bucket", Key="a key/ü+%")
    assert hashlib.sha256(answer["Body"].read()).digest() == hashlib.sha256(data).digest()
    assert answer["Metadata"] == {"m": "1"}
    head = s3.head_object(Bucket="bucket", Key="a key/ü+%")
    assert head["ContentLength"] == 20 * MIB
    s3.upload_fileobj((tmp_path / "f").open("w+b"), "bucket", "empty")
    listed = s3.list_objects_v2(Bucket="bucket")["Contents"]
    assert {item["Key"]: item["Size"] for item in listed} == {"a key/ü+%": 20 * MIB, "empty": 0}
    with urlopen(
        s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "empty"})
    ) as presigned:
        assert presigned.read() == b""
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="bucket", Key="none")


@pytest.mark.slow
def test_sqs_and_dynamodb(moto: str) -> None:
    sqs = client("sqs", moto)
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    assert queue.startswith(moto)
    sqs.send_message(QueueUrl=queue, MessageBody="héllo")
    assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "héllo"
    dynamodb = client("dynamodb", moto)
    dynamodb.create_table(
        TableName="t", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    dynamodb.put_item(TableName="t", Item={"k": {"S": "1"}, "v": {"N": "2"}})
    assert dynamodb.get_item(TableName="t", Key={"k": {"S": "1"}})["Item"]["v"] == {"N": "2"}
