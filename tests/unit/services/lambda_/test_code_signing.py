"""Code signing configurations in the control plane: what AWS was recorded to response."""

from __future__ import annotations

import re
from typing import Any

import pytest
from control_plane import ARN, Plane, function, not_found

from engine.aws.faults import Fault

PROFILE = "arn:aws:signer:eu-west-1:111111111111:/signing-profiles/test"
PUBLISHERS = {"SigningProfileVersionArns": [PROFILE]}
ABSENT = f"{ARN}code-signing-config:csc-{'x' * 17}"
NO_CONFIG = not_found(f"The Lambda code signing configuration {ABSENT} can not be found.")
NO_CONFIG_TO_USE = (
    "CodeSigningConfigNotFoundException",
    "The code signing configuration cannot be found. "
    f"Check that the provided configuration is not deleted: {ABSENT}.",
)
NO_FUNCTION = not_found(f"Function not found: {ARN}function:doesnotexist")


@pytest.fixture
def plane(plane: Plane) -> Plane:
    plane.create()
    return plane


def create(plane: Plane, **request: Any) -> dict[str, Any]:
    response = plane.call("CreateCodeSigningConfig", **{"AllowedPublishers": PUBLISHERS, **request})
    assert response.keys() == {"CodeSigningConfig"}
    config: dict[str, Any] = response["CodeSigningConfig"]
    return config


def test_lifecycle(plane: Plane) -> None:
    enforce = {"UntrustedArtifactOnDeployment": "Enforce"}
    config = create(plane, Description="Testing CodeSigning Config", CodeSigningPolicies=enforce)
    arn = config["CodeSigningConfigArn"]
    assert re.fullmatch(r"csc-[a-z0-9]{17}", config["CodeSigningConfigId"])
    assert config == {
        "AllowedPublishers": PUBLISHERS,
        "CodeSigningConfigArn": f"{ARN}code-signing-config:{config['CodeSigningConfigId']}",
        "CodeSigningConfigId": config["CodeSigningConfigId"],
        "CodeSigningPolicies": enforce,
        "Description": "Testing CodeSigning Config",
        "LastModified": config["LastModified"],
    }
    named = {"CodeSigningConfigArn": arn}
    plane.clock += 5
    warn = {"UntrustedArtifactOnDeployment": "Warn"}
    updated = plane.call("UpdateCodeSigningConfig", **named, CodeSigningPolicies=warn)["CodeSigningConfig"]
    assert updated["LastModified"] > config["LastModified"]
    assert updated == {**config, "CodeSigningPolicies": warn, "LastModified": updated["LastModified"]}
    got = plane.call("GetCodeSigningConfig", **named)["CodeSigningConfig"]
    assert got == updated
    assert plane.call("ListCodeSigningConfigs") == {"CodeSigningConfigs": [got]}
    of_function = {**named, "FunctionName": "f"}
    assert plane.call("PutFunctionCodeSigningConfig", **of_function) == of_function
    assert plane.call("GetFunctionCodeSigningConfig", FunctionName="f") == of_function
    users = plane.call("ListFunctionsByCodeSigningConfig", **named)
    assert users == {"FunctionArns": [f"{ARN}function:f"]}
    assert plane.refused("DeleteCodeSigningConfig", **named)[0] == "ResourceConflictException"
    assert plane.call("DeleteFunctionCodeSigningConfig", FunctionName="f") == {}
    assert plane.call("DeleteCodeSigningConfig", **named) == {}
    assert plane.call("ListCodeSigningConfigs") == {"CodeSigningConfigs": []}


def test_the_least_that_can_be_said(plane: Plane) -> None:
    config = create(plane)
    assert config["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert "Description" not in config
    named = {"CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    assert plane.call("UpdateCodeSigningConfig", **named) == {"CodeSigningConfig": config}
    assert plane.call("GetFunctionCodeSigningConfig", FunctionName="f") == {}
    assert plane.call("DeleteFunctionCodeSigningConfig", FunctionName="f") == {}
    assert plane.call("ListFunctionsByCodeSigningConfig", **named) == {"FunctionArns": []}


def test_not_found(plane: Plane) -> None:
    absent = {"CodeSigningConfigArn": ABSENT}
    for operation in (
        "GetCodeSigningConfig",
        "UpdateCodeSigningConfig",
        "DeleteCodeSigningConfig",
        "ListFunctionsByCodeSigningConfig",
    ):
        assert plane.refused(operation, **absent) == NO_CONFIG
        with pytest.raises(Fault) as caught:
            plane.operations[operation](absent)
        assert caught.value.members == {}  # AWS names no Type here
    put = "PutFunctionCodeSigningConfig"
    assert plane.refused(put, **absent, FunctionName="f") == NO_CONFIG_TO_USE
    assert plane.refused(put, **absent, FunctionName="doesnotexist") == NO_CONFIG_TO_USE
    named = {"CodeSigningConfigArn": create(plane)["CodeSigningConfigArn"]}
    assert plane.refused(put, **named, FunctionName="doesnotexist") == NO_FUNCTION
    for operation in ("GetFunctionCodeSigningConfig", "DeleteFunctionCodeSigningConfig"):
        assert plane.refused(operation, FunctionName="doesnotexist") == NO_FUNCTION


def test_pages(plane: Plane) -> None:
    made = {create(plane)["CodeSigningConfigArn"] for _ in range(5)}
    seen: list[str] = []
    more: dict[str, Any] = {}
    while True:
        page = plane.call("ListCodeSigningConfigs", MaxItems=2, **more)
        seen += [each["CodeSigningConfigArn"] for each in page["CodeSigningConfigs"]]
        if "NextMarker" not in page:
            break
        more = {"Marker": page["NextMarker"]}
    assert len(seen) == 5 and set(seen) == made


def test_a_function_made_with_one_lets_it_go_when_deleted(plane: Plane) -> None:
    arn = create(plane, Tags={"a": "b"})["CodeSigningConfigArn"]
    assert plane.call("ListTags", Resource=arn) == {"Tags": {"a": "b"}}
    plane.call("CreateFunction", **function("g", CodeSigningConfigArn=arn))
    users = plane.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn)
    assert users == {"FunctionArns": [f"{ARN}function:g"]}
    plane.call("DeleteFunction", FunctionName="g")
    plane.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
    assert plane.state.get("tags", arn) is None
