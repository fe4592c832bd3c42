"""The operations on connections, which know how to authorize, and on API destinations, which are sent to with one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ...aws.names import Place
from ...aws.service import Caller
from ...durable.state import Record
from .catalog import CONNECTIONS, DESTINATIONS, Catalog, arn, now, page, shown
from .faults import exists, invalid, missing

# What each type of authorization needs.
_NEEDED = {
    "BASIC": ("BasicAuthParameters", ("Username", "Password")),
    "API_KEY": ("ApiKeyAuthParameters", ("ApiKeyName", "ApiKeyValue")),
    "OAUTH_CLIENT_CREDENTIALS": (
        "OAuthParameters",
        ("ClientParameters", "AuthorizationEndpoint", "HttpMethod"),
    ),
}
_SECRETS = frozenset({"Password", "ApiKeyValue", "ClientSecret"})
_CONNECTION = ("Name", "Description", "AuthorizationType", "ConnectionState", "CreationTime", "LastModifiedTime",
               "LastAuthorizedTime", "InvocationConnectivityParameters", "KmsKeyIdentifier")  # fmt: skip
_DESTINATION = ("Name", "Description", "ApiDestinationState", "ConnectionArn", "InvocationEndpoint", "HttpMethod",
                "InvocationRateLimitPerSecond", "CreationTime", "LastModifiedTime")  # fmt: skip
RATE = 300  # a second, unless it says another
Members = dict[str, Any]


class Connections:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def create_connection(self, members: Members, caller: Caller) -> Members:
        name, kind = members["Name"], members["AuthorizationType"]
        _check(kind, members["AuthParameters"])
        async with self._catalog.changes.lock:
            if self._catalog.state(caller.place).get(CONNECTIONS, name) is not None:
                raise exists(f"Connection {name} already exists.")
            when = now()
            record = {
                "Name": name, "AuthorizationType": kind, "ConnectionState": "AUTHORIZED", "CreationTime": when,
                "LastModifiedTime": when, "LastAuthorizedTime": when, "_id": str(uuid.uuid4()),
                "_auth": members["AuthParameters"],
                **shown(members, "Description", "InvocationConnectivityParameters", "KmsKeyIdentifier"),
            }  # fmt: skip
            await self._put(CONNECTIONS, caller.place, record)
        return self._state(caller.place, record)

    async def update_connection(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record = self._record(CONNECTIONS, members["Name"], caller.place)
            kind = members.get("AuthorizationType") or record["AuthorizationType"]
            auth = members.get("AuthParameters") or {}
            given = _merged(record["_auth"], auth) if kind == record["AuthorizationType"] else auth
            _check(kind, given)
            record = {
                **record, "AuthorizationType": kind, "_auth": given, "ConnectionState": "AUTHORIZED",
                "LastModifiedTime": now(), "LastAuthorizedTime": now(), **shown(members, "Description"),
            }  # fmt: skip
            await self._put(CONNECTIONS, caller.place, record)
        return self._state(caller.place, record)

    async def deauthorize_connection(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record = self._record(CONNECTIONS, members["Name"], caller.place)
            record = {**record, "ConnectionState": "DEAUTHORIZED", "_auth": {}, "LastModifiedTime": now()}
            await self._put(CONNECTIONS, caller.place, record)
        return self._state(caller.place, record)

    async def delete_connection(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record = self._record(CONNECTIONS, members["Name"], caller.place)
            await self._catalog.write(caller.place, (CONNECTIONS, record["Name"], "", None))
        return self._state(caller.place, {**record, "ConnectionState": "DELETING"})

    async def describe_connection(self, members: Members, caller: Caller) -> Members:
        record = self._record(CONNECTIONS, members["Name"], caller.place)
        place = caller.place
        secret = (
            f"arn:aws:secretsmanager:{place.region}:{place.account}:secret:events!connection/{record['Name']}"
        )
        return {
            "ConnectionArn": connection_arn(place, record), "SecretArn": f"{secret}/{record['_id']}",
            "AuthParameters": _public(record["_auth"]), **shown(record, *_CONNECTION),
        }  # fmt: skip

    async def list_connections(self, members: Members, caller: Caller) -> Members:
        found = self._all(CONNECTIONS, caller.place)
        wanted = members.get("ConnectionState")
        names = [name for name in found if wanted in (None, found[name]["ConnectionState"])]
        names, token = page(names, members)
        connections = [
            {**self._state(caller.place, found[name]), **shown(found[name], "Name", "AuthorizationType")}
            for name in names
        ]
        return {"Connections": connections, "NextToken": token}

    def _state(self, place: Place, record: Record) -> Members:
        names = ("ConnectionState", "CreationTime", "LastModifiedTime", "LastAuthorizedTime")
        return {"ConnectionArn": connection_arn(place, record), **shown(record, *names)}

    # API destinations.

    async def create_api_destination(self, members: Members, caller: Caller) -> Members:
        name = members["Name"]
        self._check_destination(members, caller)
        async with self._catalog.changes.lock:
            if self._catalog.state(caller.place).get(DESTINATIONS, name) is not None:
                raise exists(f"An api-destination '{name}' already exists.")
            given = ("Name", "Description", "ConnectionArn", "InvocationEndpoint", "HttpMethod")
            record = {
                "ApiDestinationState": "ACTIVE", "CreationTime": now(), "LastModifiedTime": now(),
                "InvocationRateLimitPerSecond": members.get("InvocationRateLimitPerSecond") or RATE,
                "_id": str(uuid.uuid4()), **shown(members, *given),
            }  # fmt: skip
            await self._put(DESTINATIONS, caller.place, record)
        return self._shown(caller.place, record, brief=True)

    async def update_api_destination(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record = self._record(DESTINATIONS, members["Name"], caller.place)
            record = {**record, **shown(members, *_DESTINATION), "LastModifiedTime": now()}
            self._check_destination(record, caller)
            await self._put(DESTINATIONS, caller.place, record)
        return self._shown(caller.place, record, brief=True)

    async def delete_api_destination(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            self._record(DESTINATIONS, members["Name"], caller.place)
            await self._catalog.write(caller.place, (DESTINATIONS, members["Name"], "", None))
        return {}

    async def describe_api_destination(self, members: Members, caller: Caller) -> Members:
        return self._shown(caller.place, self._record(DESTINATIONS, members["Name"], caller.place))

    async def list_api_destinations(self, members: Members, caller: Caller) -> Members:
        found = self._all(DESTINATIONS, caller.place)
        wanted = members.get("ConnectionArn")
        names, token = page(
            [name for name in found if wanted in (None, found[name]["ConnectionArn"])], members
        )
        return {
            "ApiDestinations": [self._shown(caller.place, found[name]) for name in names],
            "NextToken": token,
        }

    def _check_destination(self, members: Mapping[str, Any], caller: Caller) -> None:
        self._record(CONNECTIONS, named(members["ConnectionArn"]), caller.place)

    def _shown(self, place: Place, record: Record, brief: bool = False) -> Members:
        names = ("ApiDestinationState", "CreationTime", "LastModifiedTime") if brief else _DESTINATION
        return {"ApiDestinationArn": destination_arn(place, record), **shown(record, *names)}

    def _all(self, table: str, place: Place) -> dict[str, Record]:
        state = self._catalog.state(place)
        return {
            name: record for name in state.owners(table) if (record := state.get(table, name)) is not None
        }

    def _record(self, table: str, name: str, place: Place) -> Record:
        record = self._catalog.state(place).get(table, name)
        if record is None and table == CONNECTIONS:
            raise missing(f"Failed to describe the connection(s). Connection '{name}' does not exist.")
        if record is None:
            raise missing(
                f"Failed to describe the api-destination(s). An api-destination '{name}' does not exist."
            )
        return record

    async def _put(self, table: str, place: Place, record: Record) -> None:
        await self._catalog.write(place, (table, record["Name"], "", record))


def connection_arn(place: Place, record: Record) -> str:
    return arn(place, f"connection/{record['Name']}/{record['_id']}")


def destination_arn(place: Place, record: Record) -> str:
    return arn(place, f"api-destination/{record['Name']}/{record['_id']}")


def named(arn: str) -> str:
    """The name in the ARN of a connection or an API destination."""
    parts = arn.rpartition(":")[2].split("/")
    return parts[1] if len(parts) > 1 else arn


def _check(kind: str, auth: Mapping[str, Any]) -> None:
    member, needed = _NEEDED[kind]
    given = auth.get(member)
    if given is None or any(not given.get(name) for name in needed):
        raise invalid(f"Parameter AuthParameters is not valid. Reason: {member} must be given for {kind}.")


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
    return new


def _public(value: Any) -> Any:
    """Without secrets."""
    if isinstance(value, dict):
        hidden = {"Value"} if value.get("IsValueSecret") else set()
        return {name: _public(inner) for name, inner in value.items() if name not in _SECRETS | hidden}
    return [_public(each) for each in value] if isinstance(value, list) else value
