"""AWS::Events, AWS::Scheduler, AWS::Pipes and AWS::Logs: buses, rules, schedules, pipes, log groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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
from .simple import Simple

_PER_CALL = 10  # targets of one request


class EventBus(Simple):
    """Its policy is an operation of its own."""

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await super().create(aws, replace(wanted, properties=wanted.without("Policy")))
        await self._put(aws, wanted, made.id)
        return made

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await self._put(aws, wanted, before.id)
        return await super().update(aws, wanted, before)

    @staticmethod
    async def _put(aws: Aws, wanted: Wanted, name: str) -> None:
        if (policy := wanted.get("Policy")) is not None:
            await send(aws, "events", "PutPermission", {"EventBusName": name, "Policy": policy})


class Connection(Simple):
    """Its secret is in what describes it."""

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        made = await super().create(aws, wanted)
        found = await aws.call("events", "DescribeConnection", {"Name": wanted.name})
        made.attributes["SecretArn"] = found.get("SecretArn", "")
        return made


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


class ScheduleGroup(Simple):
    """Its tags are all that can change."""

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        arn = before.attributes["Arn"]
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("scheduler", "TagResource", {"ResourceArn": arn, "Tags": tag_list(fresh)}),
            lambda gone: aws.call("scheduler", "UntagResource", {"ResourceArn": arn, "TagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)


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


KINDS: tuple[Kind, ...] = (
    EventBus(
        "AWS::Events::EventBus", "events", "CreateEventBus", "DeleteEventBus", name="Name", by="Name",
        update_="UpdateEventBus", fixed=frozenset({"EventSourceName"}), probe=("DescribeEventBus", "Name"),
        attributes={"Arn": "EventBusArn"},
    ),
    EventBusPolicy(),
    Simple(
        "AWS::Events::Archive", "events", "CreateArchive", "DeleteArchive", name="ArchiveName", by="ArchiveName",
        update_="UpdateArchive", longest=48, fixed=frozenset({"SourceArn"}), renamed={"SourceArn": "EventSourceArn"},
        probe=("DescribeArchive", "ArchiveName"), attributes={"Arn": "ArchiveArn"},
    ),
    Connection(
        "AWS::Events::Connection", "events", "CreateConnection", "DeleteConnection", name="Name", by="Name",
        update_="UpdateConnection", probe=("DescribeConnection", "Name"), attributes={"Arn": "ConnectionArn"},
    ),
    Simple(
        "AWS::Events::ApiDestination", "events", "CreateApiDestination", "DeleteApiDestination", name="Name", by="Name",
        update_="UpdateApiDestination", probe=("DescribeApiDestination", "Name"),
        attributes={"Arn": "ApiDestinationArn"},
    ),
    Rule(),
    ScheduleGroup(
        "AWS::Scheduler::ScheduleGroup", "scheduler", "CreateScheduleGroup", "DeleteScheduleGroup", name="Name",
        by="Name", probe=("GetScheduleGroup", "Name"), attributes={"Arn": "ScheduleGroupArn"},
    ),
    Simple(
        "AWS::Scheduler::Schedule", "scheduler", "CreateSchedule", "DeleteSchedule", name="Name", by="Name",
        update_="UpdateSchedule", also=("GroupName",), fixed=frozenset({"GroupName"}), probe=("GetSchedule", "Name"),
        attributes={"Arn": "ScheduleArn"}, tagged="-",
    ),
    Pipe(),
    LogGroup(),
    Simple(
        "AWS::Logs::SubscriptionFilter", "logs", "PutSubscriptionFilter", "DeleteSubscriptionFilter", name="FilterName",
        by="filterName", update_="PutSubscriptionFilter", longest=512, low=True, also=("LogGroupName",),
        fixed=frozenset({"LogGroupName"}), tagged="-",
    ),
)  # fmt: skip
