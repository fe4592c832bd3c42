"""AWS::ApiGateway and AWS::ApiGatewayV2: APIs by their document or piece by piece.

Everything of these types is here."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from ..shaping import lowered, shaped, text
from .base import Aws, Kind, Made, Wanted, send, send_known, tags

_V1, _V2 = "apigateway", "apigatewayv2"
# What SAM gives a deployment's stage of its own; the real ones are resources.
_STAGE_OF_SAM = "Stage"


async def _lower(aws: Aws, operation: str, properties: dict[str, Any]) -> dict[str, Any]:
    """An operation of version 1, whose members begin in lower case."""
    return await aws.call(_V1, operation, shaped(_V1, operation, lowered(properties)))


def _document(wanted: Wanted) -> bytes:
    return text(wanted.get("Body")).encode()


class RestApi(Kind):
    type = "AWS::ApiGateway::RestApi"
    service = _V1
    _CREATED = (
        "ApiKeySourceType", "BinaryMediaTypes", "Description", "DisableExecuteApiEndpoint", "EndpointConfiguration",
        "MinimumCompressionSize", "Policy",
    )  # fmt: skip

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        if "Body" in wanted.properties:
            fail = str(wanted.get("FailOnWarnings", "false")).lower() == "true"
            kinds = (wanted.get("EndpointConfiguration") or {}).get("Types")
            given = {"body": _document(wanted), "failOnWarnings": fail}
            given |= {"parameters": {"endpointConfigurationTypes": ",".join(kinds)}} if kinds else {}
            made = await aws.call(_V1, "ImportRestApi", given)
            await self._patch(aws, made["id"], wanted, ("Name", *self._CREATED))
        else:
            given = {name: wanted.get(name) for name in self._CREATED if name in wanted.properties}
            given |= {"Name": wanted.get("Name") or wanted.name}
            if found := tags(wanted.properties):
                given["Tags"] = found
            if "EndpointConfiguration" in given:
                given["EndpointConfiguration"] = lowered(given["EndpointConfiguration"])
            if "ApiKeySourceType" in given:
                given["ApiKeySource"] = given.pop("ApiKeySourceType")
            made = await _lower(aws, "CreateRestApi", given)
        return Made(
            made["id"], {"RestApiId": made["id"], "RootResourceId": await self._root(aws, made["id"])}
        )

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        if "Body" in wanted.properties:
            given = {"restApiId": before.id, "mode": "overwrite", "body": _document(wanted)}
            await aws.call(_V1, "PutRestApi", given)
        await self._patch(aws, before.id, wanted, ("Name", *self._CREATED))
        return Made(before.id, {**before.attributes, "RootResourceId": await self._root(aws, before.id)})

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(_V1, "DeleteRestApi", {"restApiId": before.id})

    @staticmethod
    async def _root(aws: Aws, id: str) -> str:
        found = await aws.call(_V1, "GetResources", {"restApiId": id, "limit": 500})
        return next((str(each["id"]) for each in found.get("items", []) if each.get("path") == "/"), "")

    @staticmethod
    async def _patch(aws: Aws, id: str, wanted: Wanted, names: tuple[str, ...]) -> None:
        """What a document does not say."""
        changes = [
            {"op": "replace", "path": f"/{name[:1].lower()}{name[1:]}", "value": text(wanted.get(name))}
            for name in names
            if name in wanted.properties and name not in ("EndpointConfiguration", "BinaryMediaTypes")
        ]
        changes += [
            {"op": "add", "path": f"/binaryMediaTypes/{each.replace('/', '~1')}"}
            for each in wanted.get("BinaryMediaTypes") or []
        ]
        if changes:
            await aws.call(_V1, "UpdateRestApi", {"restApiId": id, "patchOperations": changes})


class Deployment(Kind):
    type = "AWS::ApiGateway::Deployment"
    service = _V1
    fixed = frozenset({"RestApiId", "StageName"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = wanted.without("DeploymentCanarySettings", "StageDescription")
        if given.get("StageName") == _STAGE_OF_SAM:
            del given["StageName"]
        made = await _lower(aws, "CreateDeployment", given)
        return Made(made["id"], {"DeploymentId": made["id"]})

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"restApiId": before.properties["RestApiId"], "deploymentId": before.id}
        await aws.call(_V1, "DeleteDeployment", given)


class Stage(Kind):
    type = "AWS::ApiGateway::Stage"
    service = _V1
    name = "StageName"
    fixed = frozenset({"RestApiId"})
    _KNOWN = ("DeploymentId", "Description", "TracingEnabled", "CacheClusterEnabled", "CacheClusterSize")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = {"restApiId": wanted.get("RestApiId"), "stageName": wanted.name}
        given |= lowered({name: wanted.get(name) for name in self._KNOWN if name in wanted.properties})
        if variables := wanted.get("Variables"):
            given["variables"] = variables
        if found := tags(wanted.properties):
            given["tags"] = found
        await aws.call(_V1, "CreateStage", shaped(_V1, "CreateStage", given))
        return Made(wanted.name)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        changes = [
            {"op": "replace", "path": f"/{name[:1].lower()}{name[1:]}", "value": text(wanted.get(name))}
            for name in self._KNOWN
            if name in wanted.properties and wanted.get(name) != before.properties.get(name)
        ]
        old, new = before.properties.get("Variables") or {}, wanted.get("Variables") or {}
        changes += [{"op": "remove", "path": f"/variables/{name}"} for name in old if name not in new]
        changes += [
            {"op": "replace", "path": f"/variables/{name}", "value": text(value)}
            for name, value in new.items()
            if old.get(name) != value
        ]
        given = {"restApiId": wanted.get("RestApiId"), "stageName": before.id, "patchOperations": changes}
        if changes:
            await aws.call(_V1, "UpdateStage", given)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"restApiId": before.properties["RestApiId"], "stageName": before.id}
        await aws.call(_V1, "DeleteStage", given)


class _PartOfRest(Kind):
    """A part of a REST API that one operation makes and one deletes, and that is made anew when it changes."""

    service = _V1
    noun: ClassVar[str]
    id: ClassVar[str]  # what the operations call its id
    id_of: ClassVar[str] = "id"  # the member of a response that has it

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await _lower(aws, f"Create{self.noun}", wanted.properties)
        return Made(str(made[self.id_of]), {f"{self.noun}Id": str(made[self.id_of])})

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"restApiId": before.properties["RestApiId"], self.id: before.id}
        await aws.call(_V1, f"Delete{self.noun}", given)


class Resource(_PartOfRest):
    type = "AWS::ApiGateway::Resource"
    noun, id = "Resource", "resourceId"


class RestAuthorizer(_PartOfRest):
    type = "AWS::ApiGateway::Authorizer"
    noun, id = "Authorizer", "authorizerId"


class RestModel(_PartOfRest):
    type = "AWS::ApiGateway::Model"
    noun, id, id_of = "Model", "modelName", "name"


class Method(Kind):
    type = "AWS::ApiGateway::Method"
    service = _V1
    fixed = frozenset({"HttpMethod", "ResourceId", "RestApiId"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        key = {name: wanted.get(name) for name in ("RestApiId", "ResourceId", "HttpMethod")}
        given = wanted.without("Integration", "MethodResponses")
        await _lower(aws, "PutMethod", {"AuthorizationType": "NONE", **given})
        for each in wanted.get("MethodResponses") or []:
            await _lower(aws, "PutMethodResponse", {**key, **each})
        if integration := wanted.get("Integration"):
            given = {name: value for name, value in integration.items() if name != "IntegrationResponses"}
            await _lower(aws, "PutIntegration", {**key, **given})
            for each in integration.get("IntegrationResponses") or []:
                await _lower(aws, "PutIntegrationResponse", {**key, **each})
        return Made("-".join(str(each) for each in key.values()))

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await self.delete(aws, before)
        return await self.create(aws, wanted)

    async def delete(self, aws: Aws, before: Made) -> None:
        key = {name: before.properties[name] for name in ("RestApiId", "ResourceId", "HttpMethod")}
        await aws.call(_V1, "DeleteMethod", lowered(key))


class Api(Kind):
    type = "AWS::ApiGatewayV2::Api"
    service = _V2
    fixed = frozenset({"ProtocolType"})
    _IMPORT = ("Basepath", "Body", "FailOnWarnings")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        if "Body" in wanted.properties:
            given = {"Body": json.dumps(_filled(wanted))}
            if "FailOnWarnings" in wanted.properties:
                given["FailOnWarnings"] = wanted.get("FailOnWarnings")
            made = await send(aws, _V2, "ImportApi", given)
        else:
            given = {"Name": wanted.name, **wanted.without("DisableSchemaValidation", *self._IMPORT)}
            made = await send(aws, _V2, "CreateApi", given)
        return Made(made["ApiId"], {"ApiId": made["ApiId"], "ApiEndpoint": made.get("ApiEndpoint", "")})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        if "Body" in wanted.properties:
            given = {"ApiId": before.id, "Body": json.dumps(_filled(wanted))}
            await send(aws, _V2, "ReimportApi", given)
        else:
            await send_known(aws, _V2, "UpdateApi", {**wanted.properties, "ApiId": before.id})
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(_V2, "DeleteApi", {"ApiId": before.id})


def _filled(wanted: Wanted) -> Any:
    """The document, with what stands beside it in the template."""
    body = wanted.get("Body")
    document = json.loads(body) if isinstance(body, str) else dict(body)
    if name := wanted.get("Name"):
        document["info"] = {**(document.get("info") or {}), "title": name}
    if cors := wanted.get("CorsConfiguration"):
        document["x-amazon-apigateway-cors"] = lowered(cors)
    return document


class _PartOfApi(Kind):
    """A part of an HTTP or WebSocket API."""

    service = _V2
    noun: ClassVar[str]
    fixed = frozenset({"ApiId"})

    @property
    def _id(self) -> str:
        return f"{self.noun}Id"

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await send(aws, _V2, f"Create{self.noun}", wanted.properties)
        return Made(str(made[self._id]), {self._id: str(made[self._id])})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await send(aws, _V2, f"Update{self.noun}", {**wanted.properties, self._id: before.id})
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"ApiId": before.properties["ApiId"], self._id: before.id}
        await aws.call(_V2, f"Delete{self.noun}", given)


class Route(_PartOfApi):
    type = "AWS::ApiGatewayV2::Route"
    noun = "Route"


class Integration(_PartOfApi):
    type = "AWS::ApiGatewayV2::Integration"
    noun = "Integration"


class HttpDeployment(_PartOfApi):
    type = "AWS::ApiGatewayV2::Deployment"
    noun = "Deployment"
    fixed = frozenset({"ApiId", "StageName"})


class Authorizer(_PartOfApi):
    type = "AWS::ApiGatewayV2::Authorizer"
    noun = "Authorizer"


class _Response(_PartOfApi):
    """Of a route or an integration of a WebSocket API."""

    of: ClassVar[str]

    async def delete(self, aws: Aws, before: Made) -> None:
        owner = {name: before.properties[name] for name in ("ApiId", self.of)}
        await aws.call(_V2, f"Delete{self.noun}", {**owner, self._id: before.id})


class RouteResponse(_Response):
    type = "AWS::ApiGatewayV2::RouteResponse"
    noun, of = "RouteResponse", "RouteId"
    fixed = frozenset({"ApiId", "RouteId"})


class IntegrationResponse(_Response):
    type = "AWS::ApiGatewayV2::IntegrationResponse"
    noun, of = "IntegrationResponse", "IntegrationId"
    fixed = frozenset({"ApiId", "IntegrationId"})


class HttpStage(Kind):
    type = "AWS::ApiGatewayV2::Stage"
    service = _V2
    name = "StageName"
    fixed = frozenset({"ApiId"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        await send(aws, _V2, "CreateStage", {**wanted.properties, "StageName": wanted.name})
        return Made(wanted.name)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await send_known(aws, _V2, "UpdateStage", {**wanted.properties, "StageName": before.id})
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"ApiId": before.properties["ApiId"], "StageName": before.id}
        await aws.call(_V2, "DeleteStage", given)


KINDS: tuple[Kind, ...] = (
    RestApi(), Deployment(), Stage(), Resource(), RestAuthorizer(), RestModel(), Method(),
    Api(), Route(), Integration(), HttpDeployment(), Authorizer(), HttpStage(), RouteResponse(),
    IntegrationResponse(),
)  # fmt: skip
