"""Types of services that requests are passed on for: S3, DynamoDB, Kinesis, SSM, Secrets Manager, Step Functions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..shaping import lowered, only, text
from .base import Aws, Kind, Made, NotMade, Wanted, retag, send, tag_list, tags, until

# Properties of a bucket, and the operation and member that each is set by.
_BUCKET = {
    "AccelerateConfiguration": ("PutBucketAccelerateConfiguration", "AccelerateConfiguration"),
    "AccessControl": ("PutBucketAcl", "ACL"),
    "BucketEncryption": ("PutBucketEncryption", "ServerSideEncryptionConfiguration"),
    "CorsConfiguration": ("PutBucketCors", "CORSConfiguration"),
    "LifecycleConfiguration": ("PutBucketLifecycleConfiguration", "LifecycleConfiguration"),
    "NotificationConfiguration": ("PutBucketNotificationConfiguration", "NotificationConfiguration"),
    "OwnershipControls": ("PutBucketOwnershipControls", "OwnershipControls"),
    "PublicAccessBlockConfiguration": ("PutPublicAccessBlock", "PublicAccessBlockConfiguration"),
    "Tags": ("PutBucketTagging", "Tagging"),
    "VersioningConfiguration": ("PutBucketVersioning", "VersioningConfiguration"),
    "WebsiteConfiguration": ("PutBucketWebsite", "WebsiteConfiguration"),
}
_TLS = ("aws:securetransport", "s3:tlsversion")
_PLAIN = "What asks for TLS is left out: there is none"
_LOCATED = "us-east-1"  # where a bucket has no constraint
_RENAMED = {
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
}
_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


def _notifications(given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (renamed, target, arn) in _RENAMED.items():
        for each in given.get(name) or []:
            entry = {arn: each[target], "Events": [each["Event"]]}
            if rules := ((each.get("Filter") or {}).get("S3Key") or {}).get("Rules"):
                entry["Filter"] = {"Key": {"FilterRules": rules}}
            found.setdefault(renamed, []).append(entry)
    if "EventBridgeConfiguration" in given:
        found["EventBridgeConfiguration"] = {}
    return found


def _encryption(given: dict[str, Any]) -> dict[str, Any]:
    rules = given.get("ServerSideEncryptionConfiguration") or []
    defaults = [rule.get("ServerSideEncryptionByDefault") or {} for rule in rules]
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": each} for each in defaults]}


def _cors(given: dict[str, Any]) -> dict[str, Any]:
    names = {"Id": "ID", "MaxAge": "MaxAgeSeconds", "ExposedHeaders": "ExposeHeaders"}
    rules = given.get("CorsRules") or []
    return {"CORSRules": [{names.get(name, name): each for name, each in rule.items()} for rule in rules]}


def _lifecycle(given: dict[str, Any]) -> dict[str, Any]:
    """A rule's members, of which templates have some in one piece that the operation has in two."""
    return {"Rules": [_rule(rule) for rule in given.get("Rules") or []]}


def _rule(given: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"Status": given["Status"], "Filter": {"Prefix": given.get("Prefix", "")}}
    if "Id" in given:
        rule["ID"] = given["Id"]
    expiration = {"Days": given.get("ExpirationInDays"), "Date": given.get("ExpirationDate")}
    marker = given.get("ExpiredObjectDeleteMarker")
    expiration["ExpiredObjectDeleteMarker"] = marker
    if kept := {name: value for name, value in expiration.items() if value is not None}:
        rule["Expiration"] = kept
    old = given.get("NoncurrentVersionExpiration") or {
        name: days
        for name, days in (("NoncurrentDays", given.get("NoncurrentVersionExpirationInDays")),)
        if days
    }
    if old:
        rule["NoncurrentVersionExpiration"] = old
    if aborted := given.get("AbortIncompleteMultipartUpload"):
        rule["AbortIncompleteMultipartUpload"] = aborted
    moves = given.get("Transitions") or [each for each in [given.get("Transition")] if each]
    if moves:
        names = {"TransitionInDays": "Days", "TransitionDate": "Date"}
        rule["Transitions"] = [{names.get(name, name): each for name, each in move.items()} for move in moves]
    return rule


