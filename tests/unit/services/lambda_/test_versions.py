"""Versions and aliases in the control plane: what AWS was recorded to response, member for member and word for word."""

from __future__ import annotations

from typing import Any

import pytest
from control_plane import ARN, CREATING, STALE, Plane, archive, conflict, function, invalid, not_found
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.faults import Fault

FUNCTION = f"{ARN}function:f"
OTHER = archive("def handler(event, context):\n    return 2\n")
LISTED_NOT = {
    "State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode", "RuntimeVersionConfig",
}  # fmt: skip


@pytest.fixture
def plane(plane: Plane) -> Plane:
    plane.create()
    return plane


def got(plane: Plane, qualifier: str = "") -> dict[str, Any]:
    name = f"f:{qualifier}" if qualifier else "f"
    return plane.call("GetFunctionConfiguration", FunctionName=name)


def without(response: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in response.items() if name not in names}


def numbers(plane: Plane) -> list[str]:
    return [each["Version"] for each in plane.call("ListVersionsByFunction", FunctionName="f")["Versions"]]


def two(plane: Plane) -> None:
    """Versions 1 and 2."""
    plane.call("PublishVersion", FunctionName="f")
    plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    plane.call("PublishVersion", FunctionName="f")


def test_publish_is_latest_under_a_number(plane: Plane) -> None:
    before = got(plane)
    response = plane.ask("PublishVersion", FunctionName="f", Description="First version description :)")
    assert without(response, "RevisionId") == without(before, "RevisionId") | {
        "FunctionArn": f"{FUNCTION}:1",
        "Version": "1",
        "Description": "First version description :)",
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }
    plane.settle()
    assert got(plane, "1") == response
    after = got(plane)
    assert without(after, "RevisionId") == without(before, "RevisionId")
    assert len({before["RevisionId"], response["RevisionId"], after["RevisionId"]}) == 3


def test_publish_of_nothing_new_is_the_version_there_was(plane: Plane) -> None:
    first = plane.call("PublishVersion", FunctionName="f", Description="one")
    latest = got(plane)
    assert plane.call("PublishVersion", FunctionName="f", Description="two") == first
    assert got(plane) == latest
    plane.call("UpdateFunctionConfiguration", FunctionName="f", Description="Second version :))")
    second = plane.call("PublishVersion", FunctionName="f")
    assert (second["Version"], second["Description"]) == ("2", "Second version :))")
    assert plane.call("PublishVersion", FunctionName="f", Description="Third version :)))") == second
    plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER)
    assert plane.call("PublishVersion", FunctionName="f")["Version"] == "3"
    assert got(plane, "1") == first


def test_a_number_is_given_once(plane: Plane) -> None:
    two(plane)
    plane.call("DeleteFunction", FunctionName="f", Qualifier="2")
    assert plane.call("PublishVersion", FunctionName="f")["Version"] == "3"
    assert numbers(plane) == ["$LATEST", "1", "3"]


def test_create_with_publish(plane: Plane) -> None:
    response = plane.ask("CreateFunction", **function("g", Publish=True))
    assert (response["FunctionArn"], response["Version"]) == (f"{ARN}function:g", "1")
    assert CREATING.items() <= response.items()
    assert "LastUpdateStatus" not in response
    plane.settle()
    version = plane.call("GetFunctionConfiguration", FunctionName="g", Qualifier="1")
    latest = plane.call("GetFunctionConfiguration", FunctionName="g")
    assert (version["FunctionArn"], version["State"]) == (f"{ARN}function:g:1", "Active")
    assert (version["LastUpdateStatus"], latest["Version"]) == ("Successful", "$LATEST")
    assert len({response["RevisionId"], version["RevisionId"], latest["RevisionId"]}) == 3
    assert plane.call("PublishVersion", FunctionName="g") == version


