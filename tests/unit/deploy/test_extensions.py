"""AWS::LanguageExtensions: what Fn::ForEach repeats, and functions where names stand."""

from __future__ import annotations

from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.deploy.extensions import expanded, loops, once

PARAMETERS = {"Names": {"Type": "CommaDelimitedList"}, "Stage": {"Type": "String"}}
VALUES = {"Names": "one,a-b", "Stage": "prod"}
PSEUDO = {"AWS::Region": "us-east-1"}
MAPPINGS = {"Zones": {"us-east-1": {"one": ["x", "y"], "a-b": []}}}
QUEUE = "AWS::SQS::Queue"


def made(section: str, **content: Any) -> Any:
    document = {"Parameters": PARAMETERS, "Mappings": MAPPINGS, section: content}
    assert loops(document)
    return expanded(document, VALUES, PSEUDO)[section]


@pytest.mark.promise(283)
@pytest.mark.parametrize(
    ("content", "result"),
    [
        # Documented: ${} in keys and values, &{} without what no logical id may have, Ref.
        ({"Fn::ForEach::Q": ["N", {"Ref": "Names"}, {"Q&{N}": {
            "Type": QUEUE, "Properties": {"QueueName": {"Fn::Sub": "${N}-${AWS::Region}"}, "Tags": [{"Ref": "N"}]}}}]},
         {f"Q{key}": {"Type": QUEUE, "Properties": {
             "QueueName": {"Fn::Sub": f"{name}-${{AWS::Region}}"}, "Tags": [name]}}
          for key, name in (("one", "one"), ("ab", "a-b"))}),
        # A list as it stands, with a function in it; what stands beside the loop stays.
        ({"Own": {"Type": QUEUE}, "Fn::ForEach::Q": ["N", ["a", {"Ref": "Stage"}], {"Q${N}": {"Type": QUEUE}}]},
         {"Own": {"Type": QUEUE}, "Qa": {"Type": QUEUE}, "Qprod": {"Type": QUEUE}}),
        # One in the other, whose collection is of the outer one's item.
        ({"Fn::ForEach::Outer": ["N", {"Ref": "Names"}, {"Fn::ForEach::Inner": [
            "Z", {"Fn::FindInMap": ["Zones", {"Ref": "AWS::Region"}, {"Ref": "N"}]}, {"Q${N}${Z}": {"Type": QUEUE}}]}]},
         {"Qonex": {"Type": QUEUE}, "Qoney": {"Type": QUEUE}}),
        # In properties.
        ({"Q": {"Type": QUEUE, "Properties": {"Fn::ForEach::P": ["N", ["A", "B"], {"P${N}": "${N}"}]}}},
         {"Q": {"Type": QUEUE, "Properties": {"PA": "A", "PB": "B"}}}),
        # References whose names are made, and policies.
        ({"Fn::ForEach::Q": ["N", ["a"], {"Q${N}": {
            "Type": QUEUE, "DeletionPolicy": {"Fn::Sub": "Retain"}, "Condition": {"Fn::Sub": "Is${N}"},
            "Properties": {"A": {"Ref": {"Fn::Sub": "R${N}"}}, "B": {"Fn::GetAtt": [{"Fn::Sub": "R${N}"}, "Arn"]}}}}]},
         {"Qa": {"Type": QUEUE, "DeletionPolicy": "Retain", "Condition": "Isa",
                 "Properties": {"A": {"Ref": "Ra"}, "B": {"Fn::GetAtt": ["Ra", "Arn"]}}}}),
        ({"Fn::ForEach::Q": ["N", [], {"Q${N}": {"Type": QUEUE}}]}, {}),
    ],
)  # fmt: skip
def test_what_a_loop_makes(content: Any, result: Any) -> None:
    assert made("Resources", **content) == result


@pytest.mark.promise(283)
def test_conditions_and_outputs_are_repeated() -> None:
    loop = ["N", {"Ref": "Names"}, {"Is&{N}": {"Fn::Equals": [{"Ref": "Stage"}, "${N}"]}}]
    assert made("Conditions", **{"Fn::ForEach::C": loop}) == {
        "Isone": {"Fn::Equals": [{"Ref": "Stage"}, "one"]}, "Isab": {"Fn::Equals": [{"Ref": "Stage"}, "a-b"]},
    }  # fmt: skip
    shown = ["N", ["A"], {"Arn${N}": {"Value": {"Fn::GetAtt": ["Q${N}", "Arn"]}}}]
    assert made("Outputs", **{"Fn::ForEach::O": shown}) == {"ArnA": {"Value": {"Fn::GetAtt": ["QA", "Arn"]}}}


@pytest.mark.promise(283)
@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (["N", ["a"]], "Fn::ForEach layout is incorrect"),
        (["N", ["a"], "text"], "Fn::ForEach layout is incorrect"),
        (
            ["N", {"Fn::GetAtt": ["Q", "Arn"]}, {"Q${N}": {}}],
            "Could not find a collection or could not be resolved",
        ),
        (["N", {"Ref": "Stage"}, {"Q${N}": {}}], "Could not find a collection or could not be resolved"),
        (["N", ["a", "b"], {"Q": {}}], "Fn::ForEach::L makes Q more than once"),
        (["N", ["a"], {"Q${N}": {"DeletionPolicy": {"Ref": "Other"}}}], "a name is to stand there"),
    ],
)
def test_what_is_refused(loop: Any, message: str) -> None:
    with pytest.raises(Fault) as error:
        made("Resources", **{"Fn::ForEach::L": loop})
    assert (error.value.message or "").startswith("Transform AWS::LanguageExtensions failed with: ")
    assert message in (error.value.message or "")


def test_too_many_loops_one_in_the_other() -> None:
    loop: Any = {"Q${A0}": {"Type": QUEUE}}
    for depth in range(6):
        loop = {f"Fn::ForEach::L{depth}": [f"A{depth}", ["a"], loop]}
    with pytest.raises(Fault, match="layout is incorrect"):
        made("Resources", **loop)


def test_a_look_without_values() -> None:
    loop = ["N", {"Fn::GetAtt": ["Q", "Arn"]}, {"Q${N}": {"Type": QUEUE}}]
    assert once({"Resources": {"Fn::ForEach::L": loop}})["Resources"] == {"QN": {"Type": QUEUE}}
