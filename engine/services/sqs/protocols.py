"""SQS's two protocols: JSON as botocore's model has it, and the query protocol that was there before.

botocore's model no longer has what the query protocol needs (the names in forms and XML, the codes of errors): they
are here, from the model as it was until 2023. Errors of the JSON protocol carry the query protocol's codes, too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from botocore.model import ServiceModel

from ... import wire
from ...aws.faults import Fault
from ...aws.messages import Response
from ...aws.model import Model, Operation, description

NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
VERSION = "2012-11-05"
# Names in forms and XML, of lists' members, of maps, and of members.
_LISTS = {
    "AWSAccountIdList": "AWSAccountId", "ActionNameList": "ActionName", "AttributeNameList": "AttributeName",
    "BatchResultErrorEntryList": "BatchResultErrorEntry", "BinaryList": "BinaryListValue",
    "ChangeMessageVisibilityBatchRequestEntryList": "ChangeMessageVisibilityBatchRequestEntry",
    "ChangeMessageVisibilityBatchResultEntryList": "ChangeMessageVisibilityBatchResultEntry",
    "DeleteMessageBatchRequestEntryList": "DeleteMessageBatchRequestEntry",
    "DeleteMessageBatchResultEntryList": "DeleteMessageBatchResultEntry",
    "ListMessageMoveTasksResultEntryList": "ListMessageMoveTasksResultEntry",
    "MessageAttributeNameList": "MessageAttributeName", "MessageList": "Message",
    "MessageSystemAttributeList": "MessageSystemAttributeName", "QueueUrlList": "QueueUrl",
    "SendMessageBatchRequestEntryList": "SendMessageBatchRequestEntry",
    "SendMessageBatchResultEntryList": "SendMessageBatchResultEntry", "StringList": "StringListValue",
    "TagKeyList": "TagKey",
}  # fmt: skip
_MAPS = {
    "MessageBodyAttributeMap": ("Name", "Value", "MessageAttribute"),
    "MessageBodySystemAttributeMap": ("Name", "Value", "MessageSystemAttribute"),
    "MessageSystemAttributeMap": ("Name", "Value", "Attribute"),
    "QueueAttributeMap": ("Name", "Value", "Attribute"),
    "TagMap": ("Key", "Value", "Tag"),
}
_VALUES = {"StringListValues": "StringListValue", "BinaryListValues": "BinaryListValue"}
# Members of a form that may stand there once without a number.
_UNNUMBERED = frozenset(
    {
        "AWSAccountId",
        "ActionName",
        "AttributeName",
        "MessageAttributeName",
        "MessageSystemAttributeName",
        "TagKey",
    }
)
_QUEUE_SERVICE = "AWS.SimpleQueueService."
# By the error shapes' names: the query protocol's code, and the status.
ERRORS: dict[str, tuple[str, int]] = {
    "BatchEntryIdsNotDistinct": (f"{_QUEUE_SERVICE}BatchEntryIdsNotDistinct", 400),
    "BatchRequestTooLong": (f"{_QUEUE_SERVICE}BatchRequestTooLong", 400),
    "EmptyBatchRequest": (f"{_QUEUE_SERVICE}EmptyBatchRequest", 400),
    "InvalidAddress": ("InvalidAddress", 404),
    "InvalidAttributeName": ("InvalidAttributeName", 400),
    "InvalidAttributeValue": ("InvalidAttributeValue", 400),
    "InvalidBatchEntryId": (f"{_QUEUE_SERVICE}InvalidBatchEntryId", 400),
    "InvalidIdFormat": ("InvalidIdFormat", 404),
    "InvalidMessageContents": ("InvalidMessageContents", 400),
    "InvalidSecurity": ("InvalidSecurity", 403),
    "KmsAccessDenied": ("KMS.AccessDeniedException", 400),
    "KmsDisabled": ("KMS.DisabledException", 400),
    "KmsInvalidKeyUsage": ("KMS.InvalidKeyUsageException", 400),
    "KmsInvalidState": ("KMS.InvalidStateException", 400),
    "KmsNotFound": ("KMS.NotFoundException", 400),
    "KmsOptInRequired": ("KMS.OptInRequired", 403),
    "KmsThrottled": ("KMS.ThrottlingException", 400),
    "MessageNotInflight": (f"{_QUEUE_SERVICE}MessageNotInflight", 400),
    "OverLimit": ("OverLimit", 403),
    "PurgeQueueInProgress": (f"{_QUEUE_SERVICE}PurgeQueueInProgress", 403),
    "QueueDeletedRecently": (f"{_QUEUE_SERVICE}QueueDeletedRecently", 400),
    "QueueDoesNotExist": (f"{_QUEUE_SERVICE}NonExistentQueue", 400),
    "QueueNameExists": ("QueueAlreadyExists", 400),
    "ReceiptHandleIsInvalid": ("ReceiptHandleIsInvalid", 404),
    "RequestThrottled": ("RequestThrottled", 403),
    "ResourceNotFoundException": ("ResourceNotFoundException", 404),
    "TooManyEntriesInBatchRequest": (f"{_QUEUE_SERVICE}TooManyEntriesInBatchRequest", 400),
    "UnsupportedOperation": (f"{_QUEUE_SERVICE}UnsupportedOperation", 400),
}
# Errors of no shape of the model's.
_OTHERS = {
    "InvalidParameterCombinationException": "InvalidParameterCombination",
    "InvalidParameterValueException": "InvalidParameterValue",
    "MissingRequiredParameterException": "MissingParameter",
}
_FRAMEWORK = {*_OTHERS, "SerializationException", "UnknownOperationException"}  # AWS's own, in front of SQS
_JSON = (b"content-type", b"application/x-amz-json-1.0")
_STALE = "The specified queue does not exist"  # ends otherwise in the query protocol


def described() -> dict[str, Any]:
    """botocore's model, as the query protocol needs it."""
    model: dict[str, Any] = copy.deepcopy(description("sqs"))
    metadata = model["metadata"]
    metadata |= {"protocol": "query", "protocols": ["query"], "xmlNamespace": NAMESPACE}
    for name in ("awsQueryCompatible", "jsonVersion", "targetPrefix"):
        metadata.pop(name, None)
    shapes = model["shapes"]
    for name, member in _LISTS.items():
        shapes[name]["member"]["locationName"] = member
    for name, (key, value, own) in _MAPS.items():
        shapes[name]["key"]["locationName"], shapes[name]["value"]["locationName"] = key, value
        shapes[name]["locationName"] = own
    for name in ("MessageAttributeValue", "MessageSystemAttributeValue"):
        for member, own in _VALUES.items():
            shapes[name]["members"][member]["locationName"] = own
    for name, (code, status) in ERRORS.items():
        shapes[name]["error"] = {"code": code, "httpStatusCode": status, "senderFault": True}
    for operation in model["operations"].values():
        if "output" in operation:
            operation["output"]["resultWrapper"] = operation["output"]["shape"]
    return model


