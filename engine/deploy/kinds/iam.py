"""AWS::IAM: roles and policies. Where no IAM is to be had they are names and ARNs: nothing here asks for policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...aws.clients import CallFailed
from ..shaping import text
from .base import GONE, NOT_SERVED, Aws, Kind, Made, Wanted, send, tag_list, tags

_AWS_MANAGED = "arn:aws:iam::aws:policy/"
_NOTE = "IAM is not served here: kept as a name and an ARN"
_KEPT = "AROASTOKER0000000000"  # an id as IAM's look


def _arn(aws: Aws, kind: str, properties: Mapping[str, Any], name: str) -> str:
    path = str(properties.get("Path") or "/")
    return f"arn:aws:iam::{aws.place.account}:{kind}{path}{name}"


def _listed(properties: Mapping[str, Any]) -> dict[str, Any]:
    found = tag_list(tags(properties))
    return {"Tags": found} if found else {}


class _Iam(Kind):
    """What is called by its name, and may be kept as that only."""

    service = "iam"
    noun: ClassVar[str]  # in its ARN

    async def exists(self, aws: Aws, wanted: Wanted) -> bool:
        try:
            return await super().exists(aws, wanted)
        except CallFailed as error:
            if error.code != NOT_SERVED:
                raise
            return False

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        try:
            return await self.made(aws, wanted)
        except CallFailed as error:
            if error.code != NOT_SERVED:
                raise
        arn = _arn(aws, self.noun, wanted.properties, wanted.name)
        return Made(self.kept(wanted.name, arn), {"Arn": arn, "RoleId": _KEPT, "Id": wanted.name}, note=_NOTE)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        try:
            await self.changed(aws, wanted, before)
        except CallFailed as error:
            if error.code != NOT_SERVED:
                raise
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        try:
            await self.gone(aws, before)
        except CallFailed as error:
            if error.code != NOT_SERVED:
                raise

    def kept(self, name: str, arn: str) -> str:
        return name

    async def made(self, aws: Aws, wanted: Wanted) -> Made:
        raise NotImplementedError

    async def changed(self, aws: Aws, wanted: Wanted, before: Made) -> None:
        raise NotImplementedError

    async def gone(self, aws: Aws, before: Made) -> None:
        raise NotImplementedError


def _document(aws: Aws, document: Any) -> str:
    """A policy as IAM takes it. One without a version is of the first; an emulator may ask for the second's name."""
    if aws.emulated and isinstance(document, dict) and "Version" not in document:
        document = {"Version": "2012-10-17", **document}
    return text(document)


async def _attach(aws: Aws, role: str, arns: list[str], operation: str = "AttachRolePolicy") -> None:
    for arn in arns:
        try:
            await aws.call("iam", operation, {"RoleName": role, "PolicyArn": arn})
        except CallFailed as error:  # an emulator has few of AWS's own
            if error.code not in GONE or not arn.startswith(_AWS_MANAGED):
                raise


