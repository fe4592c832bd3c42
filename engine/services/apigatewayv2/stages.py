"""The operations on stages and deployments of HTTP APIs."""

from __future__ import annotations

import re
import time
from typing import Any

from ...aws.service import Caller
from ...durable.changes import Step
from ...durable.state import Record
from .catalog import DEFAULT, DEPLOYMENTS, STAGES, Catalog, Members, deployed, kept, new_id, page, public
from .faults import bad, conflict, full, missing, not_here

MOST = 10  # of an API
_KEPT = ("StageName", "AutoDeploy", "DeploymentId", "Description", "StageVariables", "DefaultRouteSettings",
         "RouteSettings", "AccessLogSettings", "Tags")  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
VARIABLE = re.compile(r"[A-Za-z0-9_]+")
VALUE = re.compile(r"[A-Za-z0-9\-._~:/?#&=,]*")


class StageOperations:
    def __init__(self, catalog: Catalog, resets: dict[tuple[str, str], int]) -> None:
        """resets: by API and stage, how often the cache of its authorizers was emptied."""
        self._catalog = catalog
        self._resets = resets

    async def create_stage(self, members: Members, caller: Caller) -> Members:
        name, api_id, place = members["StageName"], members["ApiId"], caller.place
        async with self._catalog.changes.lock:
            stages = self._catalog.owned(place, STAGES, api_id)
            if name in stages:
                raise conflict("Stage already exists")
            if len(stages) >= MOST:
                raise full("Stages for this API")
            return await self._write(members, caller, {"CreatedDate": time.time()})

    async def update_stage(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._catalog.found(caller.place, STAGES, members["ApiId"], members["StageName"])
            return await self._write(members, caller, known)

    async def _write(self, members: Members, caller: Caller, known: Record) -> Members:
        api_id, place = members["ApiId"], caller.place
        record: Record = {
            "AutoDeploy": False, "DefaultRouteSettings": {"DetailedMetricsEnabled": False}, "RouteSettings": {},
            "StageVariables": {}, "Tags": {}, **known, **kept(members, _KEPT), "LastUpdatedDate": time.time(),
        }  # fmt: skip
        _check(record)
        id = record.get("DeploymentId")
        if record["AutoDeploy"] and members.get("DeploymentId"):
            raise bad("Deployment ID cannot be set on stage because AutoDeploy is enabled")
        steps: list[Step] = []
        if id is not None and not record["AutoDeploy"]:
            deployment = self._catalog.found(place, DEPLOYMENTS, api_id, id)
            if "_snapshot" not in deployment:  # an automatic one: from now on it is what there is now
                snapshot = {"_snapshot": self._catalog.snapshot(place, api_id)}
                steps.append((DEPLOYMENTS, api_id, id, deployment | snapshot))
        steps.append((STAGES, api_id, record["StageName"], record))
        await self._catalog.write(place, api_id, *steps)
        return public(self._catalog.found(place, STAGES, api_id, record["StageName"]))

    async def get_stage(self, members: Members, caller: Caller) -> Members:
        return public(self._catalog.found(caller.place, STAGES, members["ApiId"], members["StageName"]))

    async def get_stages(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.owned(caller.place, STAGES, members["ApiId"]).values()
        return page([public(record) for record in found], members)

    async def delete_stage(self, members: Members, caller: Caller) -> Members:
        api_id, name = members["ApiId"], members["StageName"]
        async with self._catalog.changes.lock:
            stage = self._catalog.found(caller.place, STAGES, api_id, name)
            steps: list[Step] = [(STAGES, api_id, name, None)]
            id = stage.get("DeploymentId") or ""
            deployment = self._catalog.state(caller.place).get(DEPLOYMENTS, api_id, id)
            if (
                deployment is not None
                and deployment["AutoDeployed"]
                and not self._used(caller, api_id, id, name)
            ):
                steps.append((DEPLOYMENTS, api_id, id, None))
            await self._catalog.write(caller.place, api_id, *steps)
        return {}

    def _used(self, caller: Caller, api_id: str, deployment: str, but: str = "") -> bool:
        stages = self._catalog.owned(caller.place, STAGES, api_id).items()
        return any(name != but and stage.get("DeploymentId") == deployment for name, stage in stages)

    async def delete_access_log_settings(self, members: Members, caller: Caller) -> Members:
        return await self._without(members, caller, "AccessLogSettings", "")

    async def delete_route_settings(self, members: Members, caller: Caller) -> Members:
        return await self._without(members, caller, "RouteSettings", members["RouteKey"])

    async def _without(self, members: Members, caller: Caller, name: str, key: str) -> Members:
        """Without a member of a stage, or without what it has of a key."""
        api_id, stage = members["ApiId"], members["StageName"]
        async with self._catalog.changes.lock:
            record = dict(self._catalog.found(caller.place, STAGES, api_id, stage))
            there: dict[str, Any] = dict(record.pop(name, None) or {})
            if (key not in there) if key else (not there):
                raise missing(name, key or stage)
            if key:
                record[name] = {each: value for each, value in there.items() if each != key}
            await self._catalog.write(caller.place, api_id, (STAGES, api_id, stage, record))
        return {}

    async def reset_authorizers_cache(self, members: Members, caller: Caller) -> Members:
        key = members["ApiId"], members["StageName"]
        self._catalog.found(caller.place, STAGES, *key)
        self._resets[key] = self._resets.get(key, 0) + 1
        return {}

    # Deployments.

    async def create_deployment(self, members: Members, caller: Caller) -> Members:
        api_id, place, name = members["ApiId"], caller.place, members.get("StageName")
        async with self._catalog.changes.lock:
            self._catalog.api(place, api_id)
            at = time.time()
            record = {"DeploymentId": new_id(6), **deployed(at, members.get("Description"))}
            id = record["DeploymentId"]
            record["_snapshot"] = self._catalog.snapshot(place, api_id)
            steps: list[Step] = [(DEPLOYMENTS, api_id, id, record)]
            if name is not None:
                stage = self._catalog.found(place, STAGES, api_id, name)
                if stage["AutoDeploy"]:
                    raise bad("Deployment ID cannot be set on stage because AutoDeploy is enabled")
                steps.append((STAGES, api_id, name, {**stage, "DeploymentId": id, "LastUpdatedDate": at}))
            await self._catalog.changes.write(self._catalog.state(place), *steps)
        return public(record)

    async def get_deployment(self, members: Members, caller: Caller) -> Members:
        return public(
            self._catalog.found(caller.place, DEPLOYMENTS, members["ApiId"], members["DeploymentId"])
        )

    async def get_deployments(self, members: Members, caller: Caller) -> Members:
        found = self._catalog.owned(caller.place, DEPLOYMENTS, members["ApiId"]).values()
        return page([public(each) for each in sorted(found, key=_newest)], members)

    async def update_deployment(self, members: Members, caller: Caller) -> Members:
        api_id, id = members["ApiId"], members["DeploymentId"]
        async with self._catalog.changes.lock:
            record = {
                **self._catalog.found(caller.place, DEPLOYMENTS, api_id, id),
                **kept(members, ("Description",)),
            }
            await self._catalog.write(caller.place, api_id, (DEPLOYMENTS, api_id, id, record))
        return public(record)

    async def delete_deployment(self, members: Members, caller: Caller) -> Members:
        api_id, id = members["ApiId"], members["DeploymentId"]
        async with self._catalog.changes.lock:
            self._catalog.found(caller.place, DEPLOYMENTS, api_id, id)
            if self._used(caller, api_id, id):
                raise bad("Active stages pointing to this deployment must be moved or deleted")
            await self._catalog.write(caller.place, api_id, (DEPLOYMENTS, api_id, id, None))
        return {}


def _newest(record: Record) -> float:
    return -float(record["CreatedDate"])


def _check(record: Record) -> None:
    name = record["StageName"]
    if name != DEFAULT and _NAME.fullmatch(name) is None:
        raise bad("Stage name only allows alphanumeric characters, hyphens and underscores, or $default")
    check_variables(record["StageVariables"])
    if record.get("ClientCertificateId"):
        raise not_here("ClientCertificateId of a stage")


def check_variables(variables: dict[str, str]) -> None:
    """Raises Fault."""
    for name, value in variables.items():
        if VARIABLE.fullmatch(name) is None or len(name) > 64:
            raise bad("Stage variable names can only have alphanumeric characters and underscores")
        if VALUE.fullmatch(value) is None or len(value) > 512:
            raise bad(f"Stage variable value for {name} must match the pattern [A-Za-z0-9-._~:/?#&=,]+")
