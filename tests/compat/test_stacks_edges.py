"""What users of CloudFormation rely on at the edges: loops, rules, protection, secrets, the order of a replacement."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import RUNTIME, Run, Served
from stacks import given, outputs, status
from support import until

from engine.deploy.artifacts import bundled

QUEUE = "AWS::SQS::Queue"


def refused(call: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**members)
    assert error.value.response["Error"]["Code"] == "ValidationError"
    return str(error.value.response["Error"]["Message"])


@pytest.mark.promise(283)
def test_a_loop_is_what_it_repeats(cloud: Any, name: str) -> None:
    queue = {"Type": QUEUE, "Properties": {"DelaySeconds": {"Fn::Length": {"Ref": "Names"}}}}
    loop = ["N", {"Ref": "Names"}, {"Queue${N}": queue}]
    arns = ["N", {"Ref": "Names"}, {"Arn${N}": {"Value": {"Fn::GetAtt": ["Queue${N}", "QueueName"]}}}]
    body = json.dumps({
        "Transform": "AWS::LanguageExtensions", "Parameters": {"Names": {"Type": "CommaDelimitedList"}},
        "Resources": {"Fn::ForEach::Queues": loop}, "Outputs": {"Fn::ForEach::Arns": arns},
    })  # fmt: skip
    cloud.create_stack(StackName=name, TemplateBody=body, Parameters=given(Names="A,B"))
    assert status(cloud, name) == "CREATE_COMPLETE"
    assert set(outputs(cloud, name)) == {"ArnA", "ArnB"}
    assert cloud.get_template_summary(TemplateBody=body)["ResourceTypes"] == [QUEUE]
    assert cloud.validate_template(TemplateBody=body)["Parameters"][0]["ParameterKey"] == "Names"
    # Another value is another template: one goes, one comes, one is changed.
    cloud.update_stack(StackName=name, UsePreviousTemplate=True, Parameters=given(Names="B,C,D"))
    listed = cloud.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert [each["LogicalResourceId"] for each in listed] == ["QueueB", "QueueC", "QueueD"]
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(283)
def test_code_in_a_loop_is_packed_for_each(run: Run, api: Any, cloud: Any, name: str, tmp_path: Path) -> None:
    for word in ("one", "two"):
        (tmp_path / "services" / word).mkdir(parents=True)
        (tmp_path / "services" / word / "app.py").write_text(
            f"def handler(event, context): return {word!r}\n"
        )
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "FunctionName": f"{name}-${{N}}", "CodeUri": "services/${N}", "Handler": "app.handler", "Runtime": RUNTIME,
        },
    }  # fmt: skip
    template = {
        "Transform": ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"],
        "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": "one"}},
        "Resources": {"Fn::ForEach::Functions": ["N", {"Ref": "Names"}, {"Function${N}": function}]},
    }
    (tmp_path / "template.json").write_text(json.dumps(template))
    command = ("deploy", "template.json", "--stack", name)
    assert run(*command, "--parameter", "Names=one,two")[0] == 0
    for word in ("one", "two"):
        assert json.load(api.invoke(FunctionName=f"{name}-{word}")["Payload"]) == word
    done, out, err = run(*command)  # the parameter keeps the value that the stack has
    assert (done, err) == (0, "")
    assert "unchanged" in out
    assert run("delete", name)[0] == 0


def test_what_a_deployment_brings_is_what_it_says(server: Served) -> None:
    """Many files in one request, each by its digest: one that is another's is refused, and so are those beside it."""
    files = {hashlib.sha256(data).hexdigest(): data for data in (b"one", b"two\n", b"")}
    listed = json.dumps(list(files)).encode()

    def send(method: str, body: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(f"{server.url}/_stoker/artifacts/", body, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    wrong = dict(zip(files, reversed(files.values()), strict=True))
    for body in (bundled(wrong), bundled({"../one": b"one"}), b"no bundle", b'{"a": 5}\n'):
        assert send("PUT", body)[0] == 400
    assert json.loads(send("POST", listed)[1]) == list(files)
    assert send("PUT", bundled(files))[0] == 200
    assert json.loads(send("POST", listed)[1]) == []


@pytest.mark.promise(283)
def test_a_rule_that_does_not_hold_stops_everything(cloud: Any, name: str) -> None:
    held = {"Fn::Contains": [["dev", "test"], {"Ref": "Stage"}]}
    rule = {"Assertions": [{"Assert": held, "AssertDescription": "Stage is dev or test"}]}
    body = json.dumps({
        "Parameters": {"Stage": {"Type": "String", "Default": "prod"}}, "Rules": {"Stages": rule},
        "Resources": {"Q": {"Type": QUEUE}},
    })  # fmt: skip
    assert refused(cloud.create_stack, StackName=name, TemplateBody=body) == "Stage is dev or test"
    assert "does not exist" in refused(cloud.describe_stacks, StackName=name)
    cloud.create_stack(StackName=name, TemplateBody=body, Parameters=given(Stage="test"))
    assert status(cloud, name) == "CREATE_COMPLETE"
    assert refused(
        cloud.update_stack, StackName=name, UsePreviousTemplate=True, Parameters=given(Stage="x")
    ) == ("Stage is dev or test")
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(287)
def test_an_update_that_is_cancelled_goes_back(server: Served, cloud: Any, name: str) -> None:
    def body(count: int, delay: int) -> str:
        each = {"Type": QUEUE, "Properties": {"DelaySeconds": delay}}
        return json.dumps({"Resources": {f"Q{number}": each for number in range(count)}})

    cloud.create_stack(StackName=name, TemplateBody=body(20, 1))
    none = "CancelUpdateStack cannot be called from current stack status"
    assert refused(cloud.cancel_update_stack, StackName=name) == none
    more = {"StackName": name, "TemplateBody": body(200, 2)}
    updating = threading.Thread(target=server.client("cloudformation").update_stack, kwargs=more)
    updating.start()

    def under_way() -> Any:
        events = cloud.describe_stack_events(StackName=name)["StackEvents"]
        made = {each["LogicalResourceId"] for each in events if each["ResourceStatus"] == "CREATE_COMPLETE"}
        fresh = made - {name, *(f"Q{number}" for number in range(20))}
        return status(cloud, name) == "UPDATE_IN_PROGRESS" and fresh

    until(under_way, what="a part of the update")
    cloud.cancel_update_stack(StackName=name)
    until(lambda: status(cloud, name) == "UPDATE_ROLLBACK_COMPLETE", what="the rollback")
    updating.join()
    sqs = server.client("sqs")
    urls = sqs.list_queues(QueueNamePrefix=name, MaxResults=1000)["QueueUrls"]
    assert len(urls) == 20
    for url in urls:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])
        assert attributes["Attributes"] == {"DelaySeconds": "1"}
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(287)
def test_a_protected_stack_stays(run: Run, cloud: Any, name: str) -> None:
    body = json.dumps({"Resources": {"Q": {"Type": QUEUE}}})
    cloud.create_stack(StackName=name, TemplateBody=body, EnableTerminationProtection=True)
    text = f"Stack [{name}] cannot be deleted while TerminationProtection is enabled"
    assert refused(cloud.delete_stack, StackName=name) == text
    done, _, err = run("delete", name)
    assert done
    assert text in err
    assert cloud.describe_stacks(StackName=name)["Stacks"][0]["EnableTerminationProtection"] is True
    cloud.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    assert run("delete", name)[0] == 0


