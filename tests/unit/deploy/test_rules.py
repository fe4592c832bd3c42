"""A template's rules: which values of its parameters go together."""

from __future__ import annotations

from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.deploy.rules import check

PARAMETERS = {
    "Stage": {"Type": "String"}, "Zones": {"Type": "CommaDelimitedList"}, "Version": {"Type": "String"},
    "Other": {"Type": "String"},
}  # fmt: skip
VALUES = {"Stage": "prod", "Zones": "a,b", "Version": "21", "Other": "x"}


def held(assertion: Any, condition: Any = None) -> str:
    """ "" where it holds, else what is said."""
    rule = {"Assertions": [{"Assert": assertion, "AssertDescription": "it must hold"}]}
    rule |= {} if condition is None else {"RuleCondition": condition}
    try:
        check({"Parameters": PARAMETERS, "Rules": {"R": rule}}, VALUES, {"AWS::Region": "us-east-1"})
    except Fault as fault:
        return fault.message or ""
    return ""


# As `cdk synth` writes it.
BOOTSTRAPPED = {"Fn::Not": [{"Fn::Contains": [["1", "2", "3"], {"Ref": "Version"}]}]}


@pytest.mark.promise(283)
@pytest.mark.parametrize(
    ("assertion", "condition", "result"),
    [
        (BOOTSTRAPPED, None, ""),
        ({"Fn::Contains": [["dev", "test"], {"Ref": "Stage"}]}, None, "it must hold"),
        ({"Fn::Contains": [["dev", "test"], {"Ref": "Stage"}]}, {"Fn::Equals": [{"Ref": "Stage"}, "dev"]}, ""),
        ({"Fn::EachMemberIn": [{"Ref": "Zones"}, ["a", "b", "c"]]}, None, ""),
        ({"Fn::EachMemberIn": [{"Ref": "Zones"}, ["a"]]}, None, "it must hold"),
        ({"Fn::EachMemberEquals": [{"Ref": "Zones"}, "a"]}, None, "it must hold"),
        ({"Fn::And": [
            {"Fn::Contains": [{"Ref": "Zones"}, "a"]}, {"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]}]},
         None, ""),
        ({"Fn::EachMemberIn": [["x", "prod"], {"Fn::RefAll": "String"}]}, None, ""),
        ({"Fn::Contains": ["text", "t"]}, None,
         "Template error: every Fn::Contains object requires two parameters, of which the first is a list"),
        ({"Ref": "Zones"}, None, "Template error: a rule's condition or assertion is neither true nor false"),
    ],
)  # fmt: skip
def test_a_rule(assertion: Any, condition: Any, result: str) -> None:
    assert held(assertion, condition) == result


def test_a_rule_without_assertions_or_a_description() -> None:
    with pytest.raises(Fault, match=r"\[/Rules/R\] Every Rules object must contain an Assertions list"):
        check({"Rules": {"R": {}}}, {}, {})
    with pytest.raises(Fault, match="The rule R does not hold"):
        check({"Rules": {"R": {"Assertions": [{"Assert": {"Fn::Equals": [1, 2]}}]}}}, {}, {})
