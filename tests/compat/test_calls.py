"""Functions that call functions, and any other operation, of the server that runs them: by its Unix socket, and with
credentials that it accepts."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from served import ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

KEY, SECRET = "AKIAEXAMPLE", "secret"
SOURCE = """
import json, os, socket

def families():
    "Of the sockets that this process has, but for the listening and the unconnected."
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as sock:
                    found.append(sock.family.name)
        except OSError:
            pass
    return sorted(found)

def echo(event, context):
    return event

def caller(event, context):
    import boto3
    client = boto3.client(event["service"])
    result = getattr(client, event["operation"])(**event["members"])
    if "Payload" in result:
        result["Payload"] = result["Payload"].read().decode()
    result.pop("ResponseMetadata")
    return [families(), result]

def get(event, context):
    import http.client
    connection = http.client.HTTPConnection(event["host"], event["port"], timeout=10)
    connection.request("GET", "/_stoker/health")
    status = connection.getresponse().status
    return [status, connection.sock.family.name]

def recur(event, context):
    import http.client
    connection = http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"))
    trace = os.environ.get("_X_AMZN_TRACE_ID")  # which SDKs send along
    headers = {"X-Amzn-Trace-Id": trace} if trace else {}
    connection.request("POST", "/2015-03-31/functions/recur/invocations", json.dumps(event + 1), headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    return body if response.status == 200 else [event, response.headers["x-amzn-errortype"]]

def variables(event, context):
    return {name: os.environ.get(name) for name in event}
"""
HANDLERS = ("echo", "caller", "get", "recur", "variables")


class UnixConnection(http.client.HTTPConnection):
    """By a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def create(api: Any, folder: Path, *names: str) -> None:
    file = folder / "app.py"
    file.write_text(SOURCE)
    for name in names:
        api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler=f"app.{name}", Timeout=60, MemorySize=512,
            Code={"ZipFile": pack(file)},
        )  # fmt: skip
        api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})


def invoke(api: Any, name: str, event: Any) -> Any:
    return json.loads(api.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read())