@pytest.mark.promise(287)
def test_a_value_that_is_not_to_be_echoed_is_shown_nowhere(cloud: Any, server: Any, name: str) -> None:
    secret = "s3cret-of-nobody"
    body = json.dumps({
        "Parameters": {"Password": {"Type": "String", "NoEcho": True, "MinLength": 8}},
        "Resources": {"Q": {"Type": QUEUE, "Properties": {"Tags": [{"Key": "p", "Value": {"Ref": "Password"}}]}}},
    })  # fmt: skip
    short = {"TemplateBody": body, "Parameters": given(Password="short")}
    assert refused(cloud.create_stack, StackName=name, **short) == (
        "Parameter 'Password' must contain at least 8 characters"
    )
    members = {"StackName": name, "TemplateBody": body, "Parameters": given(Password=secret)}
    cloud.create_change_set(ChangeSetName="c", ChangeSetType="CREATE", **members)
    shown = [cloud.describe_change_set(ChangeSetName="c", StackName=name)]
    cloud.execute_change_set(ChangeSetName="c", StackName=name)
    assert status(cloud, name) == "CREATE_COMPLETE"
    shown += [
        cloud.describe_stacks(StackName=name), cloud.describe_stack_events(StackName=name),
        cloud.describe_stack_resources(StackName=name), cloud.get_template(StackName=name),
        cloud.get_template_summary(StackName=name), cloud.list_change_sets(StackName=name),
    ]  # fmt: skip
    assert cloud.describe_stacks(StackName=name)["Stacks"][0]["Parameters"] == [
        {"ParameterKey": "Password", "ParameterValue": "****"}
    ]
    assert secret not in json.dumps(shown, default=str)
    url = server.client("sqs").list_queues(QueueNamePrefix=name)["QueueUrls"][0]
    assert server.client("sqs").list_queue_tags(QueueUrl=url)["Tags"]["p"] == secret  # it is what was meant
    cloud.update_stack(
        StackName=name, TemplateBody=body.replace('"p"', '"q"'),
        Parameters=[{"ParameterKey": "Password", "UsePreviousValue": True}],
    )  # fmt: skip
    assert server.client("sqs").list_queue_tags(QueueUrl=url)["Tags"]["q"] == secret
    cloud.delete_stack(StackName=name)


