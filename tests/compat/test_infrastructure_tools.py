"""Calls of Terraform's and CDK's, in their order, with their waiters: a function with a URL, an alias, provisioned
concurrency, an event source mapping and a configuration of events.

Terraform's are those of its AWS provider (internal/service/lambda: each resource's Create ends with its Read, and a
later plan reads all again); CDK's are CloudFormation's, as its CLI deploys a template.
"""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import ECHO, ROLE, RUNTIME, Served, zipped
from support import until

SECOND = "def handler(event, context):\n    return 'second'\n"


class Terraform:
    """Its provider's waiters ask until a state is reached, and fail in one that is neither that nor on the way."""

    def __init__(self, server: Served) -> None:
        self.api, self.sqs = server.client(), server.client("sqs")

    def reach(self, ask: Callable[[], str], pending: set[str], target: str) -> None:
        def reached() -> bool:
            state = ask()
            assert state == target or state in pending, state
            return state == target

        until(reached)

    def read_function(self, name: str) -> dict[str, Any]:
        """Its Read: the function, its newest version, its code signing."""
        found = self.api.get_function(FunctionName=name)
        pages = self.api.get_paginator("list_versions_by_function").paginate(
            FunctionName=name, PaginationConfig={"PageSize": 10_000}
        )
        versions = [version for page in pages for version in page["Versions"]]
        assert versions[0]["Version"] == "$LATEST"
        assert "CodeSigningConfigArn" not in self.api.get_function_code_signing_config(FunctionName=name)
        return {**found, "Newest": versions[-1]}

    def create_function(self, name: str, **members: Any) -> dict[str, Any]:
        code = zipped(**{"app.py": ECHO})
        created = self.api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code={"ZipFile": code},
            Architectures=["x86_64"], MemorySize=128, Timeout=3, PackageType="Zip", Publish=True,
            Tags={"Environment": "test"}, EphemeralStorage={"Size": 512}, TracingConfig={"Mode": "Active"},
            LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN"}, **members,
        )  # fmt: skip
        assert created["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()

        def state() -> str:
            configuration = self.api.get_function(FunctionName=name)["Configuration"]
            assert configuration["LastUpdateStatus"] in ("InProgress", "Successful")
            return str(configuration["State"])

        self.reach(state, {"Pending"}, "Active")
        self.api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
        return self.read_function(name)

    def update_function(self, name: str) -> None:
        def updated() -> str:
            return str(self.api.get_function(FunctionName=name)["Configuration"]["LastUpdateStatus"])

        self.api.update_function_configuration(
            FunctionName=name, Timeout=5, DeadLetterConfig={"TargetArn": ""}
        )
        self.reach(updated, {"InProgress"}, "Successful")
        code = zipped(**{"app.py": SECOND})
        self.api.update_function_code(FunctionName=name, ZipFile=code, Architectures=["x86_64"])
        self.reach(updated, {"InProgress"}, "Successful")
        self.api.publish_version(FunctionName=name)
        self.reach(
            lambda: str(self.api.get_function(FunctionName=name)["Configuration"]["LastUpdateStatus"]),
            {"InProgress"},
            "Successful",
        )

    def provision(self, name: str, qualifier: str) -> None:
        key = {"FunctionName": name, "Qualifier": qualifier}
        self.api.put_provisioned_concurrency_config(**key, ProvisionedConcurrentExecutions=1)
        self.reach(
            lambda: str(self.api.get_provisioned_concurrency_config(**key)["Status"]),
            {"IN_PROGRESS"},
            "READY",
        )

    def mapping(self, name: str, queue: str) -> str:
        uuid = self.api.create_event_source_mapping(
            EventSourceArn=queue, FunctionName=name, Enabled=True, BatchSize=10, MaximumBatchingWindowInSeconds=0,
            FunctionResponseTypes=["ReportBatchItemFailures"], ScalingConfig={"MaximumConcurrency": 2},
            Tags={"Environment": "test"},
        )["UUID"]  # fmt: skip
        self.reach(lambda: self.mapping_state(uuid), {"Creating", "Disabled", "Enabling"}, "Enabled")
        return str(uuid)

    def mapping_state(self, uuid: str) -> str:
        return str(self.api.get_event_source_mapping(UUID=uuid)["State"])

    def gone(self, ask: Callable[..., Any], **key: Any) -> None:
        """Its wait for a deletion: until there is nothing."""

        def absent() -> bool:
            try:
                ask(**key)
            except ClientError as error:
                assert error.response["Error"]["Code"] in (
                    "ResourceNotFoundException",
                    "ProvisionedConcurrencyConfigNotFoundException",
                )
                return True
            return False

        until(absent)


@pytest.mark.promise(194)
def test_terraform(server: Served, name: str) -> None:
    terraform = Terraform(server)
    api, sqs = terraform.api, terraform.sqs
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    # apply
    made = terraform.create_function(name, DeadLetterConfig={"TargetArn": queue})
    assert made["Newest"]["Version"] == "1"
    assert made["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    assert made["Tags"] == {"Environment": "test"}
    arn = made["Configuration"]["FunctionArn"]
    alias = {"FunctionName": name, "Name": "live"}
    api.create_alias(**alias, FunctionVersion="1", Description="")
    assert api.get_alias(**alias)["FunctionVersion"] == "1"
    qualified = {"FunctionName": name, "Qualifier": "live"}
    api.create_function_url_config(**qualified, AuthType="NONE", InvokeMode="BUFFERED")
    for statement, action in (("AllowPublicAccess", "InvokeFunctionUrl"), ("AllowInvoke", "InvokeFunction")):
        only = (
            {"FunctionUrlAuthType": "NONE"}
            if action == "InvokeFunctionUrl"
            else {"InvokedViaFunctionUrl": True}
        )
        api.add_permission(
            **qualified,
            StatementId=f"FunctionURL{statement}",
            Action=f"lambda:{action}",
            Principal="*",
            **only,
        )
    found = api.get_function_url_config(**qualified)
    assert found["FunctionArn"] == f"{arn}:live"
    with urllib.request.urlopen(found["FunctionUrl"]) as response:
        assert response.status == 200
    terraform.provision(name, "live")
    uuid = terraform.mapping(f"{arn}:live", queue)
    settings = {
        "MaximumRetryAttempts": 1,
        "MaximumEventAgeInSeconds": 60,
        "DestinationConfig": {"OnFailure": {"Destination": queue}},
    }
    api.put_function_event_invoke_config(**qualified, **settings)
    assert api.get_function_event_invoke_config(**qualified)["MaximumRetryAttempts"] == 1

    # a plan of the same: nothing has changed
    again = terraform.read_function(name)
    for member in ("Concurrency", "Tags", "Configuration"):
        assert again[member] == made[member]
    policy = json.loads(api.get_policy(**qualified)["Policy"])
    assert {statement["Sid"] for statement in policy["Statement"]} == {
        "FunctionURLAllowPublicAccess", "FunctionURLAllowInvoke",
    }  # fmt: skip
    assert api.list_tags(Resource=api.get_event_source_mapping(UUID=uuid)["EventSourceMappingArn"])["Tags"]

    # apply again, with other code: the alias follows, and what is of the alias stays
    terraform.update_function(name)
    newest = terraform.read_function(name)["Newest"]["Version"]
    assert newest == "2"
    api.update_alias(**alias, FunctionVersion=newest, Description="", RoutingConfig={})
    assert api.get_alias(**alias)["FunctionVersion"] == "2"
    terraform.provision(name, "live")
    with urllib.request.urlopen(found["FunctionUrl"]) as response:
        assert response.read() == b"second"
    api.update_event_source_mapping(UUID=uuid, BatchSize=5, Enabled=True)
    terraform.reach(lambda: terraform.mapping_state(uuid), {"Updating", "Enabling"}, "Enabled")

    # destroy
    api.delete_function_event_invoke_config(**qualified)
    api.delete_event_source_mapping(UUID=uuid)
    terraform.gone(api.get_event_source_mapping, UUID=uuid)
    api.delete_provisioned_concurrency_config(**qualified)
    terraform.gone(api.get_provisioned_concurrency_config, **qualified)
    api.delete_function_url_config(**qualified)
    for statement in ("AllowPublicAccess", "AllowInvoke"):
        api.remove_permission(**qualified, StatementId=f"FunctionURL{statement}")
    api.delete_alias(**alias)
    api.delete_function(FunctionName=name)
    terraform.gone(api.get_function, FunctionName=name)


def template(code: str, batch: int) -> str:
    """As `cdk synth` writes the like: a version has a name of its own for each code, and stays in its place."""
    version = f"Version{hashlib.sha256(code.encode()).hexdigest()[:8]}"

    def resource(type: str, **properties: Any) -> dict[str, Any]:
        return {"Type": f"AWS::Lambda::{type}", "Properties": properties}

    live = {"FunctionName": {"Ref": "Function"}, "Qualifier": "live"}
    on_live = {"DependsOn": ["Alias"]}
    return json.dumps(
        {
            "Resources": {
                "Queue": {"Type": "AWS::SQS::Queue", "UpdateReplacePolicy": "Delete", "DeletionPolicy": "Delete"},
                "Function": resource(
                    "Function", Code={"ZipFile": code}, Handler="index.handler", Role=ROLE, Runtime=RUNTIME, Timeout=5,
                    ReservedConcurrentExecutions=5,
                ),
                version: resource("Version", FunctionName={"Ref": "Function"}) | {"DeletionPolicy": "Retain"},
                "Alias": resource(
                    "Alias", FunctionName={"Ref": "Function"}, Name="live",
                    FunctionVersion={"Fn::GetAtt": [version, "Version"]},
                    ProvisionedConcurrencyConfig={"ProvisionedConcurrentExecutions": 1},
                ),
                "Url": resource("Url", TargetFunctionArn={"Ref": "Function"}, Qualifier="live", AuthType="NONE")
                | on_live,
                "Public": resource(
                    "Permission", Action="lambda:InvokeFunctionUrl", FunctionName={"Ref": "Alias"}, Principal="*",
                    FunctionUrlAuthType="NONE",
                ),
                "Events": resource("EventInvokeConfig", **live, MaximumRetryAttempts=1) | on_live,
                "Mapping": resource(
                    "EventSourceMapping", FunctionName={"Ref": "Alias"}, BatchSize=batch,
                    EventSourceArn={"Fn::GetAtt": ["Queue", "Arn"]},
                ),
            },
            "Outputs": {
                "Url": {"Value": {"Fn::GetAtt": ["Url", "FunctionUrl"]}},
                "Function": {"Value": {"Ref": "Function"}},
            },
        }
    )  # fmt: skip


def cdk_deploy(cloud: Any, name: str, kind: str, body: str) -> None:
    """`cdk deploy`: a change set, executed, and the stack's events followed to its end."""
    change = {"StackName": name, "ChangeSetName": "cdk-deploy-change-set"}
    try:  # the one of the deployment before
        cloud.describe_change_set(**change)
        cloud.delete_change_set(**change)
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("ChangeSetNotFound", "ValidationError"), error
    cloud.create_change_set(
        **change, ChangeSetType=kind, TemplateBody=body, Description="CDK Changeset", IncludeNestedStacks=True,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )  # fmt: skip

    def created() -> bool:
        found = cloud.describe_change_set(**change)
        assert found["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"), found
        return bool(found["Status"] == "CREATE_COMPLETE")

    until(created)
    cloud.execute_change_set(**change, ClientRequestToken=f"exec-{kind}", DisableRollback=False)

    def complete() -> bool:
        failed = [
            event
            for page in cloud.get_paginator("describe_stack_events").paginate(StackName=name)
            for event in page["StackEvents"]
            if event["ResourceStatus"].endswith("_FAILED")
        ]
        assert not failed, failed
        return bool(cloud.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == f"{kind}_COMPLETE")

    until(complete, 60)


@pytest.mark.promise(194)
def test_cdk(server: Served, cloud: Any, name: str) -> None:
    assert server.client("sts").get_caller_identity()["Account"] == "000000000000"
    with pytest.raises(ClientError, match="does not exist"):
        cloud.describe_stacks(StackName=name)
    cdk_deploy(cloud, name, "CREATE", template(ECHO, 10))
    outputs = {
        each["OutputKey"]: each["OutputValue"]
        for each in cloud.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    }
    with urllib.request.urlopen(outputs["Url"]) as response:
        assert json.load(response)["version"] == "2.0"
    api = server.client()
    live = {"FunctionName": outputs["Function"], "Qualifier": "live"}
    assert api.get_provisioned_concurrency_config(**live)["Status"] == "READY"
    assert api.get_function_event_invoke_config(**live)["MaximumRetryAttempts"] == 1
    assert "TemplateBody" in cloud.get_template(StackName=name, TemplateStage="Original")

    cdk_deploy(cloud, name, "UPDATE", template(SECOND, 5))
    with urllib.request.urlopen(outputs["Url"]) as response:
        assert response.read() == b"second"
    assert api.get_alias(FunctionName=outputs["Function"], Name="live")["FunctionVersion"] == "2"
    (mapping,) = api.list_event_source_mappings(FunctionName=f"{outputs['Function']}:live")[
        "EventSourceMappings"
    ]
    assert mapping["BatchSize"] == 5

    id = cloud.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    cloud.delete_stack(StackName=name)
    until(lambda: cloud.describe_stacks(StackName=id)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE", 60)
