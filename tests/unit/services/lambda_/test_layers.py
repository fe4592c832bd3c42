"""Layers in the control plane: what AWS was recorded to response, member for member and word for word."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from control_plane import ACCOUNT, ARN, REGION, Plane, archive, function, invalid, not_found
from support import until

from engine import limits

CODE = archive("VALUE = 1\n", "python/shared.py")
LAYER = f"{ARN}layer:"
GONE = not_found("The resource you requested does not exist.")


def publish(plane: Plane, name: str = "shared", code: bytes = CODE, **more: Any) -> dict[str, Any]:
    return plane.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": code}, **more)


def test_publish_answers_every_member_that_aws_does(plane: Plane) -> None:
    response = publish(
        plane,
        CompatibleRuntimes=["python3.12"],
        CompatibleArchitectures=["x86_64"],
        Description="d",
        LicenseInfo="MIT",
    )
    digest = hashlib.sha256(CODE)
    assert response == {
        "CompatibleArchitectures": ["x86_64"],
        "CompatibleRuntimes": ["python3.12"],
        "Content": {
            "CodeSha256": base64.b64encode(digest.digest()).decode(),
            "CodeSize": len(CODE),
            "Location": f"http://127.0.0.1:9001/2018-10-31/layers/shared/code-archive/{digest.hexdigest()}",
        },
        "CreatedDate": "2025-11-24T16:00:00.000+0000",
        "Description": "d",
        "LayerArn": f"{LAYER}shared",
        "LayerVersionArn": f"{LAYER}shared:1",
        "LicenseInfo": "MIT",
        "Version": 1,
    }
    assert plane.call("GetLayerVersion", LayerName="shared", VersionNumber=1) == response
    assert plane.call("GetLayerVersion", LayerName=f"{LAYER}shared", VersionNumber=1) == response
    assert plane.call("GetLayerVersionByArn", Arn=f"{LAYER}shared:1") == response


def test_what_was_not_said_is_not_answered_and_empty_is_empty(plane: Plane) -> None:
    bare = publish(plane)
    assert bare.keys() == {"Content", "CreatedDate", "Description", "LayerArn", "LayerVersionArn", "Version"}
    assert bare["Description"] == ""
    empty = publish(plane, "empty", CompatibleRuntimes=[], CompatibleArchitectures=[])
    assert (empty["CompatibleRuntimes"], empty["CompatibleArchitectures"]) == ([], [])


def test_lists(plane: Plane) -> None:
    one = publish(plane, CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["x86_64"])
    two = publish(plane, CompatibleRuntimes=["python3.11"], CompatibleArchitectures=["x86_64"])
    publish(plane, "another")

    def listed(response: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in response.items() if name not in ("Content", "LayerArn")}

    assert plane.call("ListLayerVersions", LayerName="shared") == {
        "LayerVersions": [listed(two), listed(one)]
    }
    matching = plane.call("ListLayerVersions", LayerName="shared", CompatibleRuntime="python3.12")
    assert matching == {"LayerVersions": [listed(one)]}
    assert plane.call("ListLayerVersions", LayerName="nope") == {"LayerVersions": []}
    assert [each["LayerName"] for each in plane.call("ListLayers")["Layers"]] == ["another", "shared"]
    found = plane.call("ListLayers", CompatibleRuntime="python3.12", CompatibleArchitecture="x86_64")
    matching = {"LayerName": "shared", "LayerArn": f"{LAYER}shared", "LatestMatchingVersion": listed(one)}
    assert found == {"Layers": [matching]}
    assert plane.call("ListLayers", CompatibleArchitecture="arm64") == {"Layers": []}
    first = plane.call("ListLayers", MaxItems=1)
    second = plane.call("ListLayers", MaxItems=1, Marker=first["NextMarker"])
    assert [each["LayerName"] for each in first["Layers"] + second["Layers"]] == ["another", "shared"]
    assert "NextMarker" not in second


def test_a_number_is_given_once(plane: Plane) -> None:
    publish(plane)
    publish(plane)
    for number in (1, 2, 2, 9):
        assert plane.call("DeleteLayerVersion", LayerName="shared", VersionNumber=number) == {}
    assert plane.call("DeleteLayerVersion", LayerName="nope", VersionNumber=1) == {}
    assert plane.call("ListLayerVersions", LayerName="shared") == {"LayerVersions": []}
    assert plane.call("ListLayers") == {"Layers": []}
    assert publish(plane)["Version"] == 3


def test_layers_that_are_not_there(plane: Plane) -> None:
    publish(plane)
    few = invalid("Layer Version Cannot be less than 1")
    for number in (0, -1):
        assert plane.refused("GetLayerVersion", LayerName="shared", VersionNumber=number) == few
        assert plane.refused("DeleteLayerVersion", LayerName="shared", VersionNumber=number) == few
    assert plane.refused("GetLayerVersion", LayerName="nope", VersionNumber=1) == GONE
    assert plane.refused("GetLayerVersion", LayerName="shared", VersionNumber=2) == GONE
    assert plane.refused("GetLayerVersionByArn", Arn=f"{LAYER}shared:2") == GONE


def test_a_layer_of_another_place_is_none_of_ours(plane: Plane) -> None:
    publish(plane)
    ours = f"{LAYER}shared"
    assert plane.call("GetLayerVersion", LayerName=ours, VersionNumber=1)["LayerArn"] == ours
    for theirs in (ours.replace(REGION, "us-east-1"), ours.replace("111111111111", "222222222222")):
        assert plane.refused("GetLayerVersionByArn", Arn=f"{theirs}:1") == GONE
        assert plane.refused("GetLayerVersion", LayerName=theirs, VersionNumber=1) == GONE
        assert plane.refused("ListLayerVersions", LayerName=theirs) == GONE
        assert plane.refused("DeleteLayerVersion", LayerName=theirs, VersionNumber=1) == GONE
        content = {"ZipFile": archive()}
        assert plane.refused("PublishLayerVersion", LayerName=theirs, Content=content) == GONE
    assert plane.refused("GetLayerVersionByArn", Arn="arn:aws:lambda:::awslayer:Any") == GONE


def test_a_function_with_layers(plane: Plane) -> None:
    publish(plane)
    other = archive("VALUE = 2\n", "python/other.py")
    publish(plane, "other", other)
    arns = [f"{LAYER}shared:1", f"{LAYER}other:1"]
    response = plane.create(Layers=arns)
    assert response["Layers"] == [
        {"Arn": arns[0], "CodeSize": len(CODE)},
        {"Arn": arns[1], "CodeSize": len(other)},
    ]
    record = plane.state.get("function", "f", "$LATEST")
    digests = [hashlib.sha256(code).hexdigest() for code in (CODE, other)]
    assert record is not None and record["_layers"] == digests
    assert all((plane.packages.tree(digest) / "python").is_dir() for digest in digests)
    reordered = plane.call("UpdateFunctionConfiguration", FunctionName="f", Layers=arns[::-1])
    assert [each["Arn"] for each in reordered["Layers"]] == arns[::-1]
    assert "Layers" not in plane.call("UpdateFunctionConfiguration", FunctionName="f", Layers=[])


def test_a_function_keeps_a_layer_that_is_deleted(plane: Plane) -> None:
    publish(plane)
    response = plane.create(Layers=[f"{LAYER}shared:1"])
    plane.call("DeleteLayerVersion", LayerName="shared", VersionNumber=1)
    assert plane.call("GetFunctionConfiguration", FunctionName="f")["Layers"] == response["Layers"]
    plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=archive("VALUE = 3\n"))
    changed = plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    assert changed["Layers"] == response["Layers"]
    digest = hashlib.sha256(CODE).hexdigest()
    assert plane.packages.tree(digest).exists()
    plane.call("DeleteFunction", FunctionName="f")
    until(lambda: not plane.packages.tree(digest).exists())


def test_layers_that_a_function_cannot_have(plane: Plane) -> None:
    publish(plane)
    publish(plane)
    one, two, nine, none = (
        f"{LAYER}{tail}" for tail in ("shared:1", "shared:2", "shared:9", "doesnotexist:1")
    )

    def refused(*arns: str) -> tuple[str, str | None]:
        return plane.refused("CreateFunction", **function(Layers=list(arns)))

    twice = "Two different versions of the same layer are not allowed to be referenced in the same function. "
    assert refused(one, two) == invalid(f"{twice}{one} and {two} are versions of the same layer.")
    assert refused(one, one) == invalid(f"{twice}{one} and {one} are versions of the same layer.")
    assert refused(none) == invalid(f"Layer version {none} does not exist.")
    assert refused(nine) == invalid(f"Layer version {nine} does not exist.")
    assert refused(*[f"{LAYER}l{n}:1" for n in range(6)]) == invalid("Cannot reference more than 5 layers.")
    assert refused("arn:aws:lambda:us-west-2:111111111111:layer:shared:1") == invalid(
        f"Layers are not in the same region as the function. Layers are expected to be in region {REGION}."
    )
    theirs = f"arn:aws:lambda:{REGION}:999999999999:layer:shared:1"
    assert refused(theirs) == (
        "AccessDeniedException",
        f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: lambda:GetLayerVersion on resource: {theirs} "
        "because no resource-based policy allows the lambda:GetLayerVersion action",
    )
    code, _ = refused(f"{LAYER}shared")
    assert code == "ValidationException"


def test_code_and_layers_have_a_size_together(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(plane, code=archive("#" * 700, "python/shared.py"))
    monkeypatch.setattr(limits, "UNZIPPED_BYTES", 1000)
    layers = [f"{LAYER}shared:1"]
    plane.create(Layers=layers, Code={"ZipFile": archive("#" * 299)})
    too_large = invalid(
        "Function code combined with layers exceeds the maximum allowed size of 1000 bytes. "
        "The actual size is 1000 bytes."
    )
    code = archive("#" * 300)
    assert plane.refused("UpdateFunctionCode", FunctionName="f", ZipFile=code) == too_large
    assert (
        plane.refused("CreateFunction", **function("g", Layers=layers, Code={"ZipFile": code})) == too_large
    )
    plane.create("h", Code={"ZipFile": code})
    assert plane.refused("UpdateFunctionConfiguration", FunctionName="h", Layers=layers) == too_large


def test_layers_are_looked_at_before_the_name(plane: Plane) -> None:
    plane.create()
    none = f"{LAYER}none:1"
    assert plane.refused("CreateFunction", **function(Layers=[none])) == invalid(
        f"Layer version {none} does not exist."
    )
