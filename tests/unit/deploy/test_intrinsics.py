"""Intrinsic functions as a table, the short forms that YAML has for them, and parameters."""

from __future__ import annotations

from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.deploy import parameters
from engine.deploy.documents import load
from engine.deploy.intrinsics import UNKNOWN, Scope, resolve

RESOURCES = {"Q": {None: "q-id", "Arn": "arn:q", "Deep.One": "deep"}}


def resource(name: str, attribute: str | None) -> Any:
    return UNKNOWN if name == "New" else RESOURCES[name][attribute]  # type: ignore[index]


def scope() -> Scope:
    return Scope(
        parameters={"P": "p", "L": ["a", "b", "c"], "N": "3"},
        pseudo={"AWS::Region": "us-east-1"},
        mappings={"M": {"us-east-1": {"size": 5, "list": ["x"]}}},
        conditions={
            "Yes": {"Fn::Equals": [{"Ref": "P"}, "p"]}, "No": {"Fn::Not": [{"Condition": "Yes"}]},
            "Both": {"Fn::And": [{"Condition": "Yes"}, {"Fn::Or": [{"Condition": "No"}, {"Condition": "Yes"}]}]},
        },
        resource=resource,
        exported={"exported": "value"}.get,
    )  # fmt: skip


@pytest.mark.promise(169)
@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("text", "text"),
        ({"Ref": "P"}, "p"),
        ({"Ref": "Q"}, "q-id"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [1, {"Ref": "AWS::NoValue"}]}, {"b": [1]}),
        ({"Fn::GetAtt": ["Q", "Arn"]}, "arn:q"),
        ({"Fn::GetAtt": "Q.Deep.One"}, "deep"),
        ({"Fn::Sub": "${P}-${Q}-${Q.Arn}-${!P}-${AWS::Region}"}, "p-q-id-arn:q-${P}-us-east-1"),
        ({"Fn::Sub": ["${P}${x}", {"x": {"Ref": "N"}, "P": "own"}]}, "own3"),
        ({"Fn::Join": ["-", ["a", {"Ref": "P"}, 1, True]]}, "a-p-1-true"),
        ({"Fn::Join": [",", {"Ref": "L"}]}, "a,b,c"),
        ({"Fn::Select": [1, {"Ref": "L"}]}, "b"),
        ({"Fn::Select": ["2", {"Fn::Split": ["|", "x|y|z"]}]}, "z"),
        ({"Fn::If": ["Yes", {"Ref": "P"}, {"Ref": "AWS::NoValue"}]}, "p"),
        ({"k": {"Fn::If": ["No", "x", {"Ref": "AWS::NoValue"}]}}, {}),
        ({"Fn::If": ["Both", 1, 2]}, 1),
        ({"Fn::FindInMap": ["M", {"Ref": "AWS::Region"}, "size"]}, 5),
        ({"Fn::FindInMap": ["M", "eu-west-1", "size", {"DefaultValue": 9}]}, 9),
        ({"Fn::ImportValue": {"Fn::Sub": "exported"}}, "value"),
        ({"Fn::Base64": {"Fn::Sub": "${P}"}}, "cA=="),
        ({"Fn::GetAZs": ""}, ["us-east-1a", "us-east-1b", "us-east-1c"]),
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, ["10.0.0.0/24", "10.0.1.0/24"]),
        ({"Fn::Length": {"Ref": "L"}}, 3),
        ({"Fn::ToJsonString": {"a": {"Ref": "P"}}}, '{"a":"p"}'),
        ({"Ref": "New"}, UNKNOWN),
        ({"Fn::Sub": "x${New.Arn}"}, UNKNOWN),
        ({"Fn::Join": ["", ["a", {"Ref": "New"}]]}, UNKNOWN),
        # Not intrinsics: what only looks so.
        ({"Ref": "P", "other": 1}, {"Ref": "P", "other": 1}),
        ({"Condition": {"StringEquals": {"a": "b"}}}, {"Condition": {"StringEquals": {"a": "b"}}}),
    ],
)  # fmt: skip
def test_what_each_gives(value: Any, result: Any) -> None:
    assert resolve(value, scope()) == result


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"Fn::GetAtt": ["Q", "Nothing"]},
            "resource Q does not support attribute type Nothing in Fn::GetAtt",
        ),
        ({"Fn::Select": [9, {"Ref": "L"}]}, "Fn::Select cannot select nonexistent value at index 9"),
        ({"Fn::FindInMap": ["M", "eu-west-1", "size"]}, "Unable to get mapping for M::eu-west-1::size"),
        ({"Fn::ImportValue": "nobody"}, "No export named nobody found."),
        ({"Fn::If": ["Nope", 1, 2]}, "unresolved condition dependency Nope"),
        ({"Fn::Sub": ["${a}", {"a": [1]}]}, "every Fn::Sub value must be a string"),
        ({"Fn::Mine": 1}, "unsupported function Fn::Mine"),
        ({"Fn::Cidr": ["no block", 1, 1]}, "Fn::Cidr requires a block"),
        ({"Fn::Not": ["text"]}, "neither true nor false"),
    ],
)
def test_what_is_refused(value: Any, message: str) -> None:
    with pytest.raises(Fault, match=message.replace("(", r"\(")):
        resolve(value, scope())


