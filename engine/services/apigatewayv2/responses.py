"""The operations on what WebSocket APIs have for the way back: responses of routes and of integrations.

They are kept in the record of what they belong to. A route with the response $default sends its function's body back.
"""

from __future__ import annotations

from ...aws.service import Caller
from ...durable.state import Record
from .catalog import INTEGRATIONS, ROUTES, Catalog, Members, kept, new_id, page, public
from .faults import bad, conflict, missing

RESPONSES = "_responses"
_ROUTE = ("RouteResponseKey", "ModelSelectionExpression", "ResponseModels", "ResponseParameters")
_INTEGRATION = ("IntegrationResponseKey", "ContentHandlingStrategy", "ResponseParameters", "ResponseTemplates",
                "TemplateSelectionExpression")  # fmt: skip


class _Owner:
    """Of one kind of responses."""

    def __init__(self, catalog: Catalog, table: str, noun: str, names: tuple[str, ...]) -> None:
        self._catalog = catalog
        self._table, self._noun, self._names = table, noun, names
        self._id, self._of, self._key = f"{noun}Id", f"{noun.removesuffix('Response')}Id", f"{noun}Key"

    async def put(self, members: Members, caller: Caller, new: bool) -> Members:
        async with self._catalog.changes.lock:
            owner, there = self._there(members, caller)
            known = {self._id: new_id(6)} if new else self._one(there, members)
            record = {**known, **kept(members, self._names)}
            others = (each for id, each in there.items() if id != record[self._id])
            if any(each[self._key] == record[self._key] for each in others):
                raise conflict(f"{self._noun} with key {record[self._key]} already exists")
            await self._write(members, caller, owner, {**there, record[self._id]: record})
        return dict(record)

    async def delete(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            owner, there = self._there(members, caller)
            gone = self._one(there, members)[self._id]
            left = {id: each for id, each in there.items() if id != gone}
            await self._write(members, caller, owner, left)
        return {}

    def get(self, members: Members, caller: Caller) -> Members:
        return dict(self._one(self._there(members, caller)[1], members))

    def list(self, members: Members, caller: Caller) -> Members:
        return page([public(each) for each in self._there(members, caller)[1].values()], members)

    def _there(self, members: Members, caller: Caller) -> tuple[Record, dict[str, Record]]:
        """Whose they are, and all of them. Raises Fault."""
        if not self._catalog.is_socket(caller.place, members["ApiId"]):
            raise bad(f"{self._noun}s are only supported for WebSocket APIs")
        owner = self._catalog.found(caller.place, self._table, members["ApiId"], members[self._of])
        return owner, owner.get(RESPONSES) or {}

    def _one(self, there: dict[str, Record], members: Members) -> Record:
        found = there.get(members[self._id])
        if found is None:
            raise missing(self._noun, members[self._id])
        return found

    async def _write(
        self, members: Members, caller: Caller, owner: Record, responses: dict[str, Record]
    ) -> None:
        step = (self._table, members["ApiId"], members[self._of], {**owner, RESPONSES: responses})
        await self._catalog.write(caller.place, members["ApiId"], step)


class ResponseOperations:
    def __init__(self, catalog: Catalog) -> None:
        self._routes = _Owner(catalog, ROUTES, "RouteResponse", _ROUTE)
        self._integrations = _Owner(catalog, INTEGRATIONS, "IntegrationResponse", _INTEGRATION)

    async def create_route_response(self, members: Members, caller: Caller) -> Members:
        if members["RouteResponseKey"] != "$default":
            raise bad("The only route response key is $default")
        return await self._routes.put(members, caller, new=True)

    async def update_route_response(self, members: Members, caller: Caller) -> Members:
        return await self._routes.put(members, caller, new=False)

    def get_route_response(self, members: Members, caller: Caller) -> Members:
        return self._routes.get(members, caller)

    def get_route_responses(self, members: Members, caller: Caller) -> Members:
        return self._routes.list(members, caller)

    async def delete_route_response(self, members: Members, caller: Caller) -> Members:
        return await self._routes.delete(members, caller)

    async def create_integration_response(self, members: Members, caller: Caller) -> Members:
        return await self._integrations.put(members, caller, new=True)

    async def update_integration_response(self, members: Members, caller: Caller) -> Members:
        return await self._integrations.put(members, caller, new=False)

    def get_integration_response(self, members: Members, caller: Caller) -> Members:
        return self._integrations.get(members, caller)

    def get_integration_responses(self, members: Members, caller: Caller) -> Members:
        return self._integrations.list(members, caller)

    async def delete_integration_response(self, members: Members, caller: Caller) -> Members:
        return await self._integrations.delete(members, caller)
