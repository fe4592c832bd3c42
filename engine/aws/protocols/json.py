"""JSON 1.0 and 1.1: the header X-Amz-Target names the operation, and all members are in the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import ServiceModel

from ... import wire
from ..faults import Fault
from ..messages import Request, Response
from ..shapes import KINDS, Dialect, Reader, to_json
from .base import Base, Operation

_DIALECT = Dialect(
    KINDS | {"boolean": "a Boolean"}, fraction="DECIMAL", truncates=False, nulls=False, strict=False
)


class Json(Base):
    """CloudWatch Logs', SQS's and EventBridge's protocol."""

    def __init__(self, model: ServiceModel, operations: Mapping[str, Operation]) -> None:
        super().__init__(model, operations)
        self.content_type = f"application/x-amz-json-{self.metadata['jsonVersion']}".encode()
        self._reader = Reader(_DIALECT)

    def match(self, request: Request) -> tuple[Operation, dict[str, str]]:
        """Raises Fault: UnknownOperationException."""
        prefix, _, name = request.header("x-amz-target").rpartition(".")
        if prefix != self.metadata["targetPrefix"] or name not in self.operations:
            raise Fault("UnknownOperationException", None)
        return self.operations[name], {}

    def parse(self, operation: Operation, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
        members = operation.input.members if operation.input else {}
        return self._reader.members(members, self._reader.document(request.body or b"{}"))

    def render(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
        body = b"" if operation.output is None else wire.encode(to_json(operation.output, result))
        return self.response(operation.status, body, request_id)

    def error(self, fault: Fault, request_id: str) -> Response:
        body, status = {"__type": fault.code} | self.members(fault), self.status(fault)
        response = self.response(status, wire.encode(body), request_id)
        if self.query_compatible:
            response.headers.append((b"x-amzn-query-error", self.query_error(fault, status)))
        return response