def test_update_code_with_publish(plane: Plane) -> None:
    response = plane.ask("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER, Publish=True)
    assert (response["FunctionArn"], response["Version"]) == (f"{FUNCTION}:1", "1")
    assert CREATING.items() <= response.items()
    assert "LastUpdateStatus" not in response
    latest = plane.operations["GetFunctionConfiguration"]({"FunctionName": "f", "Qualifier": "$LATEST"})
    assert (latest["State"], latest["LastUpdateStatus"]) == ("Active", "InProgress")
    assert latest["CodeSha256"] == response["CodeSha256"]
    assert latest["RevisionId"] != response["RevisionId"]
    plane.settle()
    assert (got(plane, "1")["State"], got(plane)["LastUpdateStatus"]) == ("Active", "Successful")


def test_publish_has_preconditions(plane: Plane) -> None:
    sha, wrong = got(plane)["CodeSha256"], "somenonexistentsha256"
    assert plane.refused("PublishVersion", FunctionName="f", CodeSha256=wrong) == invalid(
        f"CodeSHA256 ({wrong}) is different from current CodeSHA256 in $LATEST ({sha}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )
    assert plane.refused("PublishVersion", FunctionName="f", RevisionId="wrong") == STALE
    assert plane.refused("PublishVersion", FunctionName="nope") == not_found(
        f"Function not found: {ARN}function:nope"
    )
    assert plane.call("PublishVersion", FunctionName="f", CodeSha256=sha)["Version"] == "1"


def test_snapstart_is_on_in_what_was_published_with_it(plane: Plane) -> None:
    snap_start = {"ApplyOn": "PublishedVersions"}
    response = plane.call("UpdateFunctionConfiguration", FunctionName="f", SnapStart=snap_start)
    assert response["SnapStart"] == {**snap_start, "OptimizationStatus": "Off"}
    response = plane.ask("PublishVersion", FunctionName="f")
    assert response["SnapStart"] == {**snap_start, "OptimizationStatus": "On"}
    assert {name: response[name] for name in CREATING} == CREATING
    plane.settle()
    assert got(plane, "1")["State"] == "Active"
    assert "StateReason" not in got(plane, "1")
    assert plane.ask("PublishVersion", FunctionName="f")["Version"] == "1"


def test_list_versions(plane: Plane) -> None:
    two(plane)
    response = plane.call("ListVersionsByFunction", FunctionName="f")
    assert response.keys() == {"Versions"}
    assert numbers(plane) == ["$LATEST", "1", "2"]
    for each in response["Versions"]:
        assert each["FunctionArn"] == f"{FUNCTION}:{each['Version']}"
        assert each == without(got(plane, each["Version"]), *LISTED_NOT)
    assert plane.refused("ListVersionsByFunction", FunctionName="nope") == not_found(
        f"Function not found: {ARN}function:nope"
    )


def test_versions_are_listed_by_number(plane: Plane) -> None:
    for timeout in range(10, 22):
        plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=timeout)
        plane.call("PublishVersion", FunctionName="f")
    assert numbers(plane) == ["$LATEST", *map(str, range(1, 13))]


def test_alias_lifecycle(plane: Plane) -> None:
    two(plane)
    weights = {"AdditionalVersionWeights": {"2": 0.2}}
    created = plane.call(
        "CreateAlias", FunctionName="f", Name="live", FunctionVersion="1", Description="custom-alias",
        RoutingConfig=weights,
    )  # fmt: skip
    assert created == {
        "AliasArn": f"{FUNCTION}:live",
        "Description": "custom-alias",
        "FunctionVersion": "1",
        "Name": "live",
        "RevisionId": created["RevisionId"],
        "RoutingConfig": weights,
    }
    assert plane.call("GetAlias", FunctionName="f", Name="live") == created
    by_alias = plane.call("GetFunction", FunctionName=f"{FUNCTION}:live")["Configuration"]
    assert by_alias == got(plane, "1") | {"FunctionArn": f"{FUNCTION}:live"}
    updated = plane.call(
        "UpdateAlias", FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {}}
    )
    assert updated == without(created, "RoutingConfig") | {"RevisionId": updated["RevisionId"]}
    assert updated["RevisionId"] != created["RevisionId"]
    again = plane.call("UpdateAlias", FunctionName="f", Name="live")
    assert again == updated | {"RevisionId": again["RevisionId"]}
    assert again["RevisionId"] != updated["RevisionId"]
    assert plane.call("DeleteAlias", FunctionName="f", Name="live") == {}
    assert plane.call("DeleteAlias", FunctionName="f", Name="live") == {}
    assert plane.call("ListAliases", FunctionName="f") == {"Aliases": []}


def test_list_aliases(plane: Plane) -> None:
    two(plane)
    made = {
        name: plane.call("CreateAlias", FunctionName="f", Name=name, FunctionVersion=version)
        for name, version in (("c", "1"), ("a", "1"), ("b", "2"))
    }
    assert plane.call("ListAliases", FunctionName="f") == {"Aliases": [made["a"], made["b"], made["c"]]}
    assert plane.call("ListAliases", FunctionName="f", FunctionVersion="1") == {
        "Aliases": [made["a"], made["c"]]
    }
    first = plane.call("ListAliases", FunctionName="f", MaxItems=2)
    assert first["Aliases"] == [made["a"], made["b"]]
    rest = plane.call("ListAliases", FunctionName="f", MaxItems=2, Marker=first["NextMarker"])
    assert rest == {"Aliases": [made["c"]]}
    assert plane.refused("ListAliases", FunctionName="nope") == not_found(
        f"Function not found: {ARN}function:nope"
    )


