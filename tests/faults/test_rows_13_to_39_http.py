"""Rows 27 to 30, 13, 35 and 39: clients that are slow, leave, lie or come in crowds; and what a start finds."""

from __future__ import annotations

import base64
import contextlib
import gc
import io
import json
import os
import re
import resource
import socket
import sys
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, RUNTIME, Served

from .conftest import MARK, marked, wait_until

MIB = 1024 * 1024
LIMIT = 6 * MIB
SOURCE = """
import os, time
def handler(event, context):
    if "note" in event:
        open(event["note"], "a").write("x")
    while "gate" in event and not os.path.exists(event["gate"]):
        time.sleep(0.005)
    return event.get("answer") or ("y" * event["size"] if "size" in event else len(event.get("pad", "")))
"""


class Http:
    """A server, and requests to it made by hand."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.port = int(served.url.rsplit(":", 1)[1])

    def deploy(self, name: str, source: str = SOURCE) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", source)
        request = {
            "FunctionName": name, "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Timeout": 60,
            "MemorySize": 512, "Code": {"ZipFile": base64.b64encode(content.getvalue()).decode()},
        }  # fmt: skip
        asked = urllib.request.Request(
            f"{self.served.url}/2015-03-31/functions", json.dumps(request).encode()
        )
        urllib.request.urlopen(asked).read()

    def connections(self) -> int:
        """Of clients, open in the server."""
        lines = Path(f"/proc/{self.served.process.pid}/net/tcp").read_text().splitlines()[1:]
        open_ = [fields[1] for fields in map(str.split, lines) if fields[3] in ("01", "08")]  # CLOSE_WAIT: 08
        return sum(local.endswith(f":{self.port:04X}") for local in open_)

    def held(self) -> int:
        """Bytes of requests and responses in flight."""
        with urllib.request.urlopen(f"{self.served.url}/_stoker/health", timeout=60) as reply:
            return int(json.loads(reply.read())["inflightBytes"])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def request(self, body: bytes, name: str = "f", more: str = "") -> bytes:
        return (
            f"POST /2015-03-31/functions/{name}/invocations HTTP/1.1\r\nhost: localhost\r\n{more}"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode() + body

    def answer(self, sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
        file = sock.makefile("rb")
        status = int(file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, file.read(int(headers.get("content-length", "0")))

    def ask(self, body: bytes, **more: Any) -> tuple[int, dict[str, str], bytes]:
        with self.connect() as sock:
            sock.sendall(self.request(body, **more))
            return self.answer(sock)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        served = Served(tmp_path_factory.mktemp("state"))
    it = Http(served)
    it.deploy("f")
    yield it
    assert served.stop() == 0
    assert "Traceback" not in served.log.read_text()
    wait_until(lambda: not marked(mark), 10.0)


@pytest.fixture
def http(shared: Http, nothing_is_left: str) -> Iterator[Http]:
    """A server that other tests have, too: after each of them it works, holds nothing and has no connection."""
    yield shared
    assert shared.ask(b'{"answer": "still there"}')[2] == b'"still there"'
    gc.collect()  # a client of boto3's has a connection until then
    wait_until(lambda: shared.held() == 0)
    wait_until(lambda: shared.connections() == 0)


@pytest.mark.promise(71)
def test_row_27_a_slow_client_keeps_nobody_waiting(http: Http) -> None:
    body = b'{"pad": "' + b"z" * 1000 + b'"}'
    whole = http.request(body)
    with http.connect() as slow:
        for at in range(0, 600, 100):
            slow.sendall(whole[at : at + 100])
            assert http.ask(b'{"answer": 1}')[2] == b"1"
        slow.sendall(whole[600:])
        assert http.answer(slow)[2] == b"1000"


@pytest.mark.parametrize(
    "part", [b"", b"GET / HTTP/1.1\r\nhost:", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf"]
)
def test_row_27_a_client_that_never_ends_its_request_is_hung_up_on(
    part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a shorter deadline than the 30 seconds of the server."""
    import asyncio

    from engine.http import protocol
    from engine.http.acceptor import Acceptor
    from engine.http.budget import Budget

    assert protocol.READ_SECONDS == 30.0
    monkeypatch.setattr(protocol, "READ_SECONDS", 0.05)

    async def app(exchange: Any) -> None:
        await exchange.left()

    async def main() -> bytes:
        acceptor = Acceptor(protocol.Protocol, app, None, Budget())  # type: ignore[arg-type]
        with socket.create_server(("127.0.0.1", 0)) as sock:
            await acceptor.start([sock])
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(part)
            said = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            acceptor.stop()
            await acceptor.serve(10)
        return said

    received = asyncio.run(main())
    assert received.startswith(b"HTTP/1.1 408 ") if part else received == b""


