"""Recursion and runtime management in the control plane."""

from __future__ import annotations

import pytest
from control_plane import ARN, Plane, not_found

FUNCTION = f"{ARN}function:f"
RUNTIME_VERSION = f"arn:aws:lambda:eu-west-1::runtime:{'0' * 64}"
NO_FUNCTION = not_found(f"Function not found: {ARN}function:doesnotexist")


@pytest.fixture
def plane(plane: Plane) -> Plane:
    """f and its version 1."""
    plane.create(Publish=True)
    return plane


def test_recursion(plane: Plane) -> None:
    get, put = "GetFunctionRecursionConfig", "PutFunctionRecursionConfig"
    assert plane.call(get, FunctionName="f") == {"RecursiveLoop": "Terminate"}
    assert plane.call(put, FunctionName="f", RecursiveLoop="Allow") == {"RecursiveLoop": "Allow"}
    assert plane.call(get, FunctionName=FUNCTION) == {"RecursiveLoop": "Allow"}
    assert plane.refused(put, FunctionName="f", RecursiveLoop="InvalidValue") == (
        "ValidationException",
        "1 validation error detected: Value 'InvalidValue' at 'recursiveLoop' failed to satisfy constraint: "
        "Member must satisfy enum value set: [Terminate, Allow]",
    )
    assert plane.refused(get, FunctionName="doesnotexist") == NO_FUNCTION
    assert plane.refused(put, FunctionName="doesnotexist", RecursiveLoop="Allow") == NO_FUNCTION
    plane.close()
    again = Plane(plane.folder)
    assert again.call(get, FunctionName="f") == {"RecursiveLoop": "Allow"}
    again.call("DeleteFunction", FunctionName="f")
    again.create()
    assert again.call(get, FunctionName="f") == {"RecursiveLoop": "Terminate"}
    again.close()


def test_runtime_management(plane: Plane) -> None:
    get, put = "GetRuntimeManagementConfig", "PutRuntimeManagementConfig"
    latest = {"UpdateRuntimeOn": "Auto", "FunctionArn": FUNCTION}
    assert plane.call(get, FunctionName="f") == latest
    updated = plane.call(put, FunctionName="f", UpdateRuntimeOn="FunctionUpdate")
    assert updated == {"UpdateRuntimeOn": "FunctionUpdate", "FunctionArn": FUNCTION}
    assert plane.call(get, FunctionName="f") == updated
    version = {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{FUNCTION}:1"}
    assert plane.call(get, FunctionName="f", Qualifier="1") == version
    pinned = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": RUNTIME_VERSION}
    response = plane.call(put, FunctionName="f", Qualifier="1", **pinned)
    assert response == {**pinned, "FunctionArn": f"{FUNCTION}:1"}
    assert plane.call(get, FunctionName="f", Qualifier="1") == response
    assert plane.call(get, FunctionName="f") == updated
    plane.call(put, FunctionName="f", Qualifier="1", UpdateRuntimeOn="Auto")
    assert plane.call(get, FunctionName="f", Qualifier="1") == version


def test_runtime_management_refuses(plane: Plane) -> None:
    get, put = "GetRuntimeManagementConfig", "PutRuntimeManagementConfig"
    for more in (
        {"UpdateRuntimeOn": "Manual"},
        {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": RUNTIME_VERSION},
    ):
        code, _ = plane.refused(put, FunctionName="f", **more)
        assert code == "InvalidParameterValueException"
    assert plane.refused(get, FunctionName="doesnotexist") == NO_FUNCTION
    absent = not_found(f"Function not found: {FUNCTION}:9")
    assert plane.refused(put, FunctionName="f", Qualifier="9", UpdateRuntimeOn="Auto") == absent
    assert plane.call(get, FunctionName="f")["UpdateRuntimeOn"] == "Auto"
