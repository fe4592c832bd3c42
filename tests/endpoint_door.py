"""What stands before an AWS endpoint: it lets requests in, refuses their credentials, or is not there."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXPIRED = {
    "__type": "com.amazonaws.sqs#ExpiredTokenException",
    "message": "The security token included in the request is expired",
}


class Door:
    """mood: "open", "refuses" or "away"."""

    def __init__(self, behind: str) -> None:
        """behind: the endpoint's URL."""
        self.mood = "open"
        self._sockets: set[socket.socket] = set()  # of clients, and towards the endpoint
        door, host = self, behind.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                door._sockets.add(self.connection)

            def handle(self) -> None:
                with contextlib.suppress(
                    OSError, http.client.HTTPException
                ):  # the client has left, or close() came
                    super().handle()

            def finish(self) -> None:
                door._sockets.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if door.mood == "away":
                    self.close_connection = True
                    return
                status, content = 403, json.dumps(EXPIRED).encode()
                if door.mood == "open":
                    status, content = self.passed(body)
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def passed(self, body: bytes) -> tuple[int, bytes]:
                with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
                    connection.connect()
                    own = connection.sock
                    door._sockets.add(own)
                    try:
                        connection.request("POST", self.path, body, dict(self.headers.items()))
                        response = connection.getresponse()
                        return response.status, response.read()
                    finally:
                        door._sockets.discard(own)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False  # so that close() waits for them
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """No socket and no thread of it is left."""
        self.server.shutdown()
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.server.server_close()
