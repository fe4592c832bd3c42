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


# Kafka's and Amazon MQ's. Developer guide, "Troubleshooting Kafka event source mapping errors".
UNREACHABLE = (
    "PROBLEM: Connection error. Please check your event source connection configuration. If your event source lives in "
    "a VPC, try setting up a new Lambda function or EC2 instance with the same VPC, Subnet, and Security Group "
    "settings. Connect the new device to the Kafka cluster and consume messages to ensure that the issue is not "
    "related to VPC or Endpoint configuration. If the new device is able to consume messages, please contact Lambda "
    "customer support for further investigation."
)
UNAUTHENTICATED = "PROBLEM: SASL authentication failed."
UNAUTHORIZED = "PROBLEM: Cluster failed to authorize Lambda."
CLIENT_REFUSED = "PROBLEM: Server failed to authenticate Lambda."
SERVER_REFUSED = "PROBLEM: Lambda failed to authenticate server."
CERTIFICATE = "PROBLEM: Provided certificate or private key is invalid."
BROKER_REFUSED = "PROBLEM: Broker failed to authenticate Lambda. The user name or the password is not valid."
BROKER_FORBIDS = "PROBLEM: Broker failed to authorize Lambda."
# StateTransitionReason of a mapping that cannot poll (developer guide, "Troubleshoot Amazon MQ … errors").
CONFIG = "ESM_CONFIG_NOT_VALID"
AUTHN = "EVENT_SOURCE_AUTHN_ERROR"
AUTHZ = "EVENT_SOURCE_AUTHZ_ERROR"


class Problem(Exception):
    """Why a mapping cannot poll: its LastProcessingResult, and its StateTransitionReason, if there is one for that."""

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.text, self.reason = text, reason


def no_secret(arn: str, why: str) -> Problem:
    return Problem(f"PROBLEM: Unable to access the secret {arn} in Secrets Manager. {why}".rstrip(), AUTHN)


def no_topic(name: str) -> Problem:
    return Problem(f"PROBLEM: Event source not found: topic {name} does not exist.", CONFIG)


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
