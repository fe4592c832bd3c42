"""The operations on routes of HTTP APIs, and what one may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.service import Caller
from ...durable.state import Record
from .catalog import AUTHORIZERS, DEFAULT, INTEGRATIONS, ROUTES, Catalog, Members, kept, new_id, page, public
from .faults import bad, conflict, full, missing, not_here

MOST = 300  # of an API
_KEPT = ("RouteKey", "Target", "AuthorizationType", "AuthorizerId", "AuthorizationScopes", "OperationName")
_ELSEWHERE = ("ModelSelectionExpression", "RequestModels", "RequestParameters")
_RESPONDS = "RouteResponseSelectionExpression"
CONNECT, DISCONNECT = "$connect", "$disconnect"
_FORM = (
    "The provided route key is not formatted properly for HTTP protocol. Format should be "
    '"<HTTP METHOD> /<RESOURCE PATH>" or "$default"'
)
KEY = re.compile(r"(?P<method>ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (?P<path>/\S*)")
_SEGMENT = re.compile(r"[^{}]*|\{[\w.-]+\}")
_GREEDY = re.compile(r"\{[\w.-]+\+\}")


class RouteOperations:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def create_route(self, members: Members, caller: Caller) -> Members:
        api_id = members["ApiId"]
        async with self._catalog.changes.lock:
            if len(self._catalog.owned(caller.place, ROUTES, api_id)) >= MOST:
                raise full("Routes for this API")
            return await self._write(members, caller, {})

    async def update_route(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._catalog.found(caller.place, ROUTES, members["ApiId"], members["RouteId"])
            return await self._write(members, caller, known)

    async def _write(self, members: Members, caller: Caller, known: Record) -> Members:
        api_id, place = members["ApiId"], caller.place
        routes, integrations, authorizers = (
            self._catalog.owned(place, table, api_id) for table in (ROUTES, INTEGRATIONS, AUTHORIZERS)
        )
        socket = self._catalog.is_socket(place, api_id)
        record = route(members, known, routes, integrations, authorizers, socket)
        await self._catalog.write(place, api_id, (ROUTES, api_id, record["RouteId"], record))
        return public(record)

    async def get_route(self, members: Members, caller: Caller) -> Members:
        return public(self._catalog.found(caller.place, ROUTES, members["ApiId"], members["RouteId"]))

    async def get_routes(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.owned(caller.place, ROUTES, members["ApiId"]).values()
        return page([public(record) for record in found], members)

    async def delete_route(self, members: Members, caller: Caller) -> Members:
        api_id, id = members["ApiId"], members["RouteId"]
        async with self._catalog.changes.lock:
            self._catalog.found(caller.place, ROUTES, api_id, id)
            await self._catalog.write(caller.place, api_id, (ROUTES, api_id, id, None))
        return {}


def route(
    members: Mapping[str, Any],
    known: Mapping[str, Any],
    routes: Mapping[str, Record],
    integrations: Mapping[str, Record],
    authorizers: Mapping[str, Record],
    socket: bool = False,
) -> Record:
    """The record of a request. known: the one it changes; the others: what the API has; socket: it is a WebSocket API.
    Raises Fault."""
    record: Record = {
        "RouteId": known.get("RouteId") or new_id(7), "ApiKeyRequired": False, "AuthorizationType": "NONE", **known,
        **kept(members, _KEPT),
    }  # fmt: skip
    for name in _ELSEWHERE:
        if members.get(name):
            raise not_here(f"{name} of a route")
    if members.get("ApiKeyRequired"):
        if socket:
            raise not_here("ApiKeyRequired of a WebSocket API's route")
        raise bad("ApiKeyRequired is not currently supported for HTTP APIs.")
    if socket:
        _check_socket(record, members)
    elif members.get(_RESPONDS):
        raise bad(f"{_RESPONDS} is not supported for HTTP APIs")
    else:
        _check_key(record["RouteKey"])
    for id, other in routes.items():
        if other["RouteKey"] == record["RouteKey"] and id != record["RouteId"]:
            raise conflict(f"Route with key {record['RouteKey']} already exists for this API")
    target = record.get("Target")
    if target is not None:
        kind, _, id = target.partition("/")
        if kind != "integrations" or not id:
            raise bad("Invalid target specified. It must be of the form integrations/<integration-id>")
        if id not in integrations:
            raise missing("Integration", id)
    _check_authorization(record, authorizers)
    return record


def _check_socket(record: Record, members: Mapping[str, Any]) -> None:
    """Raises Fault."""
    key = record["RouteKey"]
    if not 1 <= len(key) <= 128 or (key.startswith("$") and key not in (CONNECT, DISCONNECT, DEFAULT)):
        raise bad(f"Invalid route key specified: {key}")
    expression = members.get(_RESPONDS)
    if expression is not None:
        if expression not in ("", DEFAULT):
            raise bad(f"The only route response selection expression is {DEFAULT}")
        record[_RESPONDS] = expression
    if key != CONNECT and record["AuthorizationType"] != "NONE":
        raise bad(f"Authorization is only supported for the {CONNECT} route")
    if record["AuthorizationType"] == "JWT":
        raise bad("AuthorizationType JWT is not supported for WebSocket APIs")


def _check_key(key: str) -> None:
    if key == DEFAULT:
        return
    found = KEY.fullmatch(key)
    if found is None:
        raise bad(_FORM)
    *inner, last = found["path"][1:].split("/")
    if any(_SEGMENT.fullmatch(each) is None for each in inner):
        raise bad(_FORM)
    if _SEGMENT.fullmatch(last) is None and _GREEDY.fullmatch(last) is None:
        raise bad(_FORM)


def _check_authorization(record: Record, authorizers: Mapping[str, Record]) -> None:
    kind = record["AuthorizationType"]
    if kind not in ("NONE", "AWS_IAM", "CUSTOM", "JWT"):
        raise bad("Invalid authorization type specified. Must be one of [NONE, AWS_IAM, CUSTOM, JWT]")
    if kind in ("NONE", "AWS_IAM"):
        record.pop("AuthorizerId", None)
    else:
        id = record.get("AuthorizerId")
        if id is None:
            raise bad(f"AuthorizerId must be specified for AuthorizationType {kind}")
        if id not in authorizers:
            raise missing("Authorizer", id)
        if (authorizers[id]["AuthorizerType"] == "JWT") is (kind == "CUSTOM"):
            raise bad(f"The authorizer {id} is not of the AuthorizationType {kind}")
    if record.get("AuthorizationScopes") and kind != "JWT":
        raise bad("AuthorizationScopes are only supported with AuthorizationType JWT")
