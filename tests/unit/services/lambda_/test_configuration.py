"""What a function is configured with: checked, completed and changed in AWS's words."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from control_plane import DONE, PASSING, UPDATING, Plane, function, invalid, settled

from engine.aws.faults import Fault
from engine.services.lambda_ import catalog

AWS_RUNTIMES = (
    "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, "
    "python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, "
    "java11, dotnet6, nodejs18.x, provided.al2, java8.al2] or be a valid ARN"
)


@pytest.mark.parametrize("operation", ["CreateFunction", "UpdateFunctionConfiguration"])
def test_runtimes_that_cannot_be_had(plane: Plane, operation: str) -> None:
    if operation == "UpdateFunctionConfiguration":
        plane.create()

    def refused(runtime: str) -> tuple[str, str | None]:
        request = (
            function(Runtime=runtime)
            if operation == "CreateFunction"
            else {"FunctionName": "f", "Runtime": runtime}
        )
        return plane.refused(operation, **request)

    for gone in (
        "dotnetcore3.1",
        "go1.x",
        "java8",
        "nodejs12.x",
        "nodejs14.x",
        "provided",
        "python3.7",
        "ruby2.7",
    ):
        assert refused(gone) == invalid(
            f"The runtime parameter of {gone} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )


@pytest.mark.parametrize("runtime", ["non-existent-runtime", "PYTHON3.9"])
def test_a_runtime_that_nobody_knows_is_no_matter_of_the_model(plane: Plane, runtime: str) -> None:
    with pytest.raises(Fault) as caught:
        plane.operations["CreateFunction"](function(Runtime=runtime))
    assert (caught.value.code, caught.value.message) == invalid(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: {AWS_RUNTIMES}"
    )


@pytest.mark.parametrize(
    "more",
    [
        {"PackageType": "Image", "Code": {"ImageUri": "x.dkr.ecr.eu-west-1.amazonaws.com/y:z"}},
        {"DurableConfig": {"ExecutionTimeout": 60}},
        {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}},
        {"PublishTo": "LATEST_PUBLISHED"},
        {"Code": {"S3Bucket": "code", "S3Key": "f.zip", "S3ObjectStorageMode": "REFERENCE"}},
    ],
)
def test_what_is_not_offered_is_refused_by_name(plane: Plane, more: dict[str, Any]) -> None:
    code, message = plane.refused("CreateFunction", **function(**more))
    assert code == "InvalidParameterValueException"
    assert message


def test_the_environment_has_four_kilobytes(plane: Plane) -> None:
    fits = {"LARGE_VAR": "x" * (4096 - 7 - len("LARGE_VAR"))}
    assert plane.create(Environment={"Variables": fits})["Environment"] == {"Variables": fits}
    for variables in ({"LARGE_VAR": fits["LARGE_VAR"] + "x"}, {"SMALL_VAR": "ok", "LARGE_VAR": "x" * 4064}):
        assert plane.refused(
            "CreateFunction", **function("g", Environment={"Variables": variables})
        ) == invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {msgspec.json.encode(variables).decode()}"
        )


def test_reserved_variables(plane: Plane) -> None:
    environment = {"Variables": {"AWS_REGION": "x", "MINE": "y", "LAMBDA_TASK_ROOT": "z"}}
    assert plane.refused("CreateFunction", **function(Environment=environment)) == invalid(
        "Lambda was unable to configure your environment variables because the environment variables you have "
        "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
        "this request: AWS_REGION, LAMBDA_TASK_ROOT"
    )


def test_update_configuration(plane: Plane) -> None:
    created = plane.create(MemorySize=256, Environment={"Variables": {}})
    plane.clock += 1.25
    response = plane.ask(
        "UpdateFunctionConfiguration", FunctionName="f", Description="Changed-Description", Timeout=10,
        MemorySize=512, Environment={"Variables": {"ENV_A": "a"}},
    )  # fmt: skip
    assert settled(response) == settled(created) | {
        "Description": "Changed-Description",
        "Timeout": 10,
        "MemorySize": 512,
        "Environment": {"Variables": {"ENV_A": "a"}},
        "LastModified": "2025-11-24T16:00:01.250+0000",
    }
    assert {name: response[name] for name in response.keys() & PASSING} == UPDATING
    plane.settle()
    got = plane.call("GetFunctionConfiguration", FunctionName="f")
    assert {name: got[name] for name in got.keys() & PASSING} == DONE
    assert len({created["RevisionId"], response["RevisionId"], got["RevisionId"]}) == 3


def test_a_change_that_changes_nothing_is_a_change(plane: Plane) -> None:
    plane.create(Description="same")
    before = plane.call("GetFunctionConfiguration", FunctionName="f")
    response = plane.call("UpdateFunctionConfiguration", FunctionName="f", Description="same")
    assert settled(response) == settled(before)
    assert response["LastUpdateStatus"] == "InProgress"
    assert response["RevisionId"] != before["RevisionId"]


def test_logging_configuration(plane: Plane) -> None:
    plane.create()
    group = "/aws/lambda/f"

    def updated(**changes: Any) -> dict[str, Any]:
        response = plane.call("UpdateFunctionConfiguration", FunctionName="f", LoggingConfig=changes)
        config: dict[str, Any] = response["LoggingConfig"]
        return config

    info = {"LogFormat": "JSON", "LogGroup": group, "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
    assert updated(LogFormat="JSON") == info
    assert updated(ApplicationLogLevel="DEBUG") == info | {"ApplicationLogLevel": "DEBUG"}
    assert updated(LogFormat="Text") == {"LogFormat": "Text", "LogGroup": group}
    assert updated(LogFormat="JSON", SystemLogLevel="DEBUG") == info | {"SystemLogLevel": "DEBUG"}
    assert updated(LogGroup="cool_lambda") == info | {"SystemLogLevel": "DEBUG", "LogGroup": "cool_lambda"}
    code, _ = plane.refused(
        "CreateFunction", **function("g", LoggingConfig={"LogFormat": "Text", "ApplicationLogLevel": "INFO"})
    )
    assert code == "InvalidParameterValueException"


def test_vpc(plane: Plane) -> None:
    network = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    vpc = plane.create(VpcConfig=network)["VpcConfig"]
    assert vpc == {**network, "VpcId": "", "Ipv6AllowedForDualStack": False}  # which only EC2 could tell
    none: dict[str, Any] = {"SubnetIds": [], "SecurityGroupIds": []}
    response = plane.call("UpdateFunctionConfiguration", FunctionName="f", VpcConfig=none)
    assert response["VpcConfig"] == {**none, "VpcId": "", "Ipv6AllowedForDualStack": False}
    half = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": []}
    assert plane.refused("CreateFunction", **function("g", VpcConfig=half)) == invalid(
        "SubnetIds and SecurityIds must coexist or be both empty list."
    )


def test_what_is_given_is_answered_and_empty_takes_it_away(plane: Plane) -> None:
    queue, key = "arn:aws:sqs:eu-west-1:111111111111:dead", "arn:aws:kms:eu-west-1:111111111111:key/k"
    response = plane.create(
        DeadLetterConfig={"TargetArn": queue}, KMSKeyArn=key, TracingConfig={"Mode": "Active"},
        Architectures=["arm64"], EphemeralStorage={"Size": 1024}, Description="d",
    )  # fmt: skip
    assert response["DeadLetterConfig"] == {"TargetArn": queue}
    assert (response["KMSKeyArn"], response["TracingConfig"]) == (key, {"Mode": "Active"})
    assert (response["Architectures"], response["EphemeralStorage"]) == (["arm64"], {"Size": 1024})
    response = plane.call(
        "UpdateFunctionConfiguration", FunctionName="f", DeadLetterConfig={"TargetArn": ""}, KMSKeyArn="",
        FileSystemConfigs=[],
    )  # fmt: skip
    assert not response.keys() & {"DeadLetterConfig", "KMSKeyArn", "FileSystemConfigs"}
    assert response["Architectures"] == ["arm64"]


def test_a_file_system_is_reached_through_a_vpc(plane: Plane) -> None:
    arn = "arn:aws:elasticfilesystem:eu-west-1:111111111111:access-point/fsap-0123456789abcdef0"
    mounts: dict[str, Any] = {"FileSystemConfigs": [{"Arn": arn, "LocalMountPath": "/mnt/data"}]}
    refusal = invalid(f"Function must be configured to execute in a VPC to reference access point {arn}")
    assert plane.refused("CreateFunction", **function(**mounts)) == refusal
    within: dict[str, Any] = {"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}
    assert plane.create(**mounts, **within)["FileSystemConfigs"] == mounts["FileSystemConfigs"]
    without: dict[str, Any] = {"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}}
    assert plane.refused("UpdateFunctionConfiguration", FunctionName="f", **without) == refusal
    response = plane.call("UpdateFunctionConfiguration", FunctionName="f", FileSystemConfigs=[], **without)
    assert "FileSystemConfigs" not in response


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"Timeout": 901}, "Timeout"),
        ({"MemorySize": 10_241}, "MemorySize"),
        ({"EphemeralStorage": {"Size": 10_241}}, ""),
    ],
)
def test_what_only_newer_kinds_of_functions_may_have(plane: Plane, more: dict[str, Any], what: str) -> None:
    code, message = plane.refused("CreateFunction", **function(**more))
    assert code == "InvalidParameterValueException"
    assert what in str(message)


def test_a_role_of_another_account(plane: Plane) -> None:
    refusal = ("AccessDeniedException", "Cross-account pass role is not allowed.")
    foreign = "arn:aws:iam::999999999999:role/lambda-role"
    assert plane.refused("CreateFunction", **function("g", Role=foreign)) == refusal
    plane.create()
    assert plane.refused("UpdateFunctionConfiguration", FunctionName="f", Role=foreign) == refusal


@pytest.mark.promise(192)
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("arn:aws:sqs:us-east-1:111111111111:q", "is not in the function's region, eu-west-1"),
        ("arn:aws:sns:us-east-1:111111111111:t", "is not in the function's region, eu-west-1"),
        ("arn:aws:sqs:us-east-1:000000000000:", "is none: name an SQS queue or an SNS topic by its ARN"),
        (
            "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "is none: name an SQS queue or an SNS topic by its ARN",
        ),
        ("arn:aws:sqs:us-east-1:12:q", "is none: name an SQS queue or an SNS topic by its ARN"),
    ],
)
def test_dead_letter_targets_that_are_none(plane: Plane, target: str, message: str) -> None:
    refusal = ("InvalidParameterValueException", f"The dead-letter target {target} {message}")
    assert plane.refused("CreateFunction", **function("g", DeadLetterConfig={"TargetArn": target})) == refusal


@pytest.mark.promise(188)
@pytest.mark.parametrize("runtime", ["nodejs22.x", "java21", "provided.al2023", "python3.8"])
def test_a_runtime_that_is_not_run_here_is_kept_and_warned_of(plane: Plane, runtime: str) -> None:
    warned: list[str] = []
    plane.control = dataclasses.replace(plane.control, warn=warned.append)
    plane.operations, plane.settle = catalog.assemble(plane.control)
    assert plane.create(Runtime=runtime)["Runtime"] == runtime
    assert plane.call("GetFunctionConfiguration", FunctionName="f")["Runtime"] == runtime
    assert warned[-1].startswith(
        f"f has the runtime {runtime}: it can be created and read back, but not invoked"
    )
