"""Finding what a request names, paging through lists, and the forms that all answers share."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...aws.faults import Fault
from ...aws.names import LATEST, FunctionName
from ...durable.state import Record
from .control import Control

INVALID = "InvalidParameterValueException"
NOT_FOUND = "ResourceNotFoundException"
CONFLICT = "ResourceConflictException"
PRECONDITION = "PreconditionFailedException"


def invalid(message: str) -> Fault:
    return Fault(INVALID, message, Type="User")


def not_found(message: str) -> Fault:
    return Fault(NOT_FOUND, message, Type="User")


def conflict(message: str) -> Fault:
    return Fault(CONFLICT, message, Type="User")


def stale(operation: str) -> Fault:
    """A RevisionId that is not the newest; operation: where that is to be had."""
    return Fault(
        PRECONDITION,
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {operation} API to retrieve the latest Revision Id",
        Type="User",
    )


def latest(
    control: Control, request: Mapping[str, Any], member: str = "FunctionName"
) -> tuple[FunctionName, Record]:
    """A function by its name, whatever qualifier it carries; its $LATEST record. Raises Fault."""
    named = control.place.parse(request[member], request.get("Qualifier"))
    record = control.state.get("function", named.name, LATEST)
    if record is None:
        raise not_found(f"Function not found: {control.place.function(named.name)}")
    return named, record


def unqualified(control: Control, request: Mapping[str, Any]) -> tuple[str, Record]:
    """A function that must be named without a version or alias. Raises Fault."""
    named, record = latest(control, request)
    if named.qualifier not in (None, LATEST):
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        )
    return named.name, record


def version(control: Control, request: Mapping[str, Any]) -> tuple[FunctionName, Record]:
    """The version that a name and its qualifier mean, through an alias if it is one. Raises Fault."""
    named = control.place.parse(request["FunctionName"], request.get("Qualifier"))
    wanted = named.qualifier or LATEST
    record = control.state.get("function", named.name, wanted)
    if record is None:
        alias = control.state.get("alias", named.name, wanted)
        record = control.state.get("function", named.name, alias["FunctionVersion"]) if alias else None
    if record is None:
        raise not_found(f"Function not found: {control.place.function(named.name, named.qualifier)}")
    return named, record


def signing_config(control: Control, arn: str) -> Record:
    """A code signing configuration that a function is to have. Raises Fault."""
    record = control.state.get("code-signing-config", arn.rsplit(":", 1)[-1])
    if record is None:
        raise Fault(
            "CodeSigningConfigNotFoundException",
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {arn}.",
            Type="User",
        )
    return record


def public(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what is not AWS's."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def timestamp(now: float) -> str:
    """Epoch seconds as "2025-01-01T00:00:00.123+0000"."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}+0000"


def page(
    items: Sequence[Any], request: Mapping[str, Any], default: int = 50, most: int = 50
) -> tuple[list[Any], dict[str, str]]:
    """The items that a Marker and MaxItems ask for, and the NextMarker member if there are more. Raises Fault."""
    start = 0
    if marker := request.get("Marker"):
        try:
            start = int(base64.urlsafe_b64decode(marker).decode())
        except ValueError:
            start = -1
        if start < 0:
            raise invalid("Invalid value for 'Marker'")
    count = min(request.get("MaxItems") or default, most)
    some = list(items[start : start + count])
    if start + count >= len(items):
        return some, {}
    return some, {"NextMarker": base64.urlsafe_b64encode(str(start + count).encode()).decode()}
