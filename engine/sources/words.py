"""What a mapping says of its last batch (LastProcessingResult): AWS's texts, and in their form those that it does not
publish."""

from __future__ import annotations

OK = "OK"
NO_RECORDS = "No records processed"
FAILED = "PROBLEM: Function call failed"
INTERNAL = "PROBLEM: internal Lambda error. Please contact Lambda customer support."
RECURSIVE = (
    "PROBLEM: Lambda has detected your function being invoked in a recursive loop with other AWS resources"
)
THROTTLED = "PROBLEM: Function call failed: Rate Exceeded."


def no_function(arn: str) -> str:
    return f"PROBLEM: Function not found: {arn}"


def no_access(kind: str, arn: str) -> str:
    """The source's service refuses the credentials."""
    if kind == "sqs":
        return (
            f"PROBLEM: Cannot access queue {arn}. Please ensure the role can perform the ReceiveMessage, "
            "DeleteMessage, and GetQueueAttributes Actions on your queue in IAM."
        )
    if kind in ("redis", "nats"):  # AWS has none of these
        return (
            f"PROBLEM: Cannot access stream {arn}. Please ensure that the credentials in its URL may read it."
        )
    return (
        f"PROBLEM: Cannot access stream {arn}. Please ensure the role can perform the GetRecords, GetShardIterator, "
        "DescribeStream, ListShards, and ListStreams Actions on your stream in IAM."
    )


def no_source(arn: str) -> str:
    return f"PROBLEM: Event source not found: {arn}"


def no_connection(reason: str) -> str:
    return f"PROBLEM: Connection error. Please check your event source connection configuration. ({reason})"


_REFUSED = (
    "AccessDenied", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient", "InvalidSignature",
    "SignatureDoesNotMatch", "InvalidAccessKeyId", "MissingAuthenticationToken", "IncompleteSignature",
)  # fmt: skip
_GONE = ("NonExistentQueue", "QueueDoesNotExist", "ResourceNotFound", "NotFound", "TrimmedDataAccess")


def of_call(kind: str, arn: str, code: str, message: str) -> str:
    """A call of the source's service failed with this code."""
    if any(part in code for part in _REFUSED):
        return no_access(kind, arn)
    if any(part in code for part in _GONE):
        return no_source(arn)
    return no_connection(f"{code}: {message}" if message else code)