def query_model() -> Model:
    return Model(ServiceModel(described(), "sqs"))


def tidy(form: Mapping[str, str]) -> dict[str, str]:
    """A form's fields as the model has them: a list of one may be unnumbered, and tags are Tag or Tags."""
    fields = {}
    for name, value in form.items():
        fields[f"{name}.1" if name in _UNNUMBERED else re.sub(r"\ATags\.", "Tag.", name)] = value
    return fields


def query_fault(fault: Fault) -> Fault:
    """A fault as the query protocol has it."""
    message = fault.message
    if fault.code == "QueueDoesNotExist" and message == f"{_STALE}.":
        message = f"{_STALE} for this wsdl version."
    return Fault(_OTHERS.get(fault.code, fault.code), message, **fault.members)


def rendered(operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
    """A result in the JSON protocol: it is as the model has it, but for members at its top that are None."""
    body = b""
    if operation.output is not None:
        body = wire.encode({name: value for name, value in result.items() if value is not None})
    return Response(200, [_JSON, (b"x-amzn-requestid", request_id.encode())], body)


def json_error(fault: Fault, status: int, request_id: str) -> Response:
    """A fault in the JSON protocol, with the header that has the query protocol's code."""
    code, status = ERRORS.get(fault.code, (_OTHERS.get(fault.code, fault.code), status))
    space = "com.amazon.coral.service#" if fault.code in _FRAMEWORK else ""
    if fault.code in ERRORS:
        space = "com.amazonaws.sqs#"
    body = {"__type": f"{space}{fault.code}"}
    if fault.message is not None:
        body["message"] = fault.message
    side = "Sender" if status < 500 else "Receiver"
    headers = [
        _JSON,
        (b"x-amzn-requestid", request_id.encode()),
        (b"x-amzn-query-error", f"{code};{side}".encode("latin-1", "replace")),
    ]
    return Response(status, headers, wire.encode(body))


def entry_code(fault: Fault) -> str:
    """A fault's code as an entry of a batch has it."""
    return ERRORS[fault.code][0] if fault.code in ERRORS else _OTHERS.get(fault.code, fault.code)
