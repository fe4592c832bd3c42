"""AWS::ElasticLoadBalancingV2: load balancers whose targets are functions."""

from __future__ import annotations

from typing import Any, ClassVar

from .base import Aws, Kind, Made, Wanted, send, send_known

SERVICE = "elbv2"


class _Part(Kind):
    """What one operation makes, one changes and one deletes, by its ARN."""

    service = SERVICE
    noun: ClassVar[str]
    found: ClassVar[str]  # the member of a response that lists them
    arn: ClassVar[str]

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await send_known(aws, SERVICE, f"Create{self.noun}", self.given(wanted))
        return self.made(made[self.found][0])

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(SERVICE, f"Delete{self.noun}", {self.arn: before.id})

    def given(self, wanted: Wanted) -> dict[str, Any]:
        return {**wanted.without("Tags"), **({"Name": wanted.name} if self.name else {})}

    def made(self, found: dict[str, Any]) -> Made:
        return Made(found[self.arn], {self.arn: found[self.arn]})


class LoadBalancer(_Part):
    type = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    noun, found, arn = "LoadBalancer", "LoadBalancers", "LoadBalancerArn"
    name = "Name"
    longest = 32

    def call_it(self, name: str, aws: Aws) -> str:
        return ""

    def made(self, found: dict[str, Any]) -> Made:
        name = found["LoadBalancerName"]
        whole = found["LoadBalancerArn"].partition(":loadbalancer/")[2]
        more = {"DNSName": found["DNSName"], "LoadBalancerName": name, "LoadBalancerFullName": whole,
                "CanonicalHostedZoneID": found["CanonicalHostedZoneId"], "SecurityGroups": []}  # fmt: skip
        return Made(found["LoadBalancerArn"], {"LoadBalancerArn": found["LoadBalancerArn"], **more})


class TargetGroup(_Part):
    type = "AWS::ElasticLoadBalancingV2::TargetGroup"
    noun, found, arn = "TargetGroup", "TargetGroups", "TargetGroupArn"
    name = "Name"
    longest = 32
    fixed = frozenset({"TargetType"})

    def call_it(self, name: str, aws: Aws) -> str:
        return ""

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await super().create(aws, wanted)
        await self._further(aws, wanted, made.id)
        return made

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        gone = [
            each
            for each in before.properties.get("Targets") or []
            if each not in (wanted.get("Targets") or [])
        ]
        if gone:
            await send(aws, SERVICE, "DeregisterTargets", {"TargetGroupArn": before.id, "Targets": gone})
        await self._further(aws, wanted, before.id)
        return before

    @staticmethod
    async def _further(aws: Aws, wanted: Wanted, id: str) -> None:
        if attributes := wanted.get("TargetGroupAttributes"):
            given = {"TargetGroupArn": id, "Attributes": attributes}
            await send(aws, SERVICE, "ModifyTargetGroupAttributes", given)
        if targets := wanted.get("Targets"):
            await send(aws, SERVICE, "RegisterTargets", {"TargetGroupArn": id, "Targets": targets})

    def made(self, found: dict[str, Any]) -> Made:
        whole = found["TargetGroupArn"].rpartition(":")[2]
        more = {
            "TargetGroupName": found["TargetGroupName"],
            "TargetGroupFullName": whole,
            "LoadBalancerArns": [],
        }
        return Made(found["TargetGroupArn"], {"TargetGroupArn": found["TargetGroupArn"], **more})


class Listener(_Part):
    type = "AWS::ElasticLoadBalancingV2::Listener"
    noun, found, arn = "Listener", "Listeners", "ListenerArn"
    fixed = frozenset({"LoadBalancerArn"})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await send_known(aws, SERVICE, "ModifyListener", {**wanted.properties, "ListenerArn": before.id})
        return before


class ListenerRule(_Part):
    type = "AWS::ElasticLoadBalancingV2::ListenerRule"
    noun, found, arn = "Rule", "Rules", "RuleArn"
    fixed = frozenset({"ListenerArn", "Priority"})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await send_known(aws, SERVICE, "ModifyRule", {**wanted.properties, "RuleArn": before.id})
        return before


KINDS: tuple[Kind, ...] = (LoadBalancer(), TargetGroup(), Listener(), ListenerRule())
