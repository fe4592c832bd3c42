"""A server to flood, and requests to it made by hand."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from served import REGION, ROLE, RUNTIME, Served
from support import until

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
    """Its functions f and g are the same."""

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


UNFINISHED = b"POST /2015-03-31/functions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000000\r\n\r\n"
HEAD = b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nhost: localhost\r\n"

Start = Callable[..., Flooded]
SHARED: tuple[tuple[str, bool], ...] = (("", False), ("", True), ("--inflight 32", False))


def nothing_held(server: Flooded) -> None:
    """It holds nothing, and works."""
    server.leave()
    until(lambda: server.held() == 0, 60)
    assert server.ask(server.invoke({"pad": "xyz"}))[1] == b"3"
