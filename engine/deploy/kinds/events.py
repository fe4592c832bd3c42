"""AWS::Events, AWS::Scheduler, AWS::Pipes and AWS::Logs: buses, rules, schedules, pipes, log groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...aws.clients import CallFailed
from ..shaping import lowered, shaped
from .base import (
    GONE,
    Aws,
    Kind,
    Made,
    NotMade,
    Wanted,
    retag,
    send,
    send_known,
    tag_list,
    tags,
    until,
    with_defaults,
)  # fmt: skip

_PER_CALL = 10  # targets of one request


class _Named(Kind):
    """What has its name in Name and its ARN in the response, with Create, Update and Delete in front of one noun."""

    name = "Name"
    noun: ClassVar[str]
    arn: ClassVar[str]  # the member of a response that has its ARN
    own_name: ClassVar[str] = "Name"  # what the operations call its name

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await send(aws, self.service, f"Create{self.noun}", self._given(wanted, wanted.name))
        return self._made(wanted.name, made)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await send_known(aws, self.service, f"Update{self.noun}", self._given(wanted, before.id))
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(self.service, f"Delete{self.noun}", {self.own_name: before.id})

    def _given(self, wanted: Wanted, name: str) -> dict[str, Any]:
        given = {**wanted.without(self.name), self.own_name: name}
        if "Tags" in given:
            given["Tags"] = tag_list(tags(given))
        return given

    def _made(self, name: str, found: Mapping[str, Any]) -> Made:
        return Made(name, {"Arn": found[self.arn], "Name": name})


class EventBus(_Named):
    type = "AWS::Events::EventBus"
    service = "events"
    noun, arn = "EventBus", "EventBusArn"
    probe = ("DescribeEventBus", "Name")
    fixed = frozenset({"EventSourceName"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = self._given(wanted, wanted.name)
        policy = given.pop("Policy", None)
        made = await send(aws, "events", "CreateEventBus", given)
        if policy is not None:
            await send(aws, "events", "PutPermission", {"EventBusName": wanted.name, "Policy": policy})
        return self._made(wanted.name, made)


class Archive(_Named):
    type = "AWS::Events::Archive"
    service = "events"
    name = "ArchiveName"
    own_name = "ArchiveName"
    longest = 48
    noun, arn = "Archive", "ArchiveArn"
    probe = ("DescribeArchive", "ArchiveName")
    fixed = frozenset({"SourceArn"})

    def _given(self, wanted: Wanted, name: str) -> dict[str, Any]:
        given = super()._given(wanted, name)
        if "SourceArn" in given:
            given["EventSourceArn"] = given.pop("SourceArn")
        return given


class Connection(_Named):
    type = "AWS::Events::Connection"
    service = "events"
    noun, arn = "Connection", "ConnectionArn"
    probe = ("DescribeConnection", "Name")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await super().create(aws, wanted)
        found = await aws.call("events", "DescribeConnection", {"Name": wanted.name})
        made.attributes["SecretArn"] = found.get("SecretArn", "")
        return made


class ApiDestination(_Named):
    type = "AWS::Events::ApiDestination"
    service = "events"
    noun, arn = "ApiDestination", "ApiDestinationArn"
    probe = ("DescribeApiDestination", "Name")


class EventBusPolicy(Kind):
    type = "AWS::Events::EventBusPolicy"
    service = "events"
    fixed = frozenset({"EventBusName", "StatementId"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = dict(wanted.properties)
        if statement := given.pop("Statement", None):
            document = {"Sid": given["StatementId"], **statement}
            given = {
                "EventBusName": given.get("EventBusName", "default"),
                "Policy": {"Version": "2012-10-17", "Statement": [document]},
            }
        await send(aws, "events", "PutPermission", given)
        return Made(f"{wanted.get('EventBusName', 'default')}|{wanted.get('StatementId')}")

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        return await self.create(aws, wanted)

    async def delete(self, aws: Aws, before: Made) -> None:
        bus, _, statement = before.id.partition("|")
        await aws.call("events", "RemovePermission", {"EventBusName": bus, "StatementId": statement})


class Rule(Kind):
    type = "AWS::Events::Rule"
    service = "events"
    name = "Name"
    fixed = frozenset({"EventBusName"})
    probe = ("DescribeRule", "Name")

    def probed(self, aws: Aws, wanted: Wanted) -> dict[str, Any]:
        return {**super().probed(aws, wanted), **self._bus(wanted.properties)}

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        return await self._put(aws, wanted, wanted.name, [])

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        ids = {str(each.get("Id")) for each in wanted.get("Targets") or []}
        old = [str(each.get("Id")) for each in before.properties.get("Targets") or []]
        return await self._put(
            aws, wanted, before.id.rpartition("|")[2], [each for each in old if each not in ids]
        )

    async def _put(self, aws: Aws, wanted: Wanted, name: str, gone: list[str]) -> Made:
        bus = self._bus(wanted.properties)
        given = wanted.without("Targets", "Tags")
        if "Tags" in wanted.properties:
            given["Tags"] = tag_list(tags(wanted.properties))
        made = await send(aws, "events", "PutRule", {**given, "Name": name})
        if gone:
            await aws.call("events", "RemoveTargets", {"Rule": name, **bus, "Ids": gone})
        targets = wanted.get("Targets") or []
        for start in range(0, len(targets), _PER_CALL):
            given = {"Rule": name, **bus, "Targets": targets[start : start + _PER_CALL]}
            failed = (await send(aws, "events", "PutTargets", given)).get("FailedEntries") or []
            if failed:
                raise NotMade(f"{failed[0].get('ErrorCode')}: {failed[0].get('ErrorMessage')}")
        bus_name = str(wanted.get("EventBusName") or "default").rpartition("/")[2]
        return Made(name if bus_name == "default" else f"{bus_name}|{name}", {"Arn": made["RuleArn"]})

    async def delete(self, aws: Aws, before: Made) -> None:
        name, bus = before.id.rpartition("|")[2], self._bus(before.properties)
        found = await aws.call("events", "ListTargetsByRule", {"Rule": name, **bus})
        if ids := [each["Id"] for each in found.get("Targets", [])]:
            await aws.call("events", "RemoveTargets", {"Rule": name, **bus, "Ids": ids})
        await aws.call("events", "DeleteRule", {"Name": name, **bus})

    @staticmethod
    def _bus(properties: Mapping[str, Any]) -> dict[str, Any]:
        bus = properties.get("EventBusName")
        return {"EventBusName": bus} if bus else {}


class ScheduleGroup(_Named):
    type = "AWS::Scheduler::ScheduleGroup"
    service = "scheduler"
    noun, arn = "ScheduleGroup", "ScheduleGroupArn"
    probe = ("GetScheduleGroup", "Name")

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        arn = before.attributes["Arn"]
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("scheduler", "TagResource", {"ResourceArn": arn, "Tags": tag_list(fresh)}),
            lambda gone: aws.call("scheduler", "UntagResource", {"ResourceArn": arn, "TagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)


class Schedule(Kind):
    type = "AWS::Scheduler::Schedule"
    service = "scheduler"
    name = "Name"
    fixed = frozenset({"GroupName"})
    probe = ("GetSchedule", "Name")

    def probed(self, aws: Aws, wanted: Wanted) -> dict[str, Any]:
        return {**super().probed(aws, wanted), **self._group(wanted.properties)}

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await send(aws, "scheduler", "CreateSchedule", {**wanted.properties, "Name": wanted.name})
        return Made(wanted.name, {"Arn": made["ScheduleArn"]})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await send(aws, "scheduler", "UpdateSchedule", {**wanted.properties, "Name": before.id})
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        named = {"Name": before.id, **self._group(before.properties)}
        await aws.call("scheduler", "DeleteSchedule", named)

    @staticmethod
    def _group(properties: Mapping[str, Any]) -> dict[str, Any]:
        group = properties.get("GroupName")
        return {"GroupName": group} if group else {}


class Pipe(Kind):
    """Made and changed in the background: done once it runs, or stands still."""

    type = "AWS::Pipes::Pipe"
    service = "pipes"
    name = "Name"
    fixed = frozenset({"Source"})
    probe = ("DescribePipe", "Name")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = {**wanted.without("Tags"), "Name": wanted.name}
        if found := tags(wanted.properties):
            given["Tags"] = found
        made = await send(aws, "pipes", "CreatePipe", given)
        return await self._settled(aws, wanted.name, {"Arn": made["Arn"]})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        cleared = {"Description": "", "Enrichment": "", "DesiredState": "RUNNING"}
        given = with_defaults(wanted.without("Tags"), before.properties, cleared)
        await send_known(aws, "pipes", "UpdatePipe", {**given, "Name": before.id})
        arn = before.attributes["Arn"]
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("pipes", "TagResource", {"resourceArn": arn, "tags": fresh}),
            lambda gone: aws.call("pipes", "UntagResource", {"resourceArn": arn, "tagKeys": gone}),
        )  # fmt: skip
        return await self._settled(aws, before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await until(lambda: self._still(aws, before.id))
        await aws.call("pipes", "DeletePipe", {"Name": before.id})
        await until(lambda: self._gone(aws, before.id))

    async def _settled(self, aws: Aws, name: str, attributes: dict[str, Any]) -> Made:
        await until(lambda: self._still(aws, name))
        found = await aws.call("pipes", "DescribePipe", {"Name": name})
        if found["CurrentState"].endswith("FAILED"):
            raise NotMade(f"{found['CurrentState']}: {found.get('StateReason', '')}")
        times = {member: str(found[member]) for member in ("CreationTime", "LastModifiedTime")}
        states = {member: found.get(member, "") for member in ("CurrentState", "StateReason")}
        return Made(name, {**attributes, **times, **states})

    async def _still(self, aws: Aws, name: str) -> bool:
        found = await aws.call("pipes", "DescribePipe", {"Name": name})
        return not str(found["CurrentState"]).endswith("ING") or found["CurrentState"] == "RUNNING"

    @staticmethod
    async def _gone(aws: Aws, name: str) -> bool:
        try:
            await aws.call("pipes", "DescribePipe", {"Name": name})
        except CallFailed as failed:
            if failed.code in GONE:
                return True
            raise
        return False


class LogGroup(Kind):
    type = "AWS::Logs::LogGroup"
    service = "logs"
    name = "LogGroupName"
    longest = 512

    async def exists(self, aws: Aws, wanted: Wanted) -> bool:
        found = await aws.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": wanted.name})
        return any(each["logGroupName"] == wanted.name for each in found.get("logGroups", []))

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = lowered(wanted.without("LogGroupName", "RetentionInDays", "Tags"))
        given |= {"logGroupName": wanted.name}
        if found := tags(wanted.properties):
            given["tags"] = found
        await aws.call("logs", "CreateLogGroup", shaped("logs", "CreateLogGroup", given))
        await self._retain(aws, wanted.name, wanted.properties)
        arn = f"arn:aws:logs:{aws.place.region}:{aws.place.account}:log-group:{wanted.name}:*"
        return Made(wanted.name, {"Arn": arn})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        if before.properties.get("RetentionInDays") != wanted.get("RetentionInDays"):
            await self._retain(aws, before.id, wanted.properties)
            if "RetentionInDays" not in wanted.properties:
                await aws.call("logs", "DeleteRetentionPolicy", {"logGroupName": before.id})
        arn = before.attributes["Arn"].removesuffix(":*")
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("logs", "TagResource", {"resourceArn": arn, "tags": fresh}),
            lambda gone: aws.call("logs", "UntagResource", {"resourceArn": arn, "tagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("logs", "DeleteLogGroup", {"logGroupName": before.id})

    @staticmethod
    async def _retain(aws: Aws, name: str, properties: Mapping[str, Any]) -> None:
        if "RetentionInDays" in properties:
            given = {"logGroupName": name, "retentionInDays": properties["RetentionInDays"]}
            await send(aws, "logs", "PutRetentionPolicy", given)


class SubscriptionFilter(Kind):
    type = "AWS::Logs::SubscriptionFilter"
    service = "logs"
    name = "FilterName"
    longest = 512
    fixed = frozenset({"LogGroupName"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = lowered({**wanted.properties, "FilterName": wanted.name})
        await aws.call("logs", "PutSubscriptionFilter", shaped("logs", "PutSubscriptionFilter", given))
        return Made(wanted.name)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        return await self.create(aws, wanted)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"logGroupName": before.properties["LogGroupName"], "filterName": before.id}
        await aws.call("logs", "DeleteSubscriptionFilter", given)


KINDS: tuple[Kind, ...] = (
    EventBus(), EventBusPolicy(), Archive(), Connection(), ApiDestination(), Rule(), ScheduleGroup(), Schedule(),
    Pipe(), LogGroup(), SubscriptionFilter(),
)  # fmt: skip
