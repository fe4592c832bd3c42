"""What every way to invoke a function has in common: a context's extras, AWS's limits, and the log's tail."""

from __future__ import annotations

import base64
import binascii

from ... import limits, wire
from ...aws.faults import Fault
from ...hosting.results import Result
from ...observe.log import tail

CLIENT_CONTEXT_BYTES = 3583


def extras_of(client: bytes, trace: str, tenant: str) -> wire.Extras | None:
    """What an invocation's context has beside the usual. client: X-Amz-Client-Context. Raises Fault for one that is
    none."""
    extras = wire.Extras(client=_client_context(client) if client else "", trace=trace, tenant=tenant)
    return extras if extras.client or extras.trace or extras.tenant else None


def _client_context(value: bytes) -> str:
    """A client context's JSON. Raises Fault."""
    if len(value) > CLIENT_CONTEXT_BYTES:
        message = f"Client context must be at most {CLIENT_CONTEXT_BYTES} bytes of base64-encoded data"
        raise Fault("InvalidRequestContentException", message, Type="User")
    try:
        data = base64.b64decode(value, validate=True)
        if isinstance(wire.decode(data), dict):
            return data.decode()
    except (ValueError, RecursionError, binascii.Error):
        pass
    message = "Client context must be a valid Base64-encoded JSON object."
    raise Fault("InvalidRequestContentException", message, Type="User")


def check_size(size: int, limit: int, operation: str) -> None:
    """Raises Fault for a payload of more bytes than the operation takes."""
    if size > limit:
        message = f"Request must be smaller than {limit} bytes for the {operation} operation"
        raise Fault("RequestTooLargeException", message, Type="User")


def log_result(result: Result) -> bytes:
    """The last 4 KiB of what the invocation logged, base64."""
    if result.record is None:
        return b""
    return base64.b64encode(tail(result.deployment.info, result.record, limits.LOG_TAIL_BYTES))
