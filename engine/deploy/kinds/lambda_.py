"""AWS::Lambda: functions, versions, aliases, permissions, layers, URLs, event sources."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import cfnresponse
from .base import Aws, Kind, Made, NotMade, Wanted, retag, send, tags, until, with_defaults

SERVICE = "lambda"
_DEFAULTS: dict[str, Any] = {
    "DeadLetterConfig": {"TargetArn": ""}, "Description": "", "Environment": {"Variables": {}},
    "EphemeralStorage": {"Size": 512}, "FileSystemConfigs": [], "KmsKeyArn": "", "Layers": [], "MemorySize": 128,
    "SnapStart": {"ApplyOn": "None"}, "Timeout": 3, "TracingConfig": {"Mode": "PassThrough"},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}  # fmt: skip
# Properties of a function that operations of their own set.
_APART = (
    "Code",
    "Tags",
    "ReservedConcurrentExecutions",
    "RuntimeManagementConfig",
    "RecursiveLoop",
    "FunctionName",
)
_NODE, _PYTHON = "index.js", "index.py"
# Code that stands in a template finds a module beside it that responds for custom resources.
RESPONSES = "cfnresponse.py"
_RESPONDS = re.compile(r"^\s*(?:import|from)\s+cfnresponse\b", re.MULTILINE)
_CLOCK = (1980, 1, 1, 0, 0, 0)


def archive(aws: Aws, code: Mapping[str, Any], runtime: str = "") -> dict[str, Any]:
    """A template's Code or Content as the API has it: text becomes an archive, what was uploaded here is sent."""
    if "ZipFile" in code:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
            info = zipfile.ZipInfo(_NODE if runtime.startswith("nodejs") else _PYTHON, _CLOCK)
            info.external_attr = 0o644 << 16
            file.writestr(info, str(code["ZipFile"]))
            if _RESPONDS.search(str(code["ZipFile"])):
                file.writestr(zipfile.ZipInfo(RESPONSES, _CLOCK), Path(cfnresponse.__file__).read_bytes())
        return {"ZipFile": out.getvalue()}
    uploaded = aws.artifact(str(code.get("S3Bucket", "")), str(code.get("S3Key", "")))
    return dict(code) if uploaded is None else {"ZipFile": uploaded}


