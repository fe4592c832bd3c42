"""Asynchronous configuration in the control plane: what AWS was recorded to response."""

from __future__ import annotations

from typing import Any

import pytest
from control_plane import ARN, Plane, invalid, not_found
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUNCTION = f"{ARN}function:f"
QUEUE = "arn:aws:sqs:eu-west-1:111111111111:q"
NOWHERE: dict[str, Any] = {"OnSuccess": {}, "OnFailure": {}}
NO_FUNCTION = not_found("The function doesn't exist.")
MISMATCH = invalid("The derived qualifier from the function name does not match the specified qualifier.")


def missing(arn: str) -> tuple[str, str]:
    return not_found(f"The function {arn} doesn't have an EventInvokeConfig")


@pytest.fixture
def plane(plane: Plane) -> Plane:
    """f, its version 1, the alias live of it, and g."""
    plane.create(Publish=True)
    plane.create("g")
    plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    return plane


def put(plane: Plane, **request: Any) -> dict[str, Any]:
    return plane.call("PutFunctionEventInvokeConfig", **{"FunctionName": "f", **request})


def expected(plane: Plane, qualifier: str = "$LATEST", **more: Any) -> dict[str, Any]:
    return {
        "FunctionArn": f"{FUNCTION}:{qualifier}",
        "LastModified": plane.clock,
        "DestinationConfig": NOWHERE,
        **more,
    }


def test_put_replaces_and_update_merges(plane: Plane) -> None:
    assert put(plane, MaximumRetryAttempts=0) == expected(plane, MaximumRetryAttempts=0)
    plane.clock += 1.5
    assert put(plane, MaximumEventAgeInSeconds=60) == expected(plane, MaximumEventAgeInSeconds=60)
    update = "UpdateFunctionEventInvokeConfig"
    both = expected(plane, MaximumEventAgeInSeconds=60, MaximumRetryAttempts=1)
    assert plane.call(update, FunctionName="f", MaximumRetryAttempts=1) == both
    assert plane.call("GetFunctionEventInvokeConfig", FunctionName="f") == both
    assert plane.call("GetFunctionEventInvokeConfig", FunctionName="f", Qualifier="$LATEST") == both
    listed = plane.call("ListFunctionEventInvokeConfigs", FunctionName="f")
    assert listed == {"FunctionEventInvokeConfigs": [both]}
    to_queue = {"OnFailure": {"Destination": QUEUE}}
    after = plane.call(update, FunctionName="f", DestinationConfig=to_queue)
    assert after == {**both, "DestinationConfig": {"OnSuccess": {}, **to_queue}}


def test_each_qualifier_has_its_own(plane: Plane) -> None:
    put(plane, MaximumRetryAttempts=0)
    get = "GetFunctionEventInvokeConfig"
    assert plane.refused(get, FunctionName="f", Qualifier="1") == missing(f"{FUNCTION}:1")
    version = put(plane, Qualifier="1", MaximumEventAgeInSeconds=120)
    assert version == expected(plane, "1", MaximumEventAgeInSeconds=120)
    for request in (
        {"Qualifier": "live"},
        {"FunctionName": "f:live"},
        {"FunctionName": f"{FUNCTION}:live"},
        {"FunctionName": f"{FUNCTION}:live", "Qualifier": "live"},
    ):
        assert put(plane, **request, MaximumRetryAttempts=1) == expected(
            plane, "live", MaximumRetryAttempts=1
        )
    whole = plane.call("ListFunctionEventInvokeConfigs", FunctionName="f")["FunctionEventInvokeConfigs"]
    assert [each["FunctionArn"].rsplit(":", 1)[1] for each in whole] == ["$LATEST", "1", "live"]
    pages: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = plane.call("ListFunctionEventInvokeConfigs", FunctionName="f", MaxItems=1, **more)
        pages += page["FunctionEventInvokeConfigs"]
        if "NextMarker" not in page:
            break
        more = {"Marker": page["NextMarker"]}
    assert pages == whole
    delete = "DeleteFunctionEventInvokeConfig"
    assert plane.call(delete, FunctionName="f") == {}
    assert plane.call(delete, FunctionName="f", Qualifier="1") == {}
    assert plane.call(delete, FunctionName="f:live") == {}
    assert plane.call("ListFunctionEventInvokeConfigs", FunctionName="f") == {
        "FunctionEventInvokeConfigs": []
    }
    assert plane.refused(delete, FunctionName="f") == missing(f"{FUNCTION}:$LATEST")


