"""Row 47: clients that never read, never finish, send headers without end: one budget of bytes, given back after them.

The invariant is in engine/http/budget.py. How long others wait meanwhile is a measurement: bench/flood.py.
"""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from served import REGION, ROLE, RUNTIME, Served

from .conftest import marked, wait_until

MIB = 1024 * 1024
KEY, SECRET = "AKIDEXAMPLE", "secret"
SOURCE = """
import os, time
def handler(event, context):
    while "gate" in event and not os.path.exists(event["gate"]):
        time.sleep(0.005)
    return "y" * event["size"] if "size" in event else len(event.get("pad", ""))
"""


class Flooded:
    """A server, and requests to it made by hand."""

    def __init__(self, folder: Path, *options: str, auth: bool = False) -> None:
        if auth:
            keys = folder / "keys"
            keys.write_text(f"[a]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
            options = (*options, "--auth", str(keys))
        self.auth = auth
        self.served = Served(folder / "state", *options)
        self.port = int(self.served.url.rsplit(":", 1)[1])
        self.pid = self.served.process.pid
        self.sockets: list[socket.socket] = []
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", SOURCE)
        package = base64.b64encode(content.getvalue()).decode()
        for name in ("f", "g"):
            request = {
                "FunctionName": name, "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Timeout": 60,
                "MemorySize": 512, "Code": {"ZipFile": package},
            }  # fmt: skip
            assert self.ask(self.written("/2015-03-31/functions", json.dumps(request).encode()))[0] == 201

    def written(
        self, path: str, body: bytes, headers: dict[str, str] | None = None, sign: bool = True
    ) -> bytes:
        """A whole request, signed where that is needed."""
        made = AWSRequest("POST", f"http://127.0.0.1:{self.port}{path}", data=body, headers=headers or {})
        made.headers["Host"] = f"127.0.0.1:{self.port}"
        if self.auth and sign:
            SigV4Auth(Credentials(KEY, SECRET), "lambda", REGION).add_auth(made)
        made.headers["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in made.headers.items())
        return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    def invoke(self, event: object, name: str = "f") -> bytes:
        return self.written(f"/2015-03-31/functions/{name}/invocations", json.dumps(event).encode())

    def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 4096
        )  # the kernel is to hold little of a response
        sock.settimeout(60)
        sock.connect(("127.0.0.1", self.port))
        self.sockets.append(sock)
        return sock

    def ask(self, request: bytes) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", self.port), 60) as sock:
            sock.sendall(request)
            return response(sock)

    def health(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.served.url}/_stoker/health", timeout=60) as reply:
            return dict(json.loads(reply.read()))

    def held(self) -> int:
        return self.health()["inflightBytes"]

    def resident(self) -> int:
        """Bytes of the server's process."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def leave(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


def response(sock: socket.socket) -> tuple[int, bytes]:
    """Status and body of one response."""
    file = sock.makefile("rb")
    line = file.readline()
    length = 0
    while field := file.readline().strip().lower():
        if field.startswith(b"content-length:"):
            length = int(field.split(b":")[1])
    return int(line.split()[1]) if line else 0, file.read(length)


Start = Callable[..., Flooded]
SHARED: tuple[tuple[str, bool], ...] = (("", False), ("", True), ("--inflight 32", False))


def settled(server: Flooded) -> None:
    """It holds nothing, and works."""
    server.leave()
    wait_until(lambda: server.held() == 0, 60)
    assert server.ask(server.invoke({"pad": "xyz"}))[1] == b"3"
    assert "Traceback" not in server.served.log.read_text()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, bool], Flooded]]:
    """Servers that tests share."""
    made = {}
    for options, auth in SHARED:
        made[options, auth] = Flooded(tmp_path_factory.mktemp("shared"), *options.split(), auth=auth)
    yield made
    for server in made.values():
        assert server.served.stop() == 0


@pytest.fixture
def start(shared: dict[tuple[str, bool], Flooded], nothing_is_left: str, tmp_path: Path) -> Iterator[Start]:
    """A server with these options, which must be settled after the test."""
    used: list[Flooded] = []
    own: list[Flooded] = []

    def begin(*options: str, auth: bool = False) -> Flooded:
        server = shared.get((" ".join(options), auth))
        if server is None:
            server = Flooded(tmp_path, *options, auth=auth)
            own.append(server)
        used.append(server)
        return server

    yield begin
    for server in used:
        settled(server)
    for server in own:
        assert server.served.stop() == 0
    wait_until(lambda: not marked(nothing_is_left), 10.0)


class Peak(threading.Thread):
    """The most that a server's process has had since this began."""

    def __init__(self, server: Flooded) -> None:
        super().__init__(daemon=True)
        self.server, self.bytes, self.over = server, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.01):
            self.bytes = max(self.bytes, self.server.resident())


