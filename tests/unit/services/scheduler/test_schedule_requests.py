"""What targets are asked to do: each request is one that botocore's model of its service takes."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from engine.aws.faults import Fault
from engine.aws.names import Place
from engine.services.scheduler.requests import Request, check, request

PLACE = Place("eu-west-1", "000000000000")
SCHEDULE = "arn:aws:scheduler:eu-west-1:000000000000:schedule/default/s"
TOKEN = "0" * 36
HERE = "eu-west-1:000000000000"
ECS = {
    "TaskDefinitionArn": f"arn:aws:ecs:{HERE}:task-definition/t:1", "LaunchType": "FARGATE", "TaskCount": 2,
    "EnableECSManagedTags": True, "Tags": [{"key": "a", "value": "b"}],
}  # fmt: skip
PARAMETERS = [{"Name": "n", "Value": "v"}]
TEMPLATED: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (f"arn:aws:lambda:{HERE}:function:f", {}, "Invoke", {"FunctionName": f"arn:aws:lambda:{HERE}:function:f"}),
    (f"arn:aws:sqs:{HERE}:q", {}, "SendMessage", {"MessageBody": '{"a": 1}'}),
    (f"arn:aws:sqs:{HERE}:q.fifo", {"SqsParameters": {"MessageGroupId": "g"}}, "SendMessage", {"MessageGroupId": "g"}),
    (f"arn:aws:sns:{HERE}:t", {}, "Publish", {"Message": '{"a": 1}', "TopicArn": f"arn:aws:sns:{HERE}:t"}),
    (f"arn:aws:kinesis:{HERE}:stream/s", {"KinesisParameters": {"PartitionKey": "k"}}, "PutRecord",
        {"StreamName": "s"}),
    (f"arn:aws:firehose:{HERE}:deliverystream/d", {}, "PutRecord", {"DeliveryStreamName": "d"}),
    (f"arn:aws:states:{HERE}:stateMachine:m", {}, "StartExecution", {"input": '{"a": 1}'}),
    (f"arn:aws:ecs:{HERE}:cluster/c", {"EcsParameters": ECS}, "RunTask",
        {"count": 2, "launchType": "FARGATE", "enableECSManagedTags": True, "tags": [{"key": "a", "value": "b"}]}),
    (f"arn:aws:codebuild:{HERE}:project/p", {}, "StartBuild", {"projectName": "p"}),
    (f"arn:aws:codepipeline:{HERE}:p", {}, "StartPipelineExecution", {"name": "p"}),
    (f"arn:aws:inspector:{HERE}:target/0-a/template/0-b", {}, "StartAssessmentRun", {}),
    (f"arn:aws:sagemaker:{HERE}:pipeline/p", {"SageMakerPipelineParameters": {"PipelineParameterList": PARAMETERS}},
        "StartPipelineExecution", {"PipelineName": "p", "PipelineParameters": PARAMETERS}),
    (f"arn:aws:events:{HERE}:event-bus/b", {"EventBridgeParameters": {"DetailType": "d", "Source": "s"}}, "PutEvents",
        {"Entries": [{"Source": "s", "DetailType": "d", "Detail": '{"a": 1}', "Resources": [SCHEDULE],
                      "EventBusName": f"arn:aws:events:{HERE}:event-bus/b"}]}),
]  # fmt: skip
UNIVERSAL: list[tuple[str, str, str, dict[str, Any]]] = [
    ("sqs:sendMessage", "sqs", "SendMessage", {"QueueUrl": "u", "MessageBody": "b"}),
    ("sfn:startExecution", "stepfunctions", "StartExecution", {"stateMachineArn": "arn"}),
    ("eventbridge:putEvents", "events", "PutEvents", {"Entries": [{"Source": "s"}]}),
    ("cloudwatchlogs:createLogGroup", "logs", "CreateLogGroup", {"logGroupName": "g"}),
    ("dynamodb:putItem", "dynamodb", "PutItem", {"TableName": "t", "Item": {"a": {"S": "b"}}}),
    ("cognitoidentityprovider:adminDisableUser", "cognito-idp", "AdminDisableUser",
        {"UserPoolId": "a_b", "Username": "u"}),
    ("ec2:stopInstances", "ec2", "StopInstances", {"InstanceIds": ["i-1"]}),
]  # fmt: skip


def takes(found: Request) -> None:
    model = botocore.session.get_session().get_service_model(found.service)
    shape = model.operation_model(found.operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(found.members, shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.promise(134)
@pytest.mark.parametrize(
    "arn, more, operation, members", TEMPLATED, ids=[each[0].split(":")[2] for each in TEMPLATED]
)
def test_templated_targets(arn: str, more: dict[str, Any], operation: str, members: dict[str, Any]) -> None:
    target = {"Arn": arn, "Input": '{"memory": "1"}' if operation == "RunTask" else '{"a": 1}', **more}
    check(target)
    found = request(target, target["Input"], PLACE, SCHEDULE, TOKEN)
    assert (found.operation, found.place) == (operation, PLACE)
    assert {name: found.members[name] for name in members} == members
    takes(found)


@pytest.mark.promise(134)
@pytest.mark.parametrize("name, service, operation, members", UNIVERSAL)
def test_universal_targets(name: str, service: str, operation: str, members: dict[str, Any]) -> None:
    target = {"Arn": f"arn:aws:scheduler:::aws-sdk:{name}", "Input": json.dumps(members)}
    check(target)
    found = request(target, target["Input"], PLACE, SCHEDULE, TOKEN)
    assert found._replace(members=members) == Request(service, operation, members, PLACE)
    assert {name: found.members[name] for name in members} == members
    assert set(found.members) - set(members) <= {"ClientToken"}
    takes(found)


EVENTS = {"DetailType": "d", "Source": "s"}


@pytest.mark.parametrize(
    "target",
    [
        {"Arn": "nothing"}, {"Arn": f"arn:aws:athena:{HERE}:workgroup/w"},
        {"Arn": f"arn:aws:events:{HERE}:event-bus/b"},
        {"Arn": f"arn:aws:kinesis:{HERE}:stream/s"}, {"Arn": f"arn:aws:ecs:{HERE}:cluster/c"},
        {"Arn": f"arn:aws:sqs:{HERE}:q.fifo"},
        {"Arn": f"arn:aws:sqs:{HERE}:q", "SqsParameters": {"MessageGroupId": "g"}},
        {"Arn": f"arn:aws:sqs:{HERE}:q", "EventBridgeParameters": EVENTS},
        {"Arn": f"arn:aws:lambda:{HERE}:function:f", "EventBridgePutEventsV2Parameters": EVENTS},
        {"Arn": f"arn:aws:ecs:{HERE}:cluster/c", "EcsParameters": ECS, "Input": "text"},
        {"Arn": "arn:aws:scheduler:::aws-sdk:nothing:doIt"}, {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:doIt"},
        {"Arn": "arn:aws:scheduler:::aws-sdk:s3:getObject"},
        {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:describeInstances"},
        {"Arn": "arn:aws:scheduler:::aws-sdk:dynamodb:batchGetItem"},
        {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "Input": "[]"},
        {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "Input": "{"},
        {"Arn": f"arn:aws:sqs:{HERE}:q", "Input": "é" * 131_073},
    ],
)  # fmt: skip
def test_what_no_target_can_be(target: dict[str, Any]) -> None:
    with pytest.raises(Fault) as refused:
        check(target)
    assert refused.value.code == "ValidationException" and refused.value.message
