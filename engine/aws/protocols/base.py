"""What the protocols share: an operation of a model, and a fault's status and members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import ServiceModel, StructureShape

from ..faults import Fault
from ..messages import Response

# Of codes that a model does not have, or gives no status; 400 of the others.
STATUS = {
    "AccessDeniedException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "NotImplementedException": 501,
    "RequestEntityTooLargeException": 413,
    "ServiceException": 500,
    "ServiceUnavailableException": 503,
    "UnrecognizedClientException": 403,
}
_CAPITAL = {"AccessDeniedException"}  # "Message", where other codes that no model has have "message"


@dataclass(slots=True)
class Operation:
    """One operation of a model. fixed: query parameters that belong to its path."""

    name: str
    method: str
    path: str
    fixed: dict[str, str]
    input: StructureShape | None
    output: StructureShape | None
    status: int


class Base:
    """A model as its protocol needs it."""

    content_type = b"application/json"

    def __init__(self, model: ServiceModel, operations: Mapping[str, Operation]) -> None:
        self.metadata: Mapping[str, Any] = model.metadata
        self.operations = operations
        self.errors: Mapping[str, StructureShape] = {shape.name: shape for shape in model.error_shapes}
        # Errors also carry the code that the query protocol had for them.
        self.query_compatible = "awsQueryCompatible" in self.metadata

    def response(self, status: int, body: bytes, request_id: str) -> Response:
        headers = [(b"content-type", self.content_type), (b"x-amzn-requestid", request_id.encode())]
        return Response(status, headers, body)

    def status(self, fault: Fault) -> int:
        """The error shape's own, or else the fault's, or else its code's."""
        shape = self.errors.get(fault.code)
        error = shape.metadata.get("error", {}) if shape else {}
        own = getattr(fault, "status", None)
        return int(error.get("httpStatusCode") or own or STATUS.get(fault.code, 400))

    def query_error(self, fault: Fault, status: int) -> bytes:
        """The header's value."""
        shape = self.errors.get(fault.code)
        code = shape.error_code if shape else fault.code
        return f"{code};{'Sender' if status < 500 else 'Receiver'}".encode("latin-1", "replace")

    def members(self, fault: Fault) -> dict[str, Any]:
        """What a fault's body has: the message in the error shape's spelling, and the shape's other members."""
        shape = self.errors.get(fault.code)
        if shape is None:
            if fault.code in _CAPITAL:
                return {"Message": fault.message}  # null, where there is none
            return {} if fault.message is None else {"message": fault.message}
        body = {
            name: fault.members[name]
            for name, member in shape.members.items()
            if name in fault.members and member.serialization.get("location") is None
        }
        if fault.message is not None:
            body[next((name for name in shape.members if name.lower() == "message"), "message")] = (
                fault.message
            )
        return body
