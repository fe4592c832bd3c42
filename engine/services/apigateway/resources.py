"""The operations on resources of REST APIs and their methods, and what those may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.model import Model
from ...aws.service import Caller
from ...durable.changes import Step
from ...durable.state import Record
from ..apigatewayv2.integrations import FUNCTION
from . import templates
from .catalog import AUTHORIZERS, RESOURCES, Catalog, Members, kept, new_id, page, public
from .faults import bad, conflict, full, missing, not_here
from .patches import patched

MOST = 300  # resources of an API
TIMEOUT = (50, 29_000)  # milliseconds
METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_PART = re.compile(r"[a-zA-Z0-9._\-:]+|\{[a-zA-Z0-9._\-]+\+?\}")
_METHOD = ("authorizationType", "authorizerId", "apiKeyRequired", "operationName", "requestParameters",
           "authorizationScopes", "requestModels", "requestValidatorId")  # fmt: skip
_INTEGRATION = ("type", "uri", "credentials", "requestParameters", "requestTemplates", "passthroughBehavior",
                "cacheNamespace", "cacheKeyParameters", "timeoutInMillis", "connectionType")  # fmt: skip
_ELSEWHERE = ("connectionId", "tlsConfig", "integrationTarget", "contentHandling")
_URL = re.compile(r"https?://[^\s/]+(?:/\S*)?")


class ResourceOperations:
    def __init__(self, catalog: Catalog, model: Model) -> None:
        self._catalog = catalog
        self._model = model

    async def create_resource(self, members: Members, caller: Caller) -> Members:
        api_id, part = members["restApiId"], members["pathPart"]
        async with self._catalog.changes.lock:
            there = self._catalog.owned(caller.place, RESOURCES, api_id)
            parent = self._catalog.found(caller.place, RESOURCES, api_id, members["parentId"])
            record = resource(parent, part, there)
            await self._catalog.write(caller.place, (RESOURCES, api_id, record["id"], record))
        return record

    async def get_resource(self, members: Members, caller: Caller) -> Members:
        return self._resource(members, caller)

    def _resource(self, members: Members, caller: Caller) -> Record:
        return self._catalog.found(caller.place, RESOURCES, members["restApiId"], members["resourceId"])

    async def get_resources(self, members: Members, caller: Caller) -> Members:
        whole = "methods" in (members.get("embed") or ())
        found = []
        for record in self._catalog.owned(caller.place, RESOURCES, members["restApiId"]).values():
            methods = {
                name: method if whole else {} for name, method in record.get("resourceMethods", {}).items()
            }
            found.append({**record, "resourceMethods": methods or None})
        return page(found, members)

    async def update_resource(self, members: Members, caller: Caller) -> Members:
        raise not_here("UpdateResource")

    async def delete_resource(self, members: Members, caller: Caller) -> Members:
        """With those below it."""
        api_id = members["restApiId"]
        async with self._catalog.changes.lock:
            record = self._resource(members, caller)
            if "parentId" not in record:
                raise bad("Root resource cannot be deleted")
            gone, steps = {record["id"]}, list[Step]()
            there = self._catalog.owned(caller.place, RESOURCES, api_id)
            for id, each in sorted(there.items(), key=lambda pair: len(pair[1]["path"])):
                if id in gone or each.get("parentId") in gone:
                    gone.add(id)
                    steps.append((RESOURCES, api_id, id, None))
            await self._catalog.write(caller.place, *steps)
        return {}

    # Methods. A resource's record has them all, with their integrations and responses.

    async def put_method(self, members: Members, caller: Caller) -> Members:
        name = members["httpMethod"]
        async with self._catalog.changes.lock:
            record = self._resource(members, caller)
            if name in record.get("resourceMethods", {}):
                raise conflict("Method already exists for this resource")
            authorizers = self._catalog.owned(caller.place, AUTHORIZERS, members["restApiId"])
            made = method(name, members, authorizers)
            await self._put(members, caller, record, made)
        return made

    async def _put(self, members: Members, caller: Caller, record: Record, made: Record | None) -> None:
        methods = {**record.get("resourceMethods", {})}
        methods.pop(members["httpMethod"], None)
        if made is not None:
            methods[members["httpMethod"]] = made
        record = {**record, "resourceMethods": methods}
        await self._catalog.write(caller.place, (RESOURCES, members["restApiId"], record["id"], record))

    def _method(self, members: Members, caller: Caller) -> tuple[Record, Record]:
        """The resource, and its method. Raises Fault."""
        record = self._resource(members, caller)
        found = record.get("resourceMethods", {}).get(members["httpMethod"])
        if found is None:
            raise missing("Method identifier")
        return record, found

    async def get_method(self, members: Members, caller: Caller) -> Members:
        return self._method(members, caller)[1]

    async def update_method(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record, found = self._method(members, caller)
            fixed = ("httpMethod", "methodIntegration", "methodResponses")
            changed = patched(self._model.operation("UpdateMethod"), found, members, fixed)
            authorizers = self._catalog.owned(caller.place, AUTHORIZERS, members["restApiId"])
            checked = method(members["httpMethod"], changed, authorizers)
            made = (
                {**found, **checked}
                if "authorizerId" in checked
                else _without({**found, **checked}, "authorizerId")
            )
            await self._put(members, caller, record, made)
        return made

    async def delete_method(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record, _ = self._method(members, caller)
            await self._put(members, caller, record, None)
        return {}

    async def put_method_response(self, members: Members, caller: Caller) -> Members:
        made = {
            "statusCode": members["statusCode"],
            **kept(members, ("responseParameters", "responseModels")),
        }
        async with self._catalog.changes.lock:
            record, found = self._method(members, caller)
            there = found.get("methodResponses", {})
            if made["statusCode"] in there:
                raise conflict("Response already exists for this resource")
            responses = {**there, made["statusCode"]: made}
            await self._put(members, caller, record, {**found, "methodResponses": responses})
        return made

    async def get_method_response(self, members: Members, caller: Caller) -> Members:
        return _response(self._method(members, caller)[1].get("methodResponses"), members)

    async def delete_method_response(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record, found = self._method(members, caller)
            _response(found.get("methodResponses"), members)
            left = _without(found["methodResponses"], members["statusCode"])
            await self._put(members, caller, record, {**found, "methodResponses": left})
        return {}

    async def put_integration(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record, found = self._method(members, caller)
            made = integration(members, members.get("integrationHttpMethod"), record["id"])
            await self._put(members, caller, record, {**found, "methodIntegration": made})
        return made

    def _integration(self, members: Members, caller: Caller) -> tuple[Record, Record, Record]:
        record, found = self._method(members, caller)
        made = found.get("methodIntegration")
        if made is None:
            raise missing("Integration identifier")
        return record, found, made

    async def get_integration(self, members: Members, caller: Caller) -> Members:
        return self._integration(members, caller)[2]

    async def update_integration(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record, found, made = self._integration(members, caller)
            changed = patched(
                self._model.operation("UpdateIntegration"), made, members, ("type", "integrationResponses")
            )
            new = integration(changed, changed.get("httpMethod"), record["id"])
            if "integrationResponses" in made:
                new["integrationResponses"] = made["integrationResponses"]
            await self._put(members, caller, record, {**found, "methodIntegration": new})
        return new

    async def delete_integration(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record, found, _ = self._integration(members, caller)
            await self._put(members, caller, record, _without(found, "methodIntegration"))
        return {}

    async def put_integration_response(self, members: Members, caller: Caller) -> Members:
        made = integration_response(members["statusCode"], members)
        async with self._catalog.changes.lock:
            record, found, there = self._integration(members, caller)
            responses = {**there.get("integrationResponses", {}), made["statusCode"]: made}
            new = {**there, "integrationResponses": responses}
            await self._put(members, caller, record, {**found, "methodIntegration": new})
        return made

    async def get_integration_response(self, members: Members, caller: Caller) -> Members:
        return _response(self._integration(members, caller)[2].get("integrationResponses"), members)

    async def delete_integration_response(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record, found, there = self._integration(members, caller)
            _response(there.get("integrationResponses"), members)
            left = _without(there["integrationResponses"], members["statusCode"])
            new = {**there, "integrationResponses": left}
            await self._put(members, caller, record, {**found, "methodIntegration": new})
        return {}


def _without(record: Mapping[str, Any], name: str) -> Record:
    return {each: value for each, value in record.items() if each != name}


def _response(there: Mapping[str, Record] | None, members: Members) -> Record:
    found = (there or {}).get(members["statusCode"])
    if found is None:
        raise missing("Response status code")
    return public(found)


def resource(parent: Record, part: str, there: Mapping[str, Record]) -> Record:
    """A new resource's record. there: those of its API. Raises Fault."""
    if _PART.fullmatch(part) is None:
        raise bad(
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the "
            "beginning and the end."
        )
    if len(there) >= MOST:
        raise full("resources for this API")
    if parent.get("pathPart", "").endswith("+}"):
        raise bad(f"Cannot create a child of a resource with a greedy path variable: {parent['pathPart']}")
    for each in there.values():
        if each.get("parentId") != parent["id"]:
            continue
        if each["pathPart"] == part:
            raise conflict(f"Another resource with the same parent already has this name: {part}")
        if (
            part.startswith("{")
            and each["pathPart"].startswith("{")
            and part.endswith("+}") == each["pathPart"].endswith("+}")
        ):
            raise bad(
                f"A sibling ({each['pathPart']}) of this resource already has a variable path part -- only one "
                "unique variable path part is allowed"
            )
    path = f"{parent['path'].rstrip('/')}/{part}"
    return {"id": new_id(6), "parentId": parent["id"], "pathPart": part, "path": path}


