"""Lambda's context object, made for every invocation and costing next to nothing until it is asked."""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any


class ClientContext:
    """What a mobile client sent along; always absent in embedded calls."""

    client: Any = None
    custom: Any = None
    env: Any = None


class CognitoIdentity:
    """The caller's Cognito identity; both members are None outside of mobile SDK calls."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


class Context:
    """What a handler gets as its second argument.

    The members that are the same for every invocation of a worker are attributes of a class made once
    per worker (`bind`); an instance holds only the invocation's header, read when asked.
    """

    function_name: str = ""
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "128"
    invoked_function_arn: str = ""
    log_group_name: str = ""
    log_stream_name: str = ""
    tenant_id: str | None = None
    client_context: ClientContext | None = None
    identity: CognitoIdentity = CognitoIdentity()

    def __init__(self, header: bytes) -> None:
        self._header = header

    @property
    def aws_request_id(self) -> str:
        """This invocation's id, a version 4 UUID."""
        return str(uuid.UUID(bytes=self._header[REQUEST_ID]))

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout; never negative."""
        timeout = int.from_bytes(self._header[TIMEOUT_NS], sys.byteorder)
        start = int.from_bytes(self._header[START_NS], sys.byteorder)
        return max(0, (start + timeout - time.monotonic_ns()) // 1_000_000)

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


# Where the header (a stk_record, then the payload's address and the start) has what.
TIMEOUT_NS = slice(24, 32)
REQUEST_ID = slice(40, 56)
START_NS = slice(72, 80)
HEADER_BYTES = 80


def bind(**members: str) -> type[Context]:
    """Context with a worker's own members."""
    return type("LambdaContext", (Context,), members)
