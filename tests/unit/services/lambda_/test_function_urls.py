"""Function URLs in the control plane: what AWS was recorded to response, member for member and word for word."""

from __future__ import annotations

import re
from typing import Any

import pytest
from control_plane import ARN, Plane, conflict, invalid, not_found

FUNCTION = f"{ARN}function:f"
NO_FUNCTION = not_found("Function does not exist")
NO_URL = not_found("The resource you requested does not exist.")
MISMATCH = invalid("The derived qualifier from the function name does not match the specified qualifier.")
CREATED = {"FunctionUrl", "FunctionArn", "AuthType", "CreationTime"}


@pytest.fixture
def plane(plane: Plane) -> Plane:
    """f, its version 1, and the alias live of it."""
    plane.create(Publish=True)
    plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    return plane


def create(plane: Plane, **request: Any) -> dict[str, Any]:
    return plane.call("CreateFunctionUrlConfig", **{"FunctionName": "f", "AuthType": "NONE", **request})


def test_lifecycle(plane: Plane) -> None:
    created = create(plane)
    assert created.keys() == CREATED
    assert (created["FunctionArn"], created["AuthType"]) == (FUNCTION, "NONE")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", created["CreationTime"])
    assert re.fullmatch(r"http://.*/[a-z0-9]{32}/", created["FunctionUrl"])
    got = plane.call("GetFunctionUrlConfig", FunctionName="f")
    assert got == {**created, "LastModifiedTime": created["CreationTime"], "InvokeMode": "BUFFERED"}
    again = plane.refused("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    assert again == conflict(
        f"Failed to create function url config for [functionArn = {FUNCTION}]. "
        "Error message:  FunctionUrlConfig exists for this Lambda function"
    )
    plane.clock += 60
    updated = plane.call("UpdateFunctionUrlConfig", FunctionName="f", AuthType="AWS_IAM")
    assert updated.keys() == CREATED | {"LastModifiedTime"}
    assert updated["AuthType"] == "AWS_IAM"
    assert updated["LastModifiedTime"] > updated["CreationTime"] == created["CreationTime"]
    assert updated["FunctionUrl"] == created["FunctionUrl"]
    assert plane.call("DeleteFunctionUrlConfig", FunctionName="f") == {}
    assert plane.refused("GetFunctionUrlConfig", FunctionName="f") == NO_URL
    assert create(plane)["FunctionUrl"] != created["FunctionUrl"]


def test_the_mode_once_it_was_asked_for(plane: Plane) -> None:
    created = create(plane, InvokeMode="BUFFERED")
    assert created.keys() == CREATED | {"InvokeMode"}
    changed = plane.call("UpdateFunctionUrlConfig", FunctionName="f", InvokeMode="RESPONSE_STREAM")
    assert changed["InvokeMode"] == "RESPONSE_STREAM"
    # An update without it keeps it.
    assert plane.call("UpdateFunctionUrlConfig", FunctionName="f")["InvokeMode"] == "RESPONSE_STREAM"
    assert plane.call("GetFunctionUrlConfig", FunctionName="f")["InvokeMode"] == "RESPONSE_STREAM"
    unknown = plane.refused("UpdateFunctionUrlConfig", FunctionName="f", InvokeMode="UNKNOWN")
    assert unknown == (
        "ValidationException",
        "1 validation error detected: Value 'UNKNOWN' at 'invokeMode' failed to satisfy constraint: "
        "Member must satisfy enum value set: [RESPONSE_STREAM, BUFFERED]",
    )


def test_cors_is_kept_replaced_and_cleared(plane: Plane) -> None:
    cors = {"AllowOrigins": ["https://example.com"], "AllowMethods": ["GET", "POST"], "MaxAge": 300}
    assert create(plane, Cors=cors)["Cors"] == cors
    other = {"AllowCredentials": True, "AllowHeaders": ["x-a"], "ExposeHeaders": ["x-b"]}
    assert plane.call("UpdateFunctionUrlConfig", FunctionName="f", Cors=other)["Cors"] == other
    assert plane.call("UpdateFunctionUrlConfig", FunctionName="f", AuthType="NONE")["Cors"] == other
    assert "Cors" not in plane.call("UpdateFunctionUrlConfig", FunctionName="f", Cors={})
    assert "Cors" not in plane.call("GetFunctionUrlConfig", FunctionName="f")


