"""Gateway responses of REST APIs: what the gateway says itself, by default or as an API has it; their operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...aws.model import Model
from ...aws.service import Caller
from ...durable.state import Record
from . import templates
from .catalog import RESPONSES, Catalog, Members, kept, page
from .faults import bad, missing
from .patches import patched

TEMPLATES = {"application/json": '{"message":$context.error.messageString}'}


class Default(NamedTuple):
    """status: 0 for the two that others fall back on. name: of the error, as a header has it."""

    status: int
    message: str | None = None
    name: str = ""


DEFAULTS: Mapping[str, Default] = {
    "ACCESS_DENIED": Default(403, "User is not authorized to access this resource", "AccessDeniedException"),
    "API_CONFIGURATION_ERROR": Default(500, "Internal server error", "InternalServerErrorException"),
    "AUTHORIZER_CONFIGURATION_ERROR": Default(500, None, "AuthorizerConfigurationException"),
    "AUTHORIZER_FAILURE": Default(500, None, "AuthorizerConfigurationException"),
    "BAD_REQUEST_BODY": Default(400, "Invalid request body", "BadRequestException"),
    "BAD_REQUEST_PARAMETERS": Default(400, "Invalid request parameters", "BadRequestException"),
    "DEFAULT_4XX": Default(0),
    "DEFAULT_5XX": Default(0),
    "EXPIRED_TOKEN": Default(403, "The security token included in the request is expired", "ExpiredTokenException"),
    "INTEGRATION_FAILURE": Default(504, "Network error communicating with endpoint", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": Default(504, "Endpoint request timed out", "InternalServerErrorException"),
    "INVALID_API_KEY": Default(403, "Forbidden", "ForbiddenException"),
    "INVALID_SIGNATURE": Default(
        403, "The request signature we calculated does not match the signature you provided.",
        "InvalidSignatureException",
    ),
    "MISSING_AUTHENTICATION_TOKEN": Default(
        403, "Missing Authentication Token", "MissingAuthenticationTokenException"
    ),
    "QUOTA_EXCEEDED": Default(429, "Limit Exceeded", "LimitExceededException"),
    "REQUEST_TOO_LARGE": Default(
        413, "HTTP content length exceeded 10485760 bytes.", "RequestEntityTooLargeException"
    ),
    "RESOURCE_NOT_FOUND": Default(404, "Not Found", "NotFoundException"),
    "THROTTLED": Default(429, "Too Many Requests", "TooManyRequestsException"),
    "UNAUTHORIZED": Default(401, "Unauthorized", "UnauthorizedException"),
    "UNSUPPORTED_MEDIA_TYPE": Default(415, "Unsupported Media Type", "BadRequestException"),
    "WAF_FILTERED": Default(403, "Forbidden", "ForbiddenException"),
}  # fmt: skip


class GatewayResponseOperations:
    def __init__(self, catalog: Catalog, model: Model) -> None:
        self._catalog = catalog
        self._model = model

    async def put_gateway_response(self, members: Members, caller: Caller) -> Members:
        record = gateway_response(members["responseType"], members)
        async with self._catalog.changes.lock:
            self._catalog.owned(caller.place, RESPONSES, members["restApiId"])
            await self._catalog.write(
                caller.place, (RESPONSES, members["restApiId"], record["responseType"], record)
            )
        return record

    def _found(self, members: Members, caller: Caller) -> Record:
        kind = members["responseType"]
        own = self._catalog.owned(caller.place, RESPONSES, members["restApiId"]).get(kind)
        return own or _default(kind)

    async def get_gateway_response(self, members: Members, caller: Caller) -> Members:
        return self._found(members, caller)

    async def get_gateway_responses(self, members: Members, caller: Caller) -> Members:
        own = self._catalog.owned(caller.place, RESPONSES, members["restApiId"])
        return page([own.get(kind) or _default(kind) for kind in DEFAULTS], members)

    async def update_gateway_response(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._found(members, caller)
            fixed = ("responseType", "defaultResponse")
            changed = patched(self._model.operation("UpdateGatewayResponse"), known, members, fixed)
            record = gateway_response(known["responseType"], changed)
            await self._catalog.write(
                caller.place, (RESPONSES, members["restApiId"], record["responseType"], record)
            )
        return record

    async def delete_gateway_response(self, members: Members, caller: Caller) -> Members:
        kind = members["responseType"]
        async with self._catalog.changes.lock:
            if kind not in self._catalog.owned(caller.place, RESPONSES, members["restApiId"]):
                raise missing("Gateway response type")
            await self._catalog.write(caller.place, (RESPONSES, members["restApiId"], kind, None))
        return {}


def gateway_response(kind: str, members: Members) -> Record:
    """Raises Fault."""
    if kind not in DEFAULTS:
        raise bad(f"Invalid gateway response type specified. Must be one of: [{', '.join(DEFAULTS)}]")
    status = str(members.get("statusCode") or DEFAULTS[kind].status or "")
    if status and not (status.isascii() and status.isdecimal() and 200 <= int(status) <= 599):
        raise bad("Invalid status code specified")
    parameters = members.get("responseParameters") or {}
    for name in parameters:
        if not name.startswith("gatewayresponse.header."):
            raise bad(f"Invalid mapping expression parameter specified: {name}")
    texts = kept(members, ("responseTemplates",)).get("responseTemplates") or TEMPLATES
    templates.check(texts)
    record: Record = {
        "responseType": kind, "responseParameters": parameters, "responseTemplates": texts, "defaultResponse": False
    }  # fmt: skip
    return record | {"statusCode": status} if status else record


def _default(kind: str) -> Record:
    if kind not in DEFAULTS:
        raise missing("Gateway response type")
    return gateway_response(kind, {}) | {"defaultResponse": True}
