"""SQS's refusals, in AWS's words, that several operations share."""

from __future__ import annotations

from ...aws.faults import Fault


def invalid(message: str) -> Fault:
    return Fault("InvalidParameterValueException", message)


def invalid_value(value: object, parameter: str, reason: str) -> Fault:
    return invalid(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def missing(parameter: str) -> Fault:
    return Fault("MissingRequiredParameterException", f"The request must contain the parameter {parameter}.")


def no_queue() -> Fault:
    return Fault("QueueDoesNotExist", "The specified queue does not exist.")


def no_resource(parameter: str) -> Fault:
    return Fault(
        "ResourceNotFoundException",
        f"The resource that you specified for the {parameter} parameter doesn't exist.",
    )


def invalid_handle(handle: str) -> Fault:
    return Fault(
        "ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.'
    )


def ranged(value: int | None, parameter: str, low: int, high: int, default: int) -> int:
    """A number of a request, if it has one. Raises Fault."""
    if value is None:
        return default
    if not low <= value <= high:
        raise invalid_value(value, parameter, f"Must be >= {low} and <= {high}, if provided.")
    return value
