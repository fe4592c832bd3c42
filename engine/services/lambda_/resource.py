"""The function, version or alias that an operation insists on: found, or refused in AWS's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.names import LATEST, FunctionName
from ...durable.state import Record
from .control import Control
from .lookup import invalid, not_found

_ALIAS = re.compile(r"(?!\d+$)[a-zA-Z0-9-_]+")


def existing(control: Control, request: Mapping[str, Any]) -> tuple[FunctionName, Record]:
    """What FunctionName and Qualifier name, and its record: an alias's, a version's, or $LATEST's. Raises Fault."""
    named = control.place.parse(request["FunctionName"], request.get("Qualifier"))
    wanted = named.qualifier or LATEST
    record = control.state.get("alias", named.name, wanted) or control.state.get(
        "function", named.name, wanted
    )
    if record is not None:
        return named, record
    arn = control.place.function(named.name, named.qualifier)
    if named.qualifier and _ALIAS.fullmatch(named.qualifier):
        raise not_found(f"Cannot find alias arn: {arn}")
    raise not_found(f"Function not found: {arn}")


def whole(control: Control, request: Mapping[str, Any]) -> str:
    """The name of a function that must be named without any qualifier, $LATEST too. Raises Fault."""
    named = control.place.parse(request["FunctionName"])
    if named.qualifier is not None:
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        )
    return named.name