@pytest.mark.promise(287)
def test_a_replacement_is_made_first_and_the_old_one_goes_when_all_is_done(cloud: Any, name: str) -> None:
    def body(word: str, delay: int) -> str:
        other = {"Type": QUEUE, "Properties": {"DelaySeconds": delay}, "DependsOn": "Q"}
        return json.dumps(
            {
                "Resources": {
                    "Q": {"Type": QUEUE, "Properties": {"QueueName": f"{name}-{word}"}},
                    "Other": other,
                }
            }
        )

    cloud.create_stack(StackName=name, TemplateBody=body("old", 1))
    cloud.update_stack(StackName=name, TemplateBody=body("new", 2))
    events = cloud.describe_stack_events(StackName=name)["StackEvents"][::-1]
    begun = max(n for n, each in enumerate(events) if each["ResourceStatus"] == "UPDATE_IN_PROGRESS"
                and each["LogicalResourceId"] == name)  # fmt: skip
    seen = [
        (
            each["LogicalResourceId"].replace(name, "stack"),
            each["ResourceStatus"],
            each["PhysicalResourceId"][-3:],
        )
        for each in events[begun:]
        if each["LogicalResourceId"] != "Other"
    ]
    assert [each[:2] for each in seen] == [
        ("stack", "UPDATE_IN_PROGRESS"), ("Q", "UPDATE_IN_PROGRESS"), ("Q", "UPDATE_IN_PROGRESS"),
        ("Q", "UPDATE_COMPLETE"), ("stack", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), ("Q", "DELETE_IN_PROGRESS"),
        ("Q", "DELETE_COMPLETE"), ("stack", "UPDATE_COMPLETE"),
    ]  # fmt: skip
    assert [each[2] for each in seen if each[0] == "Q"][2:] == ["new", "old", "old"]
    reasons = [
        each.get("ResourceStatusReason") for each in events[begun:] if each["LogicalResourceId"] == "Q"
    ]
    assert (
        reasons[0] == "Requested update requires the creation of a new physical resource; hence creating one."
    )
    others = [each["ResourceStatus"] for each in events[begun:] if each["LogicalResourceId"] == "Other"]
    assert others == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
    cloud.delete_stack(StackName=name)
