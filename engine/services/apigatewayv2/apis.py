"""The operations on HTTP APIs themselves, and on their tags."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from ...aws.names import Place
from ...aws.service import Caller
from ...durable.changes import Step
from ...durable.state import Record
from .catalog import (
    APIS,
    AUTHORIZERS,
    DEFAULT,
    HTTP,
    INTEGRATIONS,
    KINDS,
    ROUTES,
    STAGES,
    WEBSOCKET,
    Catalog,
    Members,
    kept,
    new_id,
    page,
    public,
)
from .faults import bad, conflict, full, missing
from .imports import Imported, read
from .integrations import integration
from .routes import route

MOST = 600  # of a region and account
TAGS = 50
SELECTION = "${request.method} ${request.path}"
# Of a message's body, which is JSON; or of what came with its connection.
SELECTED = re.compile(r"\$?\{?\$?(?:request\.(?:body|header|querystring)|context|stageVariables)\.[\w.-]+\}?")
API_KEYS = "$request.header.x-api-key"
_KEPT = ("Name", "Description", "Version", "DisableExecuteApiEndpoint", "DisableSchemaValidation",
         "IpAddressType", "CorsConfiguration")  # fmt: skip
_STAGE = {"ApiGatewayManaged": True, "AutoDeploy": True, "StageName": DEFAULT, "StageVariables": {},
          "RouteSettings": {}, "DefaultRouteSettings": {"DetailedMetricsEnabled": False}, "Tags": {}}  # fmt: skip


class ApiOperations:
    def __init__(self, catalog: Catalog, host: Callable[[Place, str], str]) -> None:
        """host: an API's, by its place and id."""
        self._catalog = catalog
        self._host = host

    async def create_api(self, members: Members, caller: Caller) -> Members:
        record = _record(members, {})
        steps = _quick(record["ApiId"], members)
        async with self._catalog.changes.lock:
            self._room(caller.place)
            await self._catalog.write(
                caller.place, record["ApiId"], (APIS, record["ApiId"], "", record), *steps
            )
        return self._shown(caller.place, record)

    def _room(self, place: Place) -> None:
        if len(self._catalog.state(place).owners(APIS)) >= MOST:
            raise full("APIs")

    async def import_api(self, members: Members, caller: Caller) -> Members:
        imported = read(members)
        api_id = new_id(10)
        record = _record(imported.api, {"ApiId": api_id}) | imported.notes(members)
        async with self._catalog.changes.lock:
            self._room(caller.place)
            steps = [(APIS, api_id, "", record), *_imported(api_id, imported)]
            await self._catalog.write(caller.place, api_id, *steps)
        return self._shown(caller.place, record)

    async def reimport_api(self, members: Members, caller: Caller) -> Members:
        """All routes, integrations and authorizers are the document's; stages and deployments stay."""
        imported, api_id = read(members), members["ApiId"]
        async with self._catalog.changes.lock:
            old = self._catalog.api(caller.place, api_id)
            fixed = {name: old[name] for name in ("ApiId", "CreatedDate", "ProtocolType")}
            if old["ProtocolType"] == WEBSOCKET:
                raise bad("Only HTTP APIs are imported")
            record = _record({"Tags": old.get("Tags"), **imported.api}, fixed) | imported.notes(members)
            steps: list[Step] = [(APIS, api_id, "", record)]
            for table in (ROUTES, INTEGRATIONS, AUTHORIZERS):
                steps += [
                    (table, api_id, id, None) for id in self._catalog.owned(caller.place, table, api_id)
                ]
            await self._catalog.write(caller.place, api_id, *steps, *_imported(api_id, imported))
        return self._shown(caller.place, record)

    async def get_api(self, members: Members, caller: Caller) -> Members:
        return self._shown(caller.place, self._catalog.api(caller.place, members["ApiId"]))

    async def get_apis(self, members: Members, caller: Caller) -> Members:
        ids = self._catalog.state(caller.place).owners(APIS)
        return page([self._shown(caller.place, self._catalog.api(caller.place, id)) for id in ids], members)

    async def update_api(self, members: Members, caller: Caller) -> Members:
        place, api_id = caller.place, members["ApiId"]
        async with self._catalog.changes.lock:
            old = self._catalog.api(place, api_id)
            record = _record(
                {**old, **{name: value for name, value in members.items() if value is not None}}, old
            )
            steps: list[Step] = [(APIS, api_id, "", record)]
            steps += self._requick(place, api_id, members)
            changed = record.get("CorsConfiguration") != old.get("CorsConfiguration")
            if changed and len(steps) == 1:  # a deployment has these, too
                steps += [(STAGES, api_id, id, stage) for id, stage in self._stages(place, api_id)]
            await self._catalog.write(place, api_id, *steps)
        return self._shown(place, record)

    def _stages(self, place: Place, api_id: str) -> list[tuple[str, Record]]:
        return list(self._catalog.owned(place, STAGES, api_id).items())

    def _requick(self, place: Place, api_id: str, members: Members) -> list[Step]:
        """What changes of the integration and the route that a quick create made."""
        steps: list[Step] = []
        changes = ((INTEGRATIONS, "Target"), (ROUTES, "RouteKey"), (INTEGRATIONS, "CredentialsArn"))
        for table, member in changes:
            if members.get(member) is None:
                continue
            managed = [
                (id, record)
                for id, record in self._catalog.after(place, table, api_id, steps).items()
                if record.get("ApiGatewayManaged")
            ]
            if not managed:
                raise bad(f"{member} can only be updated for an API that was created with quick create")
            id, record = managed[0]
            own = "IntegrationUri" if member == "Target" else member
            steps.append((table, api_id, id, {**record, own: members[member]}))
        return steps

    async def delete_api(self, members: Members, caller: Caller) -> Members:
        place, api_id = caller.place, members["ApiId"]
        async with self._catalog.changes.lock:
            self._catalog.api(place, api_id)
            steps: list[Step] = [(APIS, api_id, "", None)]
            for table in KINDS:
                steps += [(table, api_id, id, None) for id in self._catalog.owned(place, table, api_id)]
            await self._catalog.write(place, api_id, *steps)
        return {}

    async def delete_cors_configuration(self, members: Members, caller: Caller) -> Members:
        place, api_id = caller.place, members["ApiId"]
        async with self._catalog.changes.lock:
            record = dict(self._catalog.api(place, api_id))
            if record.pop("CorsConfiguration", None) is None:
                raise missing("CORS configuration", f"for API {api_id}")
            stages: list[Step] = [(STAGES, api_id, id, stage) for id, stage in self._stages(place, api_id)]
            await self._catalog.write(place, api_id, (APIS, api_id, "", record), *stages)
        return {}

    def _shown(self, place: Place, record: Record) -> Members:
        scheme = "ws" if record["ProtocolType"] == WEBSOCKET else "http"
        return {"ApiEndpoint": f"{scheme}://{self._host(place, record['ApiId'])}", **public(record)}

    async def tag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            key, record = self._tagged(members, caller.place)
            tags = {**(record.get("Tags") or {}), **(members.get("Tags") or {})}
            if len(tags) > TAGS:
                raise bad(f"The number of tags exceeds the maximum of {TAGS}.")
            await self._tag(caller.place, key, record, tags)
        return {}

    async def untag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            key, record = self._tagged(members, caller.place)
            gone = members["TagKeys"]
            tags = {name: value for name, value in (record.get("Tags") or {}).items() if name not in gone}
            await self._tag(caller.place, key, record, tags)
        return {}

    async def get_tags(self, members: Members, caller: Caller) -> Members:
        return {"Tags": self._tagged(members, caller.place)[1].get("Tags") or {}}

    async def _tag(
        self, place: Place, key: tuple[str, str, str], record: Record, tags: dict[str, str]
    ) -> None:
        await self._catalog.changes.write(self._catalog.state(place), (*key, {**record, "Tags": tags}))

    def _tagged(self, members: Members, place: Place) -> tuple[tuple[str, str, str], Record]:
        """An API or a stage by its ARN: arn:aws:apigateway:REGION::/apis/ID[/stages/NAME]. Raises Fault."""
        head, _, path = members["ResourceArn"].partition("::/")
        parts = path.split("/")
        if head != f"arn:aws:apigateway:{place.region}" or parts[0] != "apis" or len(parts) not in (2, 4):
            raise bad("Invalid ARN specified in the request")
        if len(parts) == 2:
            return (APIS, parts[1], ""), self._catalog.api(place, parts[1])
        if parts[2] != "stages":
            raise bad("Invalid ARN specified in the request")
        return (STAGES, parts[1], parts[3]), self._catalog.found(place, STAGES, parts[1], parts[3])


