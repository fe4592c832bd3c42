"""What a flood costs another client: python -m bench.flood, which fails when its p50 is above twice its value alone.

200 clients that never read responses of 5 MB, 50 that never finish a body of 60 MB, 10 whose headers have no end, at
the same time. What the server's process has in memory meanwhile is tests/faults/test_row_47_floods.py's to judge.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from bench.peers.http import EVENT, INVOKE, TEXT, Served

SECONDS = 25.0
RATIO = 2.0
LARGE = "def handler(event, context):\n    return 'y' * 5_000_000\n"
HEAD = "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n"


class Flooded(Served):
    """A server with the echo and a function of large responses."""

    def prepare(self) -> None:
        super().prepare()
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", LARGE)
        request = {
            "FunctionName": "large",
            "Runtime": f"python{sys.version_info[0]}.{sys.version_info[1]}",
            "Role": "arn:aws:iam::000000000000:role/r",
            "Handler": "app.handler",
            "Code": {"ZipFile": base64.b64encode(content.getvalue()).decode()},
        }
        self.request("POST", "/2015-03-31/functions", json.dumps(request).encode())

    @property
    def resident(self) -> float:
        """MiB of its process, as the kernel counts them."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def flood(port: int) -> None:
    """Until it is killed."""

    def connected(first: bytes) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        sock.sendall(first)
        sock.setblocking(False)
        return sock

    silent = [connected(HEAD.format(INVOKE.format(name="large"), 2).encode() + b"{}") for _ in range(200)]
    body = HEAD.format("/2015-03-31/functions", 60_000_000).encode()
    bodies = {connected(body): 59_000_000 for _ in range(50)}
    heads = [connected(b"GET / HTTP/1.1\r\nhost: localhost\r\n") for _ in range(10)]
    piece, field = bytes(64 * 1024), b"a: " + b"b" * 30_000
    while silent:
        for sock in (*bodies, *heads):
            try:
                if sock not in bodies:
                    sock.send(field)
                elif bodies[sock]:
                    bodies[sock] -= sock.send(piece[: bodies[sock]])
            except OSError:
                continue
        time.sleep(0.01)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.port:
        flood(options.port)
        return 0
    with Flooded() as server:
        assert TEXT in server.request("POST", server.path, EVENT)
        alone = server.load(1, options.seconds)
        before = peak = server.resident
        flooding = subprocess.Popen([sys.executable, "-m", "bench.flood", "--port", str(server.port)])
        try:
            meanwhile = []
            for _ in range(int(options.seconds * 4)):
                meanwhile += server.load(1, 0.25).samples
                peak = max(peak, server.resident)
        finally:
            flooding.send_signal(signal.SIGKILL)
            flooding.wait()
        p50 = sorted(meanwhile)[len(meanwhile) // 2]
        time.sleep(2.0)
        after = server.resident
    ratio = p50 / alone.value("p50")
    print(
        f"p50 of another client in a flood: {p50 / 1e3:.0f} µs, {alone.value('p50') / 1e3:.0f} µs alone: {ratio:.2f}x "
        f"(promised {RATIO:g}x); {before:.0f} MiB before, {peak:.0f} at most, {after:.0f} after"
    )
    return ratio > RATIO


if __name__ == "__main__":
    sys.exit(main())
