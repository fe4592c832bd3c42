"""Reserved and provisioned concurrency in the control plane: what AWS was recorded to response."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from control_plane import ARN, Plane, conflict, invalid, not_found

from engine.aws.faults import Fault
from engine.services.lambda_.concurrency import Concurrency

FUNCTION = f"{ARN}function:f"
TOO_MUCH_RESERVED = invalid(
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
    "minimum value of [100]."
)
TOO_MUCH_PROVISIONED = invalid(
    "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum "
    "value of [100]."
)
MORE_THAN_RESERVED = invalid(
    "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
)
NOT_A_FUNCTION = invalid(
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)
NO_CONFIG = (
    "ProvisionedConcurrencyConfigNotFoundException",
    "No Provisioned Concurrency Config found for this function",
)


@pytest.fixture
def plane(plane: Plane) -> Plane:
    """f, its version 1, the alias live of it, and g."""
    plane.create(Publish=True)
    plane.create("g", Publish=True)
    plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    return plane


def reserve(plane: Plane, count: int, name: str = "f") -> None:
    response = plane.call("PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=count)
    assert response == {"ReservedConcurrentExecutions": count}


def provision(qualifier: str, count: int, name: str = "f") -> dict[str, Any]:
    return {"FunctionName": name, "Qualifier": qualifier, "ProvisionedConcurrentExecutions": count}


def without_type(plane: Plane, operation: str, **request: Any) -> tuple[str, str | None]:
    """A refusal in which AWS names no Type."""
    with pytest.raises(Fault) as caught:
        plane.operations[operation](request)
    assert caught.value.members == {}
    return plane.refused(operation, **request)


def test_reserved(plane: Plane) -> None:
    get = "GetFunctionConcurrency"
    assert plane.call(get, FunctionName="f") == {}
    for count in (0, 1, 900):
        reserve(plane, count)
        assert plane.call(get, FunctionName="f") == {"ReservedConcurrentExecutions": count}
        whole = plane.call("GetFunction", FunctionName="f")
        assert whole["Concurrency"] == {"ReservedConcurrentExecutions": count}
        limits = plane.call("GetAccountSettings")["AccountLimit"]
        assert limits["UnreservedConcurrentExecutions"] == 1000 - count
    assert plane.call("DeleteFunctionConcurrency", FunctionName="f") == {}
    assert plane.call(get, FunctionName="f") == {}
    assert plane.call("DeleteFunctionConcurrency", FunctionName="f") == {}


def test_a_hundred_stay_unreserved(plane: Plane) -> None:
    put = "PutFunctionConcurrency"
    for count in (901, 1000, 1001):
        request = {"FunctionName": "f", "ReservedConcurrentExecutions": count}
        assert without_type(plane, put, **request) == TOO_MUCH_RESERVED
    reserve(plane, 500)
    request = {"FunctionName": "g", "ReservedConcurrentExecutions": 401}
    assert without_type(plane, put, **request) == TOO_MUCH_RESERVED
    reserve(plane, 400, "g")
    reserve(plane, 0, "g")
    reserve(plane, 900)
    assert plane.refused(put, FunctionName="g", ReservedConcurrentExecutions=1) == TOO_MUCH_RESERVED
    plane.call("DeleteFunction", FunctionName="f")
    reserve(plane, 900, "g")


def test_reserved_refuses(plane: Plane) -> None:
    put = "PutFunctionConcurrency"
    for count in (0, 1):
        missing = plane.refused(put, FunctionName="doesnotexist", ReservedConcurrentExecutions=count)
        assert missing == not_found(f"Function not found: {ARN}function:doesnotexist:$LATEST")
    for qualifier in ("$LATEST", "1", "live"):
        named = {"FunctionName": f"{FUNCTION}:{qualifier}"}
        assert plane.refused(put, **named, ReservedConcurrentExecutions=0) == NOT_A_FUNCTION
        assert plane.refused("DeleteFunctionConcurrency", **named) == NOT_A_FUNCTION
    missing = plane.refused("GetFunctionConcurrency", FunctionName="doesnotexist")
    assert missing == not_found(f"Function not found: {ARN}function:doesnotexist")


def test_provisioned_lifecycle(plane: Plane) -> None:
    put, get = "PutProvisionedConcurrencyConfig", "GetProvisionedConcurrencyConfig"
    version = {"FunctionName": "f", "Qualifier": "1"}
    alias = {"FunctionName": "f", "Qualifier": "live"}
    started = dict(plane.ask(put, **provision("1", 2)))
    assert started.pop("LastModified").endswith("+0000")
    assert started == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    assert plane.ask(get, **version)["Status"] == "IN_PROGRESS"
    plane.settle()
    ready = dict(plane.call(get, **version))
    assert ready.pop("LastModified").endswith("+0000")
    assert ready == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AllocatedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 2,
        "Status": "READY",
    }
    assert plane.refused(put, **provision("live", 1)) == conflict(
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    )
    assert plane.call("DeleteProvisionedConcurrencyConfig", **version) == {}
    assert plane.refused(get, **version) == NO_CONFIG
    plane.call(put, **provision("live", 1))
    assert plane.refused(put, **provision("1", 1)) == conflict(
        "Version is pointed by a Provisioned Concurrency alias"
    )
    listed = plane.call("ListProvisionedConcurrencyConfigs", FunctionName="f")
    whole = {"FunctionArn": f"{FUNCTION}:live", **plane.call(get, **alias)}
    assert listed == {"ProvisionedConcurrencyConfigs": [whole]}
    plane.call("DeleteAlias", FunctionName="f", Name="live")
    assert plane.refused(get, **alias) == not_found(f"Cannot find alias arn: {FUNCTION}:live")
    listed = plane.call("ListProvisionedConcurrencyConfigs", FunctionName="f")
    assert listed == {"ProvisionedConcurrencyConfigs": []}


@pytest.mark.parametrize(
    "operation", ["GetProvisionedConcurrencyConfig", "ListProvisionedConcurrencyConfigs"]
)
def test_it_is_ready_as_soon_as_its_workers_are_there(plane: Plane, operation: str) -> None:
    there = 1
    counted = Concurrency(replace(plane.control, warmed=lambda name, qualifier: there))
    version = {"FunctionName": "f", "Qualifier": "1"}

    def status() -> str:
        response = counted.operations()[operation](
            version if operation.startswith("Get") else {"FunctionName": "f"}
        )
        return str(response.get("ProvisionedConcurrencyConfigs", [response])[0]["Status"])

    counted.put_provisioned_concurrency_config(provision("1", 2))
    assert status() == "IN_PROGRESS"
    there = 2
    assert status() == "READY"


def test_provisioned_of_what_cannot_be_initialised(plane: Plane) -> None:
    counted = Concurrency(replace(plane.control, warmed=lambda name, qualifier: None))
    counted.put_provisioned_concurrency_config(provision("1", 2))
    response = counted.get_provisioned_concurrency_config({"FunctionName": "f", "Qualifier": "1"})
    del response["LastModified"]
    assert response == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0,
        "Status": "FAILED",
        "StatusReason": "FUNCTION_ERROR_INIT_FAILURE",
    }


def test_listing_in_pages(plane: Plane) -> None:
    plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    plane.call("PublishVersion", FunctionName="f")
    for qualifier in ("1", "2"):
        plane.call("PutProvisionedConcurrencyConfig", **provision(qualifier, 1))
    operation = "ListProvisionedConcurrencyConfigs"
    first = plane.call(operation, FunctionName="f", MaxItems=1)
    second = plane.call(operation, FunctionName="f", MaxItems=1, Marker=first["NextMarker"])
    assert "NextMarker" not in second
    both = first["ProvisionedConcurrencyConfigs"] + second["ProvisionedConcurrencyConfigs"]
    assert [each["FunctionArn"] for each in both] == [f"{FUNCTION}:1", f"{FUNCTION}:2"]


@pytest.mark.parametrize(
    ("name", "qualifier", "missing"),
    [
        ("doesnotexist", "noalias", f"Cannot find alias arn: {ARN}function:doesnotexist:noalias"),
        ("doesnotexist", "1", f"Function not found: {ARN}function:doesnotexist:1"),
        ("f", "noalias", f"Cannot find alias arn: {FUNCTION}:noalias"),
        ("f", "10", f"Function not found: {FUNCTION}:10"),
    ],
)
def test_provisioned_of_nothing(plane: Plane, name: str, qualifier: str, missing: str) -> None:
    named = {"FunctionName": name, "Qualifier": qualifier}
    assert plane.refused("GetProvisionedConcurrencyConfig", **named) == not_found(missing)
    assert plane.refused("DeleteProvisionedConcurrencyConfig", **named) == not_found(missing)
    put = plane.refused("PutProvisionedConcurrencyConfig", **named, ProvisionedConcurrentExecutions=1)
    assert put == not_found(missing)


def test_provisioned_refuses(plane: Plane) -> None:
    latest = {"FunctionName": "f", "Qualifier": "$LATEST"}
    unpublished = invalid("The function resource provided must be an alias or a published version.")
    assert plane.refused("GetProvisionedConcurrencyConfig", **latest) == unpublished
    assert plane.refused("DeleteProvisionedConcurrencyConfig", **latest) == unpublished
    assert plane.refused("PutProvisionedConcurrencyConfig", **provision("$LATEST", 1)) == invalid(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )
    assert plane.refused("PutProvisionedConcurrencyConfig", **provision("1", 0)) == (
        "ValidationException",
        "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1",
    )
    version = {"FunctionName": "f", "Qualifier": "1"}
    assert plane.refused("GetProvisionedConcurrencyConfig", **version) == NO_CONFIG
    assert plane.call("DeleteProvisionedConcurrencyConfig", **version) == {}
    assert plane.refused("ListProvisionedConcurrencyConfigs", FunctionName="doesnotexist") == not_found(
        f"Function not found: {ARN}function:doesnotexist"
    )


def test_provisioned_within_reserved(plane: Plane) -> None:
    put = "PutProvisionedConcurrencyConfig"
    plane.call(put, **provision("1", 2))
    too_low = {"FunctionName": "f", "ReservedConcurrentExecutions": 1}
    assert without_type(plane, "PutFunctionConcurrency", **too_low) == invalid(
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    )
    reserve(plane, 2)
    plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    plane.call("PublishVersion", FunctionName="f")
    assert plane.refused(put, **provision("2", 1)) == MORE_THAN_RESERVED
    assert plane.refused(put, **provision("1", 3)) == MORE_THAN_RESERVED
    plane.call(put, **provision("1", 1))
    plane.call(put, **provision("2", 1))


def test_provisioned_within_the_account(plane: Plane) -> None:
    put = "PutProvisionedConcurrencyConfig"
    greater = (
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{}]."
    )
    assert without_type(plane, put, **provision("1", 1001)) == invalid(greater.format(1000))
    assert without_type(plane, put, **provision("1", 1000)) == TOO_MUCH_PROVISIONED
    assert without_type(plane, put, **provision("1", 901)) == TOO_MUCH_PROVISIONED
    reserve(plane, 300, "g")
    assert without_type(plane, put, **provision("1", 701)) == invalid(greater.format(700))
    plane.call(put, **provision("1", 600))
    plane.call("DeleteFunctionConcurrency", FunctionName="g")
    # What f has provisioned is taken from what g may have.
    assert plane.refused(put, **provision("1", 301, "g")) == TOO_MUCH_PROVISIONED
    plane.call(put, **provision("1", 300, "g"))


def test_what_was_pending_when_the_server_ended_is_ready_after(plane: Plane) -> None:
    reserve(plane, 5)
    plane.ask("PutProvisionedConcurrencyConfig", **provision("live", 5))
    plane.close()
    again = Plane(plane.folder)
    assert again.call("GetFunctionConcurrency", FunctionName="f") == {"ReservedConcurrentExecutions": 5}
    got = again.call("GetProvisionedConcurrencyConfig", FunctionName="f", Qualifier="live")
    assert (got["Status"], got["AvailableProvisionedConcurrentExecutions"]) == ("READY", 5)
    again.call("DeleteFunction", FunctionName="f")
    again.create(Publish=True)
    assert again.call("GetFunctionConcurrency", FunctionName="f") == {}
    listed = again.call("ListProvisionedConcurrencyConfigs", FunctionName="f")
    assert listed == {"ProvisionedConcurrencyConfigs": []}
    again.close()


def test_available_is_what_is_warm(plane: Plane) -> None:
    warm = {("f", "1"): 3}
    operations = Concurrency(
        replace(plane.control, warmed=lambda name, qualifier: warm[name, qualifier])
    ).operations()
    plane.call("PutProvisionedConcurrencyConfig", **provision("1", 4))
    version = {"FunctionName": "f", "Qualifier": "1"}
    got = operations["GetProvisionedConcurrencyConfig"](version)
    assert got["AvailableProvisionedConcurrentExecutions"] == 3
    warm["f", "1"] = 9
    got = operations["GetProvisionedConcurrencyConfig"](version)
    assert (
        got["AvailableProvisionedConcurrentExecutions"]
        == got["AllocatedProvisionedConcurrentExecutions"]
        == 4
    )
