"""AWS::SQS and AWS::SNS: queues, topics, subscriptions, and their policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...aws.clients import CallFailed
from ..shaping import only, text
from .base import GONE, Aws, Kind, Made, Wanted, retag, send, tag_list, tags, with_defaults

_QUEUE_DEFAULTS = {
    "ContentBasedDeduplication": "false", "DelaySeconds": "0", "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0", "RedriveAllowPolicy": "",
    "RedrivePolicy": "", "VisibilityTimeout": "30", "KmsMasterKeyId": "", "SqsManagedSseEnabled": "true",
}  # fmt: skip
_QUEUE = {
    *_QUEUE_DEFAULTS,
    "DeduplicationScope",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
}
_TOPIC_DEFAULTS = {
    "DisplayName": "",
    "KmsMasterKeyId": "",
    "TracingConfig": "PassThrough",
    "SignatureVersion": "1",
}
_TOPIC = {
    *_TOPIC_DEFAULTS, "ArchivePolicy", "ContentBasedDeduplication", "DeliveryPolicy", "FifoThroughputScope",
    "FifoTopic",
}  # fmt: skip
_SUBSCRIPTION = ("DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy")


def _attributes(properties: Mapping[str, Any], names: set[str], apart: tuple[str, ...]) -> dict[str, str]:
    """Raises Unsupported."""
    only(properties, {*names, *apart})
    return {name: text(value) for name, value in properties.items() if name in names}


class Queue(Kind):
    type = "AWS::SQS::Queue"
    service = "sqs"
    name = "QueueName"
    longest = 75
    fixed = frozenset({"FifoQueue"})
    probe = ("GetQueueUrl", "QueueName")

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        attributes = _attributes(wanted.properties, _QUEUE, ("QueueName", "Tags"))
        if attributes.get("FifoQueue") == "false":
            del attributes["FifoQueue"]
        given = {"QueueName": wanted.name, "Attributes": attributes, "tags": tags(wanted.properties)}
        url = (await aws.call("sqs", "CreateQueue", given))["QueueUrl"]
        asked = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
        arn = (await aws.call("sqs", "GetQueueAttributes", asked))["Attributes"]["QueueArn"]
        return Made(url, {"Arn": arn, "QueueName": wanted.name, "QueueUrl": url})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        attributes = _attributes(wanted.properties, _QUEUE, ("QueueName", "Tags"))
        attributes = with_defaults(attributes, before.properties, _QUEUE_DEFAULTS)
        attributes.pop("FifoQueue", None)
        if attributes:
            await aws.call("sqs", "SetQueueAttributes", {"QueueUrl": before.id, "Attributes": attributes})
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("sqs", "TagQueue", {"QueueUrl": before.id, "Tags": fresh}),
            lambda gone: aws.call("sqs", "UntagQueue", {"QueueUrl": before.id, "TagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        url = before.id
        if "/" not in url:  # it is known by its name only: the server ended before the response
            url = (await aws.call("sqs", "GetQueueUrl", {"QueueName": url}))["QueueUrl"]
        await aws.call("sqs", "DeleteQueue", {"QueueUrl": url})


class _Policy(Kind):
    """One policy document that several queues or topics have."""

    subjects = ""  # the property that lists them
    document = "PolicyDocument"

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        for each in self._listed(wanted.properties):
            await self.put(aws, each, text(wanted.get(self.document)))
        return Made(f"{wanted.stack}-{wanted.logical}", {"Id": f"{wanted.stack}-{wanted.logical}"})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        for each in self._listed(before.properties):
            if each not in self._listed(wanted.properties):
                await self.put(aws, each, "")
        return await self.create(aws, wanted)

    async def delete(self, aws: Aws, before: Made) -> None:
        for each in self._listed(before.properties):
            try:
                await self.put(aws, each, "")
            except CallFailed as error:
                if error.code not in GONE:
                    raise

    async def put(self, aws: Aws, subject: str, policy: str) -> None:
        raise NotImplementedError

    def _listed(self, properties: Mapping[str, Any]) -> list[str]:
        found = properties.get(self.subjects) or []
        return [found] if isinstance(found, str) else list(found)


class QueuePolicy(_Policy):
    type = "AWS::SQS::QueuePolicy"
    subjects = "Queues"

    async def put(self, aws: Aws, subject: str, policy: str) -> None:
        await aws.call("sqs", "SetQueueAttributes", {"QueueUrl": subject, "Attributes": {"Policy": policy}})


class QueueInlinePolicy(QueuePolicy):
    type = "AWS::SQS::QueueInlinePolicy"
    subjects = "Queue"


class TopicPolicy(_Policy):
    type = "AWS::SNS::TopicPolicy"
    subjects = "Topics"

    async def put(self, aws: Aws, subject: str, policy: str) -> None:
        if not policy:  # a topic always has one: its own is the default
            account = subject.split(":")[4]
            statement = {
                "Sid": "__default_statement_ID", "Effect": "Allow", "Principal": {"AWS": "*"}, "Resource": subject,
                "Action": ["SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:Publish",
                           "SNS:RemovePermission", "SNS:DeleteTopic", "SNS:Subscribe", "SNS:ListSubscriptionsByTopic"],
                "Condition": {"StringEquals": {"AWS:SourceOwner": account}},
            }  # fmt: skip
            default = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
            policy = json.dumps(default)
        given = {"TopicArn": subject, "AttributeName": "Policy", "AttributeValue": policy}
        await aws.call("sns", "SetTopicAttributes", given)


class TopicInlinePolicy(TopicPolicy):
    type = "AWS::SNS::TopicInlinePolicy"
    subjects = "TopicArn"


class Topic(Kind):
    type = "AWS::SNS::Topic"
    service = "sns"
    name = "TopicName"
    longest = 250
    fixed = frozenset({"FifoTopic"})
    probe = ("GetTopicAttributes", "TopicArn")

    def call_it(self, name: str, aws: Aws) -> str:
        return f"arn:aws:sns:{aws.place.region}:{aws.place.account}:{name}"

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        attributes = _attributes(wanted.properties, _TOPIC, ("TopicName", "Subscription", "Tags"))
        if attributes.get("FifoTopic") == "false":
            del attributes["FifoTopic"]
        listed = tag_list(tags(wanted.properties))
        given = {"Name": wanted.name, "Attributes": attributes, "Tags": listed}
        arn = (await aws.call("sns", "CreateTopic", given))["TopicArn"]
        for each in wanted.get("Subscription") or []:
            await send(aws, "sns", "Subscribe", {"TopicArn": arn, **each})
        return Made(arn, {"TopicArn": arn, "TopicName": wanted.name})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        attributes = _attributes(wanted.properties, _TOPIC, ("TopicName", "Subscription", "Tags"))
        attributes = with_defaults(attributes, before.properties, _TOPIC_DEFAULTS)
        attributes.pop("FifoTopic", None)
        for name, value in attributes.items():
            given = {"TopicArn": before.id, "AttributeName": name, "AttributeValue": value}
            await aws.call("sns", "SetTopicAttributes", given)
        await self._subscribe(aws, before.id, before.properties, wanted.properties)
        await retag(
            before.properties, wanted.properties,
            lambda fresh: aws.call("sns", "TagResource", {"ResourceArn": before.id, "Tags": tag_list(fresh)}),
            lambda gone: aws.call("sns", "UntagResource", {"ResourceArn": before.id, "TagKeys": gone}),
        )  # fmt: skip
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("sns", "DeleteTopic", {"TopicArn": before.id})

    @staticmethod
    async def _subscribe(aws: Aws, arn: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        old, new = before.get("Subscription") or [], wanted.get("Subscription") or []
        gone = [(each["Protocol"], each["Endpoint"]) for each in old if each not in new]
        if gone:
            found = await aws.call("sns", "ListSubscriptionsByTopic", {"TopicArn": arn})
            for each in found.get("Subscriptions", []):
                if (each["Protocol"], each["Endpoint"]) in gone and each["SubscriptionArn"].startswith(
                    "arn:"
                ):
                    await aws.call("sns", "Unsubscribe", {"SubscriptionArn": each["SubscriptionArn"]})
        for each in new:
            if each not in old:
                await send(aws, "sns", "Subscribe", {"TopicArn": arn, **each})


class Subscription(Kind):
    type = "AWS::SNS::Subscription"
    service = "sns"
    fixed = frozenset({"Endpoint", "Protocol", "TopicArn"})

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        given = wanted.without(*_SUBSCRIPTION, "Region")
        attributes = {name: text(wanted.get(name)) for name in _SUBSCRIPTION if name in wanted.properties}
        given |= {"Attributes": attributes, "ReturnSubscriptionArn": True}
        arn = (await send(aws, "sns", "Subscribe", given))["SubscriptionArn"]
        return Made(arn, {"Arn": arn})

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        removed = {
            "FilterPolicy": "{}",
            "RawMessageDelivery": "false",
            "RedrivePolicy": "",
            "DeliveryPolicy": "",
        }
        for name in _SUBSCRIPTION:
            if before.properties.get(name) == wanted.get(name):
                continue
            value = (
                text(wanted.get(name))
                if name in wanted.properties
                else removed.get(name, "MessageAttributes")
            )
            given = {"SubscriptionArn": before.id, "AttributeName": name, "AttributeValue": value}
            await aws.call("sns", "SetSubscriptionAttributes", given)
        return Made(before.id, before.attributes)

    async def delete(self, aws: Aws, before: Made) -> None:
        await aws.call("sns", "Unsubscribe", {"SubscriptionArn": before.id})

    async def lost(self, aws: Aws, wanted: Wanted) -> str:
        found = await aws.call("sns", "ListSubscriptionsByTopic", {"TopicArn": wanted.get("TopicArn")})
        for each in found.get("Subscriptions", []):
            if (each["Protocol"], each["Endpoint"]) == (wanted.get("Protocol"), wanted.get("Endpoint")):
                return str(each["SubscriptionArn"])
        return ""


KINDS: tuple[Kind, ...] = (
    Queue(), QueuePolicy(), QueueInlinePolicy(), Topic(), TopicPolicy(), TopicInlinePolicy(), Subscription(),
)  # fmt: skip
