"""What a target gets of an event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.routing.inputs import Source, at, is_absent, rendered

EVENT = {
    "id": "1", "source": "s", "resources": ["arn:a", "arn:b"], "detail-type": "d",
    "detail": {
        "name": "A", "n": 1, "none": None, "o": {"x": [1, {"y": 2}]}, "list": [{"k": 1}, {"k": 2}, {}], "a/b": "c",
    },
}  # fmt: skip
SOURCE = Source(json.dumps(EVENT).encode(), "arn:aws:events:us-east-1:1:rule/bus/r", "2026-01-01T00:00:00Z")


def transformed(template: str, **paths: str) -> str:
    target = {"InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}}
    return rendered(target, SOURCE).decode()


@pytest.mark.parametrize(
    "path, value",
    [
        ("$", EVENT), ("$.detail.name", "A"), ("$.detail-type", "d"), ("$.resources[1]", "arn:b"),
        ("$.detail.o.x[1].y", 2), ("$.detail.list[*].k", [1, 2]), ("$.resources[*]", ["arn:a", "arn:b"]),
        ("$.detail.a/b", "c"), ("$.detail['name']", "A"), ("$.detail.none", None),
    ],
)  # fmt: skip
def test_paths(path: str, value: Any) -> None:
    assert at(EVENT, path) == value


@pytest.mark.parametrize(
    "path", ["$.x", "$.detail.name.x", "$.resources[2]", "$.detail[0]", "$..name", "$.detail.[", "$x"]
)
def test_paths_to_nothing(path: str) -> None:
    assert is_absent(at(EVENT, path))


def test_all_of_it_a_part_or_a_constant() -> None:
    assert rendered({}, SOURCE) == SOURCE.event
    assert json.loads(rendered({"InputPath": "$.detail.o"}, SOURCE)) == {"x": [1, {"y": 2}]}
    assert rendered({"Input": '{"a": 1}'}, SOURCE) == b'{"a": 1}'
    assert rendered({"InputPath": "$.none"}, SOURCE) == b"null"


@pytest.mark.promise(122)
def test_templates() -> None:
    template = '{"a": <n>, "b": <name>, "c": "<name>-<n>"}'
    found = json.loads(transformed(template, n="$.detail.n", name="$.detail.name"))
    assert found == {"a": 1, "b": "A", "c": "A-1"}
    assert transformed('"<name> is <n>"', n="$.detail.n", name="$.detail.name") == '"A is 1"'
    assert json.loads(transformed('{"o": <o>}', o="$.detail.o")) == {"o": {"x": [1, {"y": 2}]}}
    assert transformed('"it is <o>"', o="$.detail.o") == '"it is {"x":[1,{"y":2}]}"'  # unescaped, as on AWS
    assert transformed(r'{"q": "\"<name>\""}', name="$.detail.name") == r'{"q": "\"A\""}'
    assert transformed("<name>", name="$.detail.name") == '"A"'


def test_what_is_not_there_vanishes() -> None:
    assert json.loads(transformed('{"a": <x>, "b": [<x>, 1], "c": "<x>!"}', x="$.none")) == {
        "b": [1],
        "c": "!",
    }
    assert transformed('"<x><y>"', x="$.none") == '""'


def test_reserved_variables() -> None:
    template = (
        '{"arn": <aws.events.rule-arn>, "name": "<aws.events.rule-name>", "at": <aws.events.event.ingestion-time>, '
        '"event": <aws.events.event>, "all": <aws.events.event.json>}'
    )
    found = json.loads(transformed(template))
    assert found["arn"] == "arn:aws:events:us-east-1:1:rule/bus/r"
    assert (found["name"], found["at"]) == ("r", "2026-01-01T00:00:00Z")
    assert found["event"] == {name: value for name, value in EVENT.items() if name != "detail"}
    assert found["all"] == EVENT
