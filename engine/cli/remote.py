"""Commands that talk to a running server, by the Lambda API as any client would: deploy, ls, rm, logs, invoke NAME."""

from __future__ import annotations

import argparse
import base64
import io
import math
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import limits
from ..errors import EngineError
from .invoke import read_event
from .main import FAILED, OK, UsageError

ENDPOINT = "http://127.0.0.1:9001"
ROLE = "arn:aws:iam::000000000000:role/stoker"
_CHUNK = 64 * 1024
_BAR = 28


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
    text = str(options.endpoint or os.environ.get("STOKER_ENDPOINT") or ENDPOINT)
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, say
        right = False
    if not right or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise UsageError(f"the endpoint {text} is no URL: write it as {ENDPOINT}")
    return text


def run(options: argparse.Namespace) -> int:
    """A command's exit status. Raises ServerError, and UsageError, also when botocore is not there."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
    except ImportError:
        raise UsageError('this needs botocore: pip install "stoker[serve]"') from None
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "deploy": deploy, "ls": listing, "rm": remove, "logs": logs, "invoke": invoke,
    }  # fmt: skip
    try:
        return commands[options.command](options)
    except ClientError as error:
        said = error.response["Error"]
        raise ServerError(f"{said.get('Code')}: {said.get('Message')}") from None
    except EndpointConnectionError as error:
        raise ServerError(f"{error} Is the server running? Start it with: stoker serve") from None
    except BrokenPipeError:  # of our own output
        raise
    except (BotoCoreError, OSError) as error:
        raise ServerError(str(error)) from None


def deploy(options: argparse.Namespace) -> int:
    """Pack a directory or a file, and create or update the function."""
    from ..hosting.packages import pack

    source, handler = _source(options)
    name = options.name or _name(source)
    try:
        archive = pack(source)
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from None
    if len(archive) > limits.ZIPPED_BYTES:
        most = f"{limits.ZIPPED_BYTES // limits.MIB} MiB"
        raise UsageError(
            f"{source} is {len(archive) / limits.MIB:.1f} MiB when packed: Lambda takes {most} at most"
        )
    api = client(options)
    with_bar(api)
    configuration: dict[str, Any] = {"Handler": handler}
    for member in ("memory", "timeout"):
        value = getattr(options, member)
        if value is not None:
            configuration[{"memory": "MemorySize", "timeout": "Timeout"}[member]] = value
    if options.env:
        configuration["Environment"] = {"Variables": dict(map(_variable, options.env))}
    runtime = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        settled(api, name)
    except api.exceptions.ResourceNotFoundException:
        api.create_function(
            FunctionName=name, Runtime=runtime, Role=ROLE, Code={"ZipFile": archive}, **configuration
        )
        done = "created"
    else:  # what may be refused goes first, so that nothing has changed then
        api.update_function_configuration(FunctionName=name, **configuration)
        settled(api, name)
        api.update_function_code(FunctionName=name, ZipFile=archive)
        done = "updated"
    settled(api, name)
    if options.url:
        try:
            url = api.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        except api.exceptions.ResourceConflictException:
            url = api.get_function_url_config(FunctionName=name)["FunctionUrl"]
        print(f"{name} {done}: {url}")
    else:
        print(f"{name} {done}")
    return OK


def _name(source: Path) -> str:
    """A function's name for what a file or directory is called."""
    path = source.resolve()
    name = re.sub(r"[^a-zA-Z0-9-_]", "-", path.stem if path.is_file() else path.name)[: limits.NAME_CHARS]
    if not name:
        raise UsageError(f"what is the function in {source} to be called? Say --name")
    return name


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]+", name):
        raise UsageError(
            f"--env {text}: write NAME=VALUE, NAME being two or more letters, digits or underscores"
        )
    return name, value