@pytest.mark.promise(71)
def test_row_27_a_reader_that_does_not_read_holds_no_worker(http: Http) -> None:
    with http.connect() as lazy:
        lazy.sendall(http.request(b'{"size": 6000000}'))
        for _ in range(3):
            assert http.ask(b'{"answer": 2}')[2] == b"2"
        status, _, body = http.answer(lazy)
        assert (status, len(body)) == (200, 6_000_002)


@pytest.mark.promise(71)
def test_row_28_the_client_leaves_and_the_worker_finishes(http: Http, tmp_path: Path) -> None:
    note, gate = tmp_path / "note", tmp_path / "gate"
    with http.connect() as leaving:
        leaving.sendall(http.request(json.dumps({"note": str(note), "gate": str(gate)}).encode()))
        wait_until(note.exists)
    gate.touch()
    assert http.ask(b'{"answer": 3}')[2] == b"3"


@pytest.mark.promise(68)
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_row_29_requests_at_the_limit(http: Http, beyond: int) -> None:
    size = LIMIT + beyond
    body = b'{"pad": "' + b"z" * (size - 11) + b'"}'
    assert len(body) == size
    status, headers, said = http.ask(body)
    if beyond <= 0:
        assert (status, said) == (200, str(size - 11).encode())
    else:
        assert status == 413
        assert headers["x-amzn-errortype"] == "RequestTooLargeException"
        assert b"Request must be smaller than 6291456 bytes for the InvokeFunction operation" in said


@pytest.mark.promise(68)
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_row_29_responses_at_the_limit(http: Http, beyond: int) -> None:
    limit = LIMIT + 100
    status, headers, said = http.ask(json.dumps({"size": limit - 2 + beyond}).encode())
    assert status == 200
    if beyond <= 0:
        assert len(said) == limit + beyond
        assert "x-amz-function-error" not in headers
    else:
        assert headers["x-amz-function-error"] == "Unhandled"
        assert json.loads(said) == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }


@pytest.mark.promise(68)
@pytest.mark.parametrize("beyond", [0, 1])
def test_row_29_events_at_the_limit(http: Http, beyond: int) -> None:
    body = b'"' + b"z" * (MIB - 2 + beyond) + b'"'
    status, _, _ = http.ask(body, more="x-amz-invocation-type: Event\r\n")
    assert status == (202 if beyond == 0 else 413)


MALFORMED = [
    b"NONSENSE\r\n\r\n",
    b"POST / HTTP/9.9\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nbad header\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.promise(72)
@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_row_30_malformed_http_is_the_last_thing_read(http: Http, tmp_path: Path, data: bytes) -> None:
    note = tmp_path / "note"
    with http.connect() as sock:
        sock.sendall(data + http.request(json.dumps({"note": str(note)}).encode()))
        said = everything(sock)
    assert said == b"" or said.startswith(b"HTTP/1.1 400"), said[:200]
    assert http.ask(b'{"answer": 4}')[2] == b"4"
    assert not note.exists(), "a second request was read from it"


GET = b"GET /2015-03-31/functions HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize("which", ["other", "invoke"])
@pytest.mark.parametrize("behind", [b"NONSENSE\r\n\r\n", GET, GET + b"NONSENSE\r\n\r\n", b"GET / HT", b""])
def test_row_30_a_client_that_leaves_with_requests_unanswered(http: Http, which: str, behind: bytes) -> None:
    """Nothing is written where nobody reads, no 400 stands where an answer would, and the log has no errors."""
    first = GET if which == "other" else http.request(b'{"answer": "x"}')
    for _ in range(20):
        with http.connect() as sock:
            sock.sendall(first + behind)
            if b"NONSENSE" in behind:
                assert b"HTTP/1.1 400" not in everything(sock)
    assert http.ask(b'{"answer": 8}')[2] == b"8"
    assert "Traceback" not in http.served.log.read_text()


@pytest.mark.parametrize("which", ["other", "invoke"])
@pytest.mark.parametrize("times", [1, 3])
def test_row_30_a_client_that_is_done_sending_is_answered(http: Http, which: str, times: int) -> None:
    request = GET if which == "other" else http.request(b'{"answer": "x"}')
    with http.connect() as sock:
        sock.sendall(request * times)
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock).count(b"HTTP/1.1 200") == times


def everything(sock: socket.socket) -> bytes:
    said = b""
    while chunk := sock.recv(65536):
        said += chunk
    return said


def test_row_30_requests_in_one_piece_are_answered_in_order(http: Http) -> None:
    with http.connect() as sock:
        sock.sendall(b"".join([http.request(b'{"answer": "a"}'), GET, http.request(b'{"answer": "b"}')] * 3))
        said = b""
        while said.count(b"HTTP/1.1 200") < 9 or not said.endswith(b'"b"'):
            said += sock.recv(65536)
    places = [said.find(b'"a"'), said.find(b'"Functions"'), said.find(b'"b"')]
    assert places == sorted(places)


