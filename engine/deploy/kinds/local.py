"""Types that nothing is made for: CDK's note of its version, and handles that only Ref asks for."""

from __future__ import annotations

from .base import Aws, Kind, Made, Wanted


class _Nothing(Kind):
    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        return Made(f"{wanted.stack}-{wanted.logical}")

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        return before

    async def delete(self, aws: Aws, before: Made) -> None:
        return None


class Metadata(_Nothing):
    type = "AWS::CDK::Metadata"


class WaitConditionHandle(_Nothing):
    type = "AWS::CloudFormation::WaitConditionHandle"


KINDS: tuple[Kind, ...] = (Metadata(), WaitConditionHandle())
