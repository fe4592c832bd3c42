"""The operations on authorizers of REST APIs, and what one may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.model import Model
from ...aws.service import Caller
from ...durable.state import Record
from ..apigatewayv2.integrations import FUNCTION
from .catalog import AUTHORIZERS, RESOURCES, Catalog, Members, kept, new_id, page
from .faults import bad, conflict, full, not_here
from .patches import patched

MOST = 10  # of an API
TTL, TTL_MOST = 300, 3600  # seconds
_KEPT = ("name", "type", "authType", "authorizerUri", "authorizerCredentials", "identitySource",
         "identityValidationExpression", "authorizerResultTtlInSeconds")  # fmt: skip
_SOURCE = re.compile(r"method\.request\.(header|querystring)\.[\w\-.]+|(context|stageVariables)\.[\w.]+")


class AuthorizerOperations:
    def __init__(self, catalog: Catalog, model: Model) -> None:
        self._catalog = catalog
        self._model = model

    async def create_authorizer(self, members: Members, caller: Caller) -> Members:
        record, api_id = authorizer(members, new_id(6)), members["restApiId"]
        async with self._catalog.changes.lock:
            if len(self._catalog.owned(caller.place, AUTHORIZERS, api_id)) >= MOST:
                raise full("Authorizers for this API")
            self._unique(caller, api_id, record)
            await self._catalog.write(caller.place, (AUTHORIZERS, api_id, record["id"], record))
        return record

    def _unique(self, caller: Caller, api_id: str, record: Record) -> None:
        for id, other in self._catalog.owned(caller.place, AUTHORIZERS, api_id).items():
            if other["name"] == record["name"] and id != record["id"]:
                raise conflict("Authorizer name must be unique. Authorizer with name already exists.")

    def _found(self, members: Members, caller: Caller) -> Record:
        return self._catalog.found(caller.place, AUTHORIZERS, members["restApiId"], members["authorizerId"])

    async def get_authorizer(self, members: Members, caller: Caller) -> Members:
        return self._found(members, caller)

    async def get_authorizers(self, members: Members, caller: Caller) -> Members:
        return page(self._catalog.owned(caller.place, AUTHORIZERS, members["restApiId"]).values(), members)

    async def update_authorizer(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._found(members, caller)
            record = authorizer(
                patched(self._model.operation("UpdateAuthorizer"), known, members, ("id",)), known["id"]
            )
            self._unique(caller, members["restApiId"], record)
            await self._catalog.write(caller.place, (AUTHORIZERS, members["restApiId"], record["id"], record))
        return record

    async def delete_authorizer(self, members: Members, caller: Caller) -> Members:
        api_id = members["restApiId"]
        async with self._catalog.changes.lock:
            id = self._found(members, caller)["id"]
            resources = self._catalog.owned(caller.place, RESOURCES, api_id).values()
            methods = [
                each for resource in resources for each in resource.get("resourceMethods", {}).values()
            ]
            if any(method.get("authorizerId") == id for method in methods):
                raise conflict(f"Cannot delete authorizer '{id}', is referenced in method(s)")
            await self._catalog.write(caller.place, (AUTHORIZERS, api_id, id, None))
        return {}


def authorizer(members: Mapping[str, Any], id: str) -> Record:
    """Raises Fault."""
    record: Record = {
        "id": id,
        "authType": "custom",
        "authorizerResultTtlInSeconds": TTL,
        **kept(members, _KEPT),
    }
    kind = record["type"]
    if kind in ("COGNITO_USER_POOLS", "JWT"):
        raise not_here(f"An authorizer of type {kind}")
    if kind not in ("TOKEN", "REQUEST"):
        raise bad("Invalid authorizer type specified. Must be one of [TOKEN, REQUEST, COGNITO_USER_POOLS]")
    if FUNCTION.fullmatch(record.get("authorizerUri") or "") is None:
        raise bad("Invalid Authorizer URI: it must be the invocation ARN of a Lambda function")
    if not 0 <= record["authorizerResultTtlInSeconds"] <= TTL_MOST:
        raise bad(f"Authorizer result TTL must be between 0 and {TTL_MOST}")
    sources = [each.strip() for each in (record.get("identitySource") or "").split(",") if each.strip()]
    if any(_SOURCE.fullmatch(each) is None for each in sources):
        raise bad(f"Invalid mapping expression specified: {record['identitySource']}")
    if kind == "TOKEN" and (len(sources) != 1 or not sources[0].startswith("method.request.header.")):
        raise bad("Invalid identity source: a TOKEN authorizer has one header")
    if kind == "REQUEST" and record["authorizerResultTtlInSeconds"] and not sources:
        raise bad("Identity source is required when caching is enabled")
    if expression := record.get("identityValidationExpression"):
        try:
            re.compile(expression)
        except re.error:
            raise bad("Invalid identity validation expression specified") from None
    return record
