"""The query protocol: a form names the operation and has its members; responses are XML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from botocore.model import ServiceModel

from ..faults import Fault
from ..messages import Request, Response
from ..shapes import Reader, xml_members, xml_text
from .base import Base, Operation

FIELDS = 4_000  # parameters that a form may have
_MORE = {"monitoring": 400_000}  # by endpoint: PutMetricData has 1,000 metrics of 150 values, in 1 MiB
# What this protocol calls the faults that come of no operation.
_CODES = {
    "AccessDeniedException": "AccessDenied",
    "IncompleteSignatureException": "IncompleteSignature",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "NotImplementedException": "NotImplemented",
    "SerializationException": "MalformedInput",
    "ServiceException": "InternalFailure",
    "ServiceUnavailableException": "ServiceUnavailable",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "ValidationException": "ValidationError",
}


class Query(Base):
    """STS's and SNS's protocol."""

    content_type = b"text/xml"

    def __init__(self, model: ServiceModel, operations: Mapping[str, Operation]) -> None:
        super().__init__(model, operations)
        self._reader = Reader()
        self._fields = _MORE.get(self.metadata["endpointPrefix"], FIELDS)

    def match(self, request: Request) -> tuple[Operation, dict[str, str]]:
        """The operation, and as its labels the parameters of the form: of the body, or of the query without one.

        Raises Fault: MissingAction or InvalidAction, which is another version's action too.
        """
        form = request.body.decode("utf-8", "replace") if request.body else request.query
        try:
            pairs = parse_qsl(form, keep_blank_values=True, errors="replace", max_num_fields=self._fields)
        except ValueError:
            pairs = []
        fields, names = dict(pairs), [name for name, _ in pairs]
        action, version = (fields[name] if names.count(name) == 1 else "" for name in ("Action", "Version"))
        if not action:
            raise Fault("MissingAction", "The request is missing an action or a required parameter.")
        if version != self.metadata["apiVersion"] or action not in self.operations:
            text = f"Could not find operation {action[:300]} for version {version[:300] or 'NO_VERSION_SPECIFIED'}"
            raise Fault("InvalidAction", text)
        return self.operations[action], fields

    def parse(self, operation: Operation, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
        return self._reader.form(operation.input, self._reader.tree(labels)) if operation.input else {}

    def render(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
        body = "".join(xml_members(operation.output, result)) if operation.output else ""
        wrapper = operation.output.serialization.get("resultWrapper") if operation.output else None
        if wrapper:
            body = f"<{wrapper}>{body}</{wrapper}>"
        body += f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        return self._document(f"{operation.name}Response", operation.status, body, request_id)

    def error(self, fault: Fault, request_id: str) -> Response:
        shape, status = self.errors.get(fault.code), self.status(fault)
        code = shape.error_code if shape else _CODES.get(fault.code, fault.code)
        body = (
            f"<Error><Type>{'Sender' if status < 500 else 'Receiver'}</Type><Code>{xml_text(code)}</Code>"
            f"<Message>{xml_text(fault.message or '')}</Message>"
            f"{''.join(xml_members(shape, fault.members)) if shape else ''}</Error>"
            f"<RequestId>{request_id}</RequestId>"
        )
        return self._document("ErrorResponse", status, body, request_id)

    def _document(self, name: str, status: int, body: str, request_id: str) -> Response:
        text = f'<{name} xmlns="{self.metadata["xmlNamespace"]}">{body}</{name}>'
        return self.response(status, text.encode(), request_id)
