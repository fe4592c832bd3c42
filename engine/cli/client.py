"""A running server as a command sees it: its endpoint, a botocore client of it, and its errors."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def put(options: argparse.Namespace, path: str, data: bytes) -> None:
    """Bring the server a file that it keeps under `path`, which has the file's digest; one that it has is not sent
    again. Raises UsageError, ServerError."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    session, region = _session()
    http, url = URLLib3Session(timeout=910), endpoint(options).rstrip("/") + path
    for method, body in ("HEAD", b""), ("PUT", data):
        request = AWSRequest(method, url, data=body)
        SigV4Auth(session.get_credentials(), "cloudformation", region).add_auth(request)
        response = http.send(request.prepare())
        if response.status_code == 200:
            return
        if method == "PUT" or response.status_code != 404:
            raise ServerError(f"{response.status_code}: {response.text or f'{url} cannot be had'}")


def credentials() -> tuple[str, str] | None:
    """The access key and secret that requests are signed with, where there are any."""
    found = _session()[0].get_credentials()
    return (found.access_key, found.secret_key) if found.access_key != "stoker" else None


def _session() -> tuple[Any, str]:
    """Botocore's session, with credentials whatever there are, and its region."""
    import botocore.session

    session = botocore.session.get_session()
    if session.get_credentials() is None:
        session.set_credentials("stoker", "stoker")
    return session, session.get_config_variable("region") or "us-east-1"


def endpoint(options: argparse.Namespace) -> str:
    """The server's URL. Raises UsageError when it is none."""
    from urllib.parse import urlsplit

    named = os.environ.get("STOKER_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL")
    text = str(options.endpoint or named or ENDPOINT)
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, for one
        right = False
    if not right or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise UsageError(f"the endpoint {text} is no URL: write it as {ENDPOINT}")
    return text


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
