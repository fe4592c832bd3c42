"""HTTP APIs and what belongs to each, of every place: records, and the deployments that changes make by themselves."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ...aws.names import Place
from ...durable.changes import Changes, Step
from ...durable.state import Record, State, States
from .faults import bad, missing, no_api

APIS, ROUTES, INTEGRATIONS = "http-apis", "http-routes", "http-integrations"
AUTHORIZERS, STAGES, DEPLOYMENTS = "http-authorizers", "http-stages", "http-deployments"
KINDS = {ROUTES: "Route", INTEGRATIONS: "Integration", AUTHORIZERS: "Authorizer", STAGES: "Stage",
         DEPLOYMENTS: "Deployment"}  # fmt: skip
DEFAULT = "$default"
HTTP, WEBSOCKET = "HTTP", "WEBSOCKET"
NO_ROUTES = "Unable to deploy API because no routes exist in this API"
_LETTERS = string.ascii_lowercase + string.digits
Members = dict[str, Any]


def new_id(length: int) -> str:
    return secrets.choice(string.ascii_lowercase) + "".join(
        secrets.choice(_LETTERS) for _ in range(length - 1)
    )


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self.changes = changes
        self._states = states

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    def api(self, place: Place, api_id: str) -> Record:
        """Raises Fault."""
        record = self.state(place).get(APIS, api_id)
        if record is None:
            raise no_api(place, api_id)
        return record

    def is_socket(self, place: Place, api_id: str) -> bool:
        """Is it a WebSocket API? Raises Fault."""
        return bool(self.api(place, api_id)["ProtocolType"] == WEBSOCKET)

    def owned(self, place: Place, table: str, api_id: str) -> Mapping[str, Record]:
        """What an API has of a kind, by its ids. Raises Fault: there is no such API."""
        self.api(place, api_id)
        return self.state(place).owned(table, api_id)

    def found(self, place: Place, table: str, api_id: str, id: str) -> Record:
        """Raises Fault."""
        record = self.owned(place, table, api_id).get(id)
        if record is None:
            raise missing(KINDS[table], id)
        return record

    async def write(self, place: Place, api_id: str, *steps: Step) -> None:
        """Under `changes.lock`: these changes, and with them new deployments of the API's stages that ask for that.
        Raises StoreError."""
        await self.changes.write(self.state(place), *steps, *self._deployed(place, api_id, steps))

    def after(self, place: Place, table: str, api_id: str, steps: Iterable[Step]) -> dict[str, Record]:
        """What an API will have of a kind once these steps are done."""
        left = dict(self.state(place).owned(table, api_id))
        for changed, owner, id, record in steps:
            if (changed, owner) == (table, api_id):
                left.pop(id, None)
                if record is not None:
                    left[id] = record
        return left

    def _deployed(self, place: Place, api_id: str, steps: tuple[Step, ...]) -> list[Step]:
        """The steps of automatic deployments. One that a newer one replaces goes, if no other stage has it: what it
        was is nowhere needed, since such a stage serves what the API has."""
        if (APIS, api_id, "", None) in steps:
            return []
        stages = all_stages = self.after(place, STAGES, api_id, steps)
        tables = {table for table, *_ in steps}
        if not tables & {ROUTES, INTEGRATIONS, AUTHORIZERS}:
            changed = {id for table, _, id, record in steps if table == STAGES and record is not None}
            stages = {name: stage for name, stage in stages.items() if name in changed}
        routes = self.after(place, ROUTES, api_id, steps)
        out: list[Step] = []
        for name, stage in stages.items():
            if not stage.get("AutoDeploy"):
                continue
            at = time.time()
            if not routes:
                new = {**stage, "LastDeploymentStatusMessage": f"Deployment attempt failed: {NO_ROUTES}"}
                out.append((STAGES, api_id, name, new))
                continue
            deployment = deployed(at, "Automatic deployment triggered by changes to the Api configuration")
            id = deployment["DeploymentId"] = new_id(6)
            out.append((DEPLOYMENTS, api_id, id, {**deployment, "AutoDeployed": True}))
            old = self.state(place).get(DEPLOYMENTS, api_id, stage.get("DeploymentId") or "")
            users = sum(each.get("DeploymentId") == stage.get("DeploymentId") for each in all_stages.values())
            if old is not None and old["AutoDeployed"] and users == 1:
                out.append((DEPLOYMENTS, api_id, old["DeploymentId"], None))
            message = f"Successfully deployed stage with deployment ID '{id}'"
            new = {**stage, "DeploymentId": id, "LastDeploymentStatusMessage": message, "LastUpdatedDate": at}
            out.append((STAGES, api_id, name, new))
        return out

    def snapshot(self, place: Place, api_id: str, steps: Iterable[Step] = ()) -> Record:
        """What a deployment serves: the API as it is, or will be once these steps are done."""
        steps = list(steps)
        routes = self.after(place, ROUTES, api_id, steps)
        if not routes:
            raise bad(NO_ROUTES)
        api = self.after(place, APIS, api_id, steps)[""]
        return {
            "routes": list(routes.values()),
            "integrations": self.after(place, INTEGRATIONS, api_id, steps),
            "authorizers": self.after(place, AUTHORIZERS, api_id, steps),
            "cors": api.get("CorsConfiguration"),
        }


def deployed(at: float, description: str | None) -> Record:
    """A deployment's record, but for its id."""
    record: Record = {"AutoDeployed": False, "CreatedDate": at, "DeploymentStatus": "DEPLOYED"}
    return record if description is None else {**record, "Description": description}


def public(record: Mapping[str, Any]) -> Members:
    """A record without our private members."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def kept(members: Mapping[str, Any], names: Iterable[str]) -> Members:
    """The members of these names that a request has."""
    return {name: members[name] for name in names if members.get(name) is not None}


def page(items: list[Members], members: Mapping[str, Any]) -> Members:
    """The items that NextToken and MaxResults select. Raises Fault."""
    start, most = members.get("NextToken") or "0", members.get("MaxResults") or str(len(items) or 1)
    if not (start.isdecimal() and start.isascii()) or len(start) > 9:
        raise bad("Invalid next token specified")
    if not (most.isdecimal() and most.isascii()) or len(most) > 9 or int(most) < 1:
        raise bad("Invalid limit value specified")
    first = int(start)
    end = first + int(most)
    return {"Items": items[first:end], "NextToken": str(end) if end < len(items) else None}
