"""AWS::CloudWatch: alarms."""

from __future__ import annotations

from .base import Aws, Kind, Made, Wanted, retag, send, tag_list, tags


class Alarm(Kind):
    type = "AWS::CloudWatch::Alarm"
    service = "cloudwatch"
    name = "AlarmName"
    longest = 255
    put = "PutMetricAlarm"

    async def exists(self, aws: Aws, wanted: Wanted) -> bool:
        given = {"AlarmNames": [wanted.name], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
        found = await aws.call("cloudwatch", "DescribeAlarms", given)
        return bool(found.get("MetricAlarms") or found.get("CompositeAlarms"))

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = {**wanted.without("Tags"), "AlarmName": wanted.name}
        if listed := tag_list(tags(wanted.properties)):
            given["Tags"] = listed
        await send(aws, "cloudwatch", self.put, given)
        return Made(wanted.name, {"Arn": _arn(aws, wanted.name)})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await send(aws, "cloudwatch", self.put, {**wanted.without("Tags"), "AlarmName": before.id})
        arn = _arn(aws, before.id)
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("cloudwatch", "TagResource", {"ResourceARN": arn, "Tags": tag_list(fresh)}),
            lambda gone: aws.call("cloudwatch", "UntagResource", {"ResourceARN": arn, "TagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("cloudwatch", "DeleteAlarms", {"AlarmNames": [before.id]})


class CompositeAlarm(Alarm):
    type = "AWS::CloudWatch::CompositeAlarm"
    put = "PutCompositeAlarm"


def _arn(aws: Aws, name: str) -> str:
    return f"arn:aws:cloudwatch:{aws.place.region}:{aws.place.account}:alarm:{name}"


KINDS: tuple[Kind, ...] = (Alarm(), CompositeAlarm())
