"""What crosses a process boundary: JSON payloads, and the messages between engine, zygote and templates.

Payloads are JSON as Lambda has them. What msgspec refuses but Lambda's runtime accepts (NaN, lone surrogates, numbers
out of range) goes through the standard library's json, for the value that it has on Lambda. But where Lambda's runtime
writes NaN and Infinity, which are no JSON, null is written here.
"""

from __future__ import annotations

import array
import decimal
import json
import math
import socket
import time
from collections.abc import Sequence
from typing import Any

import msgspec

_FALL_BACK = (msgspec.MsgspecError, UnicodeError, OverflowError, TypeError, ValueError, RecursionError)

fast_decode = msgspec.json.Decoder().decode
fast_encode = msgspec.json.Encoder(decimal_format="number").encode


def decode(data: bytes | bytearray | memoryview) -> Any:
    """A JSON document's value. Raises ValueError (json's own message) or RecursionError."""
    try:
        return fast_decode(data)
    except _FALL_BACK:
        return json.loads(bytes(data))


def decode_json(data: bytes | bytearray | memoryview) -> Any:
    """The same without NaN and Infinity, which Lambda does not take in an event."""
    try:
        return fast_decode(data)
    except _FALL_BACK:
        return json.loads(bytes(data), parse_constant=_no_number)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _default(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        number = float(value) if value.is_finite() else math.nan
        return number if math.isfinite(number) else None
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def encode(value: Any) -> bytes:
    """A value as JSON. Raises TypeError, ValueError or RecursionError when JSON cannot express it."""
    try:
        return fast_encode(value)
    except _FALL_BACK:
        try:
            return json.dumps(value, default=_default, allow_nan=False).encode()
        except ValueError as error:
            if "Circular" in str(error):
                raise
            return json.dumps(_finite(value), default=_default).encode()


def _finite(value: Any) -> Any:
    """A value with None for each NaN and Infinity in it, as the fast encoder writes them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


def raw_reply(data: Any) -> bytes | memoryview:
    """What a raw handler returned: anything with a buffer, not copied where that is in one piece; a str as UTF-8."""
    if type(data) is bytes:
        return data
    if isinstance(data, str):
        return data.encode()
    if data is None:
        return b""
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


class Extras(msgspec.Struct, omit_defaults=True):
    """What one invocation's context has of its own."""

    arn: str = ""  # as it was invoked: with the alias
    client: str = ""  # the client context, JSON
    identity: str = ""  # the Cognito identity, JSON
    trace: str = ""  # X-Amzn-Trace-Id
    tenant: str = ""


_extras: msgspec.json.Decoder[Extras] = msgspec.json.Decoder(Extras)


def attach(extras: Extras, event: bytes) -> bytes:
    """An event with its extras before it, for an invocation with the flag STK_EXTRAS."""
    data = fast_encode(extras)
    return len(data).to_bytes(4, "little") + data + event


def detach(payload: bytes | memoryview) -> tuple[Extras, bytes | memoryview]:
    """What attach() put together."""
    end = 4 + int.from_bytes(payload[:4], "little")
    return _extras.decode(payload[4:end]), payload[end:]


def log_stream(first: str, born: int) -> str:
    """The log stream of one of a deployment's workers. first: its first worker's, and its init's; born: when this one
    was, epoch us, 0: it is the first one."""
    if not born:
        return first
    return f"{time.strftime('%Y/%m/%d', time.gmtime(born // 1_000_000))}{first[10:-16]}{born:016x}"


class Sandbox(msgspec.Struct, frozen=True):
    """What a deployed function's processes see of the machine: see worker/sandbox.py."""

    task: str  # the directory that is /var/task inside
    opt: str  # the one that is /opt; "": none
    tmp_mb: int  # the size of /tmp
    hidden: list[str]  # directories that are not there
    shared: list[str]  # directories that are, where they are, and writable
    visible: list[str]  # files and directories that are, read-only


class Deployed(msgspec.Struct, frozen=True):
    """What a deployed version has beyond its configuration. The defaults are an embedded function's."""

    version: str = "$LATEST"
    arn: str = ""  # "": made of region, account and name
    log_group: str = ""  # "": /aws/lambda/NAME
    log_stream: str = ""  # of its first worker: log_stream() above has the others'; "": each makes its own
    initialization: str = ""  # AWS_LAMBDA_INITIALIZATION_TYPE; "": as it is initialised
    # Of an invocation that nothing traced, what follows root and parent in its header; "": it has none.
    trace: str = ""
    clock: int = 0  # ns that CLOCK_MONOTONIC is behind the time of day, for that header
    path_first: list[str] = []  # sys.path entries before all but the code
    base: dict[str, str] | None = (
        None  # all variables beside Lambda's and the function's own; None: the engine's
    )
    python: str = ""  # the interpreter that runs it; "": the engine's own
    strict: bool = False  # responses as AWS's runtime writes them, and no others
    strict_imports: bool = False  # it imports what its package, layers, AWS's runtime and the library have
    sandbox: Sandbox | None = None
    fresh: bool = False  # its interpreter must start with its environment


class FunctionSpec(msgspec.Struct, frozen=True):
    """A function as its processes need to know it."""

    name: str
    module: str
    attribute: str
    code: str
    path: list[str]  # sys.path entries behind `code`; none: the interpreter's own
    main_file: str  # the embedder's own script, if its function is defined in that, or ""
    main_name: str  # the module as which that was run (`python -m`), or ""
    environment: dict[str, str]
    memory: int  # MB
    timeout: float  # seconds
    snapshot: bool
    raw: bool
    large: int  # bytes of a lane's large area
    max_reply: int
    deployed: Deployed
    # What is different of the embedder's variables since the zygote got them; None: it is gone.
    changed: dict[str, str | None] = {}
    plain: bool = False  # no Lambda function: nothing of Lambda's in its environment and logging


_function_specs: msgspec.json.Decoder[FunctionSpec] = msgspec.json.Decoder(FunctionSpec)


def function_spec(data: bytes) -> FunctionSpec:
    return _function_specs.decode(data)


# Engine to zygote: with the template's socket and the write end of its output pipe attached.
class MakeTemplate(msgspec.Struct, tag=True):
    spec: FunctionSpec
    template: int  # the engine's number of this template: a function may get several, one after the other


# Zygote to engine.
class TemplateMade(msgspec.Struct, tag=True):  # with a pidfd attached
    template: int


class TemplateNotMade(msgspec.Struct, tag=True):
    template: int
    errno: int


class TemplateEnded(msgspec.Struct, tag=True):
    template: int
    status: int
    peak_kib: int = 0  # of its resident memory


# Engine to template: with the lane's five descriptors attached.
class Fork(msgspec.Struct, tag=True):
    lane: int
    core: int
    more: bool = False  # may the function have another worker after this one?
    born: int = 0  # epoch us; 0: it is the first one


# Template to engine.
class Initialised(msgspec.Struct, tag=True):
    error: str = ""  # Lambda's error object as JSON, or empty
    unsafe: str = ""  # why a snapshot of it cannot be forked, or empty
    seconds: float = 0.0
    peak_kib: int = 0


class Forked(msgspec.Struct, tag=True):  # with a pidfd attached
    lane: int
    pid: int


class ForkFailed(msgspec.Struct, tag=True):
    lane: int
    errno: int


class WorkerEnded(msgspec.Struct, tag=True):
    lane: int
    status: int  # an exit status, or -signal
    peak_kib: int = 0


Message = (
    MakeTemplate | TemplateMade | TemplateNotMade | TemplateEnded
    | Fork | Initialised | Forked | ForkFailed | WorkerEnded
)  # fmt: skip
_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)

MESSAGE_BYTES = 192 * 1024
MAX_FDS = 8


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """One message, with descriptors attached. Raises OSError when the peer is gone."""
    data = fast_encode(message)
    if fds:
        socket.send_fds(sock, [data], list(fds))
    else:
        sock.send(data)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors; None when the peer is gone. Raises BlockingIOError."""
    try:
        data, ancillary, _flags, _address = sock.recvmsg(
            MESSAGE_BYTES, socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
        )
    except (ConnectionResetError, BrokenPipeError):
        return None
    fds = array.array("i")  # not by socket.recv_fds: Python 3.11's drops the flags
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return (_messages.decode(data), list(fds)) if data else None
