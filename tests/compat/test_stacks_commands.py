"""Stacks by `stoker` and by the AWS CLI: templates deployed, compared and deleted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clients import AWS_CLI, needs_aws_cli
from delivered import logged
from served import REGION, RUNTIME, Run, Served
from stacks import TEMPLATES, body, outputs
from support import until


@pytest.fixture
def template(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of the templates, for the Python that runs this."""

    def copied(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(TEMPLATES / name, folder)
        (path,) = folder.glob("template.*")
        path.write_text(path.read_text().replace("python3.11", RUNTIME))
        return path

    return copied


@pytest.mark.promise(169)
def test_a_template_from_its_deployment_to_its_end(
    run: Run, cloud: Any, api: Any, template: Callable[[str], Path], name: str
) -> None:
    path = str(template("hello"))
    done, out, _ = run("diff", path, "--stack", name)
    assert done == 0
    assert "+ AWS::Lambda::Function                HelloWorldFunction" in out
    with pytest.raises(ClientError, match="does not exist"):
        cloud.describe_stacks(StackName=name)
    done, out, err = run("deploy", path, "--stack", name)
    assert (done, err) == (0, "")
    assert f"{name} created" in out
    url = outputs(cloud, name)["HelloWorldUrl"]
    assert json.load(urllib.request.urlopen(url)) == {"message": "hello world"}
    assert run("deploy", path, "--stack", name) == (0, f"{name} unchanged: it is what {path} says\n", "")
    done, out, _ = run("diff", path, "--stack", name, "--parameter", "Greeting=bonjour")
    assert out == "~ AWS::Lambda::Function                HelloWorldFunction  (Environment)\n"
    assert run("deploy", path, "--stack", name, "--parameter", "Greeting=bonjour")[0] == 0
    assert json.load(urllib.request.urlopen(url)) == {"message": "bonjour"}
    # What is saved is live, and what was said before still holds.
    code = Path(path).parent / "hello_world/app.py"
    code.write_text(code.read_text().replace('"message"', '"text"'))
    assert run("deploy", path, "--stack", name)[0] == 0
    assert json.load(urllib.request.urlopen(url)) == {"text": "bonjour"}
    done, out, _ = run("delete", name)
    assert out.endswith(f"{name} deleted\n")
    assert not [each for each in api.list_functions()["Functions"] if each["FunctionName"].startswith(name)]
    assert run("delete", name) == (1, f"{name} is no stack\n", "")


@pytest.mark.promise(169)
def test_a_bus_and_a_queue(
    run: Run, server: Served, cloud: Any, api: Any, template: Callable[[str], Path], name: str
) -> None:
    assert run("deploy", str(template("orders")), "--stack", name)[0] == 0
    found = outputs(cloud, name)
    entry = {"Source": "shop", "DetailType": "placed", "Detail": '{"n": 7}', "EventBusName": found["Bus"]}
    assert server.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    logged(server, f"/aws/lambda/{found['Function']}", 'got {"n": 7}')
    mapping = api.get_event_source_mapping(UUID=found["Mapping"])
    queue = found["Queue"].rpartition("/")[2]
    assert mapping["EventSourceArn"].rpartition(":")[2] == queue
    assert mapping["BatchSize"] == 5
    attributes = server.client("sqs").get_queue_attributes(QueueUrl=found["Queue"], AttributeNames=["All"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "180"
    assert json.loads(attributes["Attributes"]["RedrivePolicy"])["maxReceiveCount"] == 3
    assert run("delete", name)[0] == 0
    buses = server.client("events").list_event_buses()["EventBuses"]
    assert [each["Name"] for each in buses if each["Name"].startswith(name)] == []


@pytest.mark.promise(169)
def test_a_topic_and_conditions(
    run: Run, server: Served, cloud: Any, template: Callable[[str], Path], name: str
) -> None:
    path = str(template("notify"))
    assert run("deploy", path, "--stack", name)[0] == 0
    found = outputs(cloud, name)
    assert "AuditQueue" not in found
    server.client("sns").publish(TopicArn=found["Topic"], Message="ahoy")
    logged(server, f"/aws/lambda/{found['Function']}", "got ahoy")
    exports = {each["Name"]: each["Value"] for each in cloud.list_exports()["Exports"]}
    assert exports[f"{name}-topic"] == found["Topic"]
    done, out, _ = run("deploy", path, "--stack", name, "--parameter", "Stage=prod")
    assert done == 0
    assert "CREATE_COMPLETE  AWS::SQS::Queue                      Audit" in out
    assert outputs(cloud, name)["AuditQueue"].startswith(f"arn:aws:sqs:{REGION}:")
    done, out, _ = run("deploy", path, "--stack", name, "--parameter", "Stage=dev")
    assert "DELETE_COMPLETE  AWS::SQS::Queue                      Audit" in out
    done, _, err = run("deploy", path, "--stack", name, "--parameter", "Stage=test")
    assert done == 2
    assert "Parameter 'Stage' must be one of AllowedValues" in err
    assert run("delete", name)[0] == 0


@pytest.mark.promise(169)
def test_schedules(run: Run, server: Served, cloud: Any, template: Callable[[str], Path], name: str) -> None:
    path = template("nightly")
    assert run("deploy", str(path), "--stack", name)[0] == 0
    found = outputs(cloud, name)
    logged(server, f"/aws/lambda/{found['Function']}", "got it was due")
    scheduler = server.client("scheduler")
    kept = scheduler.get_schedule(Name=found["Schedule"], GroupName=f"{name}-group")
    assert kept["Target"]["Arn"].endswith(found["Function"])
    assert run("delete", name)[0] == 0
    groups = scheduler.list_schedule_groups()["ScheduleGroups"]
    assert [each["Name"] for each in groups if each["Name"].startswith(name)] == []


@pytest.mark.promise(169)
def test_a_layer_versions_and_an_alias(
    run: Run, cloud: Any, api: Any, template: Callable[[str], Path], name: str
) -> None:
    path = str(template("layered"))
    assert run("deploy", path, "--stack", name)[0] == 0

    def said() -> Any:
        alias = outputs(cloud, name)["Alias"]
        return json.load(api.invoke(FunctionName=alias, Payload=b"{}")["Payload"])

    assert said() == "said one"
    assert api.get_function_configuration(FunctionName=f"{name}-speaker")["MemorySize"] == 192
    assert outputs(cloud, name)["Version"] == "1"
    code = Path(path).parent / "src/app.py"  # SAM publishes a version of what has other code
    code.write_text(code.read_text() + "# changed\n")
    assert run("deploy", path, "--stack", name, "--parameter", "Word=two")[0] == 0
    assert said() == "said two"
    assert outputs(cloud, name)["Version"] == "2"
    assert run("delete", name)[0] == 0


def test_what_a_template_names_and_is_not_there(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(
        "Resources:\n  F:\n    Type: AWS::Lambda::Function\n    Properties:\n      Code: nowhere/\n"
    )
    done, _, err = run("deploy", str(path), "--stack", name)
    assert done == 2
    assert err == f"stoker deploy: F: Code is {tmp_path / 'nowhere'}, which is not there\n"
    path.write_text("Resources:\n  Box:\n    Type: AWS::EC2::Instance\n")
    done, _, err = run("deploy", str(path), "--stack", name)
    assert done == 2
    assert "Unrecognized resource types: [AWS::EC2::Instance (Box)]" in err
    path.write_text("Resources: [")
    assert "YAML not well-formed" in run("deploy", str(path), "--stack", name)[2]


@pytest.mark.promise(171)
def test_requirements_are_installed_once(
    run: Run, cloud: Any, api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import zipfile

    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", "WORD = 'installed'\n")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr(
            "thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "src"
    source.mkdir()
    (source / "requirements.txt").write_text(f"# what it needs\n{wheel}\n")
    (source / "app.py").write_text("import thing\n\ndef handler(event, context):\n    return thing.WORD\n")
    role = "arn:aws:iam::000000000000:role/test"
    properties = {"Runtime": RUNTIME, "Handler": "app.handler", "Role": role, "Code": "src"}
    resources = {"F": {"Type": "AWS::Lambda::Function", "Properties": properties}}
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"Resources": resources, "Outputs": {"F": {"Value": {"Ref": "F"}}}}))
    done, out, err = run("deploy", str(path), "--stack", name)
    assert done == 0, err
    assert f"installing {source / 'requirements.txt'}\n" in out
    function = outputs(cloud, name)["F"]
    assert json.load(api.invoke(FunctionName=function, Payload=b"{}")["Payload"]) == "installed"
    wheel.unlink()
    done, out, err = run("deploy", str(path), "--stack", name)
    assert out == f"{name} unchanged: it is what {path} says\n"
    (source / "requirements.txt").write_text("./nothing-of-that-name.whl\n")
    done, _, err = run("deploy", str(path), "--stack", name)
    assert done == 2
    assert "could not be installed" in err


@needs_aws_cli
@pytest.mark.promise(170)
def test_aws_cloudformation_deploy(server: Served, cloud: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "template.json"
    path.write_text(body())

    def deploy(*more: str) -> subprocess.CompletedProcess[str]:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
        command = [
            str(AWS_CLI),
            "cloudformation",
            "deploy",
            "--template-file",
            str(path),
            "--stack-name",
            name,
        ]
        began = time.time()
        until(lambda: int(time.time()) > int(began), what="another second: the CLI names change sets by it")
        return subprocess.run(
            [*command, "--capabilities", "CAPABILITY_IAM", *more], capture_output=True, text=True, check=False,
            env={**os.environ, **keys, "AWS_ENDPOINT_URL": server.url},
        )  # fmt: skip

    done = deploy()
    assert done.returncode == 0, done.stderr
    assert f"Successfully created/updated stack - {name}" in done.stdout
    done = deploy("--no-fail-on-empty-changeset")
    assert done.returncode == 0
    assert "No changes to deploy" in done.stdout
    done = deploy("--parameter-overrides", "Depth=4")
    assert done.returncode == 0, done.stderr
    assert f"Successfully created/updated stack - {name}" in done.stdout
    cloud.delete_stack(StackName=name)
