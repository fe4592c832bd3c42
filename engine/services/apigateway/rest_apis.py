"""The operations on REST APIs themselves, on tags, and on an account's settings."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.changes import Step
from ...durable.state import Record
from .catalog import (
    API_KEYS,
    APIS,
    AUTHORIZERS,
    OF_AN_API,
    PLANS,
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
from .faults import bad, full, not_here
from .imports import Imported, read
from .patches import patched

MOST = 600  # of a region and account
_KEPT = ("name", "description", "version", "binaryMediaTypes", "minimumCompressionSize", "apiKeySource",
         "endpointConfiguration", "disableExecuteApiEndpoint", "tags")  # fmt: skip
_FIXED = ("id", "createdDate", "rootResourceId", "warnings", "tags", "policy")


class RestApiOperations:
    def __init__(self, catalog: Catalog, model: Model) -> None:
        self._catalog = catalog
        self._model = model

    async def create_rest_api(self, members: Members, caller: Caller) -> Members:
        if members.get("cloneFrom"):
            raise not_here("cloneFrom")
        root = {"id": new_id(10), "path": "/"}
        record = _record(members, {"rootResourceId": root["id"]})
        async with self._catalog.changes.lock:
            self._room(caller.place)
            steps = ((APIS, record["id"], "", record), (RESOURCES, record["id"], root["id"], root))
            await self._catalog.write(caller.place, *steps)
        return record

    def _room(self, place: Place) -> None:
        if len(self._catalog.state(place).owners(APIS)) >= MOST:
            raise full("REST APIs for this account")

    async def import_rest_api(self, members: Members, caller: Caller) -> Members:
        imported = read(members, {}, {})
        record = _record(imported.api, {"rootResourceId": _root(imported)}) | _warnings(imported)
        async with self._catalog.changes.lock:
            self._room(caller.place)
            await self._catalog.write(
                caller.place, (APIS, record["id"], "", record), *_steps(record["id"], imported)
            )
        return record

    async def put_rest_api(self, members: Members, caller: Caller) -> Members:
        place, api_id = caller.place, members["restApiId"]
        async with self._catalog.changes.lock:
            known = self._catalog.one(place, APIS, api_id)
            steps: list[Step] = []
            resources = self._catalog.owned(place, RESOURCES, api_id)
            authorizers = self._catalog.owned(place, AUTHORIZERS, api_id)
            if members.get("mode") == "overwrite":
                root = {known["rootResourceId"]: {"id": known["rootResourceId"], "path": "/"}}
                imported = read(members, root, {})
                for table in (RESOURCES, AUTHORIZERS, RESPONSES):
                    steps += [(table, api_id, id, None) for id in self._catalog.owned(place, table, api_id)]
                fixed = {name: known[name] for name in ("id", "createdDate", "rootResourceId")}
                tags = imported.api.pop("tags") or known["tags"]
                record = _record(
                    {"endpointConfiguration": known["endpointConfiguration"], **imported.api}, fixed
                )
                record["tags"] = tags
            else:
                imported = read(members, resources, authorizers)
                own = {name: value for name, value in imported.api.items() if value and name != "tags"}
                record = {**known, **own, "tags": known["tags"] | imported.api["tags"]}
            record = {name: value for name, value in record.items() if name != "warnings"} | _warnings(
                imported
            )
            await self._catalog.write(place, *steps, (APIS, api_id, "", record), *_steps(api_id, imported))
        return record

    async def get_rest_api(self, members: Members, caller: Caller) -> Members:
        return public(self._catalog.one(caller.place, APIS, members["restApiId"]))

    async def get_rest_apis(self, members: Members, caller: Caller) -> Members:
        return page(self._catalog.all(caller.place, APIS), members)

    async def update_rest_api(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._catalog.one(caller.place, APIS, members["restApiId"])
            record = patched(self._model.operation("UpdateRestApi"), known, members, _FIXED)
            _check(record)
            await self._catalog.write(caller.place, (APIS, record["id"], "", record))
        return record

    async def delete_rest_api(self, members: Members, caller: Caller) -> Members:
        place, api_id = caller.place, members["restApiId"]
        async with self._catalog.changes.lock:
            self._catalog.one(place, APIS, api_id)
            steps: list[Step] = [(APIS, api_id, "", None)]
            for table in OF_AN_API:
                steps += [(table, api_id, id, None) for id in self._catalog.owned(place, table, api_id)]
            for plan in self._catalog.all(place, PLANS):
                left = [each for each in plan["apiStages"] if each.get("apiId") != api_id]
                if len(left) < len(plan["apiStages"]):
                    steps.append((PLANS, plan["id"], "", {**plan, "apiStages": left}))
            await self._catalog.write(place, *steps)
        return {}

    async def get_account(self, members: Members, caller: Caller) -> Members:
        throttle = {"burstLimit": 5000, "rateLimit": 10_000.0}
        return {"throttleSettings": throttle, "features": ["UsagePlans"], "apiKeyVersion": "4"}

    # Tags.

    async def tag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            key, record = self._tagged(members, caller.place)
            tags = {**(record.get("tags") or {}), **members["tags"]}
            if len(tags) > 50:
                raise bad("The number of tags exceeds the maximum of 50.")
            await self._catalog.write(caller.place, (*key, {**record, "tags": tags}))
        return {}

    async def untag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            key, record = self._tagged(members, caller.place)
            gone = members["tagKeys"]
            tags = {name: value for name, value in (record.get("tags") or {}).items() if name not in gone}
            await self._catalog.write(caller.place, (*key, {**record, "tags": tags}))
        return {}

    async def get_tags(self, members: Members, caller: Caller) -> Members:
        return {"tags": self._tagged(members, caller.place)[1].get("tags") or {}}

    def _tagged(self, members: Members, place: Place) -> tuple[tuple[str, str, str], Record]:
        """What an ARN (arn:aws:apigateway:REGION::/restapis/ID[/stages/NAME], also keys, plans) names. Raises Fault."""
        head, _, path = members["resourceArn"].partition("::/")
        parts = path.split("/")
        tables = {"restapis": APIS, "apikeys": API_KEYS, "usageplans": PLANS}
        table = tables.get(parts[0])
        if head != f"arn:aws:apigateway:{place.region}" or table is None:
            raise bad("Invalid ARN specified in the request")
        if len(parts) == 4 and parts[2] == "stages" and table == APIS:
            return (STAGES, parts[1], parts[3]), self._catalog.found(place, STAGES, parts[1], parts[3])
        if len(parts) != 2:
            raise bad("Invalid ARN specified in the request")
        return (table, parts[1], ""), self._catalog.one(place, table, parts[1])


def _record(members: Members, fixed: Members) -> Record:
    """Raises Fault for one that makes no sense."""
    if members.get("policy"):
        raise not_here("A resource policy of an API")
    record: Record = {
        "id": new_id(10), "createdDate": time.time(), "apiKeySource": "HEADER", "disableExecuteApiEndpoint": False,
        "endpointConfiguration": {"types": ["EDGE"], "ipAddressType": "ipv4"}, "tags": {}, **fixed,
        **kept(members, _KEPT),
    }  # fmt: skip
    if "binaryMediaTypes" in record:  # templates write them as in patch paths
        record["binaryMediaTypes"] = [each.replace("~1", "/") for each in record["binaryMediaTypes"]]
    _check(record)
    return record


def _check(record: Record) -> None:
    if not 1 <= len(record["name"]) <= 1024:
        raise bad("API name must be between 1 and 1024 characters")
    if record["apiKeySource"] not in ("HEADER", "AUTHORIZER"):
        raise bad("Invalid API key source specified. Must be one of: [HEADER, AUTHORIZER]")
    if "PRIVATE" in (record["endpointConfiguration"].get("types") or ()):
        raise not_here("A private API")


def _root(imported: Imported) -> str:
    return next(id for id, record in imported.resources.items() if record["path"] == "/")


def _warnings(imported: Imported) -> Record:
    return {"warnings": imported.warnings} if imported.warnings else {}


def _steps(api_id: str, imported: Imported) -> Iterator[Step]:
    tables = (
        (RESOURCES, imported.resources),
        (AUTHORIZERS, imported.authorizers),
        (RESPONSES, imported.responses),
    )
    for table, records in tables:
        for id, record in records.items():
            yield table, api_id, id, record
