"""The forms that responses share: faults in AWS's words, pages of lists, timestamps."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...aws.faults import Fault

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


def check_revision(
    request: Mapping[str, Any], record: Mapping[str, Any] | None, operation: str = "GetFunction/GetAlias"
) -> None:
    """Raises Fault for a RevisionId that is not the record's; operation: where the newest is to be had."""
    revision = request.get("RevisionId")
    if revision and (record is None or revision != record["RevisionId"]):
        raise Fault(
            PRECONDITION,
            "The Revision Id provided does not match the latest Revision Id. "
            f"Call the {operation} API to retrieve the latest Revision Id",
            Type="User",
        )


def changed(
    record: Mapping[str, Any], request: Mapping[str, Any], kept: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, Any]:
    """A record with the members that a request sets; an `optional` one that is empty removes the one there was."""
    new = dict(record)
    new |= {member: request[member] for member in (*kept, *optional) if request.get(member) is not None}
    return {member: value for member, value in new.items() if value or member not in optional}


def public(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without our private members."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def timestamp(now: float) -> str:
    """Epoch seconds as "2025-01-01T00:00:00.123+0000"."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}+0000"


def page(
    items: Sequence[Any], request: Mapping[str, Any], most: int = 50
) -> tuple[list[Any], dict[str, str]]:
    """The items that Marker and MaxItems select, and the NextMarker member if there are more. Raises Fault."""
    start = 0
    if marker := request.get("Marker"):
        try:
            start = int(base64.urlsafe_b64decode(marker).decode())
        except ValueError:
            start = -1
        if start < 0:
            raise invalid("Invalid value for 'Marker'")
    end = start + min(request.get("MaxItems") or most, most)
    more = {"NextMarker": base64.urlsafe_b64encode(str(end).encode()).decode()} if end < len(items) else {}
    return list(items[start:end]), more


def paged(member: str, items: Sequence[Any], request: Mapping[str, Any], most: int = 50) -> dict[str, Any]:
    """A list operation's response: a page of the items under that member. Raises Fault."""
    found, more = page(items, request, most)
    return {member: found, **more}
