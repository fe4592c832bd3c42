"""Stacks by boto3: events, roll-backs, replacements, exports, other services; and the server's kill in the middle."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clients import moto_server
from served import ECHO, ROLE, RUNTIME, Served
from stacks import ALL, body, created, given, outputs, status
from support import until


def refused(code: str, call: Callable[..., Any], **members: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**members)
    assert error.value.response["Error"]["Code"] == code
    return str(error.value.response["Error"]["Message"])


@pytest.mark.promise(170)
def test_events_are_awss_in_awss_order(cloud: Any, name: str) -> None:
    id = created(cloud, name)
    assert status(cloud, name) == "CREATE_COMPLETE"
    events = cloud.describe_stack_events(StackName=name)["StackEvents"][::-1]
    stack = [
        (each["ResourceStatus"], each.get("ResourceStatusReason"))
        for each in events
        if each["PhysicalResourceId"] == id
    ]
    assert stack == [("CREATE_IN_PROGRESS", "User Initiated"), ("CREATE_COMPLETE", None)]
    function = [each for each in events if each["LogicalResourceId"] == "Function"]
    assert [(each["ResourceStatus"], each.get("ResourceStatusReason")) for each in function] == [
        ("CREATE_IN_PROGRESS", None), ("CREATE_IN_PROGRESS", "Resource creation Initiated"), ("CREATE_COMPLETE", None),
    ]  # fmt: skip
    order = [each["LogicalResourceId"] for each in events if each["ResourceStatus"] == "CREATE_COMPLETE"]
    assert order.index("Role") < order.index("Function") < order.index("Logs")
    shown = cloud.describe_stack_resource(StackName=name, LogicalResourceId="Function")["StackResourceDetail"]
    assert shown["PhysicalResourceId"].startswith(f"{name}-Function-")
    listed = cloud.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert [each["LogicalResourceId"] for each in listed] == ["Function", "Logs", "Queue", "Role"]
    assert cloud.get_template(StackName=name)["TemplateBody"] == json.loads(body())
    cloud.delete_stack(StackName=name)
    assert status(cloud, id) == "DELETE_COMPLETE"
    assert "does not exist" in refused("ValidationError", cloud.describe_stacks, StackName=name)


@pytest.mark.promise(170)
def test_the_same_again_is_no_update(cloud: Any, name: str) -> None:
    id = created(cloud, name)
    same = {"StackName": name, "TemplateBody": body(), "Capabilities": ALL}
    assert refused("ValidationError", cloud.update_stack, **same) == "No updates are to be performed."
    assert f"Stack [{name}] already exists" == refused("AlreadyExistsException", cloud.create_stack, **same)
    written = json.dumps(json.loads(body()) | {"Description": "written otherwise"})
    same = {"StackName": name, "TemplateBody": written, "Capabilities": ALL}
    assert refused("ValidationError", cloud.update_stack, **same) == "No updates are to be performed."
    cloud.create_change_set(ChangeSetName="nothing", **same)
    found = cloud.describe_change_set(ChangeSetName="nothing", StackName=name)
    assert found["Status"] == "FAILED"
    assert found["StatusReason"].startswith("The submitted information didn't contain changes.")
    assert "[FAILED]" in refused(
        "InvalidChangeSetStatus", cloud.execute_change_set, ChangeSetName="nothing", StackName=name
    )
    cloud.delete_stack(StackName=id)


@pytest.mark.promise(170)
def test_a_creation_that_fails_leaves_nothing(server: Served, cloud: Any, api: Any, name: str) -> None:
    created(cloud, name, Fails="yes")
    assert status(cloud, name) == "ROLLBACK_COMPLETE"
    events = cloud.describe_stack_events(StackName=name)["StackEvents"]
    (failed,) = [each for each in events if each["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] == "Broken"
    assert "Function not found" in failed["ResourceStatusReason"]
    (begun,) = [each for each in events if each["ResourceStatus"] == "ROLLBACK_IN_PROGRESS"]
    said = "The following resource(s) failed to create: [Broken]. Rollback requested by user."
    assert begun["ResourceStatusReason"] == said
    assert not [each for each in api.list_functions()["Functions"] if each["FunctionName"].startswith(name)]
    assert "QueueUrls" not in server.client("sqs").list_queues(QueueNamePrefix=name)
    again = {"StackName": name, "TemplateBody": body(), "Capabilities": ALL}
    assert "is in ROLLBACK_COMPLETE state and can not be updated." in refused(
        "ValidationError", cloud.update_stack, **again
    )
    cloud.delete_stack(StackName=name)


@pytest.mark.parametrize("kind", ["AWS::DynamoDB::Table", "AWS::StepFunctions::StateMachine"])
def test_a_service_that_is_not_here(cloud: Any, name: str, kind: str) -> None:
    """Nothing was made there, so nothing is to be deleted there."""
    cloud.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Elsewhere": {"Type": kind}}}))
    assert status(cloud, name) == "ROLLBACK_COMPLETE"
    events = cloud.describe_stack_events(StackName=name)["StackEvents"]
    (reason,) = [each["ResourceStatusReason"] for each in events if each["ResourceStatus"] == "CREATE_FAILED"]
    assert "is not served here" in reason
    cloud.delete_stack(StackName=name)
    with pytest.raises(ClientError, match="does not exist"):
        cloud.describe_stacks(StackName=name)


@pytest.mark.promise(170)
def test_an_update_that_fails_is_rolled_back(server: Served, cloud: Any, api: Any, name: str) -> None:
    created(cloud, name)
    before = outputs(cloud, name)
    cloud.update_stack(
        StackName=name, TemplateBody=body(), Capabilities=ALL, Parameters=given(Fails="yes", Depth="9")
    )
    assert status(cloud, name) == "UPDATE_ROLLBACK_COMPLETE"
    assert outputs(cloud, name) == before
    sqs = server.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=before["Queue"], AttributeNames=["DelaySeconds"])
    assert attributes["Attributes"]["DelaySeconds"] == "1"
    configuration = api.get_function_configuration(FunctionName=before["Function"])
    assert configuration["Environment"]["Variables"] == {"DEPTH": "1"}
    stack = [
        each["ResourceStatus"]
        for each in cloud.describe_stack_events(StackName=name)["StackEvents"]
        if each["LogicalResourceId"] == name
    ]
    assert stack[:4][::-1] == [
        "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    ]  # fmt: skip
    # It goes on from there.
    more = {"TemplateBody": body(), "Capabilities": ALL, "Parameters": given(Depth="9")}
    cloud.update_stack(StackName=name, **more)
    assert status(cloud, name) == "UPDATE_COMPLETE"
    attributes = sqs.get_queue_attributes(QueueUrl=before["Queue"], AttributeNames=["DelaySeconds"])
    assert attributes["Attributes"]["DelaySeconds"] == "9"
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(170)
def test_replacements_and_what_is_retained(server: Served, cloud: Any, name: str) -> None:
    def queues(first: str, **more: Any) -> str:
        first_ = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"{name}-{first}"}, **more}
        second = {"Type": "AWS::SQS::Queue", "Properties": {
            "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": "First.Arn"}, "maxReceiveCount": 2}}}  # fmt: skip
        return json.dumps({"Resources": {"First": first_, "Second": second}})

    sqs = server.client("sqs")

    def named() -> list[str]:
        found = sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", [])
        return sorted(each.rpartition("/")[2] for each in found)

    cloud.create_stack(StackName=name, TemplateBody=queues("a"))
    changed = queues("b", UpdateReplacePolicy="Retain", DeletionPolicy="Retain")
    cloud.create_change_set(StackName=name, ChangeSetName="c", TemplateBody=changed)
    planned = cloud.describe_change_set(StackName=name, ChangeSetName="c")["Changes"]
    shown = {
        each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"]["Replacement"] for each in planned
    }
    assert shown == {"First": "True", "Second": "False"}
    cloud.execute_change_set(StackName=name, ChangeSetName="c")
    assert status(cloud, name) == "UPDATE_COMPLETE"
    assert [each for each in named() if "Second" not in each] == [
        f"{name}-b"
    ]  # the old one's own policy was to go
    cloud.update_stack(StackName=name, TemplateBody=queues("d", DeletionPolicy="Retain"))
    assert [each for each in named() if "Second" not in each] == [f"{name}-b", f"{name}-d"]
    cloud.delete_stack(StackName=name)
    assert named() == [f"{name}-b", f"{name}-d"]
    # Somebody else's queue is neither taken over nor deleted.
    cloud.create_stack(StackName=name, TemplateBody=queues("b"))
    assert status(cloud, name) == "ROLLBACK_COMPLETE"
    assert f"{name}-b" in named()
    cloud.delete_stack(StackName=name)
    assert named() == [f"{name}-b", f"{name}-d"]


def test_what_a_template_no_longer_says_is_the_default(cloud: Any, api: Any, name: str) -> None:
    code = {"Runtime": RUNTIME, "Handler": "index.handler", "Role": ROLE, "Code": {"ZipFile": ECHO}}

    def template(**more: str) -> str:
        url = {"TargetFunctionArn": {"Ref": "F"}, "AuthType": "NONE", **more}
        resources = {
            "F": {"Type": "AWS::Lambda::Function", "Properties": code},
            "Url": {"Type": "AWS::Lambda::Url", "Properties": url},
        }
        return json.dumps({"Resources": resources, "Outputs": {"F": {"Value": {"Ref": "F"}}}})

    cloud.create_stack(StackName=name, TemplateBody=template(InvokeMode="RESPONSE_STREAM"))
    function = outputs(cloud, name)["F"]
    assert api.get_function_url_config(FunctionName=function)["InvokeMode"] == "RESPONSE_STREAM"
    cloud.update_stack(StackName=name, TemplateBody=template())
    assert api.get_function_url_config(FunctionName=function)["InvokeMode"] == "BUFFERED"
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(170)
def test_exports_hold_what_others_import(cloud: Any, name: str) -> None:
    queue = {"Type": "AWS::SQS::Queue"}
    export = {"Arn": {"Value": {"Fn::GetAtt": ["Q", "Arn"]}, "Export": {"Name": f"{name}-arn"}}}
    cloud.create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": {"Q": queue}, "Outputs": export})
    )
    policy = {"deadLetterTargetArn": {"Fn::ImportValue": f"{name}-arn"}, "maxReceiveCount": 1}
    user = {"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"RedrivePolicy": policy}}}}
    cloud.create_stack(StackName=f"{name}-user", TemplateBody=json.dumps(user))
    assert status(cloud, f"{name}-user") == "CREATE_COMPLETE"
    assert cloud.list_imports(ExportName=f"{name}-arn")["Imports"] == [f"{name}-user"]
    assert refused("ValidationError", cloud.delete_stack, StackName=name) == (
        f"Export {name}-arn cannot be deleted as it is in use by {name}-user"
    )
    cloud.delete_stack(StackName=f"{name}-user")
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(170)
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Template format error: At least one Resources member must be defined."),
        ({"Resources": {"Q": {}}}, "[/Resources/Q] Every Resources object must contain a Type member."),
        ({"Resources": {"Q-1": {"Type": "AWS::SQS::Queue"}}}, "Resource name Q-1 is non alphanumeric."),
        ({"Resources": {"Q": {"Type": "AWS::X::Y"}}}, "Unrecognized resource types: [AWS::X::Y (Q)]"),
        ({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "DependsOn": "R"}}},
         "Unresolved resource dependencies [R] in the Resources block of the template"),
        ({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "DependsOn": "R"},
                        "R": {"Type": "AWS::SQS::Queue", "DependsOn": "Q"}}},
         "Circular dependency between resources: [Q, R]"),
        ({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}, "Parameters": {"P": {"Type": "String"}}},
         "Parameters: [P] must have values"),
        ({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}, "Parameters": {"P": 1}},
         "Template format error: [/Parameters/P] must be an object"),
        ({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}, "Parameters": ["P"]},
         "Template format error: [/Parameters] must be an object"),
        ({"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r"}}}},
         "Requires capabilities : [CAPABILITY_NAMED_IAM]"),
        ({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}, "Transform": "Mine"}, "No transform named Mine found."),
    ],
)  # fmt: skip
def test_what_is_refused(cloud: Any, name: str, document: Any, message: str) -> None:
    code = "InsufficientCapabilitiesException" if "Requires" in message else "ValidationError"
    assert message in refused(code, cloud.create_stack, StackName=name, TemplateBody=json.dumps(document))
    with pytest.raises(ClientError, match="does not exist"):
        cloud.describe_stacks(StackName=name)


def test_a_template_is_summarised(cloud: Any) -> None:
    found = cloud.get_template_summary(TemplateBody=body("notify"))
    assert found["DeclaredTransforms"] == ["AWS::Serverless-2016-10-31"]
    assert "AWS::Serverless::Function" in found["ResourceTypes"]
    assert found["Parameters"][0]["ParameterConstraints"]["AllowedValues"] == ["dev", "prod"]
    checked = cloud.validate_template(TemplateBody=body("plain"))
    assert checked["Capabilities"] == ["CAPABILITY_IAM"]
    assert [each["ParameterKey"] for each in checked["Parameters"]] == ["Fails", "Depth"]


@pytest.mark.promise(172)
def test_types_of_other_services_are_passed_on(tmp_path: Path) -> None:
    def document(**statement: Any) -> dict[str, Any]:
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}

    resources = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}},
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {
            "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "StreamSpecification": {"StreamViewType": "NEW_IMAGE"}}},
        "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": "1"}},
        "Parameter": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "Bucket"}}},
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": {
            "SecretStringTemplate": "{\"user\": \"me\"}", "GenerateStringKey": "password"}}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {
            "AssumeRolePolicyDocument": document(
                Principal={"Service": "lambda.amazonaws.com"}, Action="sts:AssumeRole"),
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"],
            "Policies": [{"PolicyName": "p", "PolicyDocument": document(Resource="*", Action="s3:GetObject")}]}},
        "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
            "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}, "DefinitionSubstitutions": {"End": "Done"},
            "DefinitionString": '{"StartAt": "${End}", "States": {"Done": {"Type": "Succeed"}}}'}},
    }  # fmt: skip
    tags = {
        "user": "{{resolve:secretsmanager:${Secret}:SecretString:user}}", "first": "{{resolve:ssm:${Parameter}:1}}",
    }  # fmt: skip
    queue = {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": {"Fn::Sub": "q-{{resolve:ssm:${Parameter}}}"},
            "Tags": [{"Key": key, "Value": {"Fn::Sub": value}} for key, value in tags.items()],
        },
    }
    resources["Queue"] = queue
    whole = {"Resources": resources, "Outputs": {"Table": {"Value": {"Fn::GetAtt": ["Table", "StreamArn"]}}}}
    with moto_server() as moto:
        served = Served(tmp_path / "state", "--aws-endpoint", moto)
        cloud = served.client("cloudformation")
        s3 = served.client("s3")
        s3.create_bucket(Bucket="templates")
        s3.put_object(Bucket="templates", Key="a/template.json", Body=json.dumps(whole))
        url = f"{served.url}/templates/a/template.json"
        cloud.create_stack(StackName="other", TemplateURL=url, Capabilities=["CAPABILITY_IAM"])
        events = cloud.describe_stack_events(StackName="other")["StackEvents"]
        failed = [
            each["ResourceStatusReason"] for each in events if each["ResourceStatus"] == "CREATE_FAILED"
        ]
        assert status(cloud, "other") == "CREATE_COMPLETE", "\n".join(failed)
        ids = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in cloud.list_stack_resources(StackName="other")["StackResourceSummaries"]
        }
        assert s3.get_bucket_versioning(Bucket=ids["Bucket"])["Status"] == "Enabled"
        assert ids["Queue"].rpartition("/")[2] == f"q-{ids['Bucket']}"
        tagged = served.client("sqs").list_queue_tags(QueueUrl=ids["Queue"])["Tags"]
        assert (tagged["user"], tagged["first"]) == ("me", ids["Bucket"])
        secret = served.client("secretsmanager").get_secret_value(SecretId=ids["Secret"])["SecretString"]
        assert set(json.loads(secret)) == {"user", "password"}
        described = served.client("stepfunctions").describe_state_machine(stateMachineArn=ids["Machine"])
        assert json.loads(described["definition"])["StartAt"] == "Done"
        assert "/stream/" in outputs(cloud, "other")["Table"]
        cloud.delete_stack(StackName="other")
        assert status(cloud, cloud.list_stacks()["StackSummaries"][0]["StackId"]) == "DELETE_COMPLETE"
        assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["templates"]
        assert served.client("dynamodb").list_tables()["TableNames"] == []
        assert served.stop() == 0


@pytest.mark.promise(173)
@pytest.mark.parametrize("verb", ["create", "update"])
def test_a_server_killed_in_the_middle_goes_on(tmp_path: Path, verb: str) -> None:
    """Whatever it had done by then: it is rolled back at the next start, and the next deployment goes on."""

    def whole(count: int, delay: int) -> str:
        each = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": delay}}
        return json.dumps({"Resources": {f"Q{number}": each for number in range(count)}})

    served = Served(tmp_path / "state")
    cloud = served.client("cloudformation")
    if verb == "update":
        cloud.create_stack(StackName="s", TemplateBody=whole(60, 1))

    def deploy() -> None:
        operation = cloud.create_stack if verb == "create" else cloud.update_stack
        with pytest.raises(Exception, match=r"."):
            operation(StackName="s", TemplateBody=whole(120, 2))

    asking = threading.Thread(target=deploy)
    asking.start()
    watching = served.client("cloudformation")

    def some() -> bool:
        try:
            events = watching.describe_stack_events(StackName="s")["StackEvents"]
        except ClientError:
            return False
        fresh = [each for each in events if each["ResourceStatus"] == f"{verb.upper()}_COMPLETE"]
        return len(fresh) > 4 and status(watching, "s") == f"{verb.upper()}_IN_PROGRESS"

    until(some, what="a few resources")
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    asking.join()
    served = Served(tmp_path / "state")
    cloud = served.client("cloudformation")
    done = "ROLLBACK_COMPLETE" if verb == "create" else "UPDATE_ROLLBACK_COMPLETE"
    until(lambda: status(cloud, "s") == done, what=done)
    sqs = served.client("sqs")
    urls = sqs.list_queues(QueueNamePrefix="s-", MaxResults=1000).get("QueueUrls", [])
    assert len(urls) == (0 if verb == "create" else 60)
    for url in urls[::10]:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])
        assert attributes["Attributes"] == {"DelaySeconds": "1"}
    if verb == "create":
        cloud.delete_stack(StackName="s")
        cloud.create_stack(StackName="s", TemplateBody=whole(3, 2))
    else:
        cloud.update_stack(StackName="s", TemplateBody=whole(3, 2))
    assert status(cloud, "s") == f"{verb.upper()}_COMPLETE"
    assert len(sqs.list_queues(QueueNamePrefix="s-").get("QueueUrls", [])) == 3
    cloud.delete_stack(StackName="s")
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="s-")
    assert served.stop() == 0
