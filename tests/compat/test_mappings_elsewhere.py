"""A mapping whose source is another endpoint, which refuses its credentials, is not there, and is there again."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from delivered import queue
from mapped import Fed, send
from served import Served
from support import until

EXPIRED = {
    "__type": "com.amazonaws.sqs#ExpiredTokenException",
    "message": "The security token included in the request is expired",
}


class Door:
    """Before a server: passes requests on, or refuses their credentials, or ends connections."""

    def __init__(self, behind: Served) -> None:
        self.mood = "open"
        door, host = self, behind.url.removeprefix("http://")

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


@pytest.fixture
def door(server: Served) -> Iterator[Door]:
    made = Door(server)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.promise(160)
def test_credentials_that_expire_and_an_endpoint_that_is_away(
    server: Served, door: Door, sqs: Any, tmp_path: Path, name: str
) -> None:
    url, arn = queue(sqs, name, VisibilityTimeout="2", ReceiveMessageWaitTimeSeconds="0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", door.url)
        served = Served(tmp_path / "state")
    try:
        fed = Fed(served, tmp_path)
        uuid = fed.map(arn)
        send(sqs, url, "1")
        fed.wait(1)
        for mood, text, body in (
            ("refuses", f"PROBLEM: Cannot access queue {arn}.", "2"),
            ("away", "PROBLEM: Connection error.", "3"),
        ):
            door.mood = mood
            send(sqs, url, body)  # ends the poll that is under way
            until(lambda text=text: fed.result(uuid).startswith(text), 60, text)
            assert fed.get(uuid)["State"] == "Enabled"
            door.mood = "open"
            until(lambda body=body: body in fed.bodies(), 60, body)
            until(lambda: fed.result(uuid) == "", 60, "no problem")
    finally:
        assert served.stop() == 0
