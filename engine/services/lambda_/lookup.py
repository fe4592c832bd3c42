"""Finding what a request names: a function, a version or an alias; or refusing in AWS's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.names import LATEST, FunctionName
from ...durable.state import Record
from .control import Control
from .responses import invalid, not_found

NO_SIGNING_CONFIG = (
    "The code signing configuration cannot be found. "
    "Check that the provided configuration is not deleted: {}."
)
_ALIAS = re.compile(r"(?!\d+$)[a-zA-Z0-9-_]+")


def name_of(control: Control, request: Mapping[str, Any]) -> FunctionName:
    """What FunctionName and Qualifier name, be it there or not. Raises Fault."""
    return control.place.parse(request["FunctionName"], request.get("Qualifier"))


def latest(control: Control, request: Mapping[str, Any], missing: str = "") -> tuple[FunctionName, Record]:
    """A function by its name, whatever qualifier it carries; its $LATEST record. Raises Fault.

    missing: AWS's words for one that is not there, where an operation has its own."""
    name = name_of(control, request)
    record = control.state.get("function", name.name, LATEST)
    if record is None:
        raise not_found(missing or f"Function not found: {control.place.function(name.name)}")
    return name, record


def unqualified(control: Control, request: Mapping[str, Any]) -> tuple[str, Record]:
    """A function that must be named without a version or alias. Raises Fault."""
    name, record = latest(control, request)
    if name.qualifier not in (None, LATEST):
        raise _functions_only()
    return name.name, record


def bare(control: Control, request: Mapping[str, Any]) -> str:
    """A function's name, be it there or not, that must have no qualifier at all, not $LATEST either. Raises Fault."""
    name = name_of(control, request)
    if name.qualifier is not None:
        raise _functions_only()
    return name.name


def _functions_only() -> Fault:
    return invalid(
        "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
        "Please specify either a function name or an unqualified function ARN."
    )


def _record(control: Control, name: FunctionName) -> Record | None:
    """An alias's, a version's, or $LATEST's. No alias has the name of a version."""
    id = name.qualifier or LATEST
    return control.state.get("alias", name.name, id) or control.state.get("function", name.name, id)


def existing(control: Control, request: Mapping[str, Any], missing: str = "") -> tuple[FunctionName, Record]:
    """What a request names and its own record: an alias's, a version's, or $LATEST's. Raises Fault."""
    name = name_of(control, request)
    record = _record(control, name)
    if record is None:
        is_alias = name.qualifier and _ALIAS.fullmatch(name.qualifier)
        what = "Cannot find alias arn" if is_alias else "Function not found"
        raise not_found(missing or f"{what}: {control.place.function(name.name, name.qualifier)}")
    return name, record


def version(control: Control, request: Mapping[str, Any]) -> tuple[FunctionName, Record]:
    """The version that a request names, through an alias if it is one. Raises Fault."""
    name = name_of(control, request)
    record = _record(control, name)
    if record is not None and "AliasArn" in record:
        record = control.state.get("function", name.name, record["FunctionVersion"])
    if record is None:
        raise not_found(f"Function not found: {control.place.function(name.name, name.qualifier)}")
    return name, record


def layer_number(number: int) -> str:
    """The id of a layer's version. Raises Fault for a number that none can have."""
    if number < 1:
        raise invalid("Layer Version Cannot be less than 1")
    return str(number)


def signing_config(control: Control, arn: str) -> Record:
    """A code signing configuration that a function is to have. Raises Fault."""
    record = control.state.get("code-signing-config", arn.rsplit(":", 1)[-1])
    if record is None:
        raise Fault("CodeSigningConfigNotFoundException", NO_SIGNING_CONFIG.format(arn), Type="User")
    return record
