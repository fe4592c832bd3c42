"""SNS by boto3: the operations on topics, subscriptions and messages, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from delivered import ACCOUNT, queue, refused, subscribed, topic
from served import Served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("topics") / "state")
    yield served
    assert served.stop() == 0


def test_topics(sns: Any, name: str) -> None:
    its = topic(sns, name, DisplayName="d")
    assert topic(sns, name) == topic(sns, name, DisplayName="d") == its
    assert refused(sns.create_topic, Name=name, Attributes={"DisplayName": "e"}) == (
        "InvalidParameter", "Invalid parameter: Attributes Reason: Topic already exists with different attributes",
    )  # fmt: skip
    for bad in ("a b", "x" * 257, "x.fifo", "ä"):
        assert refused(sns.create_topic, Name=bad) == ("InvalidParameter", "Invalid parameter: Topic Name")
    assert refused(sns.create_topic, Name="x", Attributes={"FifoTopic": "true"})[0] == "InvalidParameter"
    attributes = sns.get_topic_attributes(TopicArn=its)["Attributes"]
    assert attributes["Owner"] == ACCOUNT
    assert attributes["DisplayName"] == "d"
    assert json.loads(attributes["Policy"])["Id"] == "__default_policy_ID"
    healthy = json.loads(attributes["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]
    assert (healthy["numRetries"], healthy["minDelayTarget"]) == (3, 20)
    sns.set_topic_attributes(TopicArn=its, AttributeName="DisplayName", AttributeValue="other")
    assert sns.get_topic_attributes(TopicArn=its)["Attributes"]["DisplayName"] == "other"
    wrong = {"TopicArn": its, "AttributeName": "Nothing", "AttributeValue": "x"}
    assert refused(sns.set_topic_attributes, **wrong) == (
        "InvalidParameter",
        "Invalid parameter: AttributeName",
    )
    sns.delete_topic(TopicArn=its)
    sns.delete_topic(TopicArn=its)
    assert refused(sns.get_topic_attributes, TopicArn=its) == ("NotFound", "Topic does not exist")
    assert refused(sns.publish, TopicArn=its, Message="m") == ("NotFound", "Topic does not exist")
    assert refused(sns.publish, TopicArn="x", Message="m") == (
        "InvalidParameter", "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1",
    )  # fmt: skip


def test_topics_and_subscriptions_come_in_pages(server: Served) -> None:
    sns = server.client("sns", "eu-west-3")
    for n in range(103):
        arn = sns.create_topic(Name=f"page-{n:03}")["TopicArn"]
    first = sns.list_topics()
    assert len(first["Topics"]) == 100
    assert len(sns.list_topics(NextToken=first["NextToken"])["Topics"]) == 3
    for n in range(102):
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:eu-west-3:{ACCOUNT}:q-{n}")
    for method, members in (("list_subscriptions", {}), ("list_subscriptions_by_topic", {"TopicArn": arn})):
        pages = list(sns.get_paginator(method).paginate(**members))
        assert [len(each["Subscriptions"]) for each in pages] == [100, 2]


def test_subscriptions(sns: Any, sqs: Any, name: str) -> None:
    _, arn = queue(sqs, name)
    its = topic(sns, name)
    made = subscribed(sns, its, "sqs", arn, RawMessageDelivery="true")
    assert subscribed(sns, its, "sqs", arn) == made
    other = {
        "TopicArn": its,
        "Protocol": "sqs",
        "Endpoint": arn,
        "Attributes": {"RawMessageDelivery": "false"},
    }
    text = "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
    assert refused(sns.subscribe, **other) == ("InvalidParameter", text)
    shown = sns.get_subscription_attributes(SubscriptionArn=made)["Attributes"]
    assert shown == {
        "SubscriptionArn": made, "TopicArn": its, "Owner": ACCOUNT, "Protocol": "sqs", "Endpoint": arn,
        "RawMessageDelivery": "true", "ConfirmationWasAuthenticated": "true", "PendingConfirmation": "false",
        "SubscriptionPrincipal": f"arn:aws:iam::{ACCOUNT}:root",
    }  # fmt: skip
    for protocol, endpoint, text in [
        ("wrong", "x", "Amazon SNS does not support this protocol string: wrong"),
        ("sqs", "http://x", "SQS endpoint ARN"),
        ("http", "https://x", "Endpoint must match the specified protocol"),
        ("sqs", f"{arn}.fifo", "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard "
         "SNS topics"),
        ("sms", "+123", "Protocol Reason: sms is not available on this endpoint."),
    ]:  # fmt: skip
        found = refused(sns.subscribe, TopicArn=its, Protocol=protocol, Endpoint=endpoint)
        assert found == ("InvalidParameter", f"Invalid parameter: {text}")
    assert (
        sns.subscribe(TopicArn=its, Protocol="email", Endpoint="a@b.c")["SubscriptionArn"]
        == "pending confirmation"
    )
    for attribute, value in [
        ("RawMessageDelivery", "yes"), ("RawMessageDelivery", ""), ("FilterPolicyScope", "x"),
        ("FilterPolicy", "["), ("FilterPolicy", '{"a": 1}'),
        ("RedrivePolicy", "{}"), ("RedrivePolicy", json.dumps({"deadLetterTargetArn": f"{arn}.fifo"})),
        ("DeliveryPolicy", '{"healthyRetryPolicy": {"numRetries": 101}}'), ("Nothing", "x"),
    ]:  # fmt: skip
        more = {"SubscriptionArn": made, "AttributeName": attribute, "AttributeValue": value}
        assert refused(sns.set_subscription_attributes, **more)[0] == "InvalidParameter", (attribute, value)
    sns.unsubscribe(SubscriptionArn=made)
    sns.unsubscribe(SubscriptionArn=made)
    assert refused(sns.get_subscription_attributes, SubscriptionArn=made) == (
        "NotFound",
        "Subscription does not exist",
    )


def test_tags_and_permissions(server: Served, sns: Any, name: str) -> None:
    its = sns.create_topic(Name=name, Tags=[{"Key": "a", "Value": "1"}])["TopicArn"]
    sns.tag_resource(ResourceArn=its, Tags=[{"Key": "b", "Value": "2"}])
    sns.untag_resource(ResourceArn=its, TagKeys=["a"])
    assert sns.list_tags_for_resource(ResourceArn=its)["Tags"] == [{"Key": "b", "Value": "2"}]
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert refused(sns.tag_resource, ResourceArn=its, Tags=twice)[0] == "InvalidParameter"
    assert refused(sns.list_tags_for_resource, ResourceArn=f"{its}x") == (
        "ResourceNotFound",
        "Resource does not exist",
    )
    other = server.client("sns", aws_access_key_id="111122223333")
    assert refused(other.publish, TopicArn=its, Message="m")[0] == "AuthorizationError"
    sns.add_permission(TopicArn=its, Label="l", AWSAccountId=["111122223333"], ActionName=["Publish"])
    assert other.publish(TopicArn=its, Message="m")["MessageId"]
    assert refused(other.delete_topic, TopicArn=its)[0] == "AuthorizationError"
    again = {"TopicArn": its, "Label": "l", "AWSAccountId": ["111122223333"], "ActionName": ["Publish"]}
    assert refused(sns.add_permission, **again) == (
        "InvalidParameter",
        "Invalid parameter: Statement already exists",
    )
    sns.remove_permission(TopicArn=its, Label="l")
    assert refused(other.publish, TopicArn=its, Message="m")[0] == "AuthorizationError"


def test_what_a_message_may_not_have(sns: Any, name: str) -> None:
    its = topic(sns, name)
    for members, text in [
        ({"Message": ""}, "Empty message"), ({"Message": "m", "Subject": "x" * 101}, "Subject"),
        ({"Message": "{", "MessageStructure": "json"}, "Message Structure - JSON message body failed to parse"),
        ({"Message": "{}", "MessageStructure": "json"}, "Message Structure - No default entry in JSON message body"),
    ]:  # fmt: skip
        assert refused(sns.publish, TopicArn=its, **members) == (
            "InvalidParameter",
            f"Invalid parameter: {text}",
        )
    for attribute in [
        {"DataType": "Number", "StringValue": "x"}, {"DataType": "String", "BinaryValue": b"x"},
        {"DataType": "String"}, {"DataType": "Text", "StringValue": "x"},
        {"DataType": "String.Array", "StringValue": "{}"},
    ]:  # fmt: skip
        found = refused(sns.publish, TopicArn=its, Message="m", MessageAttributes={"a": attribute})
        assert found[0] == "ParameterValueInvalid", found
    right = {"DataType": "String", "StringValue": "x"}
    for wrong, text in [
        ("x" * 257, "Length of message attribute name must be less than 256 bytes."),
        ("a^b", "Invalid non-alphanumeric character '#x5E' was found in the message attribute name. Can only include "
         "alphanumeric characters, hyphens, underscores, or dots."),
        (".a", "Invalid message attribute name starting with character '.' was found."),
        ("a.", "Invalid message attribute name ending with character '.' was found."),
        ("a..b", "Message attribute name can not have successive '.' character."),
    ]:  # fmt: skip
        found = refused(sns.publish, TopicArn=its, Message="m", MessageAttributes={wrong: right})
        assert found == ("ParameterValueInvalid", text)
    assert refused(sns.publish, Message="m")[0] == "InvalidParameter"
    assert refused(sns.publish, Message="m", PhoneNumber="+123")[0] == "InvalidParameter"


def test_every_operation_of_the_model_is_answered(sns: Any) -> None:
    """Implemented, or refused with an error that the service has."""
    model = sns.meta.service_model
    errors = {shape.metadata["error"]["code"] for shape in model.error_shapes if "error" in shape.metadata}
    sent = 0
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        required = shape.required_members if shape else []
        members = {name: _any(shape.members[name]) for name in required}
        method = next(name for name, of in sns.meta.method_to_api_mapping.items() if of == operation)
        sent += 1
        try:
            getattr(sns, method)(**members)
        except ClientError as error:
            assert error.response["Error"]["Code"] in {*errors, "ValidationError"}, (operation, error)
    assert sent > 40


def _any(shape: Any) -> Any:
    if shape.type_name == "list":
        return [_any(shape.member)]
    if shape.type_name == "map":
        return {"x": _any(shape.value)}
    if shape.type_name == "structure":
        return {name: _any(shape.members[name]) for name in shape.required_members}
    return getattr(shape, "enum", None)[0] if getattr(shape, "enum", None) else "xxxxx"
