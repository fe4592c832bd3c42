"""REST APIs and what belongs to each, API keys and usage plans, of every place: records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.changes import Changes, Step
from ...durable.state import Record, State, States
from ..apigatewayv2.catalog import kept, new_id, public
from .faults import bad, missing

__all__ = ["kept", "new_id", "public"]
APIS, RESOURCES, AUTHORIZERS = "rest-apis", "rest-resources", "rest-authorizers"
STAGES, DEPLOYMENTS, RESPONSES = "rest-stages", "rest-deployments", "rest-gateway-responses"
API_KEYS, PLANS = "api-keys", "usage-plans"
OF_AN_API = {RESOURCES: "Resource identifier", AUTHORIZERS: "Authorizer identifier", STAGES: "Stage identifier",
             DEPLOYMENTS: "Deployment identifier", RESPONSES: "Gateway response type"}  # fmt: skip
OF_A_PLACE = {API_KEYS: "API Key identifier", PLANS: "Usage Plan ID"}
PAGE, PAGE_MOST = 25, 500
Members = dict[str, Any]


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self.changes = changes
        self._states = states

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    def one(self, place: Place, table: str, id: str) -> Record:
        """What a place has of a kind. Raises Fault."""
        record = self.state(place).get(table, id)
        if record is None:
            if table == APIS:
                message = f"Invalid API identifier specified {place.account}:{id}"
                raise Fault("NotFoundException", message)
            raise missing(OF_A_PLACE[table])
        return record

    def all(self, place: Place, table: str) -> list[Record]:
        return [self.one(place, table, id) for id in self.state(place).owners(table)]

    def owned(self, place: Place, table: str, api_id: str) -> Mapping[str, Record]:
        """What an API has of a kind, by its ids. Raises Fault: there is no such API."""
        self.one(place, APIS, api_id)
        return self.state(place).owned(table, api_id)

    def found(self, place: Place, table: str, api_id: str, id: str) -> Record:
        """Raises Fault."""
        record = self.owned(place, table, api_id).get(id)
        if record is None:
            raise missing(OF_AN_API[table])
        return record

    async def write(self, place: Place, *steps: Step) -> None:
        """Under `changes.lock`. Raises StoreError."""
        await self.changes.write(self.state(place), *steps)


def page(records: Iterable[Record], members: Mapping[str, Any], limit: int = PAGE) -> Members:
    """Those that position and limit select. Raises Fault."""
    position, limit = members.get("position") or "0", members.get("limit") or limit
    if not (position.isdecimal() and position.isascii()) or len(position) > 9:
        raise bad("Invalid position parameter")
    if not 1 <= limit <= PAGE_MOST:
        raise bad(f"Invalid limit parameter: it is from 1 to {PAGE_MOST}")
    items = [public(record) for record in records]
    end = int(position) + limit
    return {"items": items[int(position) : end], "position": str(end) if end < len(items) else None}
