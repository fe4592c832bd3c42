"""What stands before an AWS endpoint: it lets requests in, refuses their credentials, or is not there."""

from __future__ import annotations

import http.client
import json
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
        door, host = self, behind.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if door.mood == "away":
                    self.close_connection = True
                    return
                status, content = 403, json.dumps(EXPIRED).encode()
                if door.mood == "open":
                    behind = http.client.HTTPConnection(host, timeout=60)
                    behind.request("POST", self.path, body, dict(self.headers.items()))
                    response = behind.getresponse()
                    status, content = response.status, response.read()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
