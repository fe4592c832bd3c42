"""What SNS refuses, in AWS's words."""

from __future__ import annotations

from ...aws.faults import Fault


def invalid(what: str, reason: str = "") -> Fault:
    """what: the parameter, or what is wrong with it; reason: why, where AWS says so."""
    return Fault("InvalidParameterException", f"Invalid parameter: {what}{reason and f' Reason: {reason}'}")


def value(message: str) -> Fault:
    """Of a message's attributes."""
    return Fault("InvalidParameterValueException", message)


def no_topic() -> Fault:
    return Fault("NotFoundException", "Topic does not exist")


def no_subscription() -> Fault:
    return Fault("NotFoundException", "Subscription does not exist")


def no_resource() -> Fault:
    return Fault("ResourceNotFoundException", "Resource does not exist")


def not_here(what: str) -> Fault:
    """A part of the service that needs AWS itself."""
    return Fault("InvalidParameterException", f"Invalid parameter: {what} not available on this endpoint.")
