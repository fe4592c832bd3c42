"""The operations on load balancers, target groups of functions, listeners and their rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Caller, ModelService, operations_of
from ...aws.validate import Wording
from ...durable.changes import Changes
from ...durable.state import Record, States
from ..apigatewayv2.integrations import FUNCTION
from .catalog import (
    BALANCERS,
    GROUPS,
    LISTENERS,
    MULTI,
    RULES,
    Catalog,
    Members,
    arn,
    new_id,
    not_found,
    public,
)

_ACTIONS = ("forward", "fixed-response", "redirect")
_FIELDS = ("host-header", "http-header", "http-request-method", "path-pattern", "query-string", "source-ip")


class Elbv2(ModelService):
    """Every region and account's. Belongs to one event loop; call `aclose`."""

    def __init__(self, states: States, dns: Callable[[Place, str], str]) -> None:
        """dns: a load balancer's name for clients, by its place and its own name and id."""
        self._changes = Changes("elbv2")
        model = Model.load("elbv2", Wording(code="ValidationError"))
        operations = operations_of(Operations(Catalog(states, self._changes), dns))
        super().__init__(model, operations)

    async def aclose(self) -> None:
        self._changes.close()


class Operations:
    def __init__(self, catalog: Catalog, dns: Callable[[Place, str], str]) -> None:
        self._catalog = catalog
        self._dns = dns

    # Load balancers.

    async def create_load_balancer(self, members: Members, caller: Caller) -> Members:
        place, name = caller.place, members["Name"]
        if members.get("Type", "application") != "application":
            raise _not_here(f"A load balancer of type {members['Type']}")
        if any(each["LoadBalancerName"] == name for each in self._catalog.all(place, BALANCERS)):
            raise Fault("DuplicateLoadBalancerName", f"A load balancer with the name '{name}' already exists")
        id, whole = new_id(), arn(place, f"loadbalancer/app/{name}")
        record: Record = {
            "LoadBalancerArn": f"{whole}/{id}", "LoadBalancerName": name, "CreatedTime": time.time(),
            "Scheme": members.get("Scheme") or "internet-facing", "Type": "application", "State": {"Code": "active"},
            "IpAddressType": members.get("IpAddressType") or "ipv4", "VpcId": "",
            "CanonicalHostedZoneId": "Z35SXDOTRQ7X7K",
            "SecurityGroups": members.get("SecurityGroups") or [],
            "AvailabilityZones": [{"SubnetId": each} for each in members.get("Subnets") or []], LISTENERS: {},
        }  # fmt: skip
        await self._catalog.write(place, BALANCERS, record["LoadBalancerArn"], record)
        return {"LoadBalancers": [self._shown(place, record)]}

    def describe_load_balancers(self, members: Members, caller: Caller) -> Members:
        arns, names = members.get("LoadBalancerArns"), members.get("Names")
        found = [
            record for record in self._catalog.all(caller.place, BALANCERS)
            if (not arns or record["LoadBalancerArn"] in arns) and (not names or record["LoadBalancerName"] in names)
        ]  # fmt: skip
        if len(found) < len(arns or names or ()):
            raise not_found(BALANCERS)
        return {"LoadBalancers": [self._shown(caller.place, each) for each in found]}

    async def delete_load_balancer(self, members: Members, caller: Caller) -> Members:
        await self._catalog.write(caller.place, BALANCERS, members["LoadBalancerArn"], None)
        return {}

    def _shown(self, place: Place, record: Record) -> Members:
        id = record["LoadBalancerArn"].rpartition("/")[2]
        return {**public(record), "DNSName": self._dns(place, f"{record['LoadBalancerName']}-{id}".lower())}

    # Target groups.

    async def create_target_group(self, members: Members, caller: Caller) -> Members:
        place, name = caller.place, members["Name"]
        if members.get("TargetType") != "lambda":
            raise _not_here(f"A target group of type {members.get('TargetType') or 'instance'}")
        if any(each["TargetGroupName"] == name for each in self._catalog.all(place, GROUPS)):
            raise Fault("DuplicateTargetGroupName", f"A target group with the name '{name}' already exists")
        record: Record = {
            "TargetGroupArn": arn(place, f"targetgroup/{name}/{new_id()}"), "TargetGroupName": name,
            "TargetType": "lambda", "LoadBalancerArns": [], "IpAddressType": "ipv4",
            "HealthCheckEnabled": bool(members.get("HealthCheckEnabled")), "_targets": [],
            "_attributes": {MULTI: "false"},
        }  # fmt: skip
        await self._catalog.write(place, GROUPS, record["TargetGroupArn"], record)
        return {"TargetGroups": [public(record)]}

    def describe_target_groups(self, members: Members, caller: Caller) -> Members:
        arns, names = members.get("TargetGroupArns"), members.get("Names")
        found = [
            record for record in self._catalog.all(caller.place, GROUPS)
            if (not arns or record["TargetGroupArn"] in arns) and (not names or record["TargetGroupName"] in names)
        ]  # fmt: skip
        if len(found) < len(arns or names or ()):
            raise not_found(GROUPS)
        return {"TargetGroups": [public(each) for each in found]}

    async def delete_target_group(self, members: Members, caller: Caller) -> Members:
        await self._catalog.write(caller.place, GROUPS, members["TargetGroupArn"], None)
        return {}

    async def modify_target_group_attributes(self, members: Members, caller: Caller) -> Members:
        record = self._catalog.found(caller.place, GROUPS, members["TargetGroupArn"])
        fresh = {each["Key"]: each.get("Value", "") for each in members["Attributes"]}
        if strange := sorted(set(fresh) - {MULTI}):
            raise Fault("ValidationError", f"Target group attribute key '{strange[0]}' is not recognized")
        record = {**record, "_attributes": {**record["_attributes"], **fresh}}
        await self._catalog.write(caller.place, GROUPS, record["TargetGroupArn"], record)
        return {"Attributes": _pairs(record)}

    def describe_target_group_attributes(self, members: Members, caller: Caller) -> Members:
        return {"Attributes": _pairs(self._catalog.found(caller.place, GROUPS, members["TargetGroupArn"]))}

    async def register_targets(self, members: Members, caller: Caller) -> Members:
        record = self._catalog.found(caller.place, GROUPS, members["TargetGroupArn"])
        ids = [each["Id"] for each in members["Targets"]]
        if any(FUNCTION.fullmatch(id) is None for id in ids):
            raise Fault("InvalidTarget", f"The ARN of a function is needed, not {ids[0]}")
        if len({*record["_targets"], *ids}) > 1:
            raise Fault("TooManyRegistrationsForTargetId", "A target group has one function at most")
        await self._catalog.write(caller.place, GROUPS, record["TargetGroupArn"], {**record, "_targets": ids})
        return {}

    async def deregister_targets(self, members: Members, caller: Caller) -> Members:
        record = self._catalog.found(caller.place, GROUPS, members["TargetGroupArn"])
        gone = {each["Id"] for each in members["Targets"]}
        left = [id for id in record["_targets"] if id not in gone]
        await self._catalog.write(
            caller.place, GROUPS, record["TargetGroupArn"], {**record, "_targets": left}
        )
        return {}

    def describe_target_health(self, members: Members, caller: Caller) -> Members:
        record = self._catalog.found(caller.place, GROUPS, members["TargetGroupArn"])
        state = {"State": "unavailable", "Reason": "Target.HealthCheckDisabled"}
        return {"TargetHealthDescriptions": [
            {"Target": {"Id": id, "AvailabilityZone": "all"}, "TargetHealth": state} for id in record["_targets"]
        ]}  # fmt: skip

    # Listeners and their rules.

    async def create_listener(self, members: Members, caller: Caller) -> Members:
        record = self._catalog.found(caller.place, BALANCERS, members["LoadBalancerArn"])
        port = members.get("Port") or 80
        if any(each["Port"] == port for each in record[LISTENERS].values()):
            raise Fault("DuplicateListener", "A listener already exists on this port for this load balancer")
        whole = f"{record['LoadBalancerArn'].replace(':loadbalancer/', ':listener/')}/{new_id()}"
        listener = {
            "ListenerArn": whole, "LoadBalancerArn": record["LoadBalancerArn"], "Port": port, RULES: {},
            "Protocol": members.get("Protocol") or "HTTP", "DefaultActions": _actions(members["DefaultActions"]),
        }  # fmt: skip
        await self._put(caller.place, record, listener)
        return {"Listeners": [public(listener)]}

    async def modify_listener(self, members: Members, caller: Caller) -> Members:
        record, listener = self._catalog.listener(caller.place, members["ListenerArn"])
        fresh = {name: members[name] for name in ("Port", "Protocol") if members.get(name)}
        if members.get("DefaultActions"):
            fresh["DefaultActions"] = _actions(members["DefaultActions"])
        listener = {**listener, **fresh}
        await self._put(caller.place, record, listener)
        return {"Listeners": [public(listener)]}

    def describe_listeners(self, members: Members, caller: Caller) -> Members:
        if arns := members.get("ListenerArns"):
            return {"Listeners": [public(self._catalog.listener(caller.place, each)[1]) for each in arns]}
        record = self._catalog.found(caller.place, BALANCERS, members.get("LoadBalancerArn") or "")
        return {"Listeners": [public(each) for each in record[LISTENERS].values()]}

    async def delete_listener(self, members: Members, caller: Caller) -> Members:
        record, listener = self._catalog.listener(caller.place, members["ListenerArn"])
        left = {name: each for name, each in record[LISTENERS].items() if name != listener["ListenerArn"]}
        await self._catalog.write(
            caller.place, BALANCERS, record["LoadBalancerArn"], {**record, LISTENERS: left}
        )
        return {}

    async def create_rule(self, members: Members, caller: Caller) -> Members:
        record, listener = self._catalog.listener(caller.place, members["ListenerArn"])
        priority = str(members["Priority"])
        if any(each["Priority"] == priority for each in listener[RULES].values()):
            raise Fault("PriorityInUse", f"Priority '{priority}' is currently in use")
        rule = {
            "RuleArn": f"{listener['ListenerArn'].replace(':listener/', ':listener-rule/')}/{new_id()}",
            "Priority": priority, "Conditions": _conditions(members["Conditions"]),
            "Actions": _actions(members["Actions"]), "IsDefault": False,
        }  # fmt: skip
        await self._put(caller.place, record, _with(listener, rule))
        return {"Rules": [rule]}

    async def modify_rule(self, members: Members, caller: Caller) -> Members:
        record, listener = self._catalog.listener(caller.place, members["RuleArn"])
        rule = listener[RULES].get(members["RuleArn"])
        if rule is None:
            raise not_found(RULES)
        fresh = {"Conditions": _conditions(members["Conditions"])} if members.get("Conditions") else {}
        fresh |= {"Actions": _actions(members["Actions"])} if members.get("Actions") else {}
        await self._put(caller.place, record, _with(listener, {**rule, **fresh}))
        return {"Rules": [{**rule, **fresh}]}

    def describe_rules(self, members: Members, caller: Caller) -> Members:
        arns = members.get("RuleArns") or []
        _, listener = self._catalog.listener(caller.place, members.get("ListenerArn") or (arns or [""])[0])
        rules = [each for each in listener[RULES].values() if not arns or each["RuleArn"] in arns]
        default = {
            "Priority": "default",
            "Conditions": [],
            "Actions": listener["DefaultActions"],
            "IsDefault": True,
        }
        return {"Rules": rules if arns else [*rules, default]}

    async def delete_rule(self, members: Members, caller: Caller) -> Members:
        record, listener = self._catalog.listener(caller.place, members["RuleArn"])
        if members["RuleArn"] not in listener[RULES]:
            raise not_found(RULES)
        left = {name: each for name, each in listener[RULES].items() if name != members["RuleArn"]}
        await self._put(caller.place, record, {**listener, RULES: left})
        return {}

    async def _put(self, place: Place, record: Record, listener: Record) -> None:
        listeners = {**record[LISTENERS], listener["ListenerArn"]: listener}
        fresh = {**record, LISTENERS: listeners}
        await self._catalog.write(place, BALANCERS, record["LoadBalancerArn"], fresh)


def _with(listener: Record, rule: Record) -> Record:
    return {**listener, RULES: {**listener[RULES], rule["RuleArn"]: rule}}


def _pairs(record: Record) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in record["_attributes"].items()]


def _actions(given: list[Mapping[str, Any]]) -> list[Record]:
    """Raises Fault for what is not done here."""
    for each in given:
        if each["Type"] not in _ACTIONS:
            raise _not_here(f"An action of type {each['Type']}")
    return [dict(each) for each in given]


def _conditions(given: list[Mapping[str, Any]]) -> list[Record]:
    """Raises Fault."""
    for each in given:
        if each.get("Field") not in _FIELDS:
            raise Fault(
                "ValidationError", f"Condition field '{each.get('Field')}' must be one of '{list(_FIELDS)}'"
            )
    return [dict(each) for each in given]


def _not_here(what: str) -> Fault:
    return Fault("NotImplementedException", f"{what} is not implemented by this endpoint.", Type="User")
