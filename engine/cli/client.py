"""A running server as a command sees it: its endpoint, a botocore client of it, and its errors."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ..errors import EngineError
from .status import UsageError, option

ENDPOINT = "http://127.0.0.1:9001"
SERVER = option(
    "--endpoint URL", "the server (default: $STOKER_ENDPOINT, or $AWS_ENDPOINT_URL, or port 9001 here)"
)


class ServerError(EngineError):
    """The server refused, or cannot be reached."""


def client(options: argparse.Namespace, service: str = "lambda") -> Any:
    """A botocore client of the server. Raises UsageError."""
    from botocore.config import Config

    session, region = _session()
    return session.create_client(
        service,
        endpoint_url=endpoint(options),
        region_name=region,
        config=Config(retries={"max_attempts": 1}, read_timeout=910, parameter_validation=False),
    )


class Link:
    """Requests to paths of the server's own, signed."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises UsageError."""
        from botocore.httpsession import URLLib3Session

        self._session, self._region = _session()
        self._url = endpoint(options).rstrip("/")
        # Else a request's body waits for the acknowledgement of its head, which comes after 40 ms.
        at_once = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        self._http = URLLib3Session(timeout=910, socket_options=at_once)

    def send(self, method: str, path: str, data: bytes = b"", service: str = "cloudformation") -> Any:
        """The response: status_code, text."""
        return self._http.send(self._signed(method, path, data, service))

    def keep(self, path: str, files: Mapping[str, bytes]) -> None:
        """Bring the server files, by their digests, which it keeps under `path`; those that it has are not sent again.
        Raises ServerError."""
        from ..deploy.artifacts import batches, bundled

        response = self.send("POST", path, json.dumps(list(files)).encode())
        missing = json.loads(response.text) if response.status_code == 200 else []
        for batch in batches(files, missing):
            if response.status_code != 200:
                break
            if len(batch) == 1:
                ((digest, data),) = batch.items()
                response = self.send("PUT", path + digest, data)
            else:
                response = self.send("PUT", path, bundled(batch))
        if response.status_code != 200:
            text = response.text or f"{self._url}{path} cannot be had"
            raise ServerError(f"{response.status_code}: {text}")

    def lines(
        self, path: str, data: bytes, service: str, opened: Callable[[socket.socket], object]
    ) -> Iterator[bytes]:
        """Those of a response that goes on. opened: gets its socket, by which it can be ended. Raises ServerError,
        OSError."""
        import http.client

        parts, request = urlsplit(self._url), self._signed("POST", path, data, service)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(parts.hostname), parts.port)
        try:
            connection.request(
                "POST", path, data, {name: str(text) for name, text in request.headers.items()}
            )
            response = connection.getresponse()
            if response.status != 200:
                raise ServerError(f"{response.status}: {response.read().decode('utf-8', 'replace')}")
            while line := response.readline():
                yield line
        finally:
            connection.close()

    def _signed(self, method: str, path: str, data: bytes, service: str) -> Any:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method, self._url + path, data=data)
        SigV4Auth(self._session.get_credentials(), service, self._region).add_auth(request)
        return request.prepare()


def reachable(options: argparse.Namespace) -> bool:
    """Is there a server at the endpoint? Raises UsageError."""
    import http.client

    parts = urlsplit(endpoint(options))
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=5)
    try:
        connection.request("GET", "/_stoker/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def credentials() -> tuple[str, str] | None:
    """The access key and secret that requests are signed with, where there are any."""
    found = _session()[0].get_credentials()
    return (found.access_key, found.secret_key) if found.access_key != "stoker" else None


def _session() -> tuple[Any, str]:
    """Botocore's session, with credentials whatever there are, and its region. One for a command: it takes as long as
    a request does."""
    names = [name for name in os.environ if name.startswith("AWS_") or name == "HOME"]
    return _session_of(tuple((name, os.environ[name]) for name in sorted(names)))


@lru_cache(1)
def _session_of(_environment: tuple[tuple[str, str], ...]) -> tuple[Any, str]:
    import botocore.session

    session = botocore.session.get_session()
    if session.get_credentials() is None:
        session.set_credentials("stoker", "stoker")
    return session, session.get_config_variable("region") or "us-east-1"


def endpoint(options: argparse.Namespace) -> str:
    """The server's URL. Raises UsageError when it is none."""
    text = str(options.endpoint or named_endpoint() or ENDPOINT)
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, for one
        right = False
    if not right or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise UsageError(f"the endpoint {text} is no URL: write it as {ENDPOINT}")
    return text


def named_endpoint() -> str | None:
    """That of the environment."""
    return os.environ.get("STOKER_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL")


@contextmanager
def server_errors() -> Iterator[None]:
    """Raises botocore's errors as ServerError, and UsageError where botocore is not installed."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
        from botocore.parsers import ResponseParserError
    except ImportError:
        raise UsageError('this needs botocore: pip install "stoker[serve]"') from None
    try:
        yield
    except ClientError as error:
        fault = error.response["Error"]
        raise ServerError(f"{fault.get('Code')}: {fault.get('Message')}") from None
    except EndpointConnectionError as error:
        raise ServerError(f"{error} Is the server running? Start it with: stoker serve") from None
    except BrokenPipeError:  # of our own output
        raise
    except (BotoCoreError, ResponseParserError, OSError) as error:
        raise ServerError(str(error)) from None
