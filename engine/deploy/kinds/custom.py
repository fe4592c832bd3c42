"""Custom resources: made by a function or a topic's subscribers, who send their response to a URL."""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

from .base import Aws, Kind, Made, NotMade, Wanted

TYPE = "AWS::CloudFormation::CustomResource"
PREFIX = "Custom::"
SECONDS = 3600  # that a response has, where ServiceTimeout says nothing else: AWS's
_NAME = 60  # characters behind the prefix
_RESERVED = ("ServiceTimeout",)


class CustomResource(Kind):
    """What an update returns another id for is another resource: the old one is deleted when all else is done."""

    renames = True

    def __init__(self, type: str = TYPE) -> None:
        self.type = type

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        return await self._asked(aws, "Create", wanted, {})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        if wanted.get("ServiceToken") != before.properties.get("ServiceToken"):
            raise NotMade("Modifying service token is not allowed.")
        more = {"PhysicalResourceId": before.id, "OldResourceProperties": _as_text(before.properties)}
        return await self._asked(aws, "Update", wanted, more)

    async def delete(self, aws: Aws, before: Made) -> None:
        wanted = Wanted(before.logical, "", before.stack_id, "", before.properties)
        await self._asked(aws, "Delete", wanted, {"PhysicalResourceId": before.id})

    async def _asked(self, aws: Aws, kind: str, wanted: Wanted, more: dict[str, Any]) -> Made:
        """Raises NotMade: it was refused, or nobody responded in time."""
        properties = {name: value for name, value in wanted.properties.items() if name not in _RESERVED}
        token = str(wanted.get("ServiceToken") or "")
        given = more.get("PhysicalResourceId") or f"{wanted.logical}-{secrets.token_hex(6)}"
        id = str(uuid.uuid4())
        async with aws.response(id) as response:
            event = {
                "RequestType": kind, "ServiceToken": token, "ResponseURL": response.url,
                "StackId": wanted.stack_id, "RequestId": id, "LogicalResourceId": wanted.logical,
                "ResourceType": self.type, **more, "ResourceProperties": _as_text(properties),
            }  # fmt: skip
            await _send(aws, token, event)
            seconds = int(wanted.get("ServiceTimeout") or SECONDS)
            try:
                document = await response.within(seconds)
            except TimeoutError:
                text = (
                    "CloudFormation did not receive a response from your Custom Resource. Please check your logs for "
                    f"requestId [{id}]. If you are using the Python cfn-response module, you may need to update your "
                    "Lambda function code so that CloudFormation can attach the updated version."
                )
                raise NotMade(text, id="" if kind == "Update" else given) from None
        named = str(document.get("PhysicalResourceId") or given)
        if document.get("Status") != "SUCCESS":
            reason = document.get("Reason") or "its response has no Reason"
            text = f"Received response status [{document.get('Status')}] from custom resource. Message returned: "
            raise NotMade(f"{text}{reason} (RequestId: {id})", id="" if kind == "Update" else named)
        return Made(named, dict(document.get("Data") or {}))

    async def lost(self, aws: Aws, wanted: Wanted) -> str:
        """Nobody knows what it made; it is told to delete what it has for a name that it was not given."""
        return f"{wanted.logical}-{secrets.token_hex(6)}"


async def _send(aws: Aws, token: str, event: dict[str, Any]) -> None:
    """Raises CallFailed, NotMade."""
    if not token.startswith("arn:") or token.split(":")[2] not in ("lambda", "sns"):
        raise NotMade(f"Invalid service token: {token or 'there is none'}")
    await aws.send(token, json.dumps(event).encode(), "AWS CloudFormation custom resource request")


def _as_text(value: Any) -> Any:
    """Properties as events have them: scalars are text."""
    if isinstance(value, dict):
        return {name: _as_text(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def custom(type: str) -> CustomResource | None:
    """The kind of a type such as Custom::Thing."""
    name = type.removeprefix(PREFIX)
    if (
        name == type
        or not 1 <= len(name) <= _NAME
        or not all(each.isalnum() or each in "_@-" for each in name)
    ):
        return None
    return CustomResource(type)


KINDS: tuple[Kind, ...] = (CustomResource(),)