@pytest.mark.promise(169)
def test_yaml_has_short_forms_and_dates_stay_text() -> None:
    text = """
    AWSTemplateFormatVersion: 2010-09-09
    Mappings: {M: {123456789012: {a: 1}}}
    R: !Ref P
    A: !GetAtt Q.Deep.One
    S: !Sub ["${x}", {x: !Select [0, !Ref L]}]
    J: !Join
      - ","
      - - !If [Prod, a, !Ref "AWS::NoValue"]
        - !Base64
          Fn::Sub: "${P}"
    C: !Condition Prod
    """
    assert load(text) == {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Mappings": {"M": {"123456789012": {"a": 1}}},
        "R": {"Ref": "P"},
        "A": {"Fn::GetAtt": ["Q", "Deep.One"]},
        "S": {"Fn::Sub": ["${x}", {"x": {"Fn::Select": [0, {"Ref": "L"}]}}]},
        "J": {"Fn::Join": [
            ",", [{"Fn::If": ["Prod", "a", {"Ref": "AWS::NoValue"}]}, {"Fn::Base64": {"Fn::Sub": "${P}"}}],
        ]},
        "C": {"Condition": "Prod"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x", "YAML aliases are not allowed"),
        ("a: [", "YAML not well-formed"),
        ("a: 1\na: 2", "duplicate key a"),
        ("[]", "unsupported structure"),
        ('{"a": }', "JSON not well-formed. (line 1, column 7)"),
        ("[" * 100_000, "Template format error"),
        ("a: !!python/object:os.system {}", "YAML not well-formed"),
    ],
)
def test_texts_that_are_no_template(text: str, message: str) -> None:
    with pytest.raises(Fault) as error:
        load(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("declared", "given", "result"),
    [
        ({"Type": "String", "Default": "d"}, None, "d"),
        ({"Type": "Number", "MinValue": 1, "MaxValue": 3}, "3", "3"),
        ({"Type": "Number"}, "x", "Parameter 'P' must be a number."),
        ({"Type": "Number", "MaxValue": 3}, "4", "Parameter 'P' must be a number not greater than 3"),
        ({"Type": "String", "MinLength": 2}, "a", "Parameter 'P' must contain at least 2 characters"),
        ({"Type": "String", "AllowedValues": ["a", 1]}, "1", "1"),
        ({"Type": "String", "AllowedValues": ["a"]}, "b", "Parameter 'P' must be one of AllowedValues"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "A", "Parameter 'P' must match pattern [a-z]+"),
        ({"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]+"}, "a,b", "a,b"),
        ({"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]+"}, "a,B", "Parameter 'P' must match pattern [a-z]+"),
        ({"Type": "List<Number>", "MaxValue": 3}, "1,4", "Parameter 'P' must be a number not greater than 3"),
        ({"Type": "String", "MinValue": 3}, "text", "text"),
        ({"Type": "String", "AllowedPattern": "a", "ConstraintDescription": "must be an a"}, "b",
         "Parameter P failed to satisfy constraint: must be an a"),
        ({"Type": "CommaDelimitedList", "AllowedValues": ["a", "b"]}, "a, b", "a, b"),
        ({"Type": "String"}, None, "Parameters: [P] must have values"),
    ],
)  # fmt: skip
def test_parameters(declared: dict[str, Any], given: str | None, result: str) -> None:
    values = {} if given is None else {"P": given}
    try:
        assert parameters.values({"P": declared}, values, {}) == {"P": result}
    except Fault as fault:
        assert (fault.message or "").startswith(result)


def test_earlier_values_hold_where_that_is_asked() -> None:
    declared = {"P": {"Type": "String", "Default": "d"}}
    assert parameters.values(declared, {"P": None}, {"P": "before"}) == {"P": "before"}
    assert parameters.values(declared, {}, {"P": "before"}) == {"P": "d"}
    with pytest.raises(Fault, match=r"Parameters: \[X\] do not exist in the template"):
        parameters.values(declared, {"X": "1"}, {})
    assert parameters.typed({"Type": "List<Number>"}, "1, 2") == ["1", "2"]
    hidden = parameters.shown({"P": {"Type": "String", "NoEcho": True}}, {"P": "secret"})
    assert hidden == [{"ParameterKey": "P", "ParameterValue": "****"}]