def _record(members: Members, fixed: Members) -> Record:
    """Raises Fault for one that makes no sense."""
    kind = fixed.get("ProtocolType") or members.get("ProtocolType") or HTTP
    selection = members.get("RouteSelectionExpression")
    if kind == WEBSOCKET:
        _check_socket(members)
    elif selection not in (None, SELECTION):
        raise bad(f"For HTTP APIs, the route selection expression must be {SELECTION}")
    name = members["Name"]
    if not 1 <= len(name) <= 128:
        raise bad("The name of an API has from 1 to 128 characters")
    record: Record = {
        "ApiId": fixed.get("ApiId") or new_id(10), "CreatedDate": fixed.get("CreatedDate") or time.time(),
        "ProtocolType": kind, "RouteSelectionExpression": selection or SELECTION, "ApiKeySelectionExpression": API_KEYS,
        "DisableExecuteApiEndpoint": False, "IpAddressType": "ipv4", "Tags": members.get("Tags") or {},
        **kept(members, _KEPT),
    }  # fmt: skip
    if len(record["Tags"]) > TAGS:
        raise bad(f"The number of tags exceeds the maximum of {TAGS}.")
    cors: dict[str, Any] | None = record.get("CorsConfiguration")
    if cors is not None:
        if cors.get("AllowCredentials") and "*" in (cors.get("AllowOrigins") or ()):
            raise bad("AllowCredentials is not supported with a wildcard origin")
        if not -1 <= cors.get("MaxAge", 0) <= 86_400:
            raise bad("MaxAge must be between -1 and 86400")
        if not cors:
            del record["CorsConfiguration"]
    return record


