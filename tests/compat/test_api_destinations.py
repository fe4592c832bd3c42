"""API destinations of EventBridge by boto3: HTTP endpoints, as their connections authorize."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from delivered import entry, put, queue, received, rule
from served import ROLE
from support import until


class Receiver:
    """An HTTP server that keeps what it gets. responses: statuses and headers, in turn; then 200."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.responses: list[tuple[int, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path == "/token":
                    receiver.requests.append({"form": parse_qs(body.decode())})
                    return self.respond(
                        200, {}, json.dumps({"access_token": "T", "token_type": "Bearer"}).encode()
                    )
                receiver.requests.append(
                    {
                        "path": self.path,
                        "headers": dict(self.headers),
                        "body": json.loads(body),
                        "at": time.monotonic(),
                    }
                )
                status, headers = receiver.responses.pop(0) if receiver.responses else (200, {})
                return self.respond(status, headers, b"")

            def respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def destination(events: Any, name: str, url: str, kind: str, auth: dict[str, Any], **more: Any) -> str:
    connection = events.create_connection(Name=name, AuthorizationType=kind, AuthParameters=auth)[
        "ConnectionArn"
    ]
    arn: str = events.create_api_destination(
        Name=name, ConnectionArn=connection, InvocationEndpoint=url, HttpMethod="POST", **more
    )["ApiDestinationArn"]
    return arn


@pytest.mark.promise(126)
def test_an_api_destination_is_sent_to_as_its_connection_authorizes(
    events: Any, receiver: Receiver, name: str
) -> None:
    auth = {
        "BasicAuthParameters": {"Username": "u", "Password": "p"},
        "InvocationHttpParameters": {
            "HeaderParameters": [{"Key": "X-C", "Value": "c", "IsValueSecret": True}],
            "BodyParameters": [{"Key": "added", "Value": "b"}],
        },
    }
    arn = destination(events, name, f"{receiver.url}/orders/*", "BASIC", auth)
    parameters = {
        "PathParameterValues": ["$.detail.id"], "HeaderParameters": {"X-T": "t"},
        "QueryStringParameters": {"q": "$.detail.q"},
    }  # fmt: skip
    rule(events, name, {"Arn": arn, "InputPath": "$.detail", "HttpParameters": parameters, "RoleArn": ROLE})
    put(events, entry(name, {"id": "a/b", "q": 5}))
    until(lambda: receiver.requests, 60, "the request")
    (request,) = receiver.requests
    assert (request["path"], request["body"]) == ("/orders/a%2Fb?q=5", {"id": "a/b", "q": 5, "added": "b"})
    wanted = {
        "User-Agent": "Amazon/EventBridge/ApiDestinations", "Content-Type": "application/json; charset=utf-8",
        "Range": "bytes=0-1048575", "X-C": "c", "X-T": "t", "Authorization": "Basic dTpw",
    }  # fmt: skip
    assert wanted.items() <= request["headers"].items()
    shown = events.describe_connection(Name=name)
    assert "Password" not in json.dumps(shown["AuthParameters"])
    (header,) = shown["AuthParameters"]["InvocationHttpParameters"]["HeaderParameters"]
    assert header == {"Key": "X-C", "IsValueSecret": True}


@pytest.mark.promise(126)
def test_a_token_is_asked_for_once_and_again_when_it_is_old(
    events: Any, receiver: Receiver, name: str
) -> None:
    auth = {
        "OAuthParameters": {
            "ClientParameters": {"ClientID": "i", "ClientSecret": "s"},
            "AuthorizationEndpoint": f"{receiver.url}/token",
            "HttpMethod": "POST",
        }
    }
    arn = destination(events, name, f"{receiver.url}/x", "OAUTH_CLIENT_CREDENTIALS", auth)
    rule(events, name, {"Arn": arn, "RoleArn": ROLE})
    put(events, entry(name))
    until(lambda: len(receiver.requests) == 2, 60, "a token and the request")
    assert receiver.requests[0]["form"] == {
        "grant_type": ["client_credentials"], "client_id": ["i"], "client_secret": ["s"],
    }  # fmt: skip
    assert receiver.requests[1]["headers"]["Authorization"] == "Bearer T"
    receiver.responses = [(401, {})]
    put(events, entry(name))
    until(lambda: len(receiver.requests) == 5, 60, "refused, a token, and again")
    assert [("form" in each) for each in receiver.requests] == [True, False, False, True, False]


@pytest.mark.promise(126)
def test_what_is_retried_and_what_is_not(events: Any, sqs: Any, receiver: Receiver, name: str) -> None:
    url, dead = queue(sqs, name)
    auth = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "k"}}
    arn = destination(events, name, f"{receiver.url}/x", "API_KEY", auth)
    target = {
        "Arn": arn,
        "RoleArn": ROLE,
        "DeadLetterConfig": {"Arn": dead},
        "RetryPolicy": {"MaximumRetryAttempts": 1},
    }
    rule(events, name, target)
    receiver.responses = [(503, {})]
    put(events, entry(name, {"n": 1}))
    until(lambda: len(receiver.requests) == 2, 60, "once more")  # and then it was taken
    receiver.responses = [(429, {"Retry-After": "2"})]
    put(events, entry(name, {"n": 2}))
    until(lambda: len(receiver.requests) == 4, 60, "once more")
    assert receiver.requests[3]["at"] - receiver.requests[2]["at"] >= 1.9
    receiver.responses = [(404, {})]
    put(events, entry(name, {"n": 3}))
    (letter,) = received(sqs, url)
    found = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
    assert (found["ERROR_CODE"], found["RETRY_ATTEMPTS"]) == ("NO_RESOURCE", "0")
    assert "EXHAUSTED_RETRY_CONDITION" not in found
    receiver.responses = [(500, {}), (500, {})]
    put(events, entry(name, {"n": 4}))
    (letter,) = received(sqs, url)
    found = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
    assert (found["EXHAUSTED_RETRY_CONDITION"], found["RETRY_ATTEMPTS"]) == ("MaximumRetryAttempts", "1")
    assert receiver.requests[0]["headers"]["X-Key"] == "k"
