"""AWS's ValidationException, word for word: as it was recorded, and as its rules go on from there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from model_shapes import MODEL, NAMES, SERVICE

from engine.aws import validate
from engine.aws.faults import Fault
from engine.services.lambda_.wording import WORDING

# Responses that AWS gave, names of accounts and resources replaced.
RECORDED = json.loads(Path(__file__).with_name("recorded_validations.json").read_text())
F = {"FunctionName": "f"}
NEW = {**F, "Role": "arn:aws:iam::111111111111:role/r", "Code": {}}


def refusal(name: str, request: dict[str, Any]) -> str:
    with pytest.raises(Fault) as info:
        SERVICE.validate(SERVICE.operation(name), request)
    assert info.value.code == "ValidationException"
    assert info.value.message is not None
    return info.value.message


def one(value: str, where: str, rule: str) -> str:
    return f"1 validation error detected: Value{value} at '{where}' failed to satisfy constraint: {rule}"


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["operation"])
def test_recorded(case: dict[str, Any]) -> None:
    assert refusal(case["operation"], case["request"]) == case["message"]


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        (
            "CreateFunction",
            {**NEW, "Timeout": 0},
            one(" '0'", "timeout", "Member must have value greater than or equal to 1"),
        ),
        (
            "CreateFunction",
            {**NEW, "Handler": "a b"},
            one(" 'a b'", "handler", r"Member must satisfy regular expression pattern: [^\s]+"),
        ),
        (
            "CreateFunction",
            {**NEW, "Layers": [None]},
            None,
        ),
        (
            "CreateFunction",
            {**NEW, "ImageConfig": {"Command": ["a", None]}},
            one(" '[a, null]'", "imageConfig.command", "Member must not be null"),
        ),
        (
            "CreateFunction",
            {**NEW, "FileSystemConfigs": [{"Arn": "x"}, None]},
            None,
        ),
        (
            "CreateFunction",
            {**NEW, "Tags": {"a": None}},
            None,
        ),
        # What is secret is not repeated.
        (
            "CreateFunction",
            {**NEW, "Environment": {"Variables": {"1": "secret"}}},
            one(
                "",
                "environment.variables",
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
                "[a-zA-Z]([a-zA-Z0-9_])+]",
            ),
        ),
    ],
)  # fmt: skip
def test_other_rules(name: str, request_: dict[str, Any], message: str | None) -> None:
    refused = refusal(name, request_)
    assert message is None or refused == message
    assert "secret" not in refused


def test_what_is_required() -> None:
    message = refusal("CreateFunction", {"FunctionName": "f", "VpcConfig": {}})
    nulls = [
        f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
        for where in ("role", "code")
    ]
    assert message == f"2 validation errors detected: {'; '.join(nulls)}"


def test_null_in_a_list_of_structures_is_refused_where_it_stands() -> None:
    good = {
        "Arn": "arn:aws:elasticfilesystem:eu-west-1:111111111111:access-point/fsap-0123456789abcdef0",
        "LocalMountPath": "/mnt/a",
    }
    message = refusal("UpdateFunctionConfiguration", {**F, "FileSystemConfigs": [good, None]})
    assert (
        "Value null at 'fileSystemConfigs.2.member' failed to satisfy constraint: Member must not be null"
        in message
    )


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("CreateFunction", {**NEW, "Runtime": "python3.11", "Handler": "a.b", "Timeout": 900}),
        ("CreateFunction", {**NEW, "Layers": [], "Tags": {"ключ é1": "値"}}),
        ("CreateFunction", {**NEW, "Runtime": "nosuch"}),  # the operation says more of it
        ("GetFunction", {"FunctionName": "arn:aws:lambda:eu-west-1:111111111111:function:f:$LATEST"}),
        ("PutFunctionEventInvokeConfig", {**F, "DestinationConfig": {"OnFailure": {"Destination": ""}}}),
        ("UpdateAlias", {**F, "Name": "a", "RoutingConfig": {"AdditionalVersionWeights": {"2": 1.0}}}),
        ("ListFunctions", {}),
        ("UpdateFunctionConfiguration", {**F, "KMSKeyArn": ""}),
    ],
)  # fmt: skip
def test_what_is_allowed(name: str, request_: dict[str, Any]) -> None:
    SERVICE.validate(SERVICE.operation(name), request_)


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", " "])
def test_no_line_ends_in_a_name(end: str) -> None:
    for name in ("GetFunction", "CreateFunction", "Invoke"):
        assert "at 'functionName'" in refusal(name, {**NEW, "FunctionName": "f" + end})


def test_digits_and_letters_are_ascii_but_in_tags() -> None:
    assert "at 'qualifier'" in refusal("GetFunction", {**F, "Qualifier": "é"})
    assert "at 'role'" in refusal(
        "CreateFunction", {**NEW, "Role": "arn:aws:iam::" + "\u0661" * 12 + ":role/r"}
    )
    assert "at 'tags'" in refusal("CreateFunction", {**NEW, "Tags": {"a!": "b"}})


@pytest.mark.parametrize(
    ("weight", "printed"),
    [
        (2.0, "2.0"),
        (-0.25, "-0.25"),
        (-0.001, "-0.001"),
        (-0.00012, "-1.2E-4"),
        (1e7, "1.0E7"),
        (9999999.5, "9999999.5"),
        (12345678.9, "1.23456789E7"),
        (1e300, "1.0E300"),
    ],
)
def test_numbers_are_printed_as_java_prints_them(weight: float, printed: str) -> None:
    routing = {"RoutingConfig": {"AdditionalVersionWeights": {"2": weight}}}
    message = refusal("UpdateAlias", {**F, "Name": "a", **routing})
    assert f"Value '{{2={printed}}}' at 'routingConfig.additionalVersionWeights'" in message


def test_every_pattern_of_the_model_compiles_and_fails_fast() -> None:
    for name in MODEL.shape_names:
        shape = MODEL.shape_for(name)
        if pattern := shape.metadata.get("pattern"):
            compiled = validate._pattern(pattern)
            for text in (
                "a" * 100_000 + "!",
                "arn:aws:" + "a-" * 50_000 + "!",
                "arn:aws:lambda:" + ":" * 50_000,
                "1" * 100_000 + "\n",
            ):
                compiled.fullmatch(text)  # the suite's time limit stands over this


def test_the_wording_names_shapes_that_the_model_has() -> None:
    names = set(MODEL.shape_names)
    assert names >= {*WORDING.enums, *WORDING.patterns, *WORDING.full_lists}
    for name, printed in WORDING.enums.items():
        assert sorted(re.findall(r"[^\[\], ]+", printed)) == sorted(MODEL.shape_for(name).metadata["enum"])
    for pattern in WORDING.patterns.values():
        re.compile(pattern)
    inputs = (MODEL.operation_model(name).input_shape for name in NAMES)
    members = {member[0].lower() + member[1:] for shape in inputs if shape for member in shape.members}
    assert members >= set(WORDING.enums_at)
