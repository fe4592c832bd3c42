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
SERVER = option("--endpoint URL", "the server (default: $STOKER_ENDPOINT, or port 9001 here)")


class ServerError(EngineError):
    """The server refused, or cannot be reached."""


def client(options: argparse.Namespace, service: str = "lambda") -> Any:
    """A botocore client of the server. Raises UsageError."""
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    if session.get_credentials() is None:
        session.set_credentials("stoker", "stoker")
    return session.create_client(
        service,
        endpoint_url=_endpoint(options),
        region_name=session.get_config_variable("region") or "us-east-1",
        config=Config(retries={"max_attempts": 1}, read_timeout=910, parameter_validation=False),
    )


def _endpoint(options: argparse.Namespace) -> str:
    """The server's URL. Raises UsageError when it is none."""
    from urllib.parse import urlsplit

    text = str(options.endpoint or os.environ.get("STOKER_ENDPOINT") or ENDPOINT)
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
    except (BotoCoreError, OSError) as error:
        raise ServerError(str(error)) from None
