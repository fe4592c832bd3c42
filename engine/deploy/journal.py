"""What a deployment is kept in: the stack's record, its resources', and its events, durable at each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .program import Stack

Record = dict[str, Any]
STACK = "AWS::CloudFormation::Stack"


class Journal(Protocol):
    """Of one stack."""

    stack: Stack

    @property
    def record(self) -> Record:
        """The stack's: what DescribeStacks shows, and private members."""

    @property
    def resources(self) -> Mapping[str, Record]:
        """By logical id: what DescribeStackResources shows, and

        _properties: as they were resolved. _attributes: what Fn::GetAtt gives. _needs: the resources that it needs.
        _deletion, _replacing: its policies. _before: the record that the deployment under way found, None for one that
        it makes; without a deployment there is none. _replaces: what is in _before is another resource."""

    async def write(
        self, *, stack: Record | None = None, resources: Mapping[str, Record | None] | None = None,
        events: list[Record] | None = None,
    ) -> None:  # fmt: skip
        """All of it or nothing: durable, then visible. resources: None for one that is no more. Raises StoreError."""


def attribute_of(record: Record, name: str | None) -> Any:
    """What Fn::GetAtt gives of a resource; None: what Ref does. Raises KeyError."""
    return record["PhysicalResourceId"] if name is None else record["_attributes"][name]


def event(status: str, logical: str, kind: str, id: str, reason: str = "", **more: Any) -> Record:
    """One of DescribeStackEvents'."""
    found = {
        "ResourceStatus": status,
        "LogicalResourceId": logical,
        "ResourceType": kind,
        "PhysicalResourceId": id,
    }
    return {**found, **({"ResourceStatusReason": reason} if reason else {}), **more}
