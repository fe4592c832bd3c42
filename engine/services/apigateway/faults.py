"""What API Gateway's REST APIs refuse, in AWS's words where they are known."""

from __future__ import annotations

from ...aws.faults import Fault


def bad(message: str) -> Fault:
    return Fault("BadRequestException", message)


def conflict(message: str) -> Fault:
    return Fault("ConflictException", message)


def missing(what: str) -> Fault:
    """what: "Resource identifier" and so on."""
    return Fault("NotFoundException", f"Invalid {what} specified")


def full(what: str) -> Fault:
    message = f"Maximum number of {what} has been reached. Please contact AWS if you need additional {what}."
    return Fault("LimitExceededException", message)


def not_here(what: str) -> Fault:
    """A part of the service that this endpoint does not have."""
    return Fault("NotImplementedException", f"{what} is not implemented by this endpoint.", Type="User")
