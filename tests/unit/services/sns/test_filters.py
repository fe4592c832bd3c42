"""SNS's filter policies: what each operator takes, of attributes and of bodies, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.services.sns.filters import ATTRIBUTES, BODY, check, matches


def taken(policy: Any, scope: str = ATTRIBUTES, body: str = "", **attributes: tuple[str, str]) -> bool:
    text = json.dumps(policy)
    check(text, scope)
    return matches(text, scope, attributes, body)


def string(value: str) -> tuple[str, str]:
    return "String", value


@pytest.mark.promise(129)
@pytest.mark.parametrize(
    ("values", "matching", "others"),
    [
        (["a", "b"], ["a", "b"], ["c", "A", ""]),
        ([{"prefix": "ab"}], ["ab", "abc"], ["a", "xab"]),
        ([{"suffix": "yz"}], ["yz", "xyz"], ["z", "yzx"]),
        ([{"anything-but": ["a", "b"]}], ["c", "A"], ["a", "b"]),
        ([{"anything-but": "a"}], ["b"], ["a"]),
        ([{"anything-but": {"prefix": "a"}}], ["b"], ["a", "ab"]),
        ([{"anything-but": {"suffix": "a"}}], ["ab"], ["a", "ba"]),
        ([{"equals-ignore-case": "Ab"}], ["ab", "AB"], ["abc"]),
        ([{"cidr": "10.0.0.0/24"}], ["10.0.0.7"], ["10.0.1.7", "x"]),
        ([{"exists": True}], ["", "x"], []),
        ([{"exists": False}], [], ["x"]),
        ([{"numeric": ["=", 1]}, "x"], ["x"], ["1"]),
    ],
)
def test_strings(values: list[Any], matching: list[str], others: list[str]) -> None:
    for text in matching:
        assert taken({"k": values}, k=string(text)), text
    for text in others:
        assert not taken({"k": values}, k=string(text)), text
    absent = {"exists": False} in values
    assert taken({"k": values}, other=string("x")) is absent


@pytest.mark.promise(129)
def test_numbers() -> None:
    between = {"n": [{"numeric": [">=", 0, "<", 1.5]}, 7]}
    for text, right in [
        ("0", True),
        ("1.49", True),
        ("1.5", False),
        ("7", True),
        ("7.0", True),
        ("-1", False),
    ]:
        assert taken(between, n=("Number", text)) is right, text
    assert not taken(between, n=string("1"))
    assert taken({"n": [100.123456789]}, n=("Number", "100.1234567"))
    assert not taken({"n": [100.123456789]}, n=("Number", "100.123455"))
    assert not taken({"n": ["7"]}, n=("Number", "7"))


@pytest.mark.promise(129)
def test_arrays() -> None:
    array = ("String.Array", '["a", 3, true, null]')
    assert all(taken({"k": [value]}, k=array) for value in ("a", 3, True, None))
    assert not taken({"k": ["b"]}, k=array)
    assert not taken({"k": [{"exists": True}]}, k=("String.Array", "[]"))
    assert not taken({"k": [{"exists": True}]}, k=("Binary", "AA=="))
    assert taken({"k": [{"anything-but": ["a"]}]}, k=array)  # one of them is another
    assert not taken({"k": [{"anything-but": ["a"]}]}, k=("String.Array", '["a"]'))


@pytest.mark.promise(129)
def test_every_key_must_match_and_one_alternative() -> None:
    both = {"a": ["1"], "b": ["2"]}
    assert taken(both, a=string("1"), b=string("2"))
    assert not taken(both, a=string("1"))
    either = {"c": ["3"], "$or": [{"a": ["1"]}, {"b": ["2"]}]}
    assert taken(either, c=string("3"), b=string("2"))
    assert not taken(either, c=string("3"))
    assert taken({}, a=string("1"))


@pytest.mark.promise(129)
def test_bodies() -> None:
    policy = {"store": {"name": [{"prefix": "x"}], "open": [True]}, "price": [{"numeric": ["<", 10]}]}
    right = '{"store": {"name": "xy", "open": true}, "price": 9.5, "more": []}'
    assert taken(policy, BODY, right)
    assert not taken(policy, BODY, right.replace("9.5", "10"))
    assert not taken(policy, BODY, right.replace("true", "false"))
    for body in ("", "text", "[1]", "1", '{"price": 9', "[" * 5000):
        assert not taken(policy, BODY, body)
    items = {"items": {"name": ["a"], "n": [1]}}  # in one element, as everywhere
    assert taken(items, BODY, '{"items": [{"name": "b"}, {"name": "a", "n": 1}]}')
    assert not taken(items, BODY, '{"items": [{"name": "a", "n": 2}, {"name": "b", "n": 1}]}')


@pytest.mark.promise(129)
@pytest.mark.parametrize(
    ("scope", "text", "reason"),
    [
        (ATTRIBUTES, "[", "failed to parse JSON."),
        (ATTRIBUTES, "[]", "failed to parse JSON."),
        (ATTRIBUTES, '{"a": {"b": ["c"]}}', "Filter policy scope MessageAttributes does not support nested"),
        (ATTRIBUTES, '{"a": 1}', '"a" must be an object or an array'),
        (ATTRIBUTES, '{"a": []}', "Empty arrays are not allowed"),
        (ATTRIBUTES, '{"a": [["b"]]}', "Match value must be String, number, true, false, or null"),
        (ATTRIBUTES, '{"a": [{"wildcard": "b*"}]}', "Unrecognized match type wildcard"),
        (ATTRIBUTES, '{"a": [{"prefix": 1}]}', "prefix match pattern must be a string"),
        (ATTRIBUTES, '{"a": [{"prefix": {"equals-ignore-case": "x"}}]}', "prefix match pattern must be a string"),
        (ATTRIBUTES, '{"a": [{"anything-but": {"wildcard": "x"}}]}', "Unsupported anything-but pattern: wildcard"),
        (ATTRIBUTES, '{"a": [{"exists": "x"}]}', "exists match pattern must be either true or false."),
        (ATTRIBUTES, '{"a": [{"numeric": ["<", 2000000000]}]}', "Value must be between -1000000000.0 and 1000000000.0"),
        (ATTRIBUTES, json.dumps({f"k{n}": ["v"] for n in range(6)}), "Filter policy can not have more than 5 keys"),
        (BODY, json.dumps({"a": {f"k{n}": ["v"] for n in range(6)}}), "Filter policy can not have more than 5 keys"),
        (ATTRIBUTES, json.dumps({"a": ["v"] * 151}), "Filter policy is too complex"),
        (ATTRIBUTES, json.dumps({"a": [*"abcdefghijklm"], "b": [*"abcdefghijkl"]}), "Filter policy is too complex"),
        (BODY, json.dumps({"a": {"b": {"c": [str(n) for n in range(51)]}}}), "Filter policy is too complex"),
        (ATTRIBUTES, json.dumps({"a": ["v" * 262_144]}), "Filter policy is too large"),
        (BODY, '{"a":' * 3000 + '["b"]' + "}" * 3000, ""),
    ],
)  # fmt: skip
def test_what_is_refused(scope: str, text: str, reason: str) -> None:
    with pytest.raises(Fault) as refused:
        check(text, scope)
    assert refused.value.code == "InvalidParameterException"
    assert (refused.value.message or "").startswith(f"Invalid parameter: FilterPolicy: {reason}")


@pytest.mark.promise(129)
def test_what_is_just_within() -> None:
    check(json.dumps({"a": [str(n) for n in range(150)]}), ATTRIBUTES)
    check(json.dumps({f"k{n}": ["v"] for n in range(5)}), ATTRIBUTES)
    check(json.dumps({"a": {"b": {"c": [str(n) for n in range(50)]}}}), BODY)
