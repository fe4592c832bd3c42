"""The policies of layers in the control plane: what AWS was recorded to response."""

from __future__ import annotations

import json

import pytest
from control_plane import ACCOUNT, ARN, Plane, archive, conflict, not_found

STALE = (
    "PreconditionFailedException",
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetLayerPolicy API to retrieve the latest Revision Id",
)
LAYER = {"LayerName": "l", "VersionNumber": 1}
USE = {**LAYER, "Action": "lambda:GetLayerVersion", "Principal": "*"}


@pytest.fixture
def layered(plane: Plane) -> Plane:
    """Version 1 of l."""
    plane.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": archive()})
    return plane


def test_a_layers_policy(layered: Plane) -> None:
    get = "GetLayerVersionPolicy"
    assert layered.refused(get, **LAYER) == not_found("No policy is associated with the given resource.")
    one = layered.call("AddLayerVersionPermission", **USE, StatementId="s1")
    assert one.keys() == {"Statement", "RevisionId"}
    assert json.loads(one["Statement"]) == {
        "Sid": "s1",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": f"{ARN}layer:l:1",
    }
    assert layered.call(get, **LAYER)["RevisionId"] == one["RevisionId"]
    two = layered.call(
        "AddLayerVersionPermission",
        **USE,
        StatementId="s2",
        OrganizationId="o-1234567890",
        RevisionId=one["RevisionId"],
    )
    got = layered.call(get, **LAYER)
    assert json.loads(got["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [json.loads(one["Statement"]), json.loads(two["Statement"])],
    }
    condition = json.loads(two["Statement"])["Condition"]
    assert condition == {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}
    removed = layered.call(
        "RemoveLayerVersionPermission", **LAYER, StatementId="s2", RevisionId=two["RevisionId"]
    )
    assert removed == {}
    assert json.loads(layered.call(get, **LAYER)["Policy"])["Statement"] == [json.loads(one["Statement"])]
    account = layered.call("AddLayerVersionPermission", **{**USE, "Principal": ACCOUNT}, StatementId="s3")
    assert json.loads(account["Statement"])["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_a_layers_policy_refuses(layered: Plane) -> None:
    layered.call("AddLayerVersionPermission", **USE, StatementId="s1")
    assert layered.refused("AddLayerVersionPermission", **{**USE, "Action": "*"}, StatementId="s2") == (
        "ValidationException",
        "1 validation error detected: Value '*' at 'action' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: lambda:GetLayerVersion",
    )
    assert layered.refused("AddLayerVersionPermission", **USE, StatementId="s1") == conflict(
        "The statement id (s1) provided already exists. "
        "Please provide a new statement id, or remove the existing statement."
    )
    wrong = layered.refused("AddLayerVersionPermission", **USE, StatementId="s2", RevisionId="wrong")
    assert wrong == STALE
    remove = "RemoveLayerVersionPermission"
    wrong = layered.refused(remove, **LAYER, StatementId="s1", RevisionId="wrong")
    assert wrong == STALE
    assert layered.refused(remove, **LAYER, StatementId="doesnotexist") == not_found(
        "Statement doesnotexist is not found in resource policy."
    )
    for name, number in (("absent", 1), ("l", 2)):
        missing = not_found(f"Layer version {ARN}layer:{name}:{number} does not exist.")
        which = {"LayerName": name, "VersionNumber": number}
        assert layered.refused("GetLayerVersionPolicy", **which) == missing
        assert layered.refused("AddLayerVersionPermission", **{**USE, **which}, StatementId="s") == missing
        assert layered.refused(remove, **which, StatementId="s") == missing


def test_an_organisation_goes_with_everybody(layered: Plane) -> None:
    code, _ = layered.refused(
        "AddLayerVersionPermission",
        **{**USE, "Principal": ACCOUNT},
        StatementId="s",
        OrganizationId="o-1234567890",
    )
    assert code == "InvalidParameterValueException"
