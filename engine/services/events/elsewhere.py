"""The operations that need AWS itself, global endpoints and sources of partners: refused, with a typed error."""

from __future__ import annotations

from collections.abc import Container
from functools import partial
from typing import Any

from ...aws.service import Caller, Handler
from .faults import missing, not_here

_PARTNERS = (
    "ActivateEventSource", "CreatePartnerEventSource", "DeactivateEventSource", "DeletePartnerEventSource",
    "DescribeEventSource", "DescribePartnerEventSource", "ListEventSources", "ListPartnerEventSourceAccounts",
    "ListPartnerEventSources", "PutPartnerEvents",
)  # fmt: skip
_ENDPOINTS = ("DeleteEndpoint", "DescribeEndpoint", "UpdateEndpoint")


def refused(found: Container[str]) -> dict[str, Handler]:
    """Those that `found` has not."""
    operations: dict[str, Handler] = {name: partial(_disabled, "Partner event sources") for name in _PARTNERS}
    operations |= dict.fromkeys(_ENDPOINTS, _no_endpoint)
    operations["CreateEndpoint"] = partial(_disabled, "Global endpoints")
    operations["ListEndpoints"] = lambda members, caller: {"Endpoints": []}
    return {name: handler for name, handler in operations.items() if name not in found}


def _disabled(what: str, _members: dict[str, Any], _caller: Caller) -> Any:
    raise not_here(what)


def _no_endpoint(members: dict[str, Any], _caller: Caller) -> Any:
    raise missing(f"Endpoint {members['Name']} does not exist.")