def method(name: str, members: Mapping[str, Any], authorizers: Mapping[str, Record]) -> Record:
    """A method's record. Raises Fault."""
    if name not in METHODS:
        raise bad(f"Invalid HTTP method specified. Must be one of: [{', '.join(METHODS)}]")
    for unknown in ("requestModels", "requestValidatorId"):
        if members.get(unknown):
            raise not_here(f"{unknown} of a method")
    record: Record = {"httpMethod": name, "apiKeyRequired": False, **kept(members, _METHOD)}
    kind = record["authorizationType"]
    if kind == "COGNITO_USER_POOLS":
        raise not_here("authorizationType COGNITO_USER_POOLS")
    if kind not in ("NONE", "AWS_IAM", "CUSTOM"):
        raise bad(
            "Invalid authorization type specified. Must be one of [NONE, AWS_IAM, CUSTOM, COGNITO_USER_POOLS]"
        )
    if kind == "CUSTOM" and record.get("authorizerId") not in authorizers:
        raise bad(
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires "
            "a valid authorizer."
        )
    return record if kind == "CUSTOM" else _without(record, "authorizerId")


def integration(members: Mapping[str, Any], http_method: str | None, resource_id: str) -> Record:
    """An integration's record. Raises Fault."""
    record: Record = {
        "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": TIMEOUT[1], "cacheNamespace": resource_id,
        "cacheKeyParameters": [], **kept(members, _INTEGRATION),
    }  # fmt: skip
    kind, uri = record["type"], record.get("uri") or ""
    if http_method:
        record["httpMethod"] = http_method
    for name in _ELSEWHERE:
        if members.get(name):
            raise not_here(f"{name} of an integration")
    if (
        record.get("connectionType", "INTERNET") != "INTERNET"
        or members.get("responseTransferMode") == "STREAM"
    ):
        raise not_here("A private or streaming integration")
    if kind in ("HTTP", "AWS"):
        raise not_here(f"An integration of type {kind}")
    if kind not in ("MOCK", "HTTP_PROXY", "AWS_PROXY"):
        raise bad(
            "Invalid integration type specified. Must be one of [HTTP, AWS, MOCK, HTTP_PROXY, AWS_PROXY]"
        )
    least, most = TIMEOUT
    if not least <= record["timeoutInMillis"] <= most:
        raise bad(f"Timeout should be between {least} ms and {most} ms")
    if kind != "MOCK" and record.get("httpMethod") not in METHODS:
        raise bad("Enumeration value for HttpMethod must be non-empty")
    if kind == "HTTP_PROXY" and _URL.fullmatch(uri) is None:
        raise bad("Invalid HTTP endpoint specified for URI")
    if kind == "AWS_PROXY":
        if not uri.startswith("arn:"):
            raise bad("Invalid ARN specified in the request")
        if ":lambda:path/" not in uri:
            raise bad("AWS ARN for integration must contain path or action")
        if FUNCTION.fullmatch(uri) is None:
            raise bad(
                "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream "
                "invocations."
            )
    elif kind == "MOCK":
        templates.check(record.get("requestTemplates"))
    return record


def integration_response(status: str, members: Mapping[str, Any]) -> Record:
    """Raises Fault."""
    if members.get("contentHandling"):
        raise not_here("contentHandling of an integration response")
    templates.check(members.get("responseTemplates"))
    return {
        "statusCode": status,
        **kept(members, ("selectionPattern", "responseParameters", "responseTemplates")),
    }
