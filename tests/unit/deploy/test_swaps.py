"""Code swapped within a stack's template: where that is all that changes, and where it is not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.deploy.artifacts import BUCKET
from engine.services.cloudformation.swaps import swapped

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64


def record(**more: Any) -> dict[str, Any]:
    """A stack's, of two functions with the same code."""
    code = {"Bucket": BUCKET, "Key": OLD}
    body = {
        name: {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": code}}
        for name in ("One", "Two")
    }
    made = {"S3Bucket": BUCKET, "S3Key": OLD}
    processed = {
        name: {"Type": "AWS::Lambda::Function", "Properties": {"Code": made}} for name in ("One", "Two")
    }
    return {
        "_body": json.dumps({"Resources": body}),
        "_processed": copy.deepcopy({"Resources": {**processed, **more}}), "_resolved": {}, "_values": {},
    }  # fmt: skip


def test_only_the_functions_that_are_named() -> None:
    before = record()
    prepared, digests = swapped(before, ["One"], NEW)
    assert digests == {OLD}
    resources = prepared.template.resources
    assert resources["One"]["Properties"]["Code"]["S3Key"] == NEW
    assert resources["Two"]["Properties"]["Code"]["S3Key"] == OLD
    assert json.loads(prepared.record["_body"])["Resources"]["One"]["Properties"]["CodeUri"]["Key"] == NEW
    assert before == record()  # what there is stays as it is until the update is done


@pytest.mark.parametrize(
    "function", [{"Ref": "One"}, {"Fn::GetAtt": ["One", "Arn"]}, {"Fn::GetAtt": "One.Arn"}]
)
def test_a_version_is_for_a_deployment(function: Any) -> None:
    version = {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": function}}
    with pytest.raises(Fault, match="V is a version of what changes"):
        swapped(record(V=version), ["One"], NEW)
    assert swapped(record(V=version), ["Two"], NEW)[1] == {OLD}


@pytest.mark.parametrize(("member", "value"), [("_body", "Resources: {}"), ("_processed", {"Resources": {}})])
def test_a_template_of_another_kind(member: str, value: Any) -> None:
    with pytest.raises(Fault) as fault:
        swapped({**record(), member: value}, ["One"], NEW)
    assert fault.value.code == "NotSwappable"
