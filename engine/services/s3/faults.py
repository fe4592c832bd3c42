"""S3's errors, and the form in which its clients read them."""

from __future__ import annotations

import uuid
from typing import Any

from ...aws.faults import Fault
from ...aws.messages import Response
from ...aws.shapes import xml_text

STATUS = {
    "AccessDenied": 403, "BucketAlreadyOwnedByYou": 409, "BucketNotEmpty": 409, "InternalError": 500,
    "InvalidRange": 416, "MethodNotAllowed": 405, "NoSuchBucket": 404, "NoSuchKey": 404, "NoSuchUpload": 404,
    "NotImplemented": 501, "PreconditionFailed": 412, "RequestTimeout": 400, "ServiceUnavailable": 503, "SlowDown": 503,
    # What the door and the transport say.
    "AccessDeniedException": 403, "ServiceException": 500, "ServiceUnavailableException": 503,
}  # fmt: skip
_CODES = {
    "AccessDeniedException": "AccessDenied",
    "IncompleteSignatureException": "AuthorizationHeaderMalformed",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnrecognizedClientException": "InvalidAccessKeyId",
    "ServiceException": "InternalError",
    "ServiceUnavailableException": "SlowDown",
}


def invalid(message: str, name: str, value: str) -> Fault:
    return Fault("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)


def malformed() -> Fault:
    text = "The XML you provided was not well-formed or did not validate against our published schema"
    return Fault("MalformedXML", text)


def no_bucket(bucket: str) -> Fault:
    return Fault("NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)


def error(fault: Fault, resource: str = "", head: bool = False) -> Response:
    """head: of a request whose response has no body."""
    id = str(uuid.uuid4())
    members: dict[str, Any] = {
        "Code": _CODES.get(fault.code, fault.code), "Message": fault.message or "", **fault.members,
        "Resource": resource, "RequestId": id, "HostId": id,
    }  # fmt: skip
    status = getattr(fault, "status", None) or STATUS.get(fault.code, 400)
    body = "".join(f"<{name}>{xml_text(str(value))}</{name}>" for name, value in members.items())
    text = "" if head else f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{body}</Error>'
    return xml(status, text.encode(), id, {"x-amzn-errortype": members["Code"]})  # all that a HEAD has


def xml(status: int, body: bytes, id: str = "", headers: dict[str, str] | None = None) -> Response:
    id = id or str(uuid.uuid4())
    found = {"content-type": "application/xml", "x-amz-request-id": id, "x-amz-id-2": id, **(headers or {})}
    return Response(status, [(name.encode(), value.encode("latin-1")) for name, value in found.items()], body)
