"""Smithy RPC v2 with CBOR: the path names service and operation, and all members are in the body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore.model import ServiceModel, Shape

from ..faults import Fault
from ..messages import Request, Response
from ..shapes import Dialect, Reader
from . import cbor
from .base import Base, Operation

_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)/?")
_HEADER = (b"smithy-protocol", b"rpc-v2-cbor")


class _CborReader(Reader):
    """CBOR has bytes of its own, and keys that may be no text."""

    def value(self, shape: Shape, value: Any) -> Any:
        if isinstance(value, bytes):
            if shape.type_name != "blob":
                raise Fault("SerializationException", "Unexpected bytes")
            return value
        if shape.type_name == "blob":
            raise Fault("SerializationException", "Bytes were expected")
        if (
            shape.type_name == "map"
            and isinstance(value, dict)
            and not all(isinstance(key, str) for key in value)
        ):
            raise Fault("SerializationException", "The keys of a map must be text")
        return super().value(shape, value)


class RpcV2Cbor(Base):
    """CloudWatch's protocol."""

    content_type = b"application/cbor"

    def __init__(self, model: ServiceModel, operations: Mapping[str, Operation]) -> None:
        super().__init__(model, operations)
        self._reader = _CborReader(Dialect(truncates=False, nulls=False))

    def match(self, request: Request) -> tuple[Operation, dict[str, str]]:
        """Raises Fault: UnknownOperationException."""
        found = _PATH.fullmatch(request.path)
        if found is None or found[1] != self.metadata["targetPrefix"] or found[2] not in self.operations:
            raise Fault("UnknownOperationException", None)
        return self.operations[found[2]], {}

    def parse(self, operation: Operation, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
        members = operation.input.members if operation.input else {}
        try:
            document = cbor.decode(request.body) if request.body else {}
        except cbor.CborError:
            raise Fault("SerializationException", None) from None
        return self._reader.members(members, document)

    def render(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
        body = b"\xa0" if operation.output is None else cbor.encode(operation.output, result)
        return self._marked(self.response(operation.status, body, request_id))

    def error(self, fault: Fault, request_id: str) -> Response:
        """What the query protocol calls it is in a header, for clients that knew that one."""
        status = self.status(fault)
        body = cbor.encode_plain({"__type": fault.code} | self.members(fault))
        response = self._marked(self.response(status, body, request_id))
        if self.query_compatible:
            response.headers.append((b"x-amzn-query-error", self.query_error(fault, status)))
        return response

    def _marked(self, response: Response) -> Response:
        response.headers.append(_HEADER)
        return response