@pytest.fixture(scope="module", params=["auto", "off"], ids=["sandbox", "no sandbox"])
def calling(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("calls")
    served = Served(folder / "state", "--sandbox", request.param)
    create(served.client(), folder, *HANDLERS)
    yield served
    assert served.stop() == 0


@pytest.mark.promise(108)
@pytest.mark.parametrize(
    ("service", "operation", "members", "seen"),
    [
        ("lambda", "invoke", {"FunctionName": "echo", "Payload": '{"x": 1}'}, '{"x": 1}'),
        ("lambda", "invoke", {"FunctionName": "echo", "InvocationType": "Event"}, "202"),
        ("lambda", "get_function_configuration", {"FunctionName": "echo"}, "app.echo"),
        ("sqs", "create_queue", {"QueueName": "made-inside"}, "http://127.0.0.1:"),
        ("logs", "create_log_group", {"logGroupName": "made-inside"}, "{}"),
        ("sts", "get_caller_identity", {}, "arn:aws:sts::000000000000:assumed-role/test/caller"),
    ],
)
def test_boto3_in_a_function_goes_by_the_socket(
    calling: Served, service: str, operation: str, members: dict[str, Any], seen: str
) -> None:
    event = {"service": service, "operation": operation, "members": members}
    families, result = invoke(calling.client(), "caller", event)
    assert set(families) == {"AF_UNIX"}
    assert seen in json.dumps(result).replace('\\"', '"')


@pytest.mark.promise(108)
def test_what_leads_elsewhere_goes_by_tcp(calling: Served) -> None:
    api, port = calling.client(), int(calling.url.rpartition(":")[2])
    assert invoke(api, "get", {"host": "127.0.0.1", "port": port}) == [200, "AF_UNIX"]
    assert invoke(api, "get", {"host": "localhost", "port": port}) == [200, "AF_INET"]


@pytest.mark.promise(108)
def test_a_function_that_invokes_itself_is_stopped_as_on_aws(calling: Served) -> None:
    assert invoke(calling.client(), "recur", 0) == [16, "RecursiveInvocationException"]


@pytest.mark.promise(108)
def test_a_server_on_a_unix_socket_alone_is_reached(tmp_path: Path) -> None:
    """There is no port, and boto3 in a function needs none."""
    served = Served(tmp_path / "state", "--uds", str(tmp_path / "socket"))
    connection = UnixConnection(tmp_path / "socket")

    def send(method: str, path: str, body: Any = None) -> Any:
        connection.request(method, f"/2015-03-31/functions{path}", json.dumps(body))
        return json.loads(connection.getresponse().read())

    try:
        (tmp_path / "app.py").write_text(SOURCE)
        code = {"ZipFile": base64.b64encode(pack(tmp_path / "app.py")).decode()}
        function = {"FunctionName": "caller", "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.caller"}
        send("POST", "", {**function, "Timeout": 60, "Code": code})
        until(lambda: send("GET", "/caller/configuration")["State"] == "Active", what="the function")
        event = {"service": "sts", "operation": "get_caller_identity", "members": {}}
        families, identity = send("POST", "/caller/invocations", event)
        assert (set(families), identity["Account"]) == ({"AF_UNIX"}, "000000000000")
    finally:
        connection.close()
        assert served.stop() == 0


class TestWithAuth:
    """Requests must be signed: a function's are, by its role's session."""

    @pytest.fixture(scope="class")
    def guarded(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
        folder = tmp_path_factory.mktemp("guarded")
        credentials = folder / "credentials"
        credentials.write_text(f"[a]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
        served = Served(folder / "state", "--auth", str(credentials))
        create(self.api(served), folder, *HANDLERS)
        yield served
        assert served.stop() == 0

    def api(self, served: Served, service: str = "lambda") -> Any:
        return served.client(service, aws_access_key_id=KEY, aws_secret_access_key=SECRET)

    @pytest.mark.promise(109)
    def test_a_function_is_its_roles_session(self, guarded: Served) -> None:
        event = {"service": "sts", "operation": "get_caller_identity", "members": {}}
        families, identity = invoke(self.api(guarded), "caller", event)
        assert families == ["AF_UNIX"]
        assert identity["Arn"] == "arn:aws:sts::000000000000:assumed-role/test/caller"
        assert identity["Account"] == "000000000000"
        assert identity["UserId"].startswith("AROA")
        assert identity["UserId"].endswith(":caller")

    @pytest.mark.promise(109)
    def test_it_may_call_what_is_served(self, guarded: Served) -> None:
        event = {
            "service": "lambda",
            "operation": "invoke",
            "members": {"FunctionName": "echo", "Payload": "5"},
        }
        assert invoke(self.api(guarded), "caller", event)[1]["Payload"] == "5"
        event = {"service": "sqs", "operation": "create_queue", "members": {"QueueName": "inside"}}
        assert "000000000000/inside" in invoke(self.api(guarded), "caller", event)[1]["QueueUrl"]

    @pytest.mark.promise(109)
    def test_the_users_own_credentials_win(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        (tmp_path / "credentials").write_text(
            f"[a]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n"
        )
        passed = ["--pass-env", "AWS_ACCESS_KEY_ID", "--pass-env", "AWS_SECRET_ACCESS_KEY"]
        served = Served(tmp_path / "state", "--auth", str(tmp_path / "credentials"), *passed)
        try:
            create(self.api(served), tmp_path, "variables")
            names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
            assert list(invoke(self.api(served), "variables", names).values()) == [KEY, SECRET, None]
        finally:
            assert served.stop() == 0

    @pytest.mark.promise(109)
    @pytest.mark.parametrize("spoil", ["token", "secret", "key", "no token"])
    def test_what_is_not_whole_is_refused(self, guarded: Served, spoil: str) -> None:
        names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        made = invoke(self.api(guarded), "variables", names)
        keys: dict[str, Any] = {name.lower(): value for name, value in made.items()}
        client = guarded.client("sts", **keys)
        assert client.get_caller_identity()["Arn"].endswith("assumed-role/test/variables")
        change: Callable[[str], str] = lambda text: text[:-3] + ("AAA" if text[-3:] != "AAA" else "BBB")  # noqa: E731
        match spoil:
            case "token":
                keys["aws_session_token"] = change(keys["aws_session_token"])
            case "secret":
                keys["aws_secret_access_key"] = change(keys["aws_secret_access_key"])
            case "key":
                keys["aws_access_key_id"] = change(keys["aws_access_key_id"])
            case _:
                del keys["aws_session_token"]
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            guarded.client("sts", **keys).get_caller_identity()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    def test_unsigned_requests_by_the_socket_are_refused(self, guarded: Served) -> None:
        connection = http.client.HTTPConnection(guarded.url.removeprefix("http://"))
        connection.request("GET", "/2015-03-31/functions")
        assert connection.getresponse().status == 403
