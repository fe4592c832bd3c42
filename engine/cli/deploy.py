"""`stoker deploy`: a directory or a file becomes a function on a server; a template becomes a stack."""

from __future__ import annotations

import argparse
import io
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import limits
from . import guided, stacks
from .client import SERVER, Link, client, server_errors
from .status import OK, UsageError, option
from .terminal import unguarded

_ROLE = "arn:aws:iam::{}:role/stoker"  # of the caller's account: another's may not be passed
_PAUSE = 0.02  # seconds between two looks at a function that is being updated
_CHUNK = 64 * 1024  # a smaller upload gets no bar
_BAR = 28  # characters

_DESCRIPTION = """\
Packs a directory, or one file, and creates the function or updates it. A template, of AWS SAM or CloudFormation, makes
a stack or updates it: the code that it names is packed, with its requirements.txt installed.

examples:
  stoker deploy handlers/echo
  stoker deploy thumbs.py:handler --name thumbnail --memory 512 --url
  stoker deploy template.yaml --stack shop --parameter Stage=dev
"""


PARSER = {"help": "deploy a function or a template to a server", "description": _DESCRIPTION}
OPTIONS = (
    option("source DIR|FILE.py[:FUNCTION]|TEMPLATE", "what to pack, or a template (.yaml, .yml, .json)"),
    option("--name NAME", "the function's name (default: the directory's or file's)"),
    option("--handler HANDLER", "MODULE.FUNCTION in the directory (default: app.handler)"),
    option("--memory MB", "its memory limit", type=int),
    option("--timeout SECONDS", "its timeout", type=int),
    option("--env NAME=VALUE", "an environment variable", action="append", default=[]),
    option("--url", "give it a URL of its own, too"),
    *stacks.OPTIONS,
    option("--guided", "ask for the stack's name and its parameters, and keep them in stoker.toml"),
    SERVER,
)


@server_errors()
def run(options: argparse.Namespace) -> int:
    if options.source.endswith(stacks.SUFFIXES):
        return _stack(options)
    source, handler = _source(options)
    name = options.name or _name(source)
    archive = _archive(source)
    api = client(options)
    _draw_uploads(api)
    settings = {"Handler": handler, "MemorySize": options.memory, "Timeout": options.timeout}
    if options.env:
        settings["Environment"] = {"Variables": dict(map(_variable, options.env))}
    configuration = {key: value for key, value in settings.items() if value is not None}
    done = _put(api, name, archive, configuration, lambda: _role(options))
    if options.url:
        done = f"{done}: {_url(api, name)}"
    print(f"{name} {done}")
    return OK


def _stack(options: argparse.Namespace) -> int:
    """Deploy a template."""
    guided.recall(options)
    api, name = stacks.connect(options), stacks.stack_name(options)
    if options.guided:
        before = stacks.stack(api, name) or {}
        guided.ask(
            options, name, stacks.declared(options).get("Parameters") or {}, before.get("Parameters", [])
        )
        name = stacks.stack_name(options)
    after = stacks.deploy(api, options, name, stacks.bring(options, Link(options)))
    if after is None:
        print(f"{name} unchanged: it is what {options.source} says")
        return OK
    print(f"{name} {'updated' if after['before'] else 'created'}")
    for each in after.get("Outputs", []):
        print(f"  {each['OutputKey']} = {each['OutputValue']}")
    return OK


def _role(options: argparse.Namespace) -> str:
    return _ROLE.format(client(options, "sts").get_caller_identity()["Account"])


def _archive(source: Path) -> bytes:
    from ..hosting.archives import pack

    try:
        archive = pack(source)
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from None
    if len(archive) > limits.ZIPPED_BYTES:
        size, most = f"{len(archive) / limits.MIB:.1f} MiB", f"{limits.ZIPPED_BYTES // limits.MIB} MiB"
        raise UsageError(f"{source} is {size} when packed: Lambda takes {most} at most")
    return archive


def _put(api: Any, name: str, archive: bytes, configuration: dict[str, Any], role: Callable[[], str]) -> str:
    """Create or update the function, and wait until it is ready. Returns which of the two was done."""
    try:
        _settled(api, name)
    except api.exceptions.ResourceNotFoundException:
        runtime = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        api.create_function(
            FunctionName=name, Runtime=runtime, Role=role(), Code={"ZipFile": archive}, **configuration
        )
        done = "created"
    else:  # what may be refused goes first, so that nothing has changed then
        api.update_function_configuration(FunctionName=name, **configuration)
        _settled(api, name)
        api.update_function_code(FunctionName=name, ZipFile=archive)
        done = "updated"
    _settled(api, name)
    return done


def _settled(api: Any, name: str) -> None:
    """Wait until no change of the function is under way."""
    while True:
        configuration = api.get_function_configuration(FunctionName=name)
        if configuration.get("State") != "Pending" and configuration.get("LastUpdateStatus") != "InProgress":
            return
        time.sleep(_PAUSE)


def _url(api: Any, name: str) -> str:
    """The function's own URL, which is created if it has none."""
    try:
        config = api.create_function_url_config(FunctionName=name, AuthType="NONE")
    except api.exceptions.ResourceConflictException:
        config = api.get_function_url_config(FunctionName=name)
    return str(config["FunctionUrl"])


def _name(source: Path) -> str:
    """A function's name, made from that of a file or directory."""
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


def _draw_uploads(api: Any) -> None:
    """Show the progress of an upload, on a terminal."""
    if not sys.stderr.isatty():
        return

    def before_send(request: Any, **_: Any) -> None:
        if isinstance(request.body, bytes) and len(request.body) >= _CHUNK:
            request.body = _Upload(request.body)

    api.meta.events.register("before-send.lambda.*", before_send)


class _Upload(io.BytesIO):
    """A request's body, which draws a bar as it is read."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.size = len(body)
        self.drawn = -1  # per cent

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        percent = 100 * self.tell() // self.size
        if percent != self.drawn:
            self.drawn = percent
            bar = ("#" * (percent * _BAR // 100)).ljust(_BAR, ".")
            text = f"\ruploading [{bar}] {percent:3}% of {self.size / 1024:.0f} KiB"
            print(text, end="\n" if percent == 100 else "", file=unguarded(sys.stderr), flush=True)
        return data