def _acl(given: str) -> str:
    """Private for private, LogDeliveryWrite for log-delivery-write."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", given).lower()


def _website(given: dict[str, Any]) -> dict[str, Any]:
    names = {"IndexDocument": "Suffix", "ErrorDocument": "Key"}
    return {name: {names[name]: each} if name in names else each for name, each in given.items()}


_WRITTEN: dict[str, Callable[[Any], Any]] = {
    "AccessControl": _acl, "BucketEncryption": _encryption, "CorsConfiguration": _cors,
    "LifecycleConfiguration": _lifecycle, "Tags": lambda given: {"TagSet": given}, "WebsiteConfiguration": _website,
}  # fmt: skip


class Bucket(Kind):
    type = "AWS::S3::Bucket"
    service = "s3"
    name = "BucketName"
    longest = 63
    probe = ("HeadBucket", "Bucket")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        name, region = wanted.name, aws.place.region
        only(wanted.properties, {*_BUCKET, "BucketName"})
        where = {} if region == _LOCATED else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        await aws.call("s3", "CreateBucket", {"Bucket": name, **where})
        await self._configure(aws, wanted, {})
        domain = f"{name}.s3.amazonaws.com"
        attributes = {
            "Arn": f"arn:aws:s3:::{name}", "DomainName": domain,
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "DualStackDomainName": f"{name}.s3.dualstack.{region}.amazonaws.com",
            "WebsiteURL": f"http://{name}.s3-website-{region}.amazonaws.com",
        }  # fmt: skip
        return Made(name, attributes)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        only(wanted.properties, {*_BUCKET, "BucketName"})
        await self._configure(aws, wanted, before.properties)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("s3", "DeleteBucket", {"Bucket": before.id})

    @staticmethod
    async def _configure(aws: Aws, wanted: Wanted, before: dict[str, Any]) -> None:
        for name, (operation, member) in _BUCKET.items():
            value = wanted.get(name)
            if value == before.get(name):
                continue
            if name == "NotificationConfiguration":
                value = _notifications(value or {})
            elif value is None:
                continue
            elif name in _WRITTEN:
                value = _WRITTEN[name](value)
            await send(aws, "s3", operation, {"Bucket": wanted.name, member: value})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _asks_for_tls(statement: Any) -> bool:
    """Does it deny what does not come by TLS? An emulator gets everything so, and would refuse it all."""
    if not isinstance(statement, dict) or statement.get("Effect") != "Deny":
        return False
    asked = [name for each in (statement.get("Condition") or {}).values() for name in each]
    return bool(asked) and all(name.lower() in _TLS for name in asked)


class BucketPolicy(Kind):
    type = "AWS::S3::BucketPolicy"
    service = "s3"
    fixed = frozenset({"Bucket"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        document, note = wanted.get("PolicyDocument"), ""
        if aws.emulated and isinstance(document, dict):
            listed = _listed(document.get("Statement"))
            kept = [each for each in listed if not _asks_for_tls(each)]
            if len(kept) < len(listed):
                document, note = {**document, "Statement": kept}, _PLAIN
        if not isinstance(document, dict) or document.get("Statement"):
            given = {"Bucket": wanted.get("Bucket"), "Policy": text(document)}
            await aws.call("s3", "PutBucketPolicy", given)
        return Made(str(wanted.get("Bucket")), note=note)

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        return await self.create(aws, wanted)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("s3", "DeleteBucketPolicy", {"Bucket": before.id})


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
    Bucket(), BucketPolicy(), Table(), Stream(), Parameter(), Secret(), StateMachine(),
)  # fmt: skip
