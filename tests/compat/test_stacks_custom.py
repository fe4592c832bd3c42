"""Custom resources and stacks within stacks: what functions make, change and delete, and what becomes of failures."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from apis import send
from aws_lambda_powertools.utilities.data_classes import CloudFormationCustomResourceEvent
from served import ROLE, RUNTIME, Run, Served
from stacks import outputs, status
from support import until

CODE = """
import json, os
import boto3
import cfnresponse
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
    wanted = event["ResourceProperties"]
    if event["RequestType"] != "Delete" and wanted.get("Fails") == "true":
        cfnresponse.send(event, context, cfnresponse.FAILED, {}, "broken", reason="asked for")
        return
    data = {"Arn": "made:" + wanted["Word"]}
    cfnresponse.send(event, context, cfnresponse.SUCCESS, data, wanted.get("Id", "thing"))
"""


def template(thing: dict[str, Any] | None, kind: str = "Custom::Thing") -> str:
    function = {
        "Runtime": RUNTIME, "Handler": "index.handler", "Role": ROLE, "Code": {"ZipFile": CODE}, "Timeout": 30,
        "Environment": {"Variables": {"QUEUE": {"Ref": "Notes"}}},
    }  # fmt: skip
    resources: dict[str, Any] = {
        "Notes": {"Type": "AWS::SQS::Queue"}, "Makes": {"Type": "AWS::Lambda::Function", "Properties": function},
    }  # fmt: skip
    shown: dict[str, Any] = {"Queue": {"Value": {"Ref": "Notes"}}}
    if thing is not None:
        properties = {"ServiceToken": {"Fn::GetAtt": ["Makes", "Arn"]}, **thing}
        resources["Thing"] = {"Type": kind, "Properties": properties}
        shown |= {"Id": {"Value": {"Ref": "Thing"}}, "Arn": {"Value": {"Fn::GetAtt": ["Thing", "Arn"]}}}
    return json.dumps({"Resources": resources, "Outputs": shown})


def reasons(cloud: Any, name: str) -> list[str]:
    """What its events say."""
    found = cloud.describe_stack_events(StackName=name)["StackEvents"]
    return [each.get("ResourceStatusReason", "") for each in found]


def events(server: Served, queue: str, count: int) -> list[dict[str, Any]]:
    """The next of those that the function got."""
    sqs, found = server.client("sqs"), []
    while len(found) < count:
        for each in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])
            found.append(json.loads(each["Body"]))
    return found


@pytest.mark.promise(224)
def test_a_custom_resource_lives_and_ends(server: Served, cloud: Any, name: str) -> None:
    id = cloud.create_stack(StackName=name, TemplateBody=template({"Word": "a", "Many": [1, True]}))[
        "StackId"
    ]
    assert status(cloud, name) == "CREATE_COMPLETE", reasons(cloud, name)
    made = outputs(cloud, name)
    assert (made["Id"], made["Arn"]) == ("thing", "made:a")
    (event,) = events(server, made["Queue"], 1)
    shown = CloudFormationCustomResourceEvent(event)
    assert (shown.request_type, shown.stack_id, shown.logical_resource_id) == ("Create", id, "Thing")
    assert (shown.resource_type, shown.service_token) == (
        "Custom::Thing",
        event["ResourceProperties"]["ServiceToken"],
    )
    assert event["ResourceProperties"]["Many"] == ["1", "true"]
    assert set(event) == {
        "RequestType", "ServiceToken", "ResponseURL", "StackId", "RequestId", "LogicalResourceId", "ResourceType",
        "ResourceProperties",
    }  # fmt: skip
    cloud.update_stack(StackName=name, TemplateBody=template({"Word": "b", "Many": [1, True]}))
    assert outputs(cloud, name)["Arn"] == "made:b"
    (event,) = events(server, made["Queue"], 1)
    assert (event["RequestType"], event["PhysicalResourceId"]) == ("Update", "thing")
    assert event["OldResourceProperties"]["Word"] == "a"
    # Another id is another resource: the first one goes when all else is done.
    cloud.update_stack(StackName=name, TemplateBody=template({"Word": "b", "Id": "other"}))
    assert outputs(cloud, name)["Id"] == "other"
    kinds = [(each["RequestType"], each["PhysicalResourceId"]) for each in events(server, made["Queue"], 2)]
    assert sorted(kinds) == [("Delete", "thing"), ("Update", "thing")]
    # What fails is rolled back: the one that is there is told its old properties again.
    cloud.update_stack(StackName=name, TemplateBody=template({"Word": "c", "Id": "other", "Fails": True}))
    assert status(cloud, name) == "UPDATE_ROLLBACK_COMPLETE"
    words = [each["ResourceProperties"]["Word"] for each in events(server, made["Queue"], 2)]
    assert sorted(words) == ["b", "c"]
    assert any("Message returned: asked for" in reason for reason in reasons(cloud, name))
    cloud.update_stack(StackName=name, TemplateBody=template(None))
    (event,) = events(server, made["Queue"], 1)
    assert (event["RequestType"], event["PhysicalResourceId"]) == ("Delete", "other")
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(224)
def test_a_creation_that_a_function_refuses(server: Served, cloud: Any, name: str) -> None:
    """What it says it made all the same is deleted."""
    kept = {"Word": "a", "Fails": True}
    kind = "AWS::CloudFormation::CustomResource"
    cloud.create_stack(StackName=name, TemplateBody=template(kept, kind), OnFailure="DO_NOTHING")
    assert status(cloud, name) == "CREATE_FAILED"
    notes = next(each["PhysicalResourceId"] for each in cloud.list_stack_resources(StackName=name)[
        "StackResourceSummaries"] if each["LogicalResourceId"] == "Notes")  # fmt: skip
    (event,) = events(server, notes, 1)
    assert event["RequestType"] == "Create"
    with pytest.raises(urllib.error.HTTPError, match="404"):  # nobody waits any more
        urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], b"{}", method="PUT"))
    cloud.delete_stack(StackName=name)


def test_a_token_that_is_none(cloud: Any, name: str) -> None:
    resources = {"T": {"Type": "Custom::T", "Properties": {"ServiceToken": "nobody"}}}
    cloud.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    assert status(cloud, name) == "ROLLBACK_COMPLETE"
    assert "Invalid service token: nobody" in reasons(cloud, name)
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(225)
def test_stacks_within_stacks(server: Served, cloud: Any, name: str) -> None:
    import hashlib

    inner = json.dumps({
        "Parameters": {"Depth": {"Type": "Number"}},
        "Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": {"Ref": "Depth"}}}},
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Q", "Arn"]}}, "Url": {"Value": {"Ref": "Q"}}},
    }).encode()  # fmt: skip
    url = f"{server.url}/_stoker/artifacts/{hashlib.sha256(inner).hexdigest()}"
    urllib.request.urlopen(urllib.request.Request(url, inner, method="PUT")).close()

    def outer(depth: int) -> str:
        properties = {"TemplateURL": url, "Parameters": {"Depth": depth}}
        return json.dumps({
            "Resources": {"Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": properties}},
            "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Inner", "Outputs.Arn"]}},
                        "Url": {"Value": {"Fn::GetAtt": "Inner.Outputs.Url"}}},
        })  # fmt: skip

    cloud.create_stack(StackName=name, TemplateBody=outer(1))
    assert status(cloud, name) == "CREATE_COMPLETE"
    found = outputs(cloud, name)
    assert found["Arn"].rpartition(":")[2].startswith(f"{name}-Inner-")
    sqs = server.client("sqs")

    def delay() -> str:
        asked = sqs.get_queue_attributes(QueueUrl=found["Url"], AttributeNames=["DelaySeconds"])
        return str(asked["Attributes"]["DelaySeconds"])

    assert delay() == "1"
    cloud.update_stack(StackName=name, TemplateBody=outer(2))
    assert status(cloud, name) == "UPDATE_COMPLETE"
    assert delay() == "2"
    cloud.update_stack(StackName=name, TemplateBody=outer(-1))  # which the queue refuses
    assert status(cloud, name) == "UPDATE_ROLLBACK_COMPLETE"
    assert delay() == "2"
    cloud.delete_stack(StackName=name)
    until(lambda: "QueueUrls" not in sqs.list_queues(QueueNamePrefix=f"{name}-Inner"))


def test_a_type_that_no_condition_lets_in(cloud: Any, name: str) -> None:
    document = {
        "Conditions": {"No": {"Fn::Equals": ["a", "b"]}},
        "Resources": {
            "Q": {"Type": "AWS::SQS::Queue"},
            "Box": {"Type": "AWS::EC2::Instance", "Condition": "No"},
        },
    }
    cloud.create_stack(StackName=name, TemplateBody=json.dumps(document))
    assert status(cloud, name) == "CREATE_COMPLETE"
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(225)
def test_local_templates_and_documents(
    run: Run, server: Served, cloud: Any, api: Any, tmp_path: Path, name: str
) -> None:
    """`stoker deploy` brings along what is beside a template: an application's, with its code, and a document."""
    inner = tmp_path / "inner"
    (inner / "src").mkdir(parents=True)
    (inner / "src/app.py").write_text(
        "def handler(event, context):\n    return {'statusCode': 200, 'body': 'inner'}\n"
    )
    function = {"Runtime": RUNTIME, "Handler": "app.handler", "CodeUri": "src"}
    (inner / "template.json").write_text(json.dumps({
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"F": {"Type": "AWS::Serverless::Function", "Properties": function},
                      "Allowed": {"Type": "AWS::Lambda::Permission", "Properties": {
                          "FunctionName": {"Ref": "F"}, "Action": "lambda:InvokeFunction",
                          "Principal": "apigateway.amazonaws.com"}}},
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["F", "Arn"]}}},
    }))  # fmt: skip
    uri = (
        "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Inner.Outputs.Arn}/invocations"
    )
    integration = {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "payloadFormatVersion": "2.0",
        "uri": {"Fn::Sub": uri},
    }
    (tmp_path / "api.json").write_text(json.dumps({
        "openapi": "3.0.1", "info": {"title": "a", "version": "1"},
        "paths": {"/hello": {"get": {"x-amazon-apigateway-integration": integration}}},
    }))  # fmt: skip
    include = {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "api.json"}}}
    path = tmp_path / "template.json"
    path.write_text(json.dumps({
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            "Inner": {"Type": "AWS::Serverless::Application", "Properties": {"Location": "inner/template.json"}},
            "Api": {"Type": "AWS::Serverless::HttpApi", "Properties": {"DefinitionBody": include}},
        },
        "Outputs": {"Api": {"Value": {"Ref": "Api"}}, "Arn": {"Value": {"Fn::GetAtt": "Inner.Outputs.Arn"}}},
    }))  # fmt: skip
    done, out, err = run("deploy", str(path), "--stack", name)
    assert done == 0, out + err
    found = outputs(cloud, name)
    assert json.load(api.invoke(FunctionName=found["Arn"])["Payload"])["body"] == "inner"
    assert send(server, found["Api"], "/hello").body == b"inner"
    assert run("delete", name)[0] == 0
    (inner / "template.json").unlink()
    done, _, err = run("deploy", str(path), "--stack", name)
    assert done == 2
    assert "Inner: Location is" in err
