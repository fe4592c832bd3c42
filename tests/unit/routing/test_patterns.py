"""Event patterns: what AWS takes, matches and refuses; and any pattern at all, against a naive reference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pattern_reference as reference
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.routing import rules
from engine.routing.grammar import ALTERNATIVES, InvalidPattern, compiled, parse
from engine.routing.rules import Rules

VALIDATED: dict[str, Any] = json.loads((Path(__file__).parent / "patterns/validated.json").read_text())
EXAMPLES = int(os.environ.get("STOKER_EXAMPLES", "60"))
LONG = EXAMPLES > 1000

EMPLOYEES = {
    "employees": [
        {"first": "Anna", "last": "Smith", "tags": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]},
        {"first": "Bob", "last": "Jones", "tags": [{"k": "a", "v": 3}]},
    ]
}


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """By the pattern alone and in an index, which agree."""
    one = compiled(pattern)
    alone = one.matches(event)
    with mock.patch.object(rules, "LEAF", 0):
        assert (Rules([("it", one)]).match(event) == ["it"]) is alone
    return alone


@pytest.mark.promise(120)
@pytest.mark.parametrize("name", VALIDATED)
def test_what_was_validated_on_aws(name: str) -> None:
    case = VALIDATED[name]
    if name.endswith("_EXC"):
        with pytest.raises(InvalidPattern):
            compiled(case["EventPattern"])
    else:
        assert matches(case["EventPattern"], case["Event"]) is not name.endswith("_NEG")
        assert reference.matches(case["EventPattern"], case["Event"]) is not name.endswith("_NEG")


@pytest.mark.promise(120)
@pytest.mark.parametrize(
    "pattern, matched",
    [
        ({"employees": {"first": ["Anna"], "last": ["Smith"]}}, True),
        ({"employees": {"first": ["Anna"], "last": ["Jones"]}}, False),
        ({"employees": {"first": ["Anna"], "tags": {"v": [2]}}}, True),
        ({"employees": {"first": ["Anna"], "tags": {"v": [3]}}}, False),
        ({"employees": {"first": ["Anna"], "tags": {"k": ["a"], "v": [1]}}}, True),
        ({"employees": {"first": ["Anna"], "tags": {"k": ["a"], "v": [2]}}}, False),
        ({"employees": {"first": ["Anna"], "tags": {"k": ["a", "b"], "v": [2]}}}, True),
        ({"employees": {"age": [{"exists": False}], "last": ["Jones"]}}, True),
        ({"employees": {"tags": [{"exists": False}]}}, True),  # no leaf
    ],
)
def test_no_two_fields_are_found_in_different_elements_of_an_array(
    pattern: dict[str, Any], matched: bool
) -> None:
    assert matches(pattern, EMPLOYEES) is matched


def test_arrays_are_crushed_out_of_the_path_at_any_depth() -> None:
    event = {"a": [[{"b": [1, [2, [{"c": "x"}]]]}], {"b": 3}]}
    assert all(matches({"a": {"b": [value]}}, event) for value in (1, 2, 3))
    assert matches({"a": {"b": {"c": ["x"]}}}, event)
    assert matches({"a": [{"exists": False}]}, {"a": []})


def test_a_value_is_equal_to_its_like_only() -> None:
    for pattern, value, matched in [
        (1, True, False), (True, 1, False), (0, False, False), (300, 300.0, True), (300, "300", False),
        ("true", True, False), (None, None, True), ("null", None, False),
    ]:  # fmt: skip
        assert matches({"a": [pattern]}, {"a": value}) is matched, (pattern, value)


@pytest.mark.parametrize(
    "pattern, text, matched",
    [
        ("*", "", True), ("a*", "a", True), ("*a", "ba", True), ("a*a", "a", False), ("a*a", "aa", True),
        ("a*b*c", "aXbYbZc", True), ("a*bc*c", "abc", False), (r"\*", "*", True), (r"\*", "x", False),
        (r"a\\*", "a\\b", True), ("*x*", "\n", False), ("*\n*", "a\nb", True), ("a*b", "a\nb", True),
    ],
)  # fmt: skip
def test_wildcards(pattern: str, text: str, matched: bool) -> None:
    assert matches({"a": [{"wildcard": pattern}]}, {"a": text}) is matched


def test_a_wildcard_of_many_stars_takes_no_exponential_time() -> None:
    pattern = compiled({"a": [{"wildcard": "*a" * 500 + "*b"}]})
    assert not pattern.matches({"a": "a" * 100_000})


def test_or_multiplies_nests_and_may_be_the_name_of_a_field() -> None:
    pattern = {
        "source": ["s"],
        "$or": [{"a": [1]}, {"b": [2], "$or": [{"c": [3]}, {"d": [4]}]}],
        "detail": {"$or": [{"e": [5]}, {"f": [6]}]},
    }
    assert len(compiled(pattern).alternatives) == 6
    assert matches(pattern, {"source": "s", "a": 1, "detail": {"f": 6}})
    assert matches(pattern, {"source": "s", "b": 2, "d": 4, "detail": {"e": 5}})
    assert not matches(pattern, {"source": "s", "b": 2, "detail": {"e": 5}})
    assert matches({"$or": [1, 2]}, {"$or": 2})
    assert matches({"$or": {"a": [1]}}, {"$or": {"a": 1}})
    assert matches({"$or": [{"prefix": "a"}, {"suffix": "b"}]}, {"$or": "xb"})
    with pytest.raises(InvalidPattern, match="Unrecognized match type a"):
        compiled({"$or": [{"a": [1]}]})
    with pytest.raises(InvalidPattern, match=f"more than {ALTERNATIVES} combinations"):
        compiled({name: {"$or": [{"x": [n]} for n in range(11)]} for name in "abc"})


@pytest.mark.promise(120)
@pytest.mark.parametrize(
    "pattern, reason",
    [
        ("[]", "Filter is not an object"),
        ("{", "Filter is not valid JSON"),
        ('{"a": []}', "Empty arrays are not allowed"),
        ('{"a": {}}', "Empty objects are not allowed"),
        ('{"a": 1}', '"a" must be an object or an array'),
        ('{"a": [{"prefix": "x", "suffix": "y"}]}', "Only one key allowed in match expression"),
        ('{"a": [[1]]}', "Match value must be String, number, true, false, or null"),
        ('{"a": [{"like": "x"}]}', "Unrecognized match type like"),
        ('{"a": [{"exists": "yes"}]}', "exists match pattern must be either true or false."),
        ('{"a": [{"prefix": 1}]}', "prefix match pattern must be a string"),
        ('{"a": [{"suffix": ["x"]}]}', "suffix match pattern must be a string"),
        ('{"a": [{"anything-but": {"prefix": 1}}]}', "prefix/suffix match pattern must be a string"),
        ('{"a": [{"anything-but": {"prefix": ""}}]}', "Null prefix/suffix not allowed"),
        ('{"a": [{"anything-but": {"numeric": [">", 1]}}]}', "Unsupported anything-but pattern: numeric"),
        (
            '{"a": [{"anything-but": true}]}',
            "Value of anything-but must be an array or single string/number value.",
        ),
        (
            '{"a": [{"anything-but": ["x", null]}]}',
            "Inside anything but list, start|null|boolean is not supported.",
        ),
        (
            '{"a": [{"anything-but": ["x", 1]}]}',
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        ),
        (
            '{"a": [{"anything-but": {"suffix": ["x", 1]}}]}',
            "Inside anything-but/suffix list, number|start|null|boolean is not supported.",
        ),
        ('{"a": [{"numeric": 1}]}', "Value of numeric must be an array."),
        ('{"a": [{"numeric": []}]}', "Invalid member in numeric match: ]"),
        ('{"a": [{"numeric": [1]}]}', "Invalid member in numeric match: 1"),
        ('{"a": [{"numeric": ["!=", 1]}]}', "Unrecognized numeric range operator: !="),
        ('{"a": [{"numeric": ["=", "1"]}]}', "Value of equals must be numeric"),
        ('{"a": [{"numeric": [">", true]}]}', "Value of > must be numeric"),
        ('{"a": [{"numeric": ["<", 1, "<", 2]}]}', "Too many elements in numeric expression"),
        ('{"a": [{"numeric": [">", 1, 2]}]}', "Bad value in numeric range: 2"),
        ('{"a": [{"numeric": [">", 1, ">", 2]}]}', "Bad numeric range operator: >"),
        ('{"a": [{"numeric": [">", 1, "<"]}]}', "Value of < must be numeric"),
        ('{"a": [{"numeric": [">", 2, "<", 1]}]}', "Bottom must be less than top"),
        ('{"a": [{"numeric": [">", 1, "<", 2, "<", 3]}]}', "Too many terms in numeric range expression"),
        (
            '{"a": [{"numeric": [">", 6e9]}]}',
            "Value must be between -5000000000.0 and 5000000000.0, inclusive",
        ),
        ('{"a": [{"wildcard": ["x"]}]}', "wildcard match pattern must be a string"),
        ('{"a": [{"wildcard": "ab**"}]}', "Consecutive wildcard characters at pos 3"),
        ('{"a": [{"wildcard": "a\\\\b"}]}', "Invalid escape character at pos 2"),
        ('{"a": [{"cidr": "10.0.0.0"}]}', "Malformed CIDR, one '/' required"),
        ('{"a": [{"cidr": "10.0.0.0/x"}]}', "Malformed CIDR, mask bits must be an integer"),
        ('{"a": [{"cidr": "10.0.0/8"}]}', "Nonstandard IP address: 10.0.0"),
        ('{"a": [{"cidr": "10.0.0.0/33"}]}', "IPv4 mask bits must be less than or equal to 32"),
    ],
)
def test_what_is_refused_and_why(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidPattern) as refused:
        parse(pattern)
    assert str(refused.value) == reason


# Anything, against the reference.

KEYS = st.sampled_from(["a", "b", "c", "a.b", "b.c"])
TEXTS = st.sampled_from(
    ["", "x", "xy", "xyx", "yx", "X", "xY", "*", "\\", "é", "É", "10.0.0.1", "10.0.1.1", "::1"]
)
NUMBERS = st.sampled_from([0, 1, 1.0, 2, 2.5, 3, -1, 300, 3e2])
SCALARS = st.one_of(TEXTS, NUMBERS, st.sampled_from([None, True, False]))
EVENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
        max_leaves=10,
    ),
    max_size=3,
)
STARS = st.sampled_from(["*", "x*", "*x", "x*x", "*y*", "x", "", r"\*", r"\\*", "x*y*", "10.*"])
CASELESS = TEXTS.map(lambda text: {"equals-ignore-case": text})


@st.composite
def ranges(draw: st.DrawFn) -> list[Any]:
    low, high = sorted([draw(NUMBERS), draw(NUMBERS)])
    if low == high or draw(st.booleans()):
        return [draw(st.sampled_from(["=", "<", "<=", ">", ">="])), low]
    return [draw(st.sampled_from([">", ">="])), low, draw(st.sampled_from(["<", "<="])), high]


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return one | st.lists(one, min_size=1, max_size=3)


OPERATORS = st.one_of(
    (TEXTS | CASELESS).map(lambda operand: {"prefix": operand}),
    (TEXTS | CASELESS).map(lambda operand: {"suffix": operand}),
    CASELESS,
    STARS.map(lambda operand: {"wildcard": operand}),
    ranges().map(lambda operand: {"numeric": operand}),
    st.sampled_from(["10.0.0.0/24", "10.0.0.0/16", "0.0.0.0/0", "::/64"]).map(
        lambda operand: {"cidr": operand}
    ),
    st.booleans().map(lambda operand: {"exists": operand}),
    several(TEXTS).map(lambda operand: {"anything-but": operand}),
    several(NUMBERS).map(lambda operand: {"anything-but": operand}),
    several(TEXTS.filter(bool)).map(lambda operand: {"anything-but": {"prefix": operand}}),
    several(TEXTS.filter(bool)).map(lambda operand: {"anything-but": {"suffix": operand}}),
    several(TEXTS).map(lambda operand: {"anything-but": {"equals-ignore-case": operand}}),
    several(STARS).map(lambda operand: {"anything-but": {"wildcard": operand}}),
)
LEAVES = st.lists(SCALARS | OPERATORS, min_size=1, max_size=3)


PLAIN = st.dictionaries(KEYS, LEAVES, min_size=1, max_size=2)
DEEPER = st.dictionaries(KEYS, LEAVES | PLAIN, min_size=1, max_size=2)


@st.composite
def with_or(draw: st.DrawFn) -> dict[str, Any]:
    pattern = draw(DEEPER)
    if draw(st.integers(0, 2)) == 0:
        pattern = {**pattern, "$or": draw(st.lists(DEEPER, min_size=2, max_size=3))}
    if draw(st.integers(0, 3)) == 0:
        pattern = {**pattern, "c": {"$or": draw(st.lists(PLAIN, min_size=2, max_size=2))}}
    return pattern


PATTERNS = with_or()


@pytest.mark.promise(120)
@pytest.mark.timeout(3600 if LONG else 180)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(PATTERNS, min_size=1, max_size=6),
    st.lists(EVENTS, min_size=1, max_size=3),
    st.sampled_from([0, 1, 8]),
)
def test_any_patterns_match_what_the_reference_matches(
    patterns: list[dict[str, Any]], events: list[dict[str, Any]], leaf: int
) -> None:
    known = list(map(compiled, patterns))
    with mock.patch.object(rules, "LEAF", leaf):
        index = Rules(enumerate(known))
    for event in events:
        expected = [n for n, pattern in enumerate(patterns) if reference.matches(pattern, event)]
        assert index.match(event) == expected
        assert [n for n, pattern in enumerate(known) if pattern.matches(event)] == expected


def test_a_pattern_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InvalidPattern):
        parse('{"a":' * 990 + "[1]" + "}" * 990)