@pytest.mark.parametrize(
    ("destinations", "stored"),
    [
        (
            {"OnSuccess": {"Destination": f"{ARN}function:g"}},
            {"OnSuccess": {"Destination": f"{ARN}function:g"}},
        ),
        ({"OnFailure": {"Destination": QUEUE}}, {"OnFailure": {"Destination": QUEUE}}),
        (
            {"OnFailure": {"Destination": "arn:aws:s3:::bucket"}},
            {"OnFailure": {"Destination": "arn:aws:s3:::bucket"}},
        ),
        ({"OnSuccess": {}}, {}),
        ({"OnFailure": {}}, {}),
        ({"OnFailure": {"Destination": ""}}, {}),
        ({}, {}),
    ],
)
def test_destinations(plane: Plane, destinations: dict[str, Any], stored: dict[str, Any]) -> None:
    assert put(plane, DestinationConfig=destinations) == expected(
        plane, DestinationConfig={**NOWHERE, **stored}
    )


IAM = FUNCTION.replace(":lambda:", ":iam:")


@pytest.mark.parametrize(
    ("destinations", "message"),
    [
        (
            {"OnSuccess": {"Destination": f"{ARN}function:doesnotexist"}},
            f"The destination ARN {ARN}function:doesnotexist is invalid.",
        ),
        (
            {"OnSuccess": {"Destination": FUNCTION}},
            "You can't specify the function as a destination for itself.",
        ),
        (
            {"OnFailure": {"Destination": f"{FUNCTION}:live"}},
            "You can't specify the function as a destination for itself.",
        ),
        (
            {"OnSuccess": {"Destination": IAM}},
            "The provided destination config "
            f"DestinationConfig(onSuccess=OnSuccess(destination={IAM}), onFailure=null) is invalid.",
        ),
        (
            {"OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": IAM}},
            f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={QUEUE}), "
            f"onFailure=OnFailure(destination={IAM})) is invalid.",
        ),
        (
            {"OnFailure": {"Destination": QUEUE.replace("eu-west-1", "us-east-1")}},
            f"The destination ARN {QUEUE.replace('eu-west-1', 'us-east-1')} is invalid.",
        ),
        (
            {"OnSuccess": {"Destination": "arn:aws:s3:::bucket"}, "OnFailure": {}},
            "The provided destination config "
            "DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:s3:::bucket), onFailure=null) is invalid.",
        ),
    ],
)
def test_destinations_refused(plane: Plane, destinations: dict[str, Any], message: str) -> None:
    request = {"FunctionName": "f", "DestinationConfig": destinations}
    assert plane.refused("PutFunctionEventInvokeConfig", **request) == invalid(message)
    put(plane, MaximumRetryAttempts=1)
    assert plane.refused("UpdateFunctionEventInvokeConfig", **request) == invalid(message)


def test_a_destination_that_is_no_arn(plane: Plane) -> None:
    arn = FUNCTION.replace(":lambda:", ":_-/!lambda:")
    request = {"FunctionName": "f", "DestinationConfig": {"OnFailure": {"Destination": arn}}}
    assert plane.refused("PutFunctionEventInvokeConfig", **request) == (
        "ValidationException",
        f"1 validation error detected: Value '{arn}' at 'destinationConfig.onFailure.destination' failed to satisfy "
        r"constraint: Member must satisfy regular expression pattern: $|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))"
        r"|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?"
        r":(\d{12})?:(.*)",
    )


