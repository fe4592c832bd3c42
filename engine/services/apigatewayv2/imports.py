"""OpenAPI documents as HTTP APIs: what ImportApi and ReimportApi make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...durable.state import Record
from ..apigateway.openapi import NONE, PREFIX, Document
from .authorizers import authorizer
from .catalog import DEFAULT, Members
from .faults import bad
from .integrations import integration

_CORS = ("AllowCredentials", "AllowHeaders", "AllowMethods", "AllowOrigins", "ExposeHeaders", "MaxAge")
_INTEGRATION = {
    "uri": "IntegrationUri", "httpMethod": "IntegrationMethod", "payloadFormatVersion": "PayloadFormatVersion",
    "timeoutInMillis": "TimeoutInMillis", "credentials": "CredentialsArn", "connectionType": "ConnectionType",
    "connectionId": "ConnectionId", "integrationSubtype": "IntegrationSubtype", "tlsConfig": "TlsConfig",
    "requestParameters": "RequestParameters", "responseParameters": "ResponseParameters", "description": "Description",
}  # fmt: skip
_AUTHORIZER = {
    "authorizerUri": "AuthorizerUri", "authorizerCredentials": "AuthorizerCredentialsArn",
    "authorizerPayloadFormatVersion": "AuthorizerPayloadFormatVersion",
    "authorizerResultTtlInSeconds": "AuthorizerResultTtlInSeconds", "enableSimpleResponses": "EnableSimpleResponses",
}  # fmt: skip


@dataclass(slots=True)
class Imported:
    """What a document has. api and routes: as members of CreateApi and CreateRoute; the others are records by id."""

    api: Members
    routes: list[Members] = field(default_factory=list)
    integrations: dict[str, Record] = field(default_factory=dict)
    authorizers: dict[str, Record] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def notes(self, members: Mapping[str, Any]) -> Record:
        """The record's members about the import. Raises Fault where warnings are to be failures."""
        if self.warnings and members.get("FailOnWarnings"):
            raise bad(f"Warnings found during import: {'; '.join(self.warnings)}")
        return {"Warnings": self.warnings, "ImportInfo": []} if self.warnings else {}


def read(members: Mapping[str, Any]) -> Imported:
    """The document of an import. Raises Fault."""
    document = Document(members["Body"])
    if document.version != 3:
        raise bad("Only OpenAPI 3.x.x are currently supported")
    mode = (members.get("Basepath") or "ignore").lower()
    if mode not in ("ignore", "prepend", "split"):
        raise bad("Enumeration value of base path must be ignore, prepend or split")
    imported = Imported(_api(document))
    by_name: dict[str, str] = {}
    for name, scheme in document.schemes().items():
        if found := scheme.get(f"{PREFIX}authorizer"):
            record = authorizer(_authorizer(name, document.resolved(found)), {})
            imported.authorizers[record["AuthorizerId"]] = record
            by_name[name] = record["AuthorizerId"]
    made: dict[int, str] = {}  # integrations that several operations refer to are one
    for path, method, operation in document.operations():
        plain = path.strip("/") == DEFAULT
        prefix = document.base_path() if mode == "prepend" else ""
        route: Members = {"RouteKey": DEFAULT if plain else f"{method} {prefix}{path}"}
        if operation.get("operationId"):
            route["OperationName"] = str(operation["operationId"])
        if (described := operation.get(f"{PREFIX}integration")) is None:
            imported.warnings.append(f"No integration is defined for the route {route['RouteKey']}")
        else:
            route["Target"] = f"integrations/{_integration(imported, made, document.resolved(described))}"
        route |= _authorization(document.security(operation), by_name, imported, route["RouteKey"])
        if isinstance(auth := operation.get(f"{PREFIX}auth"), dict) and auth.get("type") == "AWS_IAM":
            route["AuthorizationType"] = "AWS_IAM"
        imported.routes.append(route)
    return imported


def _api(document: Document) -> Members:
    info = document.info
    api: Members = {"Name": str(info.get("title") or "") or "imported", "Tags": document.tags()}
    if info.get("version") is not None:
        api["Version"] = str(info["version"])
    if info.get("description"):
        api["Description"] = str(info["description"])
    if isinstance(cors := document.extension("cors"), dict):
        found = {name: cors.get(name[0].lower() + name[1:]) for name in _CORS}
        api["CorsConfiguration"] = {name: value for name, value in found.items() if value is not None}
    for server in document.root.get("servers") or ():
        configured = server.get(f"{PREFIX}endpoint-configuration") if isinstance(server, dict) else None
        if isinstance(configured, dict) and configured.get("disableExecuteApiEndpoint"):
            api["DisableExecuteApiEndpoint"] = True
    return api


def _integration(imported: Imported, made: dict[int, str], described: Mapping[str, Any]) -> str:
    """Its id. Raises Fault."""
    if id(described) not in made:
        members = {
            name: described[key] for key, name in _INTEGRATION.items() if described.get(key) is not None
        }
        members["IntegrationType"] = str(described.get("type") or "").upper()
        if "PayloadFormatVersion" in members:
            members["PayloadFormatVersion"] = str(members["PayloadFormatVersion"])
        record = integration(members, {})
        made[id(described)] = record["IntegrationId"]
        imported.integrations[record["IntegrationId"]] = record
    return made[id(described)]


def _authorizer(name: str, described: Mapping[str, Any]) -> Members:
    members = {
        member: described[key] for key, member in _AUTHORIZER.items() if described.get(key) is not None
    }
    members |= {"Name": name, "AuthorizerType": str(described.get("type") or "").upper()}
    if "AuthorizerPayloadFormatVersion" in members:
        members["AuthorizerPayloadFormatVersion"] = str(members["AuthorizerPayloadFormatVersion"])
    source = described.get("identitySource") or []
    parts = source if isinstance(source, list) else str(source).split(",")
    members["IdentitySource"] = [each.strip() for each in parts if each.strip()]
    if isinstance(jwt := described.get("jwtConfiguration"), dict):
        audience = jwt.get("audience") or []
        members["JwtConfiguration"] = {
            "Issuer": jwt.get("issuer"),
            "Audience": audience if isinstance(audience, list) else [audience],
        }
    return members


def _authorization(
    security: Mapping[str, list[str]], by_name: Mapping[str, str], imported: Imported, key: str
) -> Members:
    for name, scopes in security.items():
        if name == NONE:
            continue
        if name not in by_name:
            imported.warnings.append(f"The security scheme {name} of the route {key} has no authorizer")
            continue
        id = by_name[name]
        if imported.authorizers[id]["AuthorizerType"] == "JWT":
            return {"AuthorizationType": "JWT", "AuthorizerId": id, "AuthorizationScopes": scopes or None}
        return {"AuthorizationType": "CUSTOM", "AuthorizerId": id}
    return {}
