"""What EventBridge Pipes refuses, in AWS's words."""

from __future__ import annotations

from ... import wire
from ...aws.faults import Fault

MISSING = "Missing required parameter."


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def invalid_field(name: str, message: str) -> Fault:
    """AWS's message is a JSON text."""
    return invalid(wire.encode({"ValidationErrorFields": [{"Name": name, "Message": message}]}).decode())


def conflict(name: str, message: str) -> Fault:
    return Fault("ConflictException", message, resourceId=name, resourceType="Pipe")


def no_pipe(name: str) -> Fault:
    return Fault("NotFoundException", f"Pipe {name} does not exist.")


def full(most: int) -> Fault:
    return Fault(
        "ServiceQuotaExceededException", f"The number of pipes exceeds the maximum of {most}.",
        resourceId="pipes", resourceType="Pipe", serviceCode="pipes", quotaCode="pipes",
    )  # fmt: skip
