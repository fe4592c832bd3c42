"""OpenAPI documents as REST APIs: what ImportRestApi and PutRestApi make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...durable.state import Record
from .authorizers import authorizer
from .catalog import Members, new_id
from .faults import bad, not_here
from .gateway_responses import gateway_response
from .openapi import NONE, PREFIX, Document
from .resources import integration, integration_response, method, resource

_AUTHORIZER = ("type", "authorizerUri", "authorizerCredentials", "identitySource", "identityValidationExpression",
               "authorizerResultTtlInSeconds")  # fmt: skip


@dataclass(slots=True)
class Imported:
    """What a document has, as records by id. api: members of CreateRestApi."""

    api: Members
    resources: dict[str, Record] = field(default_factory=dict)
    authorizers: dict[str, Record] = field(default_factory=dict)
    responses: dict[str, Record] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read(
    members: Mapping[str, Any], resources: Mapping[str, Record], authorizers: Mapping[str, Record]
) -> Imported:
    """resources, authorizers: those that are there and stay. Raises Fault."""
    document = Document(members["body"])
    parameters = {name.lower(): value for name, value in (members.get("parameters") or {}).items()}
    mode = (parameters.get("basepath") or "ignore").lower()
    if mode not in ("ignore", "prepend", "split"):
        raise bad("Invalid base path mode specified. Must be one of: [ignore, prepend, split]")
    prefix = document.base_path() if mode == "prepend" else ""
    if mode == "split":
        _, slash, rest = document.base_path().removeprefix("/").partition("/")
        prefix = slash + rest
    imported = Imported(_api(document, parameters), dict(resources), dict(authorizers))
    if not imported.resources:
        root = {"id": new_id(10), "path": "/"}
        imported.resources[root["id"]] = root
    schemes = _schemes(document, imported)
    for kind, described in (document.extension("gateway-responses") or {}).items():
        imported.responses[kind] = gateway_response(kind, document.resolved(described))
    for path, name, operation in document.operations():
        record = _at(imported.resources, prefix + path)
        made = _method(document, name, operation, schemes, imported, record)
        record["resourceMethods"] = {**record.get("resourceMethods", {}), name: made}
    if imported.warnings and members.get("failOnWarnings"):
        raise bad(f"Warnings found during import: {'; '.join(imported.warnings)}")
    return imported


def _api(document: Document, parameters: Mapping[str, str]) -> Members:
    info = document.info
    api: Members = {"name": str(info.get("title") or "") or "imported", "tags": document.tags()}
    for name in ("version", "description"):
        if info.get(name) is not None:
            api[name] = str(info[name])
    if types := document.extension("binary-media-types"):
        api["binaryMediaTypes"] = [str(each) for each in types]
    if source := document.extension("api-key-source"):
        api["apiKeySource"] = str(source).upper()
    if document.extension("policy"):
        raise not_here("A resource policy of an API")
    if kinds := parameters.get("endpointconfigurationtypes"):
        api["endpointConfiguration"] = {"types": kinds.split(",")}
    return api


def _at(resources: dict[str, Record], path: str) -> Record:
    """The record of a path, which is new if it was not there, as its parents are. Raises Fault."""
    by_path = {record["path"]: id for id, record in resources.items()}
    found = resources[by_path["/"]]
    for part in [each for each in path.split("/") if each]:
        below = f"{found['path'].rstrip('/')}/{part}"
        if below in by_path:
            found = resources[by_path[below]]
        else:
            found = resource(found, part, resources)
            by_path[below] = found["id"]
            resources[found["id"]] = found
    # Its own, to be changed: records that are in use never are.
    copied = resources[found["id"]] = dict(found)
    return copied


@dataclass(frozen=True, slots=True)
class _Scheme:
    kind: str  # an authorizationType, or "key"
    authorizer: str | None = None


def _schemes(document: Document, imported: Imported) -> dict[str, _Scheme]:
    by_name = {record["name"]: id for id, record in imported.authorizers.items()}
    found: dict[str, _Scheme] = {}
    for name, scheme in document.schemes().items():
        described = scheme.get(f"{PREFIX}authorizer")
        if described is not None:
            described = document.resolved(described)
            members = {each: described[each] for each in _AUTHORIZER if described.get(each) is not None}
            members |= {"name": name, "type": str(described.get("type") or "").upper()}
            if members["type"] == "TOKEN":
                members.setdefault(
                    "identitySource", f"method.request.header.{scheme.get('name', 'Authorization')}"
                )
            record = authorizer(members, by_name.get(name) or new_id(6))
            imported.authorizers[record["id"]] = record
            found[name] = _Scheme("CUSTOM", record["id"])
        elif str(scheme.get(f"{PREFIX}authtype", "")).lower() == "awssigv4":
            found[name] = _Scheme("AWS_IAM")
        elif scheme.get("type") == "apiKey" and str(scheme.get("name", "")).lower() == "x-api-key":
            found[name] = _Scheme("key")
    return found


def _method(
    document: Document,
    name: str,
    operation: Mapping[str, Any],
    schemes: Mapping[str, _Scheme],
    imported: Imported,
    record: Record,
) -> Record:
    members: Members = {"authorizationType": "NONE", "apiKeyRequired": False}
    for each, scopes in document.security(operation).items():
        scheme = schemes.get(each)
        if each == NONE:
            continue
        if scheme is None:
            imported.warnings.append(f"The security scheme {each} of {name} {record['path']} is not known")
        elif scheme.kind == "key":
            members["apiKeyRequired"] = True
        else:
            members |= {"authorizationType": scheme.kind, "authorizerId": scheme.authorizer}
            members["authorizationScopes"] = scopes or None
    if operation.get("operationId"):
        members["operationName"] = str(operation["operationId"])
    made = method(name, members, imported.authorizers)
    responses = {
        str(status): {"statusCode": str(status)}
        for status in operation.get("responses") or {}
        if str(status) != "default"
    }
    if responses:
        made["methodResponses"] = responses
    if f"{PREFIX}request-validator" in operation:
        imported.warnings.append(f"Requests for {name} {record['path']} are not validated by this endpoint")
    described = operation.get(f"{PREFIX}integration")
    if described is not None:
        made["methodIntegration"] = _integration(document.resolved(described), record["id"])
    return made


def _integration(described: Mapping[str, Any], resource_id: str) -> Record:
    members = {**described, "type": str(described.get("type") or "").upper()}
    record = integration(members, str(described.get("httpMethod") or "").upper() or None, resource_id)
    responses = {}
    for pattern, response in (described.get("responses") or {}).items():
        status = str(response.get("statusCode") or "200")
        more = {} if pattern == "default" else {"selectionPattern": str(pattern)}
        responses[status] = integration_response(status, {**response, **more})
    return record | {"integrationResponses": responses} if responses else record