def _check_socket(members: Members) -> None:
    """Raises Fault."""
    selection = members.get("RouteSelectionExpression") or ""
    if SELECTED.fullmatch(selection) is None:
        raise bad(
            "Invalid route selection expression specified for WebSocket API: "
            + (selection or "there is none")
        )
    for name in ("CorsConfiguration", "Target", "RouteKey", "CredentialsArn"):
        if members.get(name):
            raise bad(f"{name} is not supported for WebSocket APIs")


def _quick(api_id: str, members: Members) -> list[Step]:
    """What a quick create makes of a target: an integration, a route to it, and a stage."""
    target = members.get("Target")
    if target is None:
        if members.get("RouteKey") is not None or members.get("CredentialsArn") is not None:
            raise bad("Target must be specified with RouteKey and CredentialsArn")
        return []
    function = target.startswith("arn:")
    made = integration(
        {
            "IntegrationType": "AWS_PROXY" if function else "HTTP_PROXY", "IntegrationUri": target,
            "PayloadFormatVersion": "2.0" if function else "1.0", "CredentialsArn": members.get("CredentialsArn"),
            "IntegrationMethod": "POST" if function else "ANY",
        },
        {},
    )  # fmt: skip
    own = {"ApiGatewayManaged": True}
    there = {made["IntegrationId"]: made}
    goal = f"integrations/{made['IntegrationId']}"
    to = route({"RouteKey": members.get("RouteKey") or DEFAULT, "Target": goal}, {}, {}, there, {})
    at = time.time()
    return [
        (INTEGRATIONS, api_id, made["IntegrationId"], made | own),
        (ROUTES, api_id, to["RouteId"], to | own),
        (STAGES, api_id, DEFAULT, {**_STAGE, "CreatedDate": at, "LastUpdatedDate": at}),
    ]


def _imported(api_id: str, imported: Imported) -> list[Step]:
    """The records of a document. Raises Fault."""
    routes: dict[str, Record] = {}
    for each in imported.routes:
        record = route(each, {}, routes, imported.integrations, imported.authorizers)
        if any(other["RouteKey"] == record["RouteKey"] for other in routes.values()):
            raise conflict(f"Route with key {record['RouteKey']} already exists for this API")
        routes[record["RouteId"]] = record
    tables = ((ROUTES, routes), (INTEGRATIONS, imported.integrations), (AUTHORIZERS, imported.authorizers))
    return [(table, api_id, id, record) for table, records in tables for id, record in records.items()]
