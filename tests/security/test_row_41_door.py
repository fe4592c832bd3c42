"""Row 41: any operation of any service, sent by whoever may not: refused with the right error, and nothing is done.

The table is made of botocore's models and the server's services: neither a new operation nor a new service is left out.
"""

from __future__ import annotations

import datetime
import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, create_request_object, prepare_request_dict
from botocore.credentials import Credentials
from botocore.model import OperationModel
from botocore.serialize import create_serializer
from open_function import deploy
from served import REGION, Served

KEY, SECRET = "AKIAEXAMPLE", "secret"
SESSION = botocore.session.get_session()
MODELS = {
    name: SESSION.get_service_model(name)
    for name in (
        "apigateway",
        "apigatewayv2",
        "cloudformation",
        "cloudwatch",
        "elbv2",
        "events",
        "lambda",
        "logs",
        "pipes",
        "s3",
        "scheduler",
        "sns",
        "sqs",
        "sts",
        "xray",
    )
}
OPERATIONS = [(name, operation) for name, model in MODELS.items() for operation in model.operation_names]
LABEL = re.compile(r"\{(\w+)\+?\}")
HOSTILE = [
    "../../../etc/passwd",
    "code-archive",
    "x/code-archive/y",
    "a\r\nX-Injected: 1",
    "\0",
    "%2e%2e%2f",
    "a" * 5000,
]
# What each is, and the codes that refuse it: of JSON and REST, and the query protocol's.
UNSIGNED = ("MissingAuthenticationTokenException", "MissingAuthenticationToken")
DENIED = ("AccessDeniedException", "AccessDenied")
MISMATCH = ("InvalidSignatureException", "SignatureDoesNotMatch")
WAYS: dict[str, tuple[str, ...]] = {
    "unsigned": UNSIGNED, "wrong region": MISMATCH, "replayed": MISMATCH, "wrong secret": MISMATCH,
    "cross-site Origin": DENIED, "cross-site fetch": DENIED, "rebound Host": DENIED,
}  # fmt: skip


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[True, False], ids=["auth", "no auth"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("door")
    options = []
    if request.param:
        credentials = folder / "credentials"
        credentials.write_text(f"[a]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
        options = ["--auth", str(credentials)]
    made = Served(folder / "state", *options)
    made.guarded = request.param  # type: ignore[attr-defined]
    yield made
    assert made.stop() == 0


def written(service: str, operation: str, label: str = "f") -> tuple[str, str, dict[str, str], bytes]:
    """An operation's request as botocore writes it, with `label` in each of its path's labels."""
    model: OperationModel = MODELS[service].operation_model(operation)
    in_host = LABEL.findall((model.endpoint or {}).get("hostPrefix", ""))
    members: dict[str, str | int] = dict.fromkeys(in_host, label)
    for name in model.input_shape.members if model.input_shape else ():
        member = model.input_shape.members[name]
        if member.serialization.get("location") == "uri":
            members[name] = 1 if member.type_name in ("integer", "long") else label
    prepared = create_serializer(MODELS[service].protocol, False).serialize_to_request(members, model)
    prepare_request_dict(prepared, "http://server")
    sent = create_request_object(prepared).prepare()
    parts = urlsplit(sent.url)
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
    headers = {
        name: value.decode() if isinstance(value, bytes) else value for name, value in sent.headers.items()
    }
    return sent.method, parts.path + (f"?{parts.query}" if parts.query else ""), headers, bytes(body)


def send(
    server: Served, way: str, service: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, str]:
    """The status, and all that came back."""
    at = urlsplit(server.url)
    host = "rebound.example:80" if way == "rebound Host" else at.netloc
    headers = {name: value for name, value in headers.items() if name.lower() != "content-length"} | {
        "Host": host
    }
    if way != "unsigned":
        request = AWSRequest(method, f"http://{host}{path}", data=body, headers=headers)
        secret = "another" if way == "wrong secret" else SECRET
        region = "moon-base-1" if way == "wrong region" else REGION
        signing_name = MODELS[service].signing_name
        SigV4Auth(Credentials(KEY, secret), signing_name, region).add_auth(request)
        headers = dict(request.headers)
        if way == "replayed":
            past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
            stamp = past.strftime("%Y%m%dT%H%M%SZ")
            headers["Authorization"] = headers["Authorization"].replace(headers["X-Amz-Date"][:8], stamp[:8])
            headers["X-Amz-Date"] = stamp
    if way == "cross-site Origin":
        headers["Origin"] = "https://evil.example"
    if way == "cross-site fetch":
        headers["Sec-Fetch-Site"] = "cross-site"
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, f"{response.headers}{response.read().decode('utf-8', 'replace')}"
    finally:
        connection.close()


@pytest.mark.promise(88)
@pytest.mark.parametrize("way", WAYS)
def test_row_41_every_operation_is_refused(server: Served, way: str) -> None:
    guarded = server.guarded  # type: ignore[attr-defined]
    if not guarded and WAYS[way] is not DENIED:
        pytest.skip("without --auth nobody has to sign")
    wrong = []
    for service, operation in OPERATIONS:
        status, text = send(server, way, service, *written(service, operation))
        if status != 403 or not any(code in text for code in WAYS[way]):
            wrong.append((service, operation, status, text[:300]))
    assert wrong == []
    assert len(OPERATIONS) > 200


@pytest.mark.promise(88)
@pytest.mark.parametrize("name", HOSTILE)
def test_row_41_a_hostile_name_in_each_label(server: Served, name: str) -> None:
    """Unsigned where that is refused; else refused for what it is. Never a 500; no header has the name."""
    guarded = server.guarded  # type: ignore[attr-defined]
    wrong = []
    for service, operation in OPERATIONS:
        if not LABEL.search(MODELS[service].operation_model(operation).http["requestUri"]):
            continue
        method, path, headers, body = written(service, operation, "LABEL")
        path = path.replace("LABEL", quote(name, safe=""))
        status, text = send(server, "unsigned", service, method, path, headers, body)
        right = status == 403 if guarded else 400 <= status < 500 or status == 501
        if (operation, name) == ("CreateScheduleGroup", "code-archive"):
            right = status == (403 if guarded else 200)  # there may be one of that name
        if not right and not (status in (200, 204) and operation.startswith(("List", "Delete", "Get"))):
            wrong.append((operation, status, text[:200]))
        assert "X-Injected" not in text.split("\n\n")[0]
    assert wrong == []


@pytest.mark.promise(88)
@pytest.mark.parametrize("path", [
    "/code-archive/", "/x/code-archive/y", "/2015-03-31/functions/code-archive/invocations",
    "/2018-10-31/layers/code-archive/versions", "/2015-03-31/functions?x=/code-archive/", "/_stoker/healthy",
    "/_stoker/health/../../2015-03-31/functions/", "/lambda-url/../2015-03-31/functions/",
])  # fmt: skip
def test_row_41_no_path_is_a_way_around(server: Served, path: str) -> None:
    """A target of one service with the path of another, and paths that hold what open ones begin with."""
    if not server.guarded:  # type: ignore[attr-defined]
        pytest.skip("without --auth nobody has to sign")
    for target in ("Logs_20140328.DescribeLogGroups", "Logs_20140328.DeleteLogGroup", ""):
        for method in ("POST", "GET", "DELETE"):
            headers = {"X-Amz-Target": target} if target else {}
            status, text = send(server, "unsigned", "logs", method, path, headers, b"{}")
            assert status in (403, 404), (method, path, target, status, text)


@pytest.mark.promise(88)
@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/_stoker/invocations"), ("POST", "/_stoker/swaps"), ("POST", "/_stoker/artifacts/"),
    ("PUT", f"/_stoker/artifacts/{'0' * 64}"), ("PUT", "/_stoker/artifacts/"),
    ("GET", "/metrics"), ("GET", "/_stoker/metrics"),
])  # fmt: skip
def test_row_41_the_servers_own_paths_are_not_open(server: Served, method: str, path: str) -> None:
    if not server.guarded:  # type: ignore[attr-defined]
        pytest.skip("without --auth nobody has to sign")
    status, text = send(server, "unsigned", "lambda", method, path, {}, b"{}")
    assert status in (401, 403), (status, text)


def test_row_41_what_is_open(server: Served) -> None:
    """Health, a package by its digest, and a function URL with AuthType NONE; by any of the server's names."""
    client = server.client(aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    archive, url = deploy(client)
    for path in ("/_stoker/health", urlsplit(archive).path, urlsplit(url).path):
        assert send(server, "unsigned", "lambda", "GET", path, {}, b"")[0] == 200, path
    at = urlsplit(server.url)
    for host in (
        f"localhost:{at.port}",
        f"x.localhost:{at.port}",
        f"127.0.0.2:{at.port}",
        f"[::1]:{at.port}",
    ):
        connection = http.client.HTTPConnection(at.hostname or "", at.port)
        connection.request("GET", "/_stoker/health", headers={"Host": host})
        assert connection.getresponse().status == 200, host
        connection.close()


def test_row_41_every_service_has_its_model_here(tmp_path: Path) -> None:
    """The table above is whole: each service that has a signing name is in it."""
    import engine.services

    folder = Path(engine.services.__file__).parent
    rooms = {
        path.name.rstrip("_") for path in folder.iterdir() if path.is_dir() and not path.name.startswith("__")
    }
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert rooms | files == {*MODELS, "execute_api", "urls", "health", "invocations", "prometheus"}
