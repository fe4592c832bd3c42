"""What API Gateway's HTTP APIs refuse, in AWS's words where they are known."""

from __future__ import annotations

from ...aws.faults import Fault
from ...aws.names import Place


def bad(message: str) -> Fault:
    return Fault("BadRequestException", message)


def conflict(message: str) -> Fault:
    return Fault("ConflictException", message)


def missing(kind: str, id: str) -> Fault:
    """kind: "Route", "Integration" and so on."""
    return Fault("NotFoundException", f"Invalid {kind} identifier specified {id}", ResourceType=kind)


def no_api(place: Place, api_id: str) -> Fault:
    return missing("API", f"{place.account}:{api_id}")


def full(what: str) -> Fault:
    message = f"Maximum number of {what} has been reached. Please contact AWS if you need additional {what}."
    return Fault("TooManyRequestsException", message, LimitType=what)


def not_here(what: str) -> Fault:
    """A part of the service that this endpoint does not have."""
    return Fault("NotImplementedException", f"{what} is not implemented by this endpoint.", Type="User")
