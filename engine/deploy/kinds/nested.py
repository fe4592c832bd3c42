"""Stacks within stacks: made by the operations of CloudFormation itself."""

from __future__ import annotations

from typing import Any

from ...aws.clients import CallFailed
from ..shaping import text
from .base import Aws, Kind, Made, NotMade, Wanted, until

_ABSENT = "ValidationError"
_NOTHING = "No updates are to be performed."
_ALL = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class Stack(Kind):
    type = "AWS::CloudFormation::Stack"
    service = "cloudformation"
    name = "StackName"  # which templates do not have
    longest = 128

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        await aws.call("cloudformation", "CreateStack", {"StackName": wanted.name, **_given(wanted)})
        return await self._done(aws, wanted.name, "CREATE_COMPLETE")

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        try:
            await aws.call("cloudformation", "UpdateStack", {"StackName": before.id, **_given(wanted)})
        except CallFailed as error:
            if error.message != _NOTHING:
                raise
            return before
        return await self._done(aws, before.id, "UPDATE_COMPLETE")

    async def delete(self, aws: Aws, before: Made) -> None:
        found = await self._found(aws, before.id)
        if found is None:
            return
        await aws.call("cloudformation", "DeleteStack", {"StackName": found["StackId"]})
        await self._done(aws, found["StackId"], "DELETE_COMPLETE")

    async def _done(self, aws: Aws, name: str, wanted: str) -> Made:
        """Raises NotMade: it ended otherwise."""
        stack: dict[str, Any] = {}

        async def ready() -> bool:
            stack.update(
                (await aws.call("cloudformation", "DescribeStacks", {"StackName": name}))["Stacks"][0]
            )
            return not stack["StackStatus"].endswith("_IN_PROGRESS")

        await until(ready)
        if stack["StackStatus"] != wanted:
            reason = stack.get("StackStatusReason") or stack["StackStatus"]
            done = wanted.partition("_")[0].lower() + "d"
            raise NotMade(f"Embedded stack {stack['StackId']} was not successfully {done}: {reason}")
        outputs = {f"Outputs.{each['OutputKey']}": each["OutputValue"] for each in stack.get("Outputs") or ()}
        return Made(stack["StackId"], outputs)

    @staticmethod
    async def _found(aws: Aws, name: str) -> dict[str, Any] | None:
        try:
            shown = await aws.call("cloudformation", "DescribeStacks", {"StackName": name})
        except CallFailed as error:
            if error.code != _ABSENT:
                raise
            return None
        found: dict[str, Any] = shown["Stacks"][0]
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found


def _given(wanted: Wanted) -> dict[str, Any]:
    """Raises KeyError."""
    values = (wanted.get("Parameters") or {}).items()
    return {
        "TemplateURL": str(wanted.properties["TemplateURL"]), "Capabilities": _ALL,
        "Parameters": [{"ParameterKey": key, "ParameterValue": _value(value)} for key, value in values],
        "NotificationARNs": wanted.get("NotificationARNs") or [],
        "Tags": [{"Key": each["Key"], "Value": text(each["Value"])} for each in wanted.get("Tags") or []],
    }  # fmt: skip


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else text(value)


KINDS: tuple[Kind, ...] = (Stack(),)
