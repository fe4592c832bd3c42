"""What needs what, and what a deployment would change: the templates' part of it, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.aws.names import Place
from engine.deploy.changes import changes
from engine.deploy.graph import needs, ordered, references
from engine.deploy.intrinsics import resolve
from engine.deploy.kinds import KINDS
from engine.deploy.program import Program, Stack
from engine.deploy.resources import generated
from engine.deploy.shaping import Unsupported, shaped
from engine.deploy.template import of

PLACE = Place("us-east-1", "000000000000")


def program(resources: dict[str, Any], conditions: dict[str, Any] | None = None, **more: Any) -> Program:
    template = of({"Resources": resources, "Conditions": conditions or {}, **more})
    template.check()
    return Program(Stack("s", "id", PLACE), template, {}, lambda _name: None)


def queue(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def record(name: str, resource: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "LogicalResourceId": name, "PhysicalResourceId": f"id-{name}", "ResourceType": resource["Type"],
        "_properties": resource["Properties"], "_attributes": {"Arn": f"arn:{name}"}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"Ref": "A"}, {"A"}),
        ({"Fn::GetAtt": ["A", {"Ref": "B"}]}, {"A", "B"}),
        ({"Fn::GetAtt": "A.Arn"}, {"A"}),
        ({"Fn::Sub": "${A} ${B.Arn} ${!C}"}, {"A", "B"}),
        ({"Fn::Sub": ["${A} ${x}", {"x": {"Ref": "B"}}]}, {"A", "B"}),
        ([{"Fn::Join": ["", [{"Ref": "A"}, {"k": {"Ref": "B"}}]]}], {"A", "B"}),
        ("${A}", set()),
    ],
)
def test_references(value: Any, names: set[str]) -> None:
    assert references(value) == names


@pytest.mark.promise(169)
def test_an_order_has_each_behind_what_it_needs() -> None:
    resources = {
        "A": {"Properties": {"x": {"Ref": "B"}}}, "B": {"DependsOn": ["C", "D"]}, "C": {}, "D": {"DependsOn": "C"},
    }  # fmt: skip
    order = ordered({name: needs(each, resources) for name, each in resources.items()})
    assert order == ["C", "D", "B", "A"]
    with pytest.raises(Fault, match=r"Circular dependency between resources: \[A, B\]"):
        ordered({"A": {"B"}, "B": {"A"}, "C": set()})


def test_what_stands_behind_a_condition_that_does_not_hold_is_not_needed() -> None:
    conditions = {"Never": {"Fn::Equals": ["a", "b"]}}
    dead = {"Fn::If": ["Never", {"Ref": "B"}, {"Ref": "AWS::NoValue"}]}
    found = program({"A": queue(QueueName=dead), "B": {**queue(), "Condition": "Never"}}, conditions)
    assert found.edges(found.scope(lambda _name, _attribute: "")) == {"A": set()}


@pytest.mark.promise(169)
def test_what_is_added_modified_replaced_and_removed() -> None:
    before = {
        "Same": queue(),
        "Changed": queue(DelaySeconds=1),
        "Renamed": queue(QueueName="a"),
        "Gone": queue(),
    }
    records = {name: record(name, each) for name, each in before.items()}
    records["Gone"]["_deletion"] = "Retain"
    dead = {
        "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Renamed", "Arn"]}, "maxReceiveCount": 1}
    }
    wanted = {
        "Same": queue(), "Changed": queue(DelaySeconds=2), "Renamed": queue(QueueName="b"), "New": queue(**dead),
    }  # fmt: skip
    found = {each.logical: each for each in changes(program(wanted), records)}
    assert {name: (each.action, each.replacement) for name, each in found.items()} == {
        "Changed": ("Modify", "False"), "Renamed": ("Modify", "True"), "New": ("Add", ""), "Gone": ("Remove", ""),
    }  # fmt: skip
    assert found["Changed"].names == ["DelaySeconds"]
    assert found["Gone"].policy == "Retain"
    shown = found["Renamed"].shown()["ResourceChange"]
    assert (shown["Replacement"], shown["Details"][0]["Target"]["RequiresRecreation"]) == ("True", "Always")
    assert changes(program(before), records) == []


def test_what_hangs_on_a_replacement_may_be_replaced_too() -> None:
    alias = {
        "Type": "AWS::Lambda::Alias",
        "Properties": {"Name": "x", "FunctionName": "f", "FunctionVersion": "1"},
    }
    records = {"Q": record("Q", queue(QueueName="a")), "A": record("A", alias)}
    fresh = {**alias, "Properties": {**alias["Properties"], "FunctionName": {"Ref": "Q"}}}
    found = changes(program({"Q": queue(QueueName="b"), "A": fresh}), records)
    assert [(each.logical, each.replacement) for each in found] == [("Q", "True"), ("A", "Conditional")]


def test_outputs_and_exports() -> None:
    outputs = {
        "Id": {"Value": {"Ref": "Q"}, "Description": "d"},
        "Arn": {
            "Value": {"Fn::GetAtt": ["Q", "Arn"]},
            "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-arn"}},
        },
    }
    found = program({"Q": queue()}, Outputs=outputs)
    made = found.outputs(found.scope(lambda name, attribute: f"{name}.{attribute}"))
    assert made == [
        {"OutputKey": "Id", "OutputValue": "Q.None", "Description": "d"},
        {"OutputKey": "Arn", "OutputValue": "Q.Arn", "ExportName": "s-arn"},
    ]
    found.exporters = lambda _name: ["other"]
    with pytest.raises(Fault, match="Export with name s-arn is already exported by stack other"):
        found.check_exports(made, [])
    found.exporters, found.importers = lambda _name: [], lambda _name: ["user"]
    with pytest.raises(Fault, match="Export s-arn cannot be deleted as it is in use by user"):
        found.check_exports([], made)


def test_properties_become_members_as_the_model_has_them() -> None:
    given = {"FunctionName": "f", "Timeout": "30", "Environment": {"Variables": {"N": 1, "B": True}}}
    assert shaped("lambda", "UpdateFunctionConfiguration", given) == {
        "FunctionName": "f", "Timeout": 30, "Environment": {"Variables": {"N": "1", "B": "true"}},
    }  # fmt: skip
    document = {"Version": "2012-10-17"}
    assert shaped("iam", "CreateRole", {"AssumeRolePolicyDocument": document}) == {
        "AssumeRolePolicyDocument": '{"Version": "2012-10-17"}'
    }
    with pytest.raises(Unsupported, match="Encountered unsupported property Colour"):
        shaped("lambda", "CreateFunction", {"Colour": "red"})
    with pytest.raises(Unsupported, match="Value of property Timeout must be of type Integer"):
        shaped("lambda", "CreateFunction", {"Timeout": "soon"})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_generated_name_is_within_its_types_limit(kind: str) -> None:
    name = generated("s" * 128, "L" * 255, KINDS[kind], {"FifoQueue": True})
    assert len(name) <= KINDS[kind].longest
    assert name.endswith(".fifo")


def test_each_type_is_called_by_its_own_name() -> None:
    assert all(name == kind.type for name, kind in KINDS.items())
    assert resolve({}, program({"Q": queue()}).scope(lambda _name, _attribute: "")) == {}
