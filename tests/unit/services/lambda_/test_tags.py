"""Tags and the account in the control plane: what AWS was recorded to response."""

from __future__ import annotations

import pytest
from control_plane import ARN, Plane, archive, function, invalid, not_found

FUNCTION = f"{ARN}function:f"
FIFTY = {f"{n}_key": f"{n}_value" for n in range(50)}
TOO_MANY = invalid("Number of tags exceeds resource tag limit.")
SIGNER = "arn:aws:signer:eu-west-1:111111111111"


@pytest.fixture
def plane(plane: Plane) -> Plane:
    plane.create()
    return plane


def tags(plane: Plane) -> dict[str, str]:
    response = plane.call("ListTags", Resource=FUNCTION)
    assert response.keys() == {"Tags"}
    found: dict[str, str] = response["Tags"]
    assert plane.call("GetFunction", FunctionName="f").get("Tags", {}) == found
    return found


def test_lifecycle(plane: Plane) -> None:
    assert tags(plane) == {}
    assert plane.call("TagResource", Resource=FUNCTION, Tags={"A": "tag-a"}) == {}
    plane.call("TagResource", Resource=FUNCTION, Tags={"B": "tag-b", "C": "tag-c"})
    assert tags(plane) == {"A": "tag-a", "B": "tag-b", "C": "tag-c"}
    plane.call("TagResource", Resource=FUNCTION, Tags={"C": "tag-c-newsuffix", "D": "tag-d"})
    assert plane.call("UntagResource", Resource=FUNCTION, TagKeys=["A"]) == {}
    assert tags(plane) == {"B": "tag-b", "C": "tag-c-newsuffix", "D": "tag-d"}
    plane.call("UntagResource", Resource=FUNCTION, TagKeys=["F"])
    plane.call("UntagResource", Resource=FUNCTION, TagKeys=["B", "C", "D", "X"])
    assert tags(plane) == {}
    assert "Tags" not in plane.call("GetFunction", FunctionName="f")


def test_tags_of_any_script(plane: Plane) -> None:
    any_script = {"Größe": "groß genug", "名前": "さくら: a/b=c+d-e@f_1"}
    plane.call("TagResource", Resource=FUNCTION, Tags=any_script)
    assert tags(plane) == any_script


def test_a_function_with_other_tags_has_another_revision(plane: Plane) -> None:
    def revision() -> str:
        found: str = plane.call("GetFunctionConfiguration", FunctionName="f")["RevisionId"]
        return found

    seen = [revision()]
    plane.call("TagResource", Resource=FUNCTION, Tags={"a": "b"})
    seen.append(revision())
    plane.call("UntagResource", Resource=FUNCTION, TagKeys=["a"])
    seen.append(revision())
    assert len(set(seen)) == 3


def test_fifty_at_most(plane: Plane) -> None:
    more = {**FIFTY, "51_key": "51_value"}
    assert plane.refused("TagResource", Resource=FUNCTION, Tags=more) == TOO_MANY
    plane.call("TagResource", Resource=FUNCTION, Tags=FIFTY)
    assert tags(plane) == FIFTY
    assert plane.refused("TagResource", Resource=FUNCTION, Tags={"51_key": "51_value"}) == TOO_MANY
    plane.call("TagResource", Resource=FUNCTION, Tags={"0_key": "changed"})
    assert plane.refused("CreateFunction", **function("g", Tags=more)) == TOO_MANY


def test_resources_that_are_not_there(plane: Plane) -> None:
    mapping = f"{ARN}event-source-mapping:00000000-0000-4000-8000-000000000000"
    provider = f"{ARN}capacity-provider:nope"
    connector = f"{ARN}network-connector:nope"
    missing = {
        f"{ARN}function:nope": f"Function not found: {ARN}function:nope",
        mapping: f"Event source mapping not found: {mapping}",
        provider: f"Capacity provider not found: {provider}",
        connector: f"Network connector not found: {connector}",
    }
    for arn, message in missing.items():
        assert plane.refused("TagResource", Resource=arn, Tags={"A": "B"}) == not_found(message)
        assert plane.refused("UntagResource", Resource=arn, TagKeys=["A"]) == not_found(message)
        assert plane.refused("ListTags", Resource=arn) == not_found(message)
    signing = f"{ARN}code-signing-config:csc-0123456789abcdefg"
    assert plane.refused("ListTags", Resource=signing)[0].endswith("NotFoundException")


def test_resources_of_another_place(plane: Plane) -> None:
    created = plane.call(
        "CreateCodeSigningConfig",
        AllowedPublishers={"SigningProfileVersionArns": [f"{SIGNER}:/signing-profiles/p/a"]},
    )
    ours = created["CodeSigningConfig"]["CodeSigningConfigArn"]
    plane.call("TagResource", Resource=ours, Tags={"A": "B"})
    assert plane.call("ListTags", Resource=ours) == {"Tags": {"A": "B"}}
    theirs = ours.replace("eu-west-1", "us-east-1")
    assert plane.refused("ListTags", Resource=theirs)[0] == "ResourceNotFoundException"


def test_what_cannot_be_tagged(plane: Plane) -> None:
    assert plane.refused("ListTags", Resource=f"{FUNCTION}:v1") == invalid(
        "Tags on function aliases and versions are not supported. Please specify a function ARN."
    )
    assert plane.refused("TagResource", Resource=FUNCTION, Tags={}) == invalid(
        "An error occurred and the request cannot be processed."
    )
    assert (
        plane.refused("TagResource", Resource="arn:aws:something", Tags={"a": "b"})[0]
        == "ValidationException"
    )


def test_account_settings(plane: Plane) -> None:
    size = len(archive())
    response = plane.call("GetAccountSettings")
    assert response == {
        "AccountLimit": {
            "TotalCodeSize": 322_122_547_200,
            "CodeSizeUnzipped": 262_144_000,
            "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": 1000,
            "UnreservedConcurrentExecutions": 1000,
        },
        "AccountUsage": {"TotalCodeSize": size, "FunctionCount": 1},
    }
    with plane.state.change() as change:
        change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": 100})
    assert plane.call("GetAccountSettings")["AccountLimit"]["UnreservedConcurrentExecutions"] == 900


def test_every_version_and_every_layer_counts(plane: Plane) -> None:
    size = len(archive())

    def used() -> int:
        total: int = plane.call("GetAccountSettings")["AccountUsage"]["TotalCodeSize"]
        return total

    plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=archive(), Publish=True)
    assert used() == 2 * size
    plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    assert used() == 2 * size
    plane.call("PublishVersion", FunctionName="f")
    assert used() == 3 * size
    for number in (4, 5):
        plane.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": archive()})
        assert used() == number * size
    plane.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    plane.call("DeleteFunction", FunctionName="f")
    assert used() == size
