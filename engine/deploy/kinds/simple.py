"""Types that one operation makes and one deletes, by a table: their properties are the operation's members.

Most are of services that requests are passed on for. What has an operation that changes it, with the members of the one
that makes it, is changed by that; what has none is made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..shaping import known, lowered, shaped, text
from .base import Aws, Kind, Made, Wanted, tag_list, tags


@dataclass(eq=False)
class Simple(Kind):
    """create, update, delete: operations. found: the member of the response that describes the resource, "" for the
    whole. id: the member of that which is what Ref gives, "" for the name. by: the member that operations on one have
    it in. attributes: what GetAtt gives, by members, beside the name. also: properties that operations on one need as
    well."""

    type: str = ""
    service: str = ""
    create_: str = ""
    delete_: str = ""
    id: str = ""
    by: str = ""
    found: str = ""
    name: str = ""
    longest: int = 64
    update_: str = ""
    fixed: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    low: bool = False  # members begin in lower case
    probe: tuple[str, str] = ("", "")
    tagged: str = "Tags"  # the member of tags, a list; "" where they are an object; "-" if there is none

    def call_it(self, name: str, aws: Aws) -> str:
        return "" if self.id else name

    def replaced_by(self, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        if not self.update_ and type(self).update is Simple.update:
            return True
        names = {*self.fixed, *([self.name] if self.name else [])}
        return any(before.get(name) != wanted.get(name) for name in names)

    def probed(self, aws: Aws, wanted: Wanted) -> dict[str, Any]:
        return {**super().probed(aws, wanted), **self._also(wanted.properties)}

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = self._members(wanted)
        if self.name:
            given[self._member(self.name)] = wanted.name
        made = await aws.call(self.service, self.create_, shaped(self.service, self.create_, given))
        return self._made(made, wanted)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        given = {**self._members(wanted), **self._one(before)}
        if self.name and not self.id:
            given[self._member(self.name)] = before.id
        given = known(self.service, self.update_, given)
        await aws.call(self.service, self.update_, shaped(self.service, self.update_, given))
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call(self.service, self.delete_, self._one(before))

    def _one(self, before: Made) -> dict[str, Any]:
        return {self.by: before.id, **self._also(before.properties)}

    def _also(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        return {self._member(name): properties[name] for name in self.also if name in properties}

    def _member(self, name: str) -> str:
        name = self.renamed.get(name, name)
        return name[:1].lower() + name[1:] if self.low else name

    def _members(self, wanted: Wanted) -> dict[str, Any]:
        given = {self._member(name): lowered(value) if self.low else value
                 for name, value in wanted.without("Tags").items()}  # fmt: skip
        if (fresh := tags(wanted.properties)) and self.tagged != "-":
            given[self._member(self.tagged or "Tags")] = tag_list(fresh) if self.tagged else fresh
        return given

    def _made(self, made: dict[str, Any], wanted: Wanted) -> Made:
        found = made.get(self.found) or {} if self.found else made
        id = text(found[self.id]) if self.id else wanted.name
        named = {self.name: wanted.name} if self.name else {}
        return Made(id, named | {name: found.get(member, "") for name, member in self.attributes.items()})


class Account(Kind):
    """The role that API Gateway logs with, of which there is one: it is kept in the stack only."""

    type = "AWS::ApiGateway::Account"

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        return Made(f"{wanted.stack}-{wanted.logical}")

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        return before

    async def delete(self, aws: Aws, before: Made) -> None:
        return None


class Repository(Simple):
    """Of ECR; its policies are operations of their own."""

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        apart = ("LifecyclePolicy", "RepositoryPolicyText", "EmptyOnDelete")
        first = Wanted(wanted.logical, wanted.stack, wanted.stack_id, wanted.name, wanted.without(*apart))
        made = await super().create(aws, first)
        await self._policies(aws, wanted, made.id)
        return made

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        await self._policies(aws, wanted, before.id)
        return before

    async def delete(self, aws: Aws, before: Made) -> None:
        force = str(before.properties.get("EmptyOnDelete", "")).lower() == "true"
        await aws.call("ecr", "DeleteRepository", {"repositoryName": before.id, "force": force})

    @staticmethod
    async def _policies(aws: Aws, wanted: Wanted, id: str) -> None:
        if policy := wanted.get("LifecyclePolicy"):
            given = {"repositoryName": id, "lifecyclePolicyText": text(policy["LifecyclePolicyText"])}
            await aws.call("ecr", "PutLifecyclePolicy", given)
        if policy := wanted.get("RepositoryPolicyText"):
            await aws.call("ecr", "SetRepositoryPolicy", {"repositoryName": id, "policyText": text(policy)})


class UsagePlan(Simple):
    """Stages leave a plan before it goes."""

    async def delete(self, aws: Aws, before: Made) -> None:
        stages = before.properties.get("ApiStages") or []
        changes = [
            {"op": "remove", "path": "/apiStages", "value": f"{each['ApiId']}:{each['Stage']}"}
            for each in stages
        ]
        if changes:
            given = {"usagePlanId": before.id, "patchOperations": changes}
            await aws.call(self.service, "UpdateUsagePlan", given)
        await super().delete(aws, before)


_ARN = {"Arn": "Arn"}
KINDS: tuple[Kind, ...] = (
    Account(),
    Repository(
        "AWS::ECR::Repository", "ecr", "CreateRepository", "DeleteRepository", name="RepositoryName",
        by="repositoryName", found="repository", update_="PutImageTagMutability", longest=256, low=True,
        attributes={"Arn": "repositoryArn", "RepositoryUri": "repositoryUri"},
    ),
    Simple(
        "AWS::Cognito::UserPool", "cognito-idp", "CreateUserPool", "DeleteUserPool", name="UserPoolName", id="Id",
        by="UserPoolId", found="UserPool", longest=128, renamed={"UserPoolName": "PoolName"}, tagged="-",
        attributes={"Arn": "Arn", "UserPoolId": "Id"},
    ),
    Simple(
        "AWS::Cognito::UserPoolClient", "cognito-idp", "CreateUserPoolClient", "DeleteUserPoolClient", id="ClientId",
        by="ClientId", found="UserPoolClient", also=("UserPoolId",), name="ClientName", longest=128,
        attributes={"ClientId": "ClientId", "ClientSecret": "ClientSecret", "Name": "ClientName"},
    ),
    Simple(
        "AWS::Cognito::UserPoolDomain", "cognito-idp", "CreateUserPoolDomain", "DeleteUserPoolDomain", name="Domain",
        by="Domain", also=("UserPoolId",),
    ),
    Simple("AWS::IAM::User", "iam", "CreateUser", "DeleteUser", name="UserName", by="UserName", found="User",
           attributes=_ARN),
    Simple("AWS::IAM::Group", "iam", "CreateGroup", "DeleteGroup", name="GroupName", by="GroupName", found="Group",
           longest=128, attributes=_ARN),
    Simple(
        "AWS::ApiGateway::ApiKey", "apigateway", "CreateApiKey", "DeleteApiKey", name="Name", id="id", by="apiKey",
        low=True, tagged="", longest=1024, attributes={"APIKeyId": "id"},
    ),
    UsagePlan(
        "AWS::ApiGateway::UsagePlan", "apigateway", "CreateUsagePlan", "DeleteUsagePlan", name="UsagePlanName", id="id",
        by="usagePlanId", low=True, tagged="", longest=255, renamed={"UsagePlanName": "Name"}, attributes={"Id": "id"},
    ),
    Simple(
        "AWS::ApiGateway::UsagePlanKey", "apigateway", "CreateUsagePlanKey", "DeleteUsagePlanKey", id="id", by="keyId",
        low=True, also=("UsagePlanId",), tagged="-", attributes={"Id": "id"},
    ),
    Simple(
        "AWS::ApiGateway::GatewayResponse", "apigateway", "PutGatewayResponse", "DeleteGatewayResponse",
        id="responseType", by="responseType", low=True, also=("RestApiId",), tagged="-", update_="PutGatewayResponse",
        fixed=frozenset({"RestApiId", "ResponseType"}),
    ),
)  # fmt: skip
