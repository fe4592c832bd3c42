"""Sampling rules, which SDKs follow that decide for themselves what they trace. Lambda does not."""

from __future__ import annotations

import time
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.changes import Changes
from ...durable.folder import StoreError
from ...durable.state import Record, States
from .faults import invalid

TABLE = "xray-sampling-rules"
MOST = 25  # of a region and account: AWS's
INTERVAL = 10  # seconds between two reports of a client
DEFAULT = "Default"
_DEFAULT: Record = {
    "RuleName": DEFAULT, "ResourceARN": "*", "Priority": 10_000, "FixedRate": 0.05, "ReservoirSize": 1,
    "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
    "Attributes": {},
}  # fmt: skip
_OF_DEFAULT = ("FixedRate", "ReservoirSize")
Members = dict[str, Any]


class Sampling:
    """Belongs to the event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self._states = states
        self._changes = changes

    def _rules(self, place: Place) -> dict[str, Record]:
        """In order of their priority; the default one last."""
        state = self._states.of(place.partition)
        found = {name: state.get(TABLE, name) for name in state.owners(TABLE)}
        default = {"SamplingRule": _default(place), "CreatedAt": 0.0, "ModifiedAt": 0.0}
        rules = {DEFAULT: default, **{name: record for name, record in found.items() if record is not None}}
        return dict(sorted(rules.items(), key=lambda each: (each[1]["SamplingRule"]["Priority"], each[0])))

    def get_sampling_rules(self, members: Members, caller: Caller) -> Members:
        return {"SamplingRuleRecords": list(self._rules(caller.place).values())}

    def get_sampling_statistic_summaries(self, members: Members, caller: Caller) -> Members:
        return {"SamplingStatisticSummaries": []}

    def get_sampling_targets(self, members: Members, caller: Caller) -> Members:
        rules, now = self._rules(caller.place), time.time()
        targets, unknown = [], []
        for each in members["SamplingStatisticsDocuments"]:
            record = rules.get(each["RuleName"])
            if record is None:
                text = f"The sampling rule {each['RuleName']} does not exist."
                unknown.append({"RuleName": each["RuleName"], "ErrorCode": "400", "Message": text})
                continue
            rule = record["SamplingRule"]
            targets.append(
                {
                    "RuleName": rule["RuleName"], "FixedRate": rule["FixedRate"],
                    "ReservoirQuota": rule["ReservoirSize"], "ReservoirQuotaTTL": now + 2 * INTERVAL,
                    "Interval": INTERVAL,
                }
            )  # fmt: skip
        modified = max(record["ModifiedAt"] for record in rules.values())
        return {
            "SamplingTargetDocuments": targets, "LastRuleModification": modified, "UnprocessedStatistics": unknown,
            "UnprocessedBoostStatistics": [],
        }  # fmt: skip

    async def create_sampling_rule(self, members: Members, caller: Caller) -> Members:
        given = {name: value for name, value in members["SamplingRule"].items() if value is not None}
        name, place, now = given.get("RuleName") or "", caller.place, round(time.time(), 3)
        if not name or given.get("RuleARN"):
            raise invalid("RuleName is to be given, and no RuleARN: it is made of the name.")
        if given["Version"] != 1:
            raise invalid("Version must be 1.")
        async with self._changes.lock:
            rules = self._rules(place)
            if name in rules:
                raise invalid(f"A sampling rule with the name {name} already exists.")
            if len(rules) > MOST:
                raise Fault("RuleLimitExceededException", f"There may be {MOST} sampling rules.")
            rule = {**given, "RuleARN": _arn(place, name), "Attributes": given.get("Attributes") or {}}
            record = {"SamplingRule": rule, "CreatedAt": now, "ModifiedAt": now}
            await self._write(place, name, record)
        return {"SamplingRuleRecord": record}

    async def update_sampling_rule(self, members: Members, caller: Caller) -> Members:
        given = {name: value for name, value in members["SamplingRuleUpdate"].items() if value is not None}
        async with self._changes.lock:
            record = self._named(given, caller.place)
            name = record["SamplingRule"]["RuleName"]
            changed = {each: given[each] for each in given if each not in ("RuleName", "RuleARN")}
            if name == DEFAULT and set(changed) - set(_OF_DEFAULT):
                raise invalid("Of the default rule the fixed rate and the reservoir size can be changed.")
            rule = {**record["SamplingRule"], **changed}
            record = {**record, "SamplingRule": rule, "ModifiedAt": round(time.time(), 3)}
            await self._write(caller.place, name, record)
        return {"SamplingRuleRecord": record}

    async def delete_sampling_rule(self, members: Members, caller: Caller) -> Members:
        async with self._changes.lock:
            record = self._named(members, caller.place)
            name = record["SamplingRule"]["RuleName"]
            if name == DEFAULT:
                raise invalid("The default rule cannot be deleted.")
            await self._write(caller.place, name, None)
        return {"SamplingRuleRecord": record}

    def _named(self, members: Members, place: Place) -> Record:
        name = members.get("RuleName") or str(members.get("RuleARN") or "").rpartition("/")[2]
        record = self._rules(place).get(name)
        if record is None:
            raise invalid("The sampling rule does not exist.")
        return record

    async def _write(self, place: Place, name: str, record: Record | None) -> None:
        try:
            await self._changes.write(self._states.of(place.partition), (TABLE, name, "", record))
        except StoreError as error:
            raise Fault("ServiceException", str(error)) from error


def _arn(place: Place, name: str) -> str:
    return f"arn:aws:xray:{place.region}:{place.account}:sampling-rule/{name}"


def _default(place: Place) -> Record:
    return {**_DEFAULT, "RuleARN": _arn(place, DEFAULT)}
