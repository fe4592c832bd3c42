"""curl against a server: function URLs in both forms, and Invoke as README has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from served import REGION, ROLE, RUNTIME, Served, url_id
from support import until

from engine.hosting.archives import pack

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="there is no curl here")

CORS = {
    "AllowOrigins": ["https://here.example"], "AllowMethods": ["GET", "POST"], "AllowHeaders": ["x-own"],
    "ExposeHeaders": ["x-seen"], "MaxAge": 60,
}  # fmt: skip
SOURCE = """
import base64
def handler(event, context):
    if event["rawPath"] == "/event":
        return event
    if event["rawPath"] == "/fails":
        raise ValueError("v")
    if event["rawPath"] == "/moved":
        return {"statusCode": 302, "headers": {"location": "/elsewhere"}, "cookies": ["a=1; Path=/", "b=2"]}
    body = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event.get("body", "").encode()
    seen = event["requestContext"]["http"]["method"]
    return {
        "statusCode": 201, "headers": {"Content-Type": "image/x-own", "X-Seen": seen},
        "body": base64.b64encode(body[::-1]).decode(), "isBase64Encoded": True,
    }
"""
Deploy = Callable[..., str]


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(value for each, value in self.headers if each == name)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Curl:
    """The command `curl`, which keeps headers and bodies in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *arguments: str | Path) -> Response:
        headers, body = self.directory / "headers", self.directory / "body"
        body.write_bytes(b"")  # a response without one leaves the file as it was
        subprocess.run(
            [str(CURL), "-q", "-sS", "--max-time", "60", "-D", headers, "-o", body, *arguments],
            check=True,
        )  # fmt: skip
        # A "100 Continue" comes first where curl expects it.
        first, *lines = headers.read_bytes().decode("latin-1").strip().split("\r\n\r\n")[-1].split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        fields = [(name.lower(), value.strip()) for name, value in pairs]
        return Response(int(first.split()[1]), fields, body.read_bytes())


@pytest.fixture
def curl(tmp_path: Path) -> Curl:
    directory = tmp_path / "curl"
    directory.mkdir()
    return Curl(directory)


