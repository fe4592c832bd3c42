"""The operations on API keys and usage plans. A plan's throttle and quota are kept, not enforced."""

from __future__ import annotations

import secrets
import string
import time

from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.changes import Step
from ...durable.state import Record
from .catalog import API_KEYS, PLANS, STAGES, Catalog, Members, kept, new_id, page, public
from .faults import bad, conflict, full, missing
from .patches import patched

KEYS_MOST, PLANS_MOST = 10_000, 300
_LETTERS = string.ascii_letters + string.digits


class KeyOperations:
    def __init__(self, catalog: Catalog, model: Model) -> None:
        self._catalog = catalog
        self._model = model

    async def create_api_key(self, members: Members, caller: Caller) -> Members:
        value = members.get("value") or "".join(secrets.choice(_LETTERS) for _ in range(40))
        if not 20 <= len(value) <= 128:
            raise bad("API Key value should be at least 20 characters")
        at, id = time.time(), new_id(10)
        record: Record = {
            "id": id, "value": value, "enabled": False, "stageKeys": [], "createdDate": at, "lastUpdatedDate": at,
            **kept(members, ("name", "description", "enabled", "customerId", "tags")),
        }  # fmt: skip
        async with self._catalog.changes.lock:
            there = self._catalog.all(caller.place, API_KEYS)
            if any(each["value"] == value for each in there):
                raise conflict("API Key already exists")
            if len(there) >= KEYS_MOST:
                raise full("API Keys for this account")
            await self._catalog.write(caller.place, (API_KEYS, id, "", record))
        return record

    async def get_api_key(self, members: Members, caller: Caller) -> Members:
        return _valued(
            self._catalog.one(caller.place, API_KEYS, members["apiKey"]), members.get("includeValue")
        )

    async def get_api_keys(self, members: Members, caller: Caller) -> Members:
        prefix, customer = members.get("nameQuery") or "", members.get("customerId")
        found = [
            _valued(each, members.get("includeValues"))
            for each in self._catalog.all(caller.place, API_KEYS)
            if each.get("name", "").startswith(prefix) and customer in (None, each.get("customerId"))
        ]
        return page(found, members)

    async def update_api_key(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._catalog.one(caller.place, API_KEYS, members["apiKey"])
            record = patched(
                self._model.operation("UpdateApiKey"), known, members, ("id", "value", "createdDate")
            )
            record["lastUpdatedDate"] = time.time()
            await self._catalog.write(caller.place, (API_KEYS, known["id"], "", record))
        return _valued(record, False)

    async def delete_api_key(self, members: Members, caller: Caller) -> Members:
        id = members["apiKey"]
        async with self._catalog.changes.lock:
            self._catalog.one(caller.place, API_KEYS, id)
            steps: list[Step] = [(API_KEYS, id, "", None)]
            for plan in self._catalog.all(caller.place, PLANS):
                if id in plan["_keys"]:
                    left = [each for each in plan["_keys"] if each != id]
                    steps.append((PLANS, plan["id"], "", {**plan, "_keys": left}))
            await self._catalog.write(caller.place, *steps)
        return {}

    # Usage plans. A record has the ids of its keys.

    async def create_usage_plan(self, members: Members, caller: Caller) -> Members:
        id = new_id(6)
        record: Record = {
            "id": id, "apiStages": [], "_keys": [],
            **kept(members, ("name", "description", "apiStages", "throttle", "quota", "tags")),
        }  # fmt: skip
        async with self._catalog.changes.lock:
            if len(self._catalog.state(caller.place).owners(PLANS)) >= PLANS_MOST:
                raise full("Usage Plans for this account")
            self._check(caller.place, record)
            await self._catalog.write(caller.place, (PLANS, id, "", record))
        return public(record)

    def _check(self, place: Place, record: Record) -> None:
        for each in record["apiStages"]:
            if each.get("stage") not in self._catalog.owned(place, STAGES, each.get("apiId") or ""):
                raise missing("API stage")

    async def get_usage_plan(self, members: Members, caller: Caller) -> Members:
        return public(self._catalog.one(caller.place, PLANS, members["usagePlanId"]))

    async def get_usage_plans(self, members: Members, caller: Caller) -> Members:
        wanted = members.get("keyId")
        return page(
            (
                each
                for each in self._catalog.all(caller.place, PLANS)
                if wanted is None or wanted in each["_keys"]
            ),
            members,
        )

    async def update_usage_plan(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            known = self._catalog.one(caller.place, PLANS, members["usagePlanId"])
            record = patched(self._model.operation("UpdateUsagePlan"), known, members, ("id",))
            self._check(caller.place, record)
            await self._catalog.write(caller.place, (PLANS, known["id"], "", record))
        return public(record)

    async def delete_usage_plan(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            plan = self._catalog.one(caller.place, PLANS, members["usagePlanId"])
            if plan["apiStages"]:
                raise bad(
                    f"Cannot delete Usage Plan {plan['id']} because it is associated with API Stages. Please remove "
                    "all associated API stages from usage plan and try again."
                )
            await self._catalog.write(caller.place, (PLANS, plan["id"], "", None))
        return {}

    async def create_usage_plan_key(self, members: Members, caller: Caller) -> Members:
        if members["keyType"] != "API_KEY":
            raise bad("Invalid key type specified. Must be one of: [API_KEY]")
        async with self._catalog.changes.lock:
            plan = self._catalog.one(caller.place, PLANS, members["usagePlanId"])
            key = self._catalog.one(caller.place, API_KEYS, members["keyId"])
            if key["id"] in plan["_keys"]:
                raise conflict("Usage Plan Key already exists")
            record = {**plan, "_keys": [*plan["_keys"], key["id"]]}
            await self._catalog.write(caller.place, (PLANS, plan["id"], "", record))
        return _plan_key(key)

    def _key(self, members: Members, caller: Caller) -> tuple[Record, Record]:
        """The plan, and a key of it. Raises Fault."""
        plan = self._catalog.one(caller.place, PLANS, members["usagePlanId"])
        if members["keyId"] not in plan["_keys"]:
            raise missing("Usage Plan Key identifier")
        return plan, self._catalog.one(caller.place, API_KEYS, members["keyId"])

    async def get_usage_plan_key(self, members: Members, caller: Caller) -> Members:
        return _plan_key(self._key(members, caller)[1])

    async def get_usage_plan_keys(self, members: Members, caller: Caller) -> Members:
        plan = self._catalog.one(caller.place, PLANS, members["usagePlanId"])
        keys = [self._catalog.one(caller.place, API_KEYS, id) for id in plan["_keys"]]
        return page([_plan_key(key) for key in keys], members)

    async def delete_usage_plan_key(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            plan, key = self._key(members, caller)
            left = [each for each in plan["_keys"] if each != key["id"]]
            await self._catalog.write(caller.place, (PLANS, plan["id"], "", {**plan, "_keys": left}))
        return {}


def _valued(record: Record, value: bool | None) -> Members:
    return record if value else {name: each for name, each in record.items() if name != "value"}


def _plan_key(key: Record) -> Members:
    return {"id": key["id"], "type": "API_KEY", "value": key["value"], "name": key.get("name")}