@pytest.mark.parametrize(
    ("version", "weights", "refusal"),
    [
        ("1", {"1": 0.8, "2": 0.2}, invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")),
        (
            "1",
            {"1": 0.5},
            invalid("Invalid function version 1. Function version 1 is already included in routing configuration."),
        ),
        ("10", {"2": 0.5}, not_found(f"Function not found: {FUNCTION}:10")),
        ("1", {"10": 0.5}, not_found(f"Function not found: {FUNCTION}:10")),
        ("$LATEST", {"1": 0.5}, invalid("$LATEST is not supported for an alias pointing to more than 1 version")),
        (
            "1",
            {"2": 2.0},
            (
                "ValidationException",
                "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to "
                "satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to "
                "1.0, Member must have value greater than or equal to 0.0, Member must not be null]",
            ),
        ),
        (
            "1",
            {"$LATEST": 0.5},
            (
                "ValidationException",
                "1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed "
                "to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal "
                "to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression "
                "pattern: [0-9]+]",
            ),
        ),
    ],
)  # fmt: skip
def test_routes_that_lead_nowhere(
    plane: Plane, version: str, weights: dict[str, float], refusal: tuple[str, str]
) -> None:
    two(plane)
    routing = {"AdditionalVersionWeights": weights}
    request = {"FunctionName": "f", "Name": "custom", "FunctionVersion": version, "RoutingConfig": routing}
    assert plane.refused("CreateAlias", **request) == refusal
    plane.call("CreateAlias", FunctionName="f", Name="custom", FunctionVersion="$LATEST")
    assert plane.refused("UpdateAlias", **request) == refusal


def test_latest_in_two_versions_is_a_fault_without_a_type(plane: Plane) -> None:
    two(plane)
    routing = {"AdditionalVersionWeights": {"1": 0.5}}
    request = {"FunctionName": "f", "Name": "a", "FunctionVersion": "$LATEST", "RoutingConfig": routing}
    with pytest.raises(Fault) as caught:
        plane.ask("CreateAlias", **request)
    assert caught.value.members == {}


def test_aliases_that_are_and_are_not_there(plane: Plane) -> None:
    two(plane)
    routing = {"AdditionalVersionWeights": {"2": 0.5}}
    request = {"Name": "custom", "FunctionVersion": "1", "RoutingConfig": routing}
    assert plane.refused("CreateAlias", FunctionName="f-unknown", **request) == not_found(
        f"Function not found: {FUNCTION}-unknown:1"
    )
    plane.call("CreateAlias", FunctionName="f", **request)
    assert plane.refused("CreateAlias", FunctionName="f", **request) == conflict(
        f"Alias already exists: {FUNCTION}:custom"
    )
    missing = {"FunctionName": "f", "Name": "non-existent"}
    assert plane.refused("GetAlias", **missing) == not_found(
        f"Cannot find alias arn: {FUNCTION}:non-existent"
    )
    assert plane.refused("UpdateAlias", **missing) == not_found(f"Alias not found: {FUNCTION}:non-existent")
    assert plane.refused("GetAlias", FunctionName="nope", Name="noalias") == not_found(
        f"Cannot find alias arn: {ARN}function:nope:noalias"
    )
    assert plane.refused("UpdateAlias", FunctionName="f", Name="custom", RevisionId="wrong") == STALE
    code, _ = plane.refused("CreateAlias", FunctionName="f", Name="2024", FunctionVersion="1")
    assert code == "ValidationException"
    assert (
        plane.call("CreateAlias", FunctionName="f", Name="2024-01-02", FunctionVersion="1")["Name"]
        == "2024-01-02"
    )


CHANGES = st.sampled_from(["publish", "timeout", "code", "description", "delete"])


@given(steps=st.lists(CHANGES, max_size=12))
def test_numbers_only_grow_and_versions_never_change(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    plane = Plane(tmp_path_factory.mktemp("versions"))
    plane.create()
    known: dict[str, dict[str, Any]] = {}
    highest = 0
    for n, step in enumerate(steps):
        if step == "publish":
            response = plane.call("PublishVersion", FunctionName="f")
            number = int(response["Version"])
            assert number == highest + 1 or known[str(number)] == response
            highest = max(highest, number)
            known[str(number)] = response
        elif step == "timeout":
            plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=10 + n)
        elif step == "code":
            plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=archive(f"N = {n}\n"))
        elif step == "description":
            plane.call("UpdateFunctionConfiguration", FunctionName="f", Description=f"{n}")
        elif known:
            oldest = min(known, key=int)
            plane.call("DeleteFunction", FunctionName="f", Qualifier=oldest)
            del known[oldest]
        for version, response in known.items():
            assert got(plane, version) == response
    assert numbers(plane) == ["$LATEST", *sorted(known, key=int)]
    plane.close()
