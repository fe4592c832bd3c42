"""Row 47: clients that never read, never finish, send headers without end: one budget of bytes, given back after them.

The invariant is in engine/http/budget.py. How long others wait meanwhile is a measurement: bench/flood.py.
"""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
import urllib.request
import zipfile

import pytest
from served import ROLE, RUNTIME

from .conftest import wait_until
from .flooded import HEAD, MIB, UNFINISHED, Flooded, Start, response


class Peak(threading.Thread):
    """The most that a server's process has had since this began."""

    def __init__(self, server: Flooded) -> None:
        super().__init__(daemon=True)
        self.server, self.bytes, self.over = server, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.01):
            self.bytes = max(self.bytes, self.server.resident())


def flood(server: Flooded, seconds: float = 2.0) -> None:
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


@pytest.mark.promise(89)
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


@pytest.mark.promise(89)
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


@pytest.mark.promise(89)
@pytest.mark.parametrize("way", WAYS)
def test_row_47_a_client_that_leaves_gives_back_what_it_held(start: Start, way: str) -> None:
    server = start()
    client = server.connect()
    client.sendall(WAYS[way])
    wait_until(lambda: server.held() > 0)
    client.close()
    wait_until(lambda: server.held() == 0)


@pytest.mark.promise(89)
@pytest.mark.parametrize("dies", ["at once", "in its response", "not, but the client leaves"])
def test_row_47_what_is_passed_on_is_held_until_it_ends(start: Start, dies: str) -> None:
    """Whichever of the three ends it."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        server = start("--aws-endpoint", f"http://127.0.0.1:{upstream.getsockname()[1]}")
        client = server.connect()
        if dies == "in its response":
            client.sendall(b"GET /bucket/key HTTP/1.1\r\nhost: s3.localhost\r\n\r\n")
        else:
            client.sendall(
                b"PUT /bucket/key HTTP/1.1\r\nhost: s3.localhost\r\ncontent-length: 3000000\r\n\r\n"
            )
            client.sendall(bytes(500_000))
        behind, _ = upstream.accept()
        behind.settimeout(30)
        assert b" /bucket/key" in behind.recv(65536)
        assert 0 < server.held() <= MIB
        if dies == "in its response":
            behind.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            assert client.recv(12) == b"HTTP/1.1 200"
        if dies.startswith("not"):
            client.close()
        else:
            behind.close()
        if dies == "at once":
            client.sendall(bytes(2_500_000))  # which is when it shows
            assert response(client)[0] == 502
        wait_until(lambda: server.held() == 0)
        behind.close()


@pytest.mark.promise(89)
def test_row_47_a_download_of_a_package_is_a_stream(start: Start) -> None:
    """All of it arrives, and 40 clients that do not read theirs hold a piece each."""
    server = start()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", "")
        archive.writestr("data", os.urandom(8 * MIB))
    client = server.served.client()
    client.create_function(
        FunctionName="h",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": content.getvalue()},
    )
    url = client.get_function(FunctionName="h")["Code"]["Location"]
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == content.getvalue()
    before = server.resident()
    for _ in range(40):
        server.connect().sendall(f"GET /{url.split('/', 3)[3]} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    wait_until(lambda: server.held() >= 40 * MIB // 2)
    assert server.held() == 40 * MIB // 2
    assert server.resident() - before < 40 * MIB
    server.leave()
    wait_until(lambda: server.held() == 0)


@pytest.mark.promise(89)
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


@pytest.mark.promise(89)
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


@pytest.mark.promise(89)
def test_row_47_who_does_not_move_makes_place_for_others(start: Start) -> None:
    server = start("--inflight", "32")
    idle = [server.connect() for _ in range(2)]
    for each in idle:
        each.sendall(HEAD + b"content-length: 6000000\r\n\r\n{")
    wait_until(lambda: server.held() >= 24_000_000)
    assert server.ask(HEAD + b"content-length: 3000011\r\n\r\n" + LARGE)[1] == b"3000000"
    assert [response(each)[0] for each in idle] == [408, 408]


@pytest.mark.promise(89)
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
