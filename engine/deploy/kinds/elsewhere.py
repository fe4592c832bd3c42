"""Types of services that requests are passed on for: DynamoDB, Kinesis, SSM, Secrets Manager, Step Functions."""

from __future__ import annotations

import json
import re
from typing import Any

from ..shaping import lowered, text
from .base import Aws, Kind, Made, NotMade, Wanted, retag, send, tag_list, tags, until

_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


class Table(Kind):
    type = "AWS::DynamoDB::Table"
    service = "dynamodb"
    name = "TableName"
    longest = 255
    fixed = frozenset({"KeySchema", "LocalSecondaryIndexes"})
    probe = ("DescribeTable", "TableName")
    _APART = ("KinesisStreamSpecification", "PointInTimeRecoverySpecification", "SSESpecification",
              "StreamSpecification", "Tags", "TimeToLiveSpecification")  # fmt: skip

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = {**wanted.without(*self._APART), **self._common(wanted), "TableName": wanted.name}
        if listed := tag_list(tags(wanted.properties)):
            given["Tags"] = listed
        await send(aws, "dynamodb", "CreateTable", given)
        table = await self._active(aws, wanted.name)
        await self._later(aws, wanted, {})
        return Made(wanted.name, {"Arn": table["TableArn"], "StreamArn": table.get("LatestStreamArn", "")})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        names = ("AttributeDefinitions", "BillingMode", "DeletionProtectionEnabled", "ProvisionedThroughput")
        changed = {
            n: wanted.get(n)
            for n in names
            if n in wanted.properties and wanted.get(n) != before.properties.get(n)
        }
        if wanted.get("StreamSpecification") != before.properties.get("StreamSpecification"):
            changed |= self._common(wanted) or {"StreamSpecification": {"StreamEnabled": False}}
        if wanted.get("GlobalSecondaryIndexes") != before.properties.get("GlobalSecondaryIndexes"):
            raise NotMade("A change of GlobalSecondaryIndexes is not made here: give the table another name")
        if changed:
            await send(aws, "dynamodb", "UpdateTable", {"TableName": before.id, **changed})
        table = await self._active(aws, before.id)
        await self._later(aws, wanted, before.properties)
        return Made(before.id, {"Arn": table["TableArn"], "StreamArn": table.get("LatestStreamArn", "")})

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("dynamodb", "DeleteTable", {"TableName": before.id})

    @staticmethod
    def _common(wanted: Wanted) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if stream := wanted.get("StreamSpecification"):
            given["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": stream["StreamViewType"]}
        if encryption := wanted.get("SSESpecification"):
            renamed = {"SSEEnabled": "Enabled"}
            given["SSESpecification"] = {renamed.get(name, name): value for name, value in encryption.items()}
        return given

    @staticmethod
    async def _active(aws: Aws, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def ready() -> bool:
            found.update((await aws.call("dynamodb", "DescribeTable", {"TableName": name}))["Table"])
            return bool(found["TableStatus"] == "ACTIVE")

        await until(ready)
        return found

    @staticmethod
    async def _later(aws: Aws, wanted: Wanted, before: dict[str, Any]) -> None:
        named = {"TableName": wanted.name}
        expiry, recovery = (
            wanted.get("TimeToLiveSpecification"),
            wanted.get("PointInTimeRecoverySpecification"),
        )
        if expiry and expiry != before.get("TimeToLiveSpecification"):
            await send(aws, "dynamodb", "UpdateTimeToLive", {**named, "TimeToLiveSpecification": expiry})
        if recovery and recovery != before.get("PointInTimeRecoverySpecification"):
            given = {**named, "PointInTimeRecoverySpecification": recovery}
            await send(aws, "dynamodb", "UpdateContinuousBackups", given)
        stream, old = wanted.get("KinesisStreamSpecification"), before.get("KinesisStreamSpecification")
        if stream != old and old:
            given = {**named, "StreamArn": old["StreamArn"]}
            await send(aws, "dynamodb", "DisableKinesisStreamingDestination", given)
        if stream != old and stream:
            given = {**named, "StreamArn": stream["StreamArn"]}
            await send(aws, "dynamodb", "EnableKinesisStreamingDestination", given)


class Stream(Kind):
    type = "AWS::Kinesis::Stream"
    service = "kinesis"
    name = "Name"
    longest = 128
    probe = ("DescribeStreamSummary", "StreamName")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = {"StreamName": wanted.name, "Tags": tags(wanted.properties)}
        mode = (wanted.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED")
        if mode == "PROVISIONED":
            given["ShardCount"] = wanted.get("ShardCount", 1)
        given["StreamModeDetails"] = {"StreamMode": mode}
        await send(aws, "kinesis", "CreateStream", given)
        asked = {"StreamName": wanted.name}
        found: dict[str, Any] = {}

        async def ready() -> bool:
            summary = await aws.call("kinesis", "DescribeStreamSummary", asked)
            found.update(summary["StreamDescriptionSummary"])
            return bool(found["StreamStatus"] == "ACTIVE")

        await until(ready)
        hours = int(wanted.get("RetentionPeriodHours", 0))
        if hours > int(found["RetentionPeriodHours"]):
            longer = {**asked, "RetentionPeriodHours": hours}
            await send(aws, "kinesis", "IncreaseStreamRetentionPeriod", longer)
        return Made(wanted.name, {"Arn": found["StreamARN"]})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        if wanted.get("ShardCount") != before.properties.get("ShardCount"):
            given = {"StreamName": before.id, "TargetShardCount": wanted.get("ShardCount", 1)}
            await send(aws, "kinesis", "UpdateShardCount", {**given, "ScalingType": "UNIFORM_SCALING"})
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"StreamName": before.id, "EnforceConsumerDeletion": True}
        await aws.call("kinesis", "DeleteStream", given)


class Parameter(Kind):
    type = "AWS::SSM::Parameter"
    service = "ssm"
    name = "Name"
    longest = 1011
    probe = ("GetParameter", "Name")
    fixed = frozenset({"DataType"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        return await self._put(aws, wanted, wanted.name, overwrite=False)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        return await self._put(aws, wanted, before.id, overwrite=True)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("ssm", "DeleteParameter", {"Name": before.id})

    @staticmethod
    async def _put(aws: Aws, wanted: Wanted, name: str, overwrite: bool) -> Made:
        given = {**wanted.without("Tags"), "Name": name, "Overwrite": overwrite}
        if not overwrite:
            given["Tags"] = tag_list(tags(wanted.properties))
        await send(aws, "ssm", "PutParameter", given)
        return Made(name, {"Type": wanted.get("Type"), "Value": wanted.get("Value")})


class Secret(Kind):
    type = "AWS::SecretsManager::Secret"
    service = "secretsmanager"
    name = "Name"
    longest = 256
    probe = ("DescribeSecret", "SecretId")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = {**wanted.without("GenerateSecretString"), "Name": wanted.name}
        if generate := wanted.get("GenerateSecretString"):
            asked = {
                name: value
                for name, value in generate.items()
                if name not in ("SecretStringTemplate", "GenerateStringKey")
            }
            password = (await send(aws, "secretsmanager", "GetRandomPassword", asked))["RandomPassword"]
            given["SecretString"] = password
            if "GenerateStringKey" in generate:
                whole = json.loads(generate.get("SecretStringTemplate") or "{}")
                given["SecretString"] = json.dumps(whole | {generate["GenerateStringKey"]: password})
        arn = (await send(aws, "secretsmanager", "CreateSecret", given))["ARN"]
        return Made(arn, {"Id": arn})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        given: dict[str, Any] = {
            name: wanted.get(name)
            for name in ("Description", "KmsKeyId", "SecretString")
            if name in wanted.properties
        }
        await send(aws, "secretsmanager", "UpdateSecret", {"SecretId": before.id, **given})
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("secretsmanager", "TagResource", {
                "SecretId": before.id, "Tags": tag_list(fresh),
            }),
            lambda gone: aws.call("secretsmanager", "UntagResource", {"SecretId": before.id, "TagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        given = {"SecretId": before.id, "ForceDeleteWithoutRecovery": True}
        await aws.call("secretsmanager", "DeleteSecret", given)


class StateMachine(Kind):
    type = "AWS::StepFunctions::StateMachine"
    service = "stepfunctions"
    name = "StateMachineName"
    longest = 80
    fixed = frozenset({"StateMachineType"})
    probe = ("DescribeStateMachine", "stateMachineArn")

    def call_it(self, name: str, aws: Aws) -> str:
        return f"arn:aws:states:{aws.place.region}:{aws.place.account}:stateMachine:{name}"

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        listed = [{"key": key, "value": value} for key, value in tags(wanted.properties).items()]
        given = {**await self._given(aws, wanted), "name": wanted.name, "tags": listed}
        if kind := wanted.get("StateMachineType"):
            given["type"] = kind
        arn = (await send(aws, "stepfunctions", "CreateStateMachine", given))["stateMachineArn"]
        return Made(arn, {"Arn": arn, "Name": wanted.name})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        given = {**await self._given(aws, wanted), "stateMachineArn": before.id}
        await send(aws, "stepfunctions", "UpdateStateMachine", given)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("stepfunctions", "DeleteStateMachine", {"stateMachineArn": before.id})

    @staticmethod
    async def _given(aws: Aws, wanted: Wanted) -> dict[str, Any]:
        definition = wanted.get("DefinitionString") or wanted.get("Definition")
        if place := wanted.get("DefinitionS3Location"):
            uploaded = aws.artifact(place["Bucket"], place["Key"])
            if uploaded is not None:
                definition = uploaded.decode()
            else:
                asked = {"Bucket": place["Bucket"], "Key": place["Key"]}
                definition = bytes((await aws.call("s3", "GetObject", asked))["Body"]).decode()
        substitutions = wanted.get("DefinitionSubstitutions") or {}
        filled = _SUBSTITUTION.sub(
            lambda found: text(substitutions.get(found[1], found[0])), text(definition)
        )
        given = {"definition": filled, "roleArn": wanted.get("RoleArn")}
        for name in ("LoggingConfiguration", "TracingConfiguration"):
            if name in wanted.properties:
                given |= lowered({name: wanted.get(name)})
        return given


KINDS: tuple[Kind, ...] = (
    Table(), Stream(), Parameter(), Secret(), StateMachine(),
)  # fmt: skip