class Role(_Iam):
    type = "AWS::IAM::Role"
    name = "RoleName"
    noun = "role"
    fixed = frozenset({"Path"})
    probe = ("GetRole", "RoleName")

    async def made(self, aws: Aws, wanted: Wanted) -> Made:
        given = wanted.without("ManagedPolicyArns", "Policies", "Tags")
        given |= {"RoleName": wanted.name, **_listed(wanted.properties)}
        given["AssumeRolePolicyDocument"] = _document(aws, wanted.get("AssumeRolePolicyDocument"))
        role = (await send(aws, "iam", "CreateRole", given))["Role"]
        await _attach(aws, wanted.name, wanted.get("ManagedPolicyArns") or [])
        await self._inline(aws, wanted.name, wanted.get("Policies") or [])
        return Made(wanted.name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    async def changed(self, aws: Aws, wanted: Wanted, before: Made) -> None:
        name, old = before.id, before.properties
        if old.get("AssumeRolePolicyDocument") != wanted.get("AssumeRolePolicyDocument"):
            document = _document(aws, wanted.get("AssumeRolePolicyDocument"))
            given = {"RoleName": name, "PolicyDocument": document}
            await aws.call("iam", "UpdateAssumeRolePolicy", given)
        arns, had = wanted.get("ManagedPolicyArns") or [], old.get("ManagedPolicyArns") or []
        await _attach(aws, name, [each for each in had if each not in arns], "DetachRolePolicy")
        await _attach(aws, name, [each for each in arns if each not in had])
        policies = wanted.get("Policies") or []
        kept = {each["PolicyName"] for each in policies}
        for each in old.get("Policies") or []:
            if each["PolicyName"] not in kept:
                given = {"RoleName": name, "PolicyName": each["PolicyName"]}
                await aws.call("iam", "DeleteRolePolicy", given)
        await self._inline(aws, name, policies)

    async def gone(self, aws: Aws, before: Made) -> None:
        name = {"RoleName": before.id}
        for each in (await aws.call("iam", "ListAttachedRolePolicies", name)).get("AttachedPolicies", []):
            await aws.call("iam", "DetachRolePolicy", {**name, "PolicyArn": each["PolicyArn"]})
        for each in (await aws.call("iam", "ListRolePolicies", name)).get("PolicyNames", []):
            await aws.call("iam", "DeleteRolePolicy", {**name, "PolicyName": each})
        await aws.call("iam", "DeleteRole", name)

    @staticmethod
    async def _inline(aws: Aws, role: str, policies: list[dict[str, Any]]) -> None:
        for each in policies:
            given = {"RoleName": role, **each, "PolicyDocument": _document(aws, each["PolicyDocument"])}
            await send(aws, "iam", "PutRolePolicy", given)


class Policy(_Iam):
    """Inline, of roles, users and groups."""

    type = "AWS::IAM::Policy"
    name = "PolicyName"
    noun = "policy"
    _OWNERS = ("Role", "User", "Group")

    async def made(self, aws: Aws, wanted: Wanted) -> Made:
        for owner in self._OWNERS:
            for each in wanted.get(f"{owner}s") or []:
                document = _document(aws, wanted.get("PolicyDocument"))
                given = {f"{owner}Name": each, "PolicyName": wanted.name, "PolicyDocument": document}
                await aws.call("iam", f"Put{owner}Policy", given)
        return Made(wanted.name, {"Id": wanted.name})

    async def changed(self, aws: Aws, wanted: Wanted, before: Made) -> None:
        await self.gone(aws, before)
        await self.made(aws, wanted)

    async def gone(self, aws: Aws, before: Made) -> None:
        for owner in self._OWNERS:
            for each in before.properties.get(f"{owner}s") or []:
                try:
                    given = {f"{owner}Name": each, "PolicyName": before.id}
                    await aws.call("iam", f"Delete{owner}Policy", given)
                except CallFailed as error:
                    if error.code not in GONE:
                        raise


class ManagedPolicy(_Iam):
    type = "AWS::IAM::ManagedPolicy"
    name = "ManagedPolicyName"
    noun = "policy"
    longest = 128
    fixed = frozenset({"Description", "Path"})

    def call_it(self, name: str, aws: Aws) -> str:
        return _arn(aws, self.noun, {}, name)

    def kept(self, name: str, arn: str) -> str:
        return arn

    async def made(self, aws: Aws, wanted: Wanted) -> Made:
        given: dict[str, Any] = {n: wanted.get(n) for n in ("Description", "Path") if n in wanted.properties}
        given |= {"PolicyName": wanted.name, "PolicyDocument": _document(aws, wanted.get("PolicyDocument"))}
        arn = (await send(aws, "iam", "CreatePolicy", given))["Policy"]["Arn"]
        await self._to(aws, wanted.properties, arn, "Attach")
        return Made(arn, {"PolicyArn": arn})

    async def changed(self, aws: Aws, wanted: Wanted, before: Made) -> None:
        document = _document(aws, wanted.get("PolicyDocument"))
        if before.properties.get("PolicyDocument") != wanted.get("PolicyDocument"):
            found = await aws.call("iam", "ListPolicyVersions", {"PolicyArn": before.id})
            given = {"PolicyArn": before.id, "PolicyDocument": document, "SetAsDefault": True}
            await aws.call("iam", "CreatePolicyVersion", given)
            for each in found.get("Versions", []):
                given = {"PolicyArn": before.id, "VersionId": each["VersionId"]}
                await aws.call("iam", "DeletePolicyVersion", given)
        await self._to(aws, before.properties, before.id, "Detach")
        await self._to(aws, wanted.properties, before.id, "Attach")

    async def gone(self, aws: Aws, before: Made) -> None:
        await self._to(aws, before.properties, before.id, "Detach")
        await aws.call("iam", "DeletePolicy", {"PolicyArn": before.id})

    @staticmethod
    async def _to(aws: Aws, properties: Mapping[str, Any], arn: str, verb: str) -> None:
        for owner in ("Role", "User", "Group"):
            for each in properties.get(f"{owner}s") or []:
                try:
                    await aws.call("iam", f"{verb}{owner}Policy", {f"{owner}Name": each, "PolicyArn": arn})
                except CallFailed as error:
                    if verb != "Detach" or error.code not in GONE:
                        raise


KINDS: tuple[Kind, ...] = (Role(), Policy(), ManagedPolicy())