UNFINISHED = b"POST /2015-03-31/functions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000000\r\n\r\n"


def flood(server: Flooded, seconds: float = 4.0) -> None:
    """200 clients that never read, 50 that never finish, 10 whose headers have no end: they send what is taken."""
    for _ in range(200):
        server.connect().sendall(server.invoke({"size": 5_000_000}, "g"))
    senders: list[tuple[socket.socket, bytes, list[int]]] = []
    for n in range(60):
        sock = server.connect()
        sock.sendall(UNFINISHED if n < 50 else b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        sock.setblocking(False)
        senders.append((sock, bytes(256 * 1024) if n < 50 else b"a: " + b"b" * 30_000, [59_000_000]))
    end = time.monotonic() + seconds
    while senders and time.monotonic() < end:
        for sender in list(senders):
            sock, piece, left = sender
            try:
                left[0] -= sock.send(piece[: left[0]]) if left[0] else 0
            except BlockingIOError:
                pass
            except OSError:
                senders.remove(sender)


@pytest.mark.promise(88)
@pytest.mark.timeout(180)
@pytest.mark.parametrize("auth", [False, True], ids=["open", "auth"])
@pytest.mark.parametrize("budget", [256, 64])
def test_row_47_a_flood_has_a_bound_and_passes(start: Start, budget: int, auth: bool) -> None:
    server = start("--inflight", str(budget), auth=auth)
    assert server.ask(server.invoke({"pad": "x"}))[1] == b"1"
    before = server.resident()
    peak = Peak(server)
    peak.start()
    flooding = threading.Thread(target=flood, args=(server,))
    flooding.start()
    while flooding.is_alive():  # others are served meanwhile
        assert server.ask(server.invoke({"pad": "xyz"}))[1] == b"3"
        assert server.held() <= budget * MIB
    flooding.join()
    wait_until(lambda: server.health()["waiting"] == 0, 60)
    assert peak.bytes - before <= (budget + 64) * MIB, f"{(peak.bytes - before) / MIB:.0f} MiB more"
    assert peak.bytes - before > budget * MIB / 3, "it was no flood"
    server.leave()
    wait_until(lambda: server.held() == 0, 60)
    wait_until(lambda: server.resident() - before < 32 * MIB, 30)
    peak.over.set()
    peak.join()


@pytest.mark.promise(88)
def test_row_47_a_client_that_reads_late_gets_all_of_it(start: Start) -> None:
    server = start()
    slow = server.connect()
    slow.sendall(server.invoke({"size": 6_000_000}) + server.invoke({"pad": "xy"}))
    wait_until(lambda: server.held() >= 6_000_000)
    assert server.ask(server.invoke({"pad": "x"}))[1] == b"1"
    file = slow.makefile("rb")
    received = file.read(6_000_000)
    assert received.startswith(b"HTTP/1.1 200")
    while not received.endswith(b"\r\n\r\n2"):  # the request behind it was not begun before
        received += file.read1(65536)
    assert received.count(b"HTTP/1.1 200") == 2
    wait_until(lambda: server.held() == 0)


LARGE = json.dumps({"pad": "z" * 3_000_000}).encode()
HEAD = b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nhost: localhost\r\n"
WAYS = {
    "an Invoke, half sent": HEAD + b"content-length: 3000011\r\n\r\n" + LARGE[:1_000_000],
    "an Invoke in chunks, half sent": HEAD
    + b"transfer-encoding: chunked\r\n\r\nf4240\r\n"
    + LARGE[:1_000_000]
    + b"\r\n",
    "another request, half sent": UNFINISHED + bytes(2_000_000),
    "another in chunks": UNFINISHED.replace(b"content-length: 60000000", b"transfer-encoding: chunked")
    + b"1e8480\r\n" + bytes(2_000_000) + b"\r\n",
    "many behind one another": (HEAD + b"content-length: 16\r\n\r\n" + b'{"size":1000000}') * 40,
    "a head of which much came": b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 40_000,
    "a function URL, half sent": b"POST /lambda-url/x/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000000\r\n\r\n"
    + bytes(1_000_000),
}  # fmt: skip


@pytest.mark.promise(88)
@pytest.mark.parametrize("way", WAYS)
def test_row_47_a_client_that_leaves_gives_back_what_it_held(start: Start, way: str) -> None:
    server = start()
    client = server.connect()
    client.sendall(WAYS[way])
    wait_until(lambda: server.held() > 0)
    client.close()
    wait_until(lambda: server.held() == 0)


@pytest.mark.promise(88)
@pytest.mark.parametrize("invoked", ["small", "large"])
def test_row_47_what_runs_is_held_until_it_ends(start: Start, invoked: str) -> None:
    """Also when its client has left."""
    server = start()
    gate = server.served.log.with_name(f"gate-{invoked}")
    client = server.connect()
    pad = "z" * (20_000 if invoked == "small" else 2_000_000)
    client.sendall(server.invoke({"gate": str(gate), "pad": pad}))
    wait_until(lambda: server.held() >= 2 * len(pad))
    client.close()
    assert server.held() >= 2 * len(pad)
    gate.touch()
    wait_until(lambda: server.held() == 0)


@pytest.mark.promise(88)
@pytest.mark.parametrize("path", ["/2015-03-31/functions", "/2015-03-31/functions/f/invocations"])
def test_row_47_room_is_waited_for_and_then_there_is_a_503(start: Start, path: str) -> None:
    server = start("--inflight", "32")
    holders = []
    for _ in range(2):  # 24 of the 28 MiB that large ones may have
        holders.append(server.connect())
        holders[-1].sendall(HEAD + b"content-length: 6000000\r\n\r\n" + b"{")
    wait_until(lambda: server.held() >= 24_000_000)
    waiting = server.connect()
    waiting.sendall(
        b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000000\r\n\r\n{" % path.encode()
    )
    wait_until(lambda: server.health()["waiting"] == 1)
    assert server.ask(server.invoke({"pad": "z" * 50_000}))[1] == b"50000"  # a small one finds room
    if "invocations" in path:
        holders[0].close()  # then there is room for it
        wait_until(lambda: server.health()["waiting"] == 0)
        waiting.sendall(b'"pad": "' + b"z" * (5_000_000 - 11) + b'"}')
        assert response(waiting)[0] == 200
    else:
        keep = threading.Event()

        def drip() -> None:  # who moves is not cut off for it
            while not keep.wait(0.2):
                for each in holders:
                    each.send(bytes(40_000))

        dripping = threading.Thread(target=drip)
        dripping.start()
        status, body = response(waiting)
        keep.set()
        dripping.join()
        assert status == 503 and b"--inflight" in body


@pytest.mark.promise(88)
def test_row_47_who_does_not_move_makes_place_for_others(start: Start) -> None:
    server = start("--inflight", "32")
    idle = [server.connect() for _ in range(2)]
    for each in idle:
        each.sendall(HEAD + b"content-length: 6000000\r\n\r\n{")
    wait_until(lambda: server.held() >= 24_000_000)
    assert server.ask(HEAD + b"content-length: 3000011\r\n\r\n" + LARGE)[1] == b"3000000"
    assert [response(each)[0] for each in idle] == [408, 408]


@pytest.mark.promise(88)
def test_row_47_connections_have_a_bound(start: Start) -> None:
    server = start("--max-connections", "8")
    idle = [server.connect() for _ in range(20)]
    assert server.ask(server.invoke({"pad": "xyz"}))[1] == b"3"
    assert idle[0].recv(1) == b""  # closed, to make place
    server.leave()
    busy = [server.connect() for _ in range(8)]
    for each in busy:
        each.sendall(HEAD + b"content-length: 100\r\n\r\n{")
    wait_until(lambda: server.connect().recv(12) == b"HTTP/1.1 503")
    busy[0].sendall(b'"pad": "' + b"z" * (100 - 11) + b'"}')
    assert response(busy[0]) == (200, b"89")


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


@pytest.mark.promise(89)
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


@pytest.mark.promise(89)
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


@pytest.mark.promise(89)
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


@pytest.mark.promise(89)
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
    path = "/" + url.split("/", 3)[3]
    assert server.ask(server.written(path, b"{}"))[0] == 200
    client = server.connect()
    client.sendall(server.written(path, b"", sign=False).replace(b"Length: 0", b"Length: 5000000"))
    assert response(client)[0] == 403
