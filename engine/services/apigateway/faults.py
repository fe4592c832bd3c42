"""What API Gateway's REST APIs refuse, in AWS's words where they are known."""

from __future__ import annotations

from ...aws.faults import Fault
from ..apigatewayv2.faults import bad, conflict, not_here

__all__ = ["bad", "conflict", "not_here"]


def missing(what: str) -> Fault:
    """what: "Resource identifier" and so on."""
    return Fault("NotFoundException", f"Invalid {what} specified")


def full(what: str) -> Fault:
    message = f"Maximum number of {what} has been reached. Please contact AWS if you need additional {what}."
    return Fault("LimitExceededException", message)
