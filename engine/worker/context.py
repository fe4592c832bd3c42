"""Lambda's context object, made for every invocation and costing next to nothing until it is read."""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from .. import errors, wire

if TYPE_CHECKING:
    from .calls import Calls


class ClientContext:
    """What a client sent along with X-Amz-Client-Context; always absent in embedded calls."""

    client: Any = None
    custom: Any = None
    env: Any = None


class CognitoIdentity:
    """The caller's Cognito identity; both members are None outside of mobile SDK calls."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


class _Header(msgspec.Struct, eq=False, dict=True, weakref=True):
    _header: bytes


_OWN: Any = vars(_Header)["__dict__"]  # an instance's own attributes


class Context(_Header, eq=False):
    """What a handler gets as its second argument.

    The members that are the same for every invocation of a worker are attributes of a class made once
    per worker (`bind`); an instance holds only the invocation's header, read when needed. It is a Struct
    because those are made in half the time of an ordinary object, and one is made for every invocation.
    """

    function_name: ClassVar[str] = ""
    function_version: ClassVar[str] = "$LATEST"
    memory_limit_in_mb: ClassVar[str] = "128"
    invoked_function_arn: ClassVar[str] = ""
    log_group_name: ClassVar[str] = ""
    log_stream_name: ClassVar[str] = ""
    tenant_id: ClassVar[str | None] = None
    _calls: ClassVar[Calls | None] = None  # an embedded function's
    client_context: ClassVar[ClientContext | None] = None
    identity: ClassVar[CognitoIdentity] = CognitoIdentity()

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The members that vars() of Lambda's own context has."""
        members = {name: getattr(self, name) for name in _MEMBERS}
        return {**members, "_epoch_deadline_time_in_ms": self._deadline_ms, **_OWN.__get__(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, for another process, too, knows what this one does, and invokes nothing."""
        kept = {name: getattr(type(self), name) for name in _OF_A_WORKER}
        return _again, (bytes(self._header), kept, _OWN.__get__(self))

    @property
    def _deadline_ms(self) -> int:
        """Epoch ms of the function's timeout."""
        return int(time.time() * 1000) + self.get_remaining_time_in_millis()

    @property
    def aws_request_id(self) -> str:
        """This invocation's id, a version 4 UUID."""
        return str(uuid.UUID(bytes=self._header[REQUEST_ID]))

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout; never negative."""
        timeout = int.from_bytes(self._header[TIMEOUT_NS], sys.byteorder)
        start = int.from_bytes(self._header[START_NS], sys.byteorder)
        return max(0, (start + timeout - time.monotonic_ns()) // 1_000_000)

    def invoke(self, name: str, event: Any = None) -> Any:
        """Invoke another function of this engine, by its name, and return its result. In embedded functions only:
        a deployed one has boto3.client("lambda"), as on AWS.

        Goes by this worker's lane, without a socket. Ends with this invocation's own deadline at the latest. Raises as
        Function.invoke; TooManyRequests also when each worker that the function may have waits for a function that
        it called itself, since it might be this one. From several threads of a handler: one after the other.
        """
        if self._calls is None:
            text = 'a deployed function invokes others by boto3.client("lambda"): context.invoke is for embedded ones'
            raise errors.EngineError(text)
        return self._calls.invoke(self._header, name, event, os.environ.get(_TRACE, ""))

    def log(self, message: Any) -> None:
        """Write to the function's log."""
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        return (
            f"LambdaContext([aws_request_id={self.aws_request_id},log_group_name={self.log_group_name},"
            f"log_stream_name={self.log_stream_name},function_name={self.function_name},"
            f"memory_limit_in_mb={self.memory_limit_in_mb},function_version={self.function_version},"
            f"invoked_function_arn={self.invoked_function_arn},client_context={self.client_context},"
            f"identity={self.identity},tenant_id={self.tenant_id}])"
        )


_TRACE = "_X_AMZN_TRACE_ID"


_OF_A_WORKER = (
    "function_name", "function_version", "memory_limit_in_mb", "invoked_function_arn", "log_group_name",
    "log_stream_name",
)  # fmt: skip
_MEMBERS = ("aws_request_id", *_OF_A_WORKER, "client_context", "identity", "tenant_id")


def _again(header: bytes, of_its_worker: dict[str, str], own: dict[str, Any]) -> Context:
    made = bind(**of_its_worker)(header)
    _OWN.__get__(made).update(own)
    return made


class _Bag:
    """An object whose attributes are a JSON object's members."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.__dict__.update(members)


def extend(context: Context, extras: wire.Extras) -> bool:
    """Give one invocation's context what only it has, and the environment its trace. Did that get one?"""
    own = _OWN.__get__(context)
    if extras.arn:
        own["invoked_function_arn"] = extras.arn
    if extras.client:
        own["client_context"] = _client(extras.client)
    if extras.identity:
        members = wire.decode(extras.identity.encode())
        own["identity"] = identity = CognitoIdentity()
        identity.cognito_identity_id = members.get("cognitoIdentityId")
        identity.cognito_identity_pool_id = members.get("cognitoIdentityPoolId")
    if extras.tenant:
        own["tenant_id"] = extras.tenant
    if extras.trace:
        os.environ[_TRACE] = extras.trace
    return bool(extras.trace)


class Trace:
    """The trace header of the invocations that come without one. It is made when something reads it: os.environ has
    values as bytes, and decodes them."""

    def __init__(self, header: Any, tail: str, clock: int) -> None:
        """header: of the invocation in hand; tail, clock: wire.Deployed's."""
        self._header = header
        self._tail = tail
        self._clock = clock

    def __bytes__(self) -> bytes:
        id = self._header[REQUEST_ID].hex()
        start = int.from_bytes(self._header[START_NS], sys.byteorder) + self._clock
        return f"Root=1-{start // 1_000_000_000:08x}-{id[:24]};Parent={id[16:]}{self._tail}".encode()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self).decode(encoding, errors)

    def install(self) -> None:
        vars(os.environ)["_data"][_TRACE.encode()] = self


def forget_trace(trace: Trace | None) -> bool:
    """The next invocation is another's: it must not go on with this one's trace, nor with its lineage."""
    os.environ.pop(_TRACE, None)
    if trace is not None:
        trace.install()
    return False


_CLIENT = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


def _client(text: str) -> ClientContext | None:
    """A client context as AWS's Python runtime makes it of the JSON text."""
    members = wire.decode(text.encode())
    if not isinstance(members, dict):
        return None
    made = ClientContext()
    made.custom = members.get("custom")
    made.env = members.get("env")
    client = members.get("client")
    made.client = _Bag({name: client.get(name) for name in _CLIENT}) if isinstance(client, dict) else None
    return made


# Where the header (a stk_record, then the payload's address and the start) has what.
TIMEOUT_NS = slice(24, 32)
REQUEST_ID = slice(40, 56)
START_NS = slice(72, 80)
HEADER_BYTES = 80


def bind(**members: str) -> type[Context]:
    """Context with a worker's own members."""
    return type("LambdaContext", (Context,), members)
