"""The operations on authorizers of HTTP APIs, and what one may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.service import Caller
from ...durable.state import Record
from .catalog import AUTHORIZERS, ROUTES, Catalog, Members, kept, new_id, page, public
from .faults import bad, conflict, full
from .integrations import FUNCTION

MOST = 10  # of an API
TTL = 300  # seconds, by default, of an authorizer that has identity sources
TTL_MOST = 3600
_KEPT = ("Name", "AuthorizerType", "AuthorizerUri", "AuthorizerCredentialsArn", "AuthorizerPayloadFormatVersion",
         "AuthorizerResultTtlInSeconds", "EnableSimpleResponses", "IdentitySource", "JwtConfiguration")  # fmt: skip
OF_SOCKET = re.compile(r"route\.request\.(header|querystring|multivalueheader|multivaluequerystring)\.[\w.\-]+|"
                       r"(context|stageVariables)\.[\w.\-]+")  # fmt: skip
SOURCE = re.compile(r"\$(request\.(header|querystring)|context|stageVariables)\.[\w.\-]+")


class AuthorizerOperations:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def create_authorizer(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            if len(self._catalog.owned(caller.place, AUTHORIZERS, members["ApiId"])) >= MOST:
                raise full("Authorizers for this API")
            return await self._write(members, caller, {})

    async def update_authorizer(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._catalog.found(caller.place, AUTHORIZERS, members["ApiId"], members["AuthorizerId"])
            return await self._write(members, caller, known)

    async def _write(self, members: Members, caller: Caller, known: Record) -> Members:
        api_id = members["ApiId"]
        record = authorizer(members, known, self._catalog.is_socket(caller.place, api_id))
        for id, other in self._catalog.owned(caller.place, AUTHORIZERS, api_id).items():
            if other["Name"] == record["Name"] and id != record["AuthorizerId"]:
                raise conflict(f"Authorizer with name {record['Name']} already exists for this API")
        await self._catalog.write(caller.place, api_id, (AUTHORIZERS, api_id, record["AuthorizerId"], record))
        return public(record)

    async def get_authorizer(self, members: Members, caller: Caller) -> Members:
        return public(
            self._catalog.found(caller.place, AUTHORIZERS, members["ApiId"], members["AuthorizerId"])
        )

    async def get_authorizers(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.owned(caller.place, AUTHORIZERS, members["ApiId"]).values()
        return page([public(record) for record in found], members)

    async def delete_authorizer(self, members: Members, caller: Caller) -> Members:
        api_id, id = members["ApiId"], members["AuthorizerId"]
        async with self._catalog.changes.lock:
            self._catalog.found(caller.place, AUTHORIZERS, api_id, id)
            routes = self._catalog.owned(caller.place, ROUTES, api_id).values()
            if any(record.get("AuthorizerId") == id for record in routes):
                raise conflict(f"Cannot delete Authorizer '{id}': it is referenced by one or more Routes.")
            await self._catalog.write(caller.place, api_id, (AUTHORIZERS, api_id, id, None))
        return {}


def authorizer(members: Mapping[str, Any], known: Mapping[str, Any], socket: bool = False) -> Record:
    """The record of a request. known: the one it changes; socket: it is a WebSocket API's. Raises Fault."""
    record: Record = {"AuthorizerId": known.get("AuthorizerId") or new_id(6), **known, **kept(members, _KEPT)}
    kind = record["AuthorizerType"]
    if kind not in ("REQUEST", "JWT"):
        raise bad("Invalid authorizer type specified. Must be one of [REQUEST, JWT]")
    if members.get("IdentityValidationExpression"):
        raise bad("IdentityValidationExpression is not supported for HTTP APIs")
    if not 1 <= len(record["Name"]) <= 128:
        raise bad("The name of an authorizer has from 1 to 128 characters")
    if socket:
        return _of_socket(record)
    for source in record.setdefault("IdentitySource", []):
        if SOURCE.fullmatch(source) is None:
            raise bad(f"Invalid mapping expression specified: {source}")
    return _jwt(record) if kind == "JWT" else _request(record)


def _of_socket(record: Record) -> Record:
    """Raises Fault."""
    if record["AuthorizerType"] != "REQUEST":
        raise bad("WebSocket APIs only support the authorizer type REQUEST")
    if FUNCTION.fullmatch(record.get("AuthorizerUri") or "") is None:
        raise bad("Invalid AuthorizerUri: it must be the invocation URI of a Lambda function")
    for name in ("AuthorizerPayloadFormatVersion", "EnableSimpleResponses", "JwtConfiguration",
                 "AuthorizerResultTtlInSeconds"):  # fmt: skip
        if record.get(name):
            raise bad(f"{name} is not supported for WebSocket APIs")
    for source in record.setdefault("IdentitySource", []):
        if OF_SOCKET.fullmatch(source) is None:
            raise bad(f"Invalid mapping expression specified: {source}")
    return record


def _jwt(record: Record) -> Record:
    configuration = record.get("JwtConfiguration") or {}
    if not re.fullmatch(r"https?://\S+", configuration.get("Issuer") or ""):
        raise bad("Invalid issuer: it must be the URL of an identity provider")
    if not configuration.get("Audience"):
        raise bad("Audience must be specified for JWT authorizers")
    if len(record["IdentitySource"]) != 1 or record["IdentitySource"][0].startswith("$context"):
        raise bad("JWT authorizers must have exactly one identity source, a header or a query parameter")
    for name in ("AuthorizerUri", "AuthorizerPayloadFormatVersion", "EnableSimpleResponses"):
        if record.get(name):
            raise bad(f"{name} is not supported for JWT authorizers")
    return record


def _request(record: Record) -> Record:
    if FUNCTION.fullmatch(record.get("AuthorizerUri") or "") is None:
        raise bad("Invalid AuthorizerUri: it must be the invocation URI of a Lambda function")
    if record.get("JwtConfiguration"):
        raise bad("JwtConfiguration is only supported for JWT authorizers")
    version = record.get("AuthorizerPayloadFormatVersion")
    if version is None:
        raise bad("AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer")
    if version not in ("1.0", "2.0"):
        raise bad("AuthorizerPayloadFormatVersion must be one of [1.0, 2.0]")
    if record.setdefault("EnableSimpleResponses", False) and version == "1.0":
        raise bad("EnableSimpleResponses is only supported with AuthorizerPayloadFormatVersion 2.0")
    ttl = record.setdefault("AuthorizerResultTtlInSeconds", TTL if record["IdentitySource"] else 0)
    if not 0 <= ttl <= TTL_MOST:
        raise bad(f"AuthorizerResultTtlInSeconds must be between 0 and {TTL_MOST}")
    if ttl and not record["IdentitySource"]:
        raise bad("IdentitySource must be specified when AuthorizerResultTtlInSeconds is not 0")
    return record
