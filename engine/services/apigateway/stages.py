"""The operations on stages and deployments of REST APIs."""

from __future__ import annotations

import re
import time
from typing import Any

from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.changes import Step
from ...durable.state import Record
from ..apigatewayv2.stages import check_variables
from .catalog import (
    APIS,
    AUTHORIZERS,
    DEPLOYMENTS,
    RESOURCES,
    RESPONSES,
    STAGES,
    Catalog,
    Members,
    kept,
    new_id,
    page,
    public,
)
from .faults import bad, conflict, full, not_here
from .patches import patched

MOST = 10  # of an API
_KEPT = (
    "stageName",
    "deploymentId",
    "description",
    "variables",
    "documentationVersion",
    "tracingEnabled",
    "tags",
)
_NAME = re.compile(r"[a-zA-Z0-9_\-]{1,128}")


class StageOperations:
    def __init__(self, catalog: Catalog, model: Model, resets: dict[tuple[str, str], int]) -> None:
        """resets: by API and stage, how often the cache of its authorizers was emptied."""
        self._catalog = catalog
        self._model = model
        self._resets = resets

    async def create_stage(self, members: Members, caller: Caller) -> Members:
        api_id = members["restApiId"]
        async with self._catalog.changes.lock:
            record = self._new(members, caller.place, members["deploymentId"])
            self._catalog.found(caller.place, DEPLOYMENTS, api_id, members["deploymentId"])
            await self._catalog.write(caller.place, (STAGES, api_id, record["stageName"], record))
        return record

    def _new(self, members: Members, place: Place, deployment: str) -> Record:
        """A stage that is not there yet. Raises Fault."""
        stages = self._catalog.owned(place, STAGES, members["restApiId"])
        if members["stageName"] in stages:
            raise conflict("Stage already exists")
        if len(stages) >= MOST:
            raise full("Stages for this API")
        if members.get("canarySettings") or members.get("cacheClusterEnabled"):
            raise not_here("A canary, or a cache, of a stage")
        at = time.time()
        record: Record = {
            "methodSettings": {}, "tracingEnabled": False, "cacheClusterEnabled": False,
            "cacheClusterStatus": "NOT_AVAILABLE", **kept(members, _KEPT), "deploymentId": deployment,
            "createdDate": at, "lastUpdatedDate": at,
        }  # fmt: skip
        _check(record)
        return record

    async def get_stage(self, members: Members, caller: Caller) -> Members:
        return self._catalog.found(caller.place, STAGES, members["restApiId"], members["stageName"])

    async def get_stages(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.owned(caller.place, STAGES, members["restApiId"]).values()
        wanted = members.get("deploymentId")
        return {"item": [each for each in found if wanted in (None, each["deploymentId"])]}

    async def update_stage(self, members: Members, caller: Caller) -> Members:
        api_id = members["restApiId"]
        async with self._catalog.changes.lock:
            known = self._catalog.found(caller.place, STAGES, api_id, members["stageName"])
            fixed = (
                "stageName",
                "createdDate",
                "canarySettings",
                "cacheClusterEnabled",
                "clientCertificateId",
            )
            record = patched(self._model.operation("UpdateStage"), known, members, fixed)
            _check(record)
            self._catalog.found(caller.place, DEPLOYMENTS, api_id, record["deploymentId"])
            record["lastUpdatedDate"] = time.time()
            await self._catalog.write(caller.place, (STAGES, api_id, record["stageName"], record))
        return record

    async def delete_stage(self, members: Members, caller: Caller) -> Members:
        api_id, name = members["restApiId"], members["stageName"]
        async with self._catalog.changes.lock:
            self._catalog.found(caller.place, STAGES, api_id, name)
            await self._catalog.write(caller.place, (STAGES, api_id, name, None))
        return {}

    async def flush_stage_authorizers_cache(self, members: Members, caller: Caller) -> Members:
        key = members["restApiId"], members["stageName"]
        self._catalog.found(caller.place, STAGES, *key)
        self._resets[key] = self._resets.get(key, 0) + 1
        return {}

    # Deployments.

    async def create_deployment(self, members: Members, caller: Caller) -> Members:
        api_id, place, name = members["restApiId"], caller.place, members.get("stageName")
        async with self._catalog.changes.lock:
            record: Record = {"id": new_id(6), "createdDate": time.time(), **kept(members, ("description",))}
            record["_snapshot"] = snapshot = self._snapshot(place, api_id)
            record["apiSummary"] = _summary(snapshot)
            steps: list[Step] = [(DEPLOYMENTS, api_id, record["id"], record)]
            if name is not None:
                known = self._catalog.owned(place, STAGES, api_id).get(name)
                described = {**members, "description": members.get("stageDescription")}
                stage = self._new(described, place, record["id"]) if known is None else {
                    **known, "deploymentId": record["id"], "lastUpdatedDate": record["createdDate"],
                    **kept(members, ("variables", "tracingEnabled")),
                }  # fmt: skip
                _check(stage)
                steps.append((STAGES, api_id, name, stage))
            await self._catalog.write(place, *steps)
        return public(record)

    def _snapshot(self, place: Place, api_id: str) -> Record:
        """What a deployment serves: the API as it is. Raises Fault."""
        resources = list(self._catalog.owned(place, RESOURCES, api_id).values())
        methods = [each for resource in resources for each in resource.get("resourceMethods", {}).values()]
        if not methods:
            raise bad("The REST API doesn't contain any methods")
        if any("methodIntegration" not in method for method in methods):
            raise bad("No integration defined for method")
        api = self._catalog.one(place, APIS, api_id)
        return {
            "resources": resources,
            "authorizers": dict(self._catalog.owned(place, AUTHORIZERS, api_id)),
            "responses": dict(self._catalog.owned(place, RESPONSES, api_id)),
            "binary": api.get("binaryMediaTypes") or [],
            "keys": api["apiKeySource"],
        }

    async def get_deployment(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.found(caller.place, DEPLOYMENTS, members["restApiId"], members["deploymentId"])
        return _shown(found, "apisummary" in (members.get("embed") or ()))

    async def get_deployments(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.owned(caller.place, DEPLOYMENTS, members["restApiId"]).values()
        newest = sorted(found, key=lambda each: -float(each["createdDate"]))
        return page([_shown(each, False) for each in newest], members)

    async def update_deployment(self, members: Members, caller: Caller) -> Members:
        api_id = members["restApiId"]
        async with self._catalog.changes.lock:
            known = self._catalog.found(caller.place, DEPLOYMENTS, api_id, members["deploymentId"])
            record = patched(
                self._model.operation("UpdateDeployment"), known, members, ("id", "createdDate", "apiSummary")
            )
            await self._catalog.write(caller.place, (DEPLOYMENTS, api_id, record["id"], record))
        return _shown(record, True)

    async def delete_deployment(self, members: Members, caller: Caller) -> Members:
        api_id, id = members["restApiId"], members["deploymentId"]
        async with self._catalog.changes.lock:
            self._catalog.found(caller.place, DEPLOYMENTS, api_id, id)
            stages = self._catalog.owned(caller.place, STAGES, api_id).values()
            if any(stage["deploymentId"] == id for stage in stages):
                raise bad("Active stages pointing to this deployment must be moved or deleted")
            await self._catalog.write(caller.place, (DEPLOYMENTS, api_id, id, None))
        return {}


def _shown(record: Record, summary: bool) -> Members:
    shown: dict[str, Any] = public(record)
    return shown if summary else {name: value for name, value in shown.items() if name != "apiSummary"}


def _summary(snapshot: Record) -> Members:
    return {
        resource["path"]: {
            name: {
                "authorizationType": method["authorizationType"],
                "apiKeyRequired": method["apiKeyRequired"],
            }
            for name, method in resource["resourceMethods"].items()
        }
        for resource in snapshot["resources"]
        if resource.get("resourceMethods")
    }


def _check(record: Record) -> None:
    if _NAME.fullmatch(record["stageName"]) is None:
        raise bad("Stage name only allows a-zA-Z0-9_-")
    check_variables(record.get("variables") or {})
