"""The operations on integrations of HTTP APIs, and what one may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.service import Caller
from ...durable.state import Record
from .catalog import INTEGRATIONS, ROUTES, Catalog, Members, kept, new_id, page, public
from .faults import bad, conflict, full, not_here

MOST = 300  # of an API
TIMEOUT = (50, 30_000)  # milliseconds
SOCKET_TIMEOUT = 29_000  # and the most that one of a WebSocket API has
_OF_SOCKETS = ("PassthroughBehavior", "RequestTemplates", "TemplateSelectionExpression")
_KEPT = ("IntegrationType", "IntegrationUri", "IntegrationMethod", "PayloadFormatVersion", "Description",
         "CredentialsArn", "ConnectionType", "TimeoutInMillis")  # fmt: skip
_ELSEWHERE = ("ConnectionId", "IntegrationSubtype", "RequestTemplates", "TemplateSelectionExpression",
              "ContentHandlingStrategy", "TlsConfig", "ResponseParameters", "RequestParameters")  # fmt: skip
_METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
FUNCTION = re.compile(
    r"(?:arn:[\w-]+:apigateway:[\w-]+:lambda:path/2015-03-31/functions/)?"
    r"(?P<arn>arn:[\w-]+:lambda:(?P<region>[\w-]+):(?P<account>\d{12}):function:"
    r"(?P<name>(?:[\w-]|\$\{stageVariables\.\w+\})+)(?::(?P<qualifier>(?:[\w$.-]|\$\{stageVariables\.\w+\})+))?)"
    r"(?:/invocations)?"
)
_URL = re.compile(r"https?://[^\s/]+(?:/\S*)?")


class IntegrationOperations:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def create_integration(self, members: Members, caller: Caller) -> Members:
        api_id = members["ApiId"]
        async with self._catalog.changes.lock:
            record = integration(members, {}, self._catalog.is_socket(caller.place, api_id))
            if len(self._catalog.owned(caller.place, INTEGRATIONS, api_id)) >= MOST:
                raise full("Integrations for this API")
            await self._catalog.write(
                caller.place, api_id, (INTEGRATIONS, api_id, record["IntegrationId"], record)
            )
        return public(record)

    async def get_integration(self, members: Members, caller: Caller) -> Members:
        return public(
            self._catalog.found(caller.place, INTEGRATIONS, members["ApiId"], members["IntegrationId"])
        )

    async def get_integrations(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.owned(caller.place, INTEGRATIONS, members["ApiId"]).values()
        return page([public(record) for record in found], members)

    async def update_integration(self, members: Members, caller: Caller) -> Members:
        api_id, id = members["ApiId"], members["IntegrationId"]
        async with self._catalog.changes.lock:
            known = self._catalog.found(caller.place, INTEGRATIONS, api_id, id)
            record = integration(members, known, self._catalog.is_socket(caller.place, api_id))
            await self._catalog.write(caller.place, api_id, (INTEGRATIONS, api_id, id, record))
        return public(record)

    async def delete_integration(self, members: Members, caller: Caller) -> Members:
        api_id, id = members["ApiId"], members["IntegrationId"]
        async with self._catalog.changes.lock:
            self._catalog.found(caller.place, INTEGRATIONS, api_id, id)
            routes = self._catalog.owned(caller.place, ROUTES, api_id).values()
            if any(record.get("Target") == f"integrations/{id}" for record in routes):
                raise conflict(
                    f"Cannot delete Integration with id '{id}' because it is referenced by one or more Routes."
                )
            await self._catalog.write(caller.place, api_id, (INTEGRATIONS, api_id, id, None))
        return {}


def integration(members: Mapping[str, Any], known: Mapping[str, Any], socket: bool = False) -> Record:
    """The record of a request. known: the one it changes; socket: it is a WebSocket API's. Raises Fault."""
    if socket:
        return _of_socket(members, known)
    record: Record = {
        "IntegrationId": known.get("IntegrationId") or new_id(7), "ConnectionType": "INTERNET",
        "TimeoutInMillis": TIMEOUT[1], **known, **kept(members, _KEPT),
    }  # fmt: skip
    for name in _ELSEWHERE:
        if members.get(name):
            raise not_here(f"{name} of an integration")
    if record["ConnectionType"] != "INTERNET":
        raise not_here(f"ConnectionType {record['ConnectionType']}")
    kind = record["IntegrationType"]
    if kind not in ("AWS_PROXY", "HTTP_PROXY"):
        raise bad("HTTP APIs only support the integration types AWS_PROXY and HTTP_PROXY")
    least, most = TIMEOUT
    if not least <= record["TimeoutInMillis"] <= most:
        raise bad(f"Timeout should be between {least} ms and {most} ms")
    uri = record.get("IntegrationUri") or ""
    if kind == "AWS_PROXY":
        _check_function(record, uri)
    else:
        if _URL.fullmatch(uri) is None:
            raise bad("Invalid HTTP endpoint specified for URI")
        if record.get("IntegrationMethod") not in _METHODS:
            raise bad("HttpMethod must be specified for HTTP_PROXY integrations")
        if record.setdefault("PayloadFormatVersion", "1.0") != "1.0":
            raise bad("PayloadFormatVersion must be 1.0 for HTTP_PROXY integrations")
    return record


def _of_socket(members: Mapping[str, Any], known: Mapping[str, Any]) -> Record:
    """A function, or a mock of which the templates do not say anything. Raises Fault."""
    record: Record = {
        "IntegrationId": known.get("IntegrationId") or new_id(7), "ConnectionType": "INTERNET",
        "PassthroughBehavior": "WHEN_NO_MATCH", "PayloadFormatVersion": "1.0", "TimeoutInMillis": SOCKET_TIMEOUT,
        "IntegrationResponseSelectionExpression": "${integration.response.statuscode}", **known,
        **kept(members, (*_KEPT, *_OF_SOCKETS)),
    }  # fmt: skip
    for name in (
        "ConnectionId",
        "ContentHandlingStrategy",
        "TlsConfig",
        "ResponseParameters",
        "RequestParameters",
    ):
        if members.get(name):
            raise not_here(f"{name} of a WebSocket API's integration")
    kind = record["IntegrationType"]
    if kind not in ("AWS_PROXY", "MOCK"):
        raise not_here(f"IntegrationType {kind} of a WebSocket API")
    if kind == "AWS_PROXY":
        if FUNCTION.fullmatch(record.get("IntegrationUri") or "") is None:
            raise bad("Integrations of type 'AWS_PROXY' currently only supports Lambda function invocations.")
        record.setdefault("IntegrationMethod", "POST")
    if not TIMEOUT[0] <= record["TimeoutInMillis"] <= SOCKET_TIMEOUT:
        raise bad(f"Timeout should be between {TIMEOUT[0]} ms and {SOCKET_TIMEOUT} ms")
    return record


def _check_function(record: Record, uri: str) -> None:
    if FUNCTION.fullmatch(uri) is None:
        raise bad(
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream "
            "invocations."
        )
    if "PayloadFormatVersion" not in record:
        raise bad("PayloadFormatVersion is a required parameter")
    if record["PayloadFormatVersion"] not in ("1.0", "2.0"):
        raise bad("PayloadFormatVersion must be one of [1.0, 2.0]")
    if record.setdefault("IntegrationMethod", "POST") != "POST":
        raise bad("HttpMethod must be POST for AWS_PROXY integrations")