@pytest.mark.promise(325)
def test_row_30_events_between_other_requests_are_answered_in_order(http: Http) -> None:
    """On one connection in one piece, while others become durable with them."""
    post = b"POST /2015-03-31/functions/%b/invocations HTTP/1.1\r\nhost: localhost\r\n"
    function = http.request(b"{}").split(b"/functions/")[1].split(b"/")[0]
    event = post % function + b"x-amz-invocation-type: Event\r\ncontent-length: 2\r\n\r\n{}"
    wrong = post % b"missing" + b"x-amz-invocation-type: Event\r\ncontent-length: 2\r\n\r\n{}"
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(http.connect()) for _ in range(20)]
        for other in others:
            other.sendall(event)
        with http.connect() as sock:
            sock.sendall((event + wrong + event + http.request(b'{"answer": "a"}')) * 5)
            sock.shutdown(socket.SHUT_WR)
            received = everything(sock)
        for other in others:
            assert other.recv(65536).startswith(b"HTTP/1.1 202 Accepted\r\n")
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", received)
    assert statuses == [b"202", b"404", b"202", b"200"] * 5
    ids = re.findall(rb"x-amzn-requestid: (\S+)\r", received, re.IGNORECASE)
    assert len(ids) == len(set(ids)) == 20


def test_row_30_many_that_are_refused_at_once_in_one_piece(http: Http) -> None:
    """Each is answered before the next is begun, however many there are."""
    with http.connect() as sock:
        sock.sendall(http.request(b"{}", "missing") * 2000)
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock).count(b"HTTP/1.1 404") == 2000
    assert "Traceback" not in http.served.log.read_text()


@pytest.mark.promise(73)
def test_row_13_out_of_descriptors_and_back(http: Http) -> None:
    """The server's limit is lowered while it runs: who is connected goes on; when there are some, so does all."""
    pid = http.served.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with http.connect() as old:
        old.sendall(http.request(b'{"answer": 5}'))
        assert http.answer(old)[2] == b"5"
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        try:
            crowd = [http.connect() for _ in range(20)]
            for _ in range(5):
                old.sendall(http.request(b'{"answer": 6}'))
                assert http.answer(old)[2] == b"6"
            for sock in crowd:
                sock.close()
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: works(http))


def works(http: Http) -> bool:
    try:
        return http.ask(b'{"answer": 7}')[2] == b"7"
    except OSError:
        return False


@pytest.mark.promise(67)
def test_row_35_a_deploy_during_an_invocation(http: Http, tmp_path: Path) -> None:
    note, gate = tmp_path / "note", tmp_path / "gate"
    http.deploy("g")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return event.get('answer', 'new')\n")
    with http.connect() as old:
        old.sendall(
            http.request(json.dumps({"note": str(note), "gate": str(gate), "answer": "old"}).encode(), "g")
        )
        wait_until(note.exists)
        http.served.client().update_function_code(FunctionName="g", ZipFile=content.getvalue())
        assert http.ask(b"{}", name="g")[2] == b'"new"'
        gate.touch()
        assert http.answer(old)[2] == b'"old"'


@pytest.mark.promise(75)
def test_row_39_a_stale_socket_is_taken_over_and_a_living_one_left(
    nothing_is_left: str, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    served = Served(tmp_path / "one", "--uds", str(path))
    refused = _refusal(tmp_path / "two", "--uds", str(path))
    assert "another server answers there" in refused
    refused = _refusal(tmp_path / "one", "--port", "0")
    assert f"in use by another server (process {served.process.pid})" in refused
    assert served.stop() == 0
    (tmp_path / "file").touch()
    assert "is no socket" in _refusal(tmp_path / "three", "--uds", str(tmp_path / "file"))


@pytest.mark.promise(74)
def test_row_37_another_machine_may_not_come_in_unsigned(nothing_is_left: str, tmp_path: Path) -> None:
    assert "--auth FILE" in _refusal(tmp_path / "state", "--host", "0.0.0.0", "--port", "0")


def _refusal(state: Path, *options: str) -> str:
    import subprocess

    command = [sys.executable, "-m", "engine.cli", "serve", "--state", str(state), *options]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root, timeout=30)
    assert done.returncode == 2, done
    return done.stderr


@pytest.mark.promise(74)
def test_row_37_signed_requests_only(nothing_is_left: str, tmp_path: Path) -> None:
    import botocore.exceptions

    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n")
    served = Served(tmp_path / "state", "--auth", str(keys))
    good = served.client(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret")
    assert good.list_functions()["Functions"] == []
    it = Http(served)
    for client, code in [
        (served.client(), "UnrecognizedClientException"),
        (
            served.client(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="other"),
            "InvalidSignatureException",
        ),
    ]:
        for call in (client.list_functions, lambda c=client: c.invoke(FunctionName="f")):
            with pytest.raises(botocore.exceptions.ClientError) as caught:
                call()
            assert caught.value.response["Error"]["Code"] == code
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    status, headers, _ = it.ask(b"{}")
    assert (status, headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    assert served.stop() == 0