@pytest.fixture(scope="module")
def url(api: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function URL with CORS, for the whole module; "/" at its end."""
    file = tmp_path_factory.mktemp("code") / "app.py"
    file.write_text(SOURCE)
    api.create_function(
        FunctionName="curled", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code={"ZipFile": pack(file)}
    )
    api.get_waiter("function_active_v2").wait(FunctionName="curled", WaiterConfig={"Delay": 0})
    yield api.create_function_url_config(FunctionName="curled", AuthType="NONE", Cors=CORS)["FunctionUrl"]
    api.delete_function(FunctionName="curled")


def test_a_get_is_an_event(curl: Curl, server: Served, url: str) -> None:
    response = curl(
        f"{url}event?a=1&a=2&empty=", "-b", "c=1; d=2", "-H", "x-many: 1", "-H", "x-many: 2", "-A", "me"
    )
    event = response.json
    assert (response.status, response.header("content-type")) == (200, "application/json")
    assert (event["rawPath"], event["rawQueryString"]) == ("/event", "a=1&a=2&empty=")
    assert event["queryStringParameters"] == {"a": "1,2", "empty": ""}
    assert event["cookies"] == ["c=1", "d=2"]
    assert event["headers"]["x-many"] == "1,2"
    assert event["headers"]["host"] == urlsplit(url).netloc
    assert event["requestContext"]["http"] == {
        "method": "GET", "path": "/event", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "me",
    }  # fmt: skip
    assert event["requestContext"]["requestId"] == response.header("x-amzn-requestid")
    assert event["isBase64Encoded"] is False
    assert "body" not in event


@pytest.mark.parametrize(
    ("sent", "body", "encoded"),
    [
        (["--data-raw", "a=ü"], "YT3DvA==", True),  # a form, curl says: no text to Lambda
        (["--data-raw", '{"a": "ü"}', "-H", "content-type: application/json"], '{"a": "ü"}', False),
        (["-X", "PUT", "--data-raw", "ü", "-H", "content-type: text/plain"], "ü", False),
    ],
    ids=["form", "json", "text"],
)
def test_a_body_in_its_event(curl: Curl, url: str, sent: list[str], body: str, encoded: bool) -> None:
    event = curl(f"{url}event", *sent).json
    assert (event["body"], event["isBase64Encoded"]) == (body, encoded)
    assert event["requestContext"]["http"]["method"] == ("PUT" if "PUT" in sent else "POST")


@pytest.mark.parametrize("how", ["with its length", "in chunks"])
def test_bytes_both_ways(curl: Curl, url: str, how: str) -> None:
    data = os.urandom(2_000_000)  # enough for curl to ask first, with "Expect: 100-continue"
    file = curl.directory / "sent"
    file.write_bytes(data)
    chunked = ["-H", "transfer-encoding: chunked"] if how == "in chunks" else []
    response = curl(
        url, "--data-binary", f"@{file}", "-H", "content-type: application/octet-stream", *chunked
    )
    assert (response.status, response.header("content-type")) == (201, "image/x-own")
    assert response.header("x-seen") == "POST"
    assert response.body == data[::-1]


def test_a_head_has_no_body(curl: Curl, url: str) -> None:
    response = curl("--head", url)  # it would wait for a body that is announced and begun, or fail
    assert (response.status, response.header("x-seen")) == (201, "HEAD")
    assert response.body in (b"", curl.directory.joinpath("headers").read_bytes())


def test_cookies_go_into_a_jar(curl: Curl, url: str) -> None:
    jar = curl.directory / "jar"
    response = curl(f"{url}moved", "-c", jar)
    assert (response.status, response.header("location"), response.body) == (302, "/elsewhere", b"")
    assert [value for name, value in response.headers if name == "set-cookie"] == ["a=1; Path=/", "b=2"]
    assert "\ta\t1" in jar.read_text()
    assert "a=1" in curl(f"{url}event", "-b", jar).json["headers"]["cookie"].split("; ")


def test_a_preflight_is_not_the_functions(curl: Curl, url: str) -> None:
    preflight = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: POST"]
    response = curl(f"{url}fails", *preflight, "-H", "Origin: https://here.example")
    assert (response.status, response.body) == (200, b"")
    assert response.header("access-control-allow-origin") == "https://here.example"
    assert response.header("access-control-allow-methods") == "GET,POST"
    assert response.header("access-control-allow-headers") == "x-own"
    assert response.header("access-control-max-age") == "60"
    response = curl(f"{url}fails", *preflight, "-H", "Origin: https://elsewhere.example")
    assert not [name for name, _ in response.headers if name.startswith("access-control-")]


def test_cors_headers_stand_on_answers(curl: Curl, url: str) -> None:
    response = curl(url, "-d", "x", "-H", "Origin: https://here.example")
    assert response.status == 201
    assert response.header("access-control-allow-origin") == "https://here.example"
    assert response.header("access-control-expose-headers") == "x-seen"
    assert response.header("vary") == "Origin"
    assert curl(url, "-d", "x").header("access-control-allow-origin") == ""


def test_the_host_may_name_the_function_as_on_aws(curl: Curl, server: Served, url: str) -> None:
    id = url_id(url)
    host = f"{id}.lambda-url.{REGION}.on.aws"
    response = curl("--connect-to", f"::{urlsplit(server.url).netloc}", f"http://{host}/event?a=1")
    context = response.json["requestContext"]
    assert (response.json["rawPath"], response.json["headers"]["host"]) == ("/event", host)
    assert (context["apiId"], context["domainName"]) == (id, host)


def test_what_fails_and_what_is_not_there(curl: Curl, server: Served, url: str) -> None:
    response = curl(f"{url}fails")
    assert (response.status, response.body) == (502, b"Internal Server Error")
    response = curl(f"{server.url}/lambda-url/nobodys/")
    assert (response.status, response.json) == (403, {"Message": None})
    assert response.header("x-amzn-errortype") == "AccessDeniedException"


def test_a_url_that_asks_for_a_signature(curl: Curl, api: Any, deploy: Deploy) -> None:
    url = api.create_function_url_config(FunctionName=deploy(), AuthType="AWS_IAM")["FunctionUrl"]
    response = curl(url)
    assert (response.status, response.json) == (403, {"Message": "Forbidden"})
    event = curl(url, "--aws-sigv4", f"aws:amz:{REGION}:lambda", "-u", "key:secret").json
    assert event["requestContext"]["authorizer"]["iam"]["accountId"] == "000000000000"
    assert event["headers"]["authorization"].startswith("AWS4-HMAC-SHA256 Credential=key/")


def test_invoke_as_readme_has_it(curl: Curl, server: Served, deploy: Deploy) -> None:
    response = curl("-d", '{"n": 1}', f"{server.url}/2015-03-31/functions/{deploy()}/invocations")
    assert (response.status, response.json) == (200, {"n": 1})
    assert response.header("content-type") == "application/json"
    assert response.header("x-amz-executed-version") == "$LATEST"


def test_an_event_is_accepted_and_run(curl: Curl, server: Served, deploy: Deploy, tmp_path: Path) -> None:
    note = tmp_path / "note"
    name = deploy("def handler(e, c):\n    open(e, 'w').close()\n")
    invoke = f"{server.url}/2015-03-31/functions/{name}/invocations"
    response = curl("-d", json.dumps(str(note)), "-H", "X-Amz-Invocation-Type: Event", invoke)
    assert (response.status, response.body) == (202, b"")
    until(note.exists)


@pytest.mark.parametrize(
    ("arguments", "status", "kind", "body"),
    [
        (["-d", "{}", "{}/2015-03-31/functions/nobody/invocations"], 404, "ResourceNotFoundException",
         b'"Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody:$LATEST"}'),
        (["{}/2015-03-31/nothing"], 404, "UnknownOperationException", b"<UnknownOperationException/>\n"),
        (["-X", "PATCH", "{}/2015-03-31/functions"], 404, "UnknownOperationException",
         b"<UnknownOperationException/>\n"),
        (["{}/nothing"], 501, "NotImplemented", b"start the server with --aws or --aws-endpoint"),
    ],
    ids=["nobody", "no-path", "no-method", "no-service"],
)  # fmt: skip
def test_what_is_not_there(
    curl: Curl, server: Served, arguments: list[str], status: int, kind: str, body: bytes
) -> None:
    response = curl(*(server.url + each[2:] if each.startswith("{}/") else each for each in arguments))
    assert (response.status, response.header("x-amzn-errortype")) == (status, kind)
    assert body in response.body
