"""Commands that talk to a running server, by the Lambda API as any client would: deploy, ls, rm, logs, invoke NAME."""

from __future__ import annotations

import argparse
import base64
import http.client
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
    """A botocore client of the server. Raises UsageError when botocore is not there."""
    try:
        import botocore.session
        from botocore.config import Config
    except ImportError:
        raise UsageError('this needs botocore: pip install "stoker[serve]"') from None
    session = botocore.session.get_session()
    if session.get_credentials() is None:
        session.set_credentials("stoker", "stoker")
    return session.create_client(
        service,
        endpoint_url=options.endpoint or os.environ.get("STOKER_ENDPOINT") or ENDPOINT,
        region_name=session.get_config_variable("region") or "us-east-1",
        config=Config(retries={"max_attempts": 1}, read_timeout=910, parameter_validation=False),
    )


def run(options: argparse.Namespace) -> int:
    """A command's exit status. Raises ServerError."""
    from botocore.exceptions import BotoCoreError, ClientError

    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "deploy": deploy, "ls": listing, "rm": remove, "logs": logs, "invoke": invoke,
    }  # fmt: skip
    try:
        return commands[options.command](options)
    except ClientError as error:
        said = error.response["Error"]
        raise ServerError(f"{said.get('Code')}: {said.get('Message')}") from None
    except BotoCoreError as error:
        raise ServerError(f"{error}. Is the server running? Start it with: stoker serve") from None


def deploy(options: argparse.Namespace) -> int:
    """Pack a directory or a file, and create or update the function."""
    from ..functions.packages import pack

    source, handler = _source(options)
    name = options.name or source.resolve().stem
    archive = pack(source)
    api = client(options)
    with_bar(api)
    configuration: dict[str, Any] = {"Handler": handler}
    for member in ("memory", "timeout"):
        value = getattr(options, member)
        if value is not None:
            configuration[{"memory": "MemorySize", "timeout": "Timeout"}[member]] = value
    if options.env:
        pairs = dict(pair.partition("=")[::2] for pair in options.env)
        configuration["Environment"] = {"Variables": pairs}
    runtime = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        api.update_function_code(FunctionName=name, ZipFile=archive)
        done = "updated"
        settled(api, name)
        api.update_function_configuration(FunctionName=name, **configuration)
    except api.exceptions.ResourceNotFoundException:
        api.create_function(
            FunctionName=name, Runtime=runtime, Role=ROLE, Code={"ZipFile": archive}, **configuration
        )
        done = "created"
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


def _source(options: argparse.Namespace) -> tuple[Path, str]:
    """What to pack, and the handler in it."""
    text, _, attribute = options.source.partition(":")
    source = Path(text)
    if source.is_file() and source.suffix == ".py":
        return source, f"{source.stem}.{attribute or 'handler'}"
    if not source.is_dir():
        raise UsageError(f"{text} is neither a directory nor a .py file")
    if options.handler:
        return source, options.handler
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

    def send(request: Any, **_: Any) -> Any:
        body = request.body or b""
        if len(body) < _CHUNK:
            return None
        return _uploaded(request, body)

    api.meta.events.register("before-send.lambda.*", send)


def _uploaded(request: Any, body: bytes) -> Any:
    from botocore.awsrequest import AWSResponse

    parts = urlsplit(request.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.putrequest(request.method, parts.path or "/", skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", parts.netloc)
    for header, value in request.headers.items():
        connection.putheader(header, value)
    connection.endheaders()
    for at in range(0, len(body), _CHUNK):
        connection.send(body[at : at + _CHUNK])
        part = min(1.0, (at + _CHUNK) / len(body))
        full = int(part * _BAR)
        text = f"\ruploading [{'#' * full}{'.' * (_BAR - full)}] {part:4.0%} of {len(body) / 1024:.0f} KiB"
        print(text, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    answer = connection.getresponse()
    content = answer.read()

    class Raw:
        def stream(self, **_: Any) -> Any:
            yield content

    return AWSResponse(request.url, answer.status, dict(answer.getheaders()), Raw())


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
        return float(number) * units[unit]
    except ValueError:
        raise UsageError(f"--since {text}: write 90, 90s, 15m, 2h or 1d") from None


def invoke(options: argparse.Namespace) -> int:
    """Invoke a function that is deployed."""
    answer = client(options).invoke(
        FunctionName=options.reference,
        Payload=read_event("{}" if options.event is None else options.event, raw=False),
        LogType="Tail",
    )
    if answer.get("LogResult"):
        print(base64.b64decode(answer["LogResult"]).decode("utf-8", "replace"), end="", file=sys.stderr)
    print(answer["Payload"].read().decode("utf-8", "replace"))
    return FAILED if answer.get("FunctionError") else OK
