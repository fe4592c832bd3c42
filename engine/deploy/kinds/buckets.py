"""AWS::S3: buckets, whose properties are set by an operation each, and their policies."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..shaping import only, text
from .base import Aws, Kind, Made, Wanted, send

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


KINDS: tuple[Kind, ...] = (Bucket(), BucketPolicy())