def test_an_alias_has_a_url_of_its_own(plane: Plane) -> None:
    create(plane)
    alias = create(plane, FunctionName="f:live", Qualifier="live")
    assert alias["FunctionArn"] == f"{FUNCTION}:live"
    plane.call("DeleteFunctionUrlConfig", FunctionName="f")
    assert plane.refused("GetFunctionUrlConfig", FunctionName="f") == NO_URL
    got = plane.call("GetFunctionUrlConfig", FunctionName="f", Qualifier="live")
    assert got["FunctionUrl"] == alias["FunctionUrl"]


def test_list_and_pages(plane: Plane) -> None:
    assert plane.refused("ListFunctionUrlConfigs", FunctionName="doesnotexist") == NO_FUNCTION
    assert plane.call("ListFunctionUrlConfigs", FunctionName="f") == {"FunctionUrlConfigs": []}
    create(plane)
    create(plane, Qualifier="live")
    both = plane.call("ListFunctionUrlConfigs", FunctionName="f")
    assert both == {
        "FunctionUrlConfigs": [
            plane.call("GetFunctionUrlConfig", FunctionName="f"),
            plane.call("GetFunctionUrlConfig", FunctionName="f:live"),
        ]
    }
    first = plane.call("ListFunctionUrlConfigs", FunctionName="f", MaxItems=1)
    second = plane.call("ListFunctionUrlConfigs", FunctionName="f", MaxItems=1, Marker=first["NextMarker"])
    assert "NextMarker" not in second
    assert first["FunctionUrlConfigs"] + second["FunctionUrlConfigs"] == both["FunctionUrlConfigs"]


@pytest.mark.parametrize(
    ("operation", "missing"),
    [
        ("CreateFunctionUrlConfig", NO_FUNCTION),
        ("UpdateFunctionUrlConfig", NO_FUNCTION),
        ("GetFunctionUrlConfig", NO_URL),
        ("DeleteFunctionUrlConfig", NO_URL),
    ],
)
def test_refusals(plane: Plane, operation: str, missing: tuple[str, str]) -> None:
    more = {"AuthType": "NONE"} if operation == "CreateFunctionUrlConfig" else {}
    assert plane.refused(operation, FunctionName="doesnotexist", **more) == missing
    assert plane.refused(operation, FunctionName=f"{ARN}function:doesnotexist", **more) == missing
    assert plane.refused(operation, FunctionName="f", Qualifier="v1", **more) == missing
    mismatch = plane.refused(operation, FunctionName="f:live-doesnotmatch", Qualifier="live", **more)
    assert mismatch == MISMATCH
    for qualifier in ("1", "2", "$LATEST"):
        assert plane.refused(operation, FunctionName="f", Qualifier=qualifier, **more) == (
            "ValidationException",
            f"1 validation error detected: Value '{qualifier}' at 'qualifier' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)",
        )
    if operation != "CreateFunctionUrlConfig":
        assert plane.refused(operation, FunctionName="f") == NO_URL


def test_another_region(plane: Plane) -> None:
    elsewhere = FUNCTION.replace("eu-west-1", "us-east-2")
    assert plane.refused("GetFunctionUrlConfig", FunctionName=elsewhere) == not_found(
        "Functions from 'us-east-2' are not reachable in this region ('eu-west-1')"
    )


def test_a_url_survives_and_goes_with_what_it_is_of(plane: Plane) -> None:
    of_function, of_alias = create(plane), create(plane, Qualifier="live")
    ids = {each["FunctionUrl"].rstrip("/").rsplit("/", 1)[1] for each in (of_function, of_alias)}
    assert set(plane.state.owners("url-id")) == ids
    plane.close()
    again = Plane(plane.folder)
    assert again.call("GetFunctionUrlConfig", FunctionName="f")["FunctionUrl"] == of_function["FunctionUrl"]
    again.call("DeleteAlias", FunctionName="f", Name="live")
    assert again.refused("GetFunctionUrlConfig", FunctionName="f", Qualifier="live") == NO_URL
    again.call("DeleteFunction", FunctionName="f")
    assert again.refused("GetFunctionUrlConfig", FunctionName="f") == NO_URL
    assert again.state.owners("url-id") == []
    again.close()