def test_refusals(plane: Plane) -> None:
    put_, update, get, delete = (
        f"{verb}FunctionEventInvokeConfig" for verb in ("Put", "Update", "Get", "Delete")
    )
    for name in ("doesnotexist", f"{ARN}function:doesnotexist"):
        assert plane.refused(put_, FunctionName=name, MaximumRetryAttempts=1) == NO_FUNCTION
    assert plane.refused(put_, FunctionName="doesnotexist") == invalid(
        "You must specify at least one of error handling or destination setting."
    )
    assert plane.refused(put_, FunctionName="f", Qualifier="absent", MaximumRetryAttempts=1) == NO_FUNCTION
    assert plane.refused(update, FunctionName="doesnotexist", MaximumRetryAttempts=0) == NO_FUNCTION
    assert plane.refused("ListFunctionEventInvokeConfigs", FunctionName="doesnotexist") == NO_FUNCTION
    nowhere = missing(f"{ARN}function:doesnotexist:$LATEST")
    assert plane.refused(get, FunctionName="doesnotexist") == nowhere
    assert plane.refused(delete, FunctionName="doesnotexist") == nowhere
    assert plane.refused(get, FunctionName="f", Qualifier="absent") == missing(f"{FUNCTION}:absent")
    live = {"FunctionName": f"{FUNCTION}:live"}
    assert plane.refused(get, **live) == missing(f"{FUNCTION}:live")
    assert plane.refused(update, **live, MaximumRetryAttempts=0) == missing(f"{FUNCTION}:live")
    assert plane.refused(update, FunctionName=FUNCTION, MaximumRetryAttempts=0) == missing(
        f"{FUNCTION}:$LATEST"
    )
    for name, qualifier in (("f:live", "other"), ("f:1", "$LATEST"), ("f:$LATEST", "1"), ("f:1", "live")):
        request = {"FunctionName": name, "Qualifier": qualifier}
        assert plane.refused(put_, **request, MaximumRetryAttempts=1) == MISMATCH


def test_it_survives_and_goes_with_what_it_is_of(plane: Plane) -> None:
    put(plane, MaximumRetryAttempts=0)
    put(plane, Qualifier="live", MaximumRetryAttempts=1)
    plane.close()
    again = Plane(plane.folder)
    listed = again.call("ListFunctionEventInvokeConfigs", FunctionName="f")["FunctionEventInvokeConfigs"]
    assert [each["MaximumRetryAttempts"] for each in listed] == [0, 1]
    again.call("DeleteAlias", FunctionName="f", Name="live")
    again.call("DeleteFunction", FunctionName="f")
    again.create(Publish=True)
    assert again.call("ListFunctionEventInvokeConfigs", FunctionName="f") == {
        "FunctionEventInvokeConfigs": []
    }
    again.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.none() | st.integers(0, 2),
            st.none() | st.integers(60, 21_600),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_sequence(plane: Plane, steps: list[tuple[bool, int | None, int | None]]) -> None:
    """A put forgets what was there; an update keeps what it does not name."""
    model: dict[str, Any] = {}
    put(plane, MaximumRetryAttempts=2)
    model = {"MaximumRetryAttempts": 2}
    for replace, attempts, age in steps:
        members = {"MaximumRetryAttempts": attempts, "MaximumEventAgeInSeconds": age}
        members = {name: value for name, value in members.items() if value is not None}
        operation = f"{'Put' if replace else 'Update'}FunctionEventInvokeConfig"
        if not members:
            assert plane.refused(operation, FunctionName="f")[0] == "InvalidParameterValueException"
            continue
        model = members if replace else {**model, **members}
        assert plane.call(operation, FunctionName="f", **members) == expected(plane, **model)
        assert plane.call("GetFunctionEventInvokeConfig", FunctionName="f") == expected(plane, **model)