def _source(options: argparse.Namespace) -> tuple[Path, str]:
    """What to pack, and the handler in it."""
    text, colon, attribute = options.source.partition(":")
    source = Path(text)
    is_file = source.is_file() and source.suffix == ".py"
    if not is_file and not source.is_dir():
        raise UsageError(f"{text} is neither a directory nor a .py file")
    if colon and (options.handler or not is_file):
        raise UsageError(f"{options.source}: write {text} --handler MODULE.FUNCTION")
    if options.handler:
        return source, options.handler
    if is_file:
        return source, f"{source.stem}.{attribute or 'handler'}"
    for module in ("app", "lambda_function", "handler", "main"):
        if (source / f"{module}.py").exists():
            return source, f"{module}.{'lambda_handler' if module == 'lambda_function' else 'handler'}"
    raise UsageError(f"which function of {text} is the handler? Say --handler MODULE.FUNCTION")


def settled(api: Any, name: str) -> None:
    """Wait until the function is as it will be."""
    while True:
        said = api.get_function_configuration(FunctionName=name)
        if said.get("State") != "Pending" and said.get("LastUpdateStatus") != "InProgress":
            return
        time.sleep(0.02)


def with_bar(api: Any) -> None:
    """Show how far an upload has got, on a terminal."""
    if not sys.stderr.isatty():
        return

    def watched(request: Any, **_: Any) -> None:
        if isinstance(request.body, bytes) and len(request.body) >= _CHUNK:
            request.body = _Upload(request.body)

    api.meta.events.register("before-send.lambda.*", watched)


class _Upload(io.BytesIO):
    """A request's body, which draws a bar as it is read."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.size = len(body)
        self.shown = -1

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        percent = 100 * self.tell() // self.size
        if percent != self.shown:
            self.shown = percent
            full = percent * _BAR // 100
            text = (
                f"\ruploading [{'#' * full}{'.' * (_BAR - full)}] {percent:3}% of {self.size / 1024:.0f} KiB"
            )
            print(text, end="\n" if percent == 100 else "", file=sys.stderr, flush=True)
        return data


def listing(options: argparse.Namespace) -> int:
    """A line for each function."""
    rows = []
    for page in client(options).get_paginator("list_functions").paginate():
        for each in page["Functions"]:
            rows.append(
                (each["FunctionName"], each.get("Runtime", ""), f"{each['MemorySize']} MB", f"{each['Timeout']} s",
                 f"{each['CodeSize']} B", each["LastModified"])
            )  # fmt: skip
    heads = ("NAME", "RUNTIME", "MEMORY", "TIMEOUT", "CODE", "MODIFIED")
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return OK


def remove(options: argparse.Namespace) -> int:
    api = client(options)
    for name in options.names:
        api.delete_function(FunctionName=name)
        print(f"{name} deleted")
    return OK


def logs(options: argparse.Namespace) -> int:
    """A function's log; with -f, as it comes."""
    api = client(options, "logs")
    group = options.name if options.name.startswith("/") else f"/aws/lambda/{options.name}"
    start = int((time.time() - _seconds(options.since)) * 1000) if options.since else 0
    seen: set[str] = set()
    while True:
        try:
            for page in api.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start):
                for event in page["events"]:
                    if event["eventId"] not in seen:
                        seen.add(event["eventId"])
                        start = max(start, event["timestamp"])
                        print(event["message"].rstrip("\n"), flush=True)
        except api.exceptions.ResourceNotFoundException:
            if not options.follow:
                raise ServerError(f"{options.name} has logged nothing yet") from None
        if not options.follow:
            return OK
        time.sleep(0.3)


def _seconds(text: str) -> float:
    """ "90", "15m", "2h", "1d" in seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < time.time():
        raise UsageError(f"--since {text}: write 90, 90s, 15m, 2h or 1d")
    return seconds


def invoke(options: argparse.Namespace) -> int:
    """Invoke a function that is deployed."""
    for option in ("code", "name", "memory", "timeout", "env", "raw", "repeat"):
        if getattr(options, option):
            raise UsageError(
                f"--{option} is for a function that runs here: leave it out, or leave --endpoint out"
            )
    answer = client(options).invoke(
        FunctionName=options.reference,
        Payload=read_event("{}" if options.event is None else options.event, raw=False),
        LogType="Tail",
    )
    if answer.get("LogResult"):
        print(base64.b64decode(answer["LogResult"]).decode("utf-8", "replace"), end="", file=sys.stderr)
    print(answer["Payload"].read().decode("utf-8", "replace"))
    return FAILED if answer.get("FunctionError") else OK