class Function(Kind):
    type = "AWS::Lambda::Function"
    service = SERVICE
    name = "FunctionName"
    fixed = frozenset({"PackageType"})
    probe = ("GetFunctionConfiguration", "FunctionName")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        properties = wanted.without(*_APART)
        if "KmsKeyArn" in properties:
            properties["KMSKeyArn"] = properties.pop("KmsKeyArn")
        code = archive(aws, wanted.get("Code") or {}, str(wanted.get("Runtime", "")))
        given = {"FunctionName": wanted.name, "Code": code, "Tags": tags(wanted.properties), **properties}
        made = await send(aws, SERVICE, "CreateFunction", given)
        await self._settled(aws, wanted.name)
        await self._apart(aws, wanted, {})
        return Made(wanted.name, {"Arn": made["FunctionArn"], "SnapStartResponse": made.get("SnapStart", {})})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        old = before.properties
        kept = wanted.without(*_APART, "Architectures", "PackageType")
        if kept != {name: old[name] for name in old if name not in (*_APART, "Architectures", "PackageType")}:
            changed = with_defaults(kept, old, _DEFAULTS)
            if "KmsKeyArn" in changed:
                changed["KMSKeyArn"] = changed.pop("KmsKeyArn")
            # What may be refused goes first, so that nothing has changed then.
            given = {"FunctionName": before.id, **changed}
            await send(aws, SERVICE, "UpdateFunctionConfiguration", given)
            await self._settled(aws, before.id)
        if any(old.get(name) != wanted.get(name) for name in ("Code", "Architectures")):
            code = archive(aws, wanted.get("Code") or {}, str(wanted.get("Runtime", "")))
            given = {"FunctionName": before.id, **code}
            if "Architectures" in {**old, **wanted.properties}:
                given["Architectures"] = wanted.get("Architectures") or ["x86_64"]
            await send(aws, SERVICE, "UpdateFunctionCode", given)
            await self._settled(aws, before.id)
        await self._apart(aws, wanted, old)
        arn = before.attributes["Arn"]
        await retag(
            old, wanted.properties,
            lambda fresh: aws.call(SERVICE, "TagResource", {"Resource": arn, "Tags": fresh}),
            lambda gone: aws.call(SERVICE, "UntagResource", {"Resource": arn, "TagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(SERVICE, "DeleteFunction", {"FunctionName": before.id})

    async def _settled(self, aws: Aws, name: str) -> None:
        async def ready() -> bool:
            found = await aws.call(SERVICE, "GetFunctionConfiguration", {"FunctionName": name})
            if found.get("State") == "Failed" or found.get("LastUpdateStatus") == "Failed":
                reason = found.get("StateReason") or found.get("LastUpdateStatusReason")
                raise NotMade(f"Function {name} failed: {reason}")
            return found.get("State") != "Pending" and found.get("LastUpdateStatus") != "InProgress"

        await until(ready)

    async def _apart(self, aws: Aws, wanted: Wanted, before: Mapping[str, Any]) -> None:
        name = {"FunctionName": wanted.name}
        if (reserved := wanted.get("ReservedConcurrentExecutions")) is not None:
            if reserved != before.get("ReservedConcurrentExecutions"):
                given = {**name, "ReservedConcurrentExecutions": reserved}
                await send(aws, SERVICE, "PutFunctionConcurrency", given)
        elif "ReservedConcurrentExecutions" in before:
            await aws.call(SERVICE, "DeleteFunctionConcurrency", name)
        if (management := wanted.get("RuntimeManagementConfig")) != before.get("RuntimeManagementConfig"):
            given = {**name, **(management or {"UpdateRuntimeOn": "Auto"})}
            await send(aws, SERVICE, "PutRuntimeManagementConfig", given)
        if (loop := wanted.get("RecursiveLoop")) != before.get("RecursiveLoop"):
            given = {**name, "RecursiveLoop": loop or "Terminate"}
            await send(aws, SERVICE, "PutFunctionRecursionConfig", given)


async def _provision(aws: Aws, wanted: Wanted, qualifier: str, before: Mapping[str, Any]) -> None:
    name = {"FunctionName": wanted.get("FunctionName"), "Qualifier": qualifier}
    config, old = wanted.get("ProvisionedConcurrencyConfig"), before.get("ProvisionedConcurrencyConfig")
    if config and config != old:
        await send(aws, SERVICE, "PutProvisionedConcurrencyConfig", {**name, **config})

        async def ready() -> bool:
            found = await aws.call(SERVICE, "GetProvisionedConcurrencyConfig", name)
            if found["Status"] == "FAILED":
                raise NotMade(str(found.get("StatusReason", "provisioned concurrency failed")))
            return bool(found["Status"] == "READY")

        await until(ready)
    elif old and not config:
        await aws.call(SERVICE, "DeleteProvisionedConcurrencyConfig", name)


class Version(Kind):
    type = "AWS::Lambda::Version"
    service = SERVICE
    fixed = frozenset({"FunctionName", "Description", "CodeSha256", "RuntimePolicy"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = wanted.without("ProvisionedConcurrencyConfig", "RuntimePolicy")
        made = await send(aws, SERVICE, "PublishVersion", given)
        await _provision(aws, wanted, made["Version"], {})
        return Made(made["FunctionArn"], {"Version": made["Version"], "FunctionArn": made["FunctionArn"]})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await _provision(aws, wanted, before.attributes["Version"], before.properties)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        name, _, version = before.id.rpartition(":")
        await aws.call(SERVICE, "DeleteFunction", {"FunctionName": name, "Qualifier": version})


class Alias(Kind):
    type = "AWS::Lambda::Alias"
    service = SERVICE
    name = "Name"
    fixed = frozenset({"FunctionName"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await send(aws, SERVICE, "CreateAlias", {**self._given(wanted), "Name": wanted.name})
        await _provision(aws, wanted, wanted.name, {})
        return Made(made["AliasArn"], {"AliasArn": made["AliasArn"]})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        given = {"RoutingConfig": {"AdditionalVersionWeights": {}}, **self._given(wanted)}
        await send(aws, SERVICE, "UpdateAlias", {**given, "Name": wanted.get("Name")})
        await _provision(aws, wanted, str(wanted.get("Name")), before.properties)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        function, name = before.properties["FunctionName"], before.properties["Name"]
        await aws.call(SERVICE, "DeleteAlias", {"FunctionName": function, "Name": name})

    @staticmethod
    def _given(wanted: Wanted) -> dict[str, Any]:
        given = wanted.without("ProvisionedConcurrencyConfig", "RoutingConfig")
        if routing := wanted.get("RoutingConfig"):
            weights = routing.get("AdditionalVersionWeights") or []
            by_version = {str(each["FunctionVersion"]): float(each["FunctionWeight"]) for each in weights}
            given["RoutingConfig"] = {"AdditionalVersionWeights": by_version}
        return given


class Permission(Kind):
    type = "AWS::Lambda::Permission"
    service = SERVICE
    name = "Id"  # none that a template may give
    longest = 100

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        await send(aws, SERVICE, "AddPermission", {**wanted.properties, "StatementId": wanted.name})
        return Made(wanted.name, {"Id": wanted.name})

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"FunctionName": before.properties["FunctionName"], "StatementId": before.id}
        await aws.call(SERVICE, "RemovePermission", given)


class LayerVersion(Kind):
    type = "AWS::Lambda::LayerVersion"
    service = SERVICE
    longest = 140

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        content = archive(aws, wanted.get("Content") or {})
        given = {"LayerName": wanted.logical, **wanted.properties, "Content": content}
        made = await send(aws, SERVICE, "PublishLayerVersion", given)
        arn = made["LayerVersionArn"]
        return Made(arn, {"LayerVersionArn": arn})

    async def delete(self, aws: Aws, before: Made) -> None:
        layer, _, version = before.id.rpartition(":")
        given = {"LayerName": layer, "VersionNumber": int(version)}
        await aws.call(SERVICE, "DeleteLayerVersion", given)


class LayerVersionPermission(Kind):
    type = "AWS::Lambda::LayerVersionPermission"
    service = SERVICE
    name = "Id"
    longest = 100

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        layer, version = self._layer(wanted.properties)
        given = {**wanted.without("LayerVersionArn"), "LayerName": layer, "VersionNumber": version}
        await send(aws, SERVICE, "AddLayerVersionPermission", {**given, "StatementId": wanted.name})
        return Made(wanted.name, {"Id": wanted.name})

    async def delete(self, aws: Aws, before: Made) -> None:
        layer, version = self._layer(before.properties)
        given = {"LayerName": layer, "VersionNumber": int(version), "StatementId": before.id}
        await aws.call(SERVICE, "RemoveLayerVersionPermission", given)

    @staticmethod
    def _layer(properties: Mapping[str, Any]) -> tuple[str, str]:
        layer, _, version = str(properties["LayerVersionArn"]).rpartition(":")
        return layer, version


class Url(Kind):
    type = "AWS::Lambda::Url"
    service = SERVICE
    fixed = frozenset({"TargetFunctionArn", "Qualifier"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await send(aws, SERVICE, "CreateFunctionUrlConfig", self._given(wanted.properties))
        return Made(made["FunctionArn"], {name: made[name] for name in ("FunctionArn", "FunctionUrl")})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        defaults = {"Cors": {}, "InvokeMode": "BUFFERED"}
        given = with_defaults(self._given(wanted.properties), before.properties, defaults)
        await send(aws, SERVICE, "UpdateFunctionUrlConfig", given)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = self._given(before.properties)
        named: dict[str, Any] = {name: given[name] for name in ("FunctionName", "Qualifier") if name in given}
        await aws.call(SERVICE, "DeleteFunctionUrlConfig", named)

    @staticmethod
    def _given(properties: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in properties.items() if name != "TargetFunctionArn"}
        return {**given, "FunctionName": properties.get("TargetFunctionArn")}


class EventInvokeConfig(Kind):
    type = "AWS::Lambda::EventInvokeConfig"
    service = SERVICE
    fixed = frozenset({"FunctionName", "Qualifier"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = dict(wanted.properties)
        if given.get("Qualifier") == "$LATEST":
            del given["Qualifier"]
        await send(aws, SERVICE, "PutFunctionEventInvokeConfig", given)
        return Made(f"{wanted.stack}-{wanted.logical}")

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        return await self.create(aws, wanted)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"FunctionName": before.properties["FunctionName"]}
        if before.properties.get("Qualifier", "$LATEST") != "$LATEST":
            given["Qualifier"] = before.properties["Qualifier"]
        await aws.call(SERVICE, "DeleteFunctionEventInvokeConfig", given)


class EventSourceMapping(Kind):
    type = "AWS::Lambda::EventSourceMapping"
    service = SERVICE
    fixed = frozenset(
        {
            "AmazonManagedKafkaEventSourceConfig", "EventSourceArn", "Queues", "SelfManagedEventSource",
            "SelfManagedKafkaEventSourceConfig", "StartingPosition", "StartingPositionTimestamp", "Topics",
        }
    )  # fmt: skip

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = {**wanted.properties, "Tags": tags(wanted.properties)}
        made = await send(aws, SERVICE, "CreateEventSourceMapping", given)
        return self._made(made)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        defaults = {"FilterCriteria": {}, "FunctionResponseTypes": [], "ScalingConfig": {}, "Enabled": True}
        given = with_defaults(wanted.without(*self.fixed, "Tags"), before.properties, defaults)
        made = await send(aws, SERVICE, "UpdateEventSourceMapping", {"UUID": before.id, **given})
        return self._made(made)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(SERVICE, "DeleteEventSourceMapping", {"UUID": before.id})

    async def lost(self, aws: Aws, wanted: Wanted) -> str:
        asked: dict[str, Any] = {
            name: wanted.get(name) for name in ("EventSourceArn", "FunctionName") if wanted.get(name)
        }
        found = await aws.call(SERVICE, "ListEventSourceMappings", asked)
        return next((str(each["UUID"]) for each in found.get("EventSourceMappings", [])), "")

    @staticmethod
    def _made(found: Mapping[str, Any]) -> Made:
        arn = found.get("EventSourceMappingArn", "")
        return Made(str(found["UUID"]), {"Id": found["UUID"], "EventSourceMappingArn": arn})


class CodeSigningConfig(Kind):
    type = "AWS::Lambda::CodeSigningConfig"
    service = SERVICE

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await send(aws, SERVICE, "CreateCodeSigningConfig", wanted.without("Tags"))
        found = made["CodeSigningConfig"]
        ids = {
            "CodeSigningConfigArn": found["CodeSigningConfigArn"],
            "CodeSigningConfigId": found["CodeSigningConfigId"],
        }
        return Made(found["CodeSigningConfigArn"], ids)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        given = {"CodeSigningConfigArn": before.id, **wanted.without("Tags")}
        await send(aws, SERVICE, "UpdateCodeSigningConfig", given)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(SERVICE, "DeleteCodeSigningConfig", {"CodeSigningConfigArn": before.id})


KINDS: tuple[Kind, ...] = (
    Function(), Version(), Alias(), Permission(), LayerVersion(), LayerVersionPermission(), Url(), EventInvokeConfig(),
    EventSourceMapping(), CodeSigningConfig(),
)  # fmt: skip
