"""Responses of deployed functions: what AWS's runtime writes, byte by byte, and what it refuses, with its words."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._json import dumps
from engine.worker.marshal import marshaller, only_ascii

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**63) - 2, 2**64)
    | st.floats()
    | st.integers(-(10**16), 10**16).flatmap(lambda n: st.integers(0, 20).map(lambda places: n / 10**places))
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")


@given(JSON)
def test_it_is_what_json_dumps_gives(value: Any) -> None:
    assert marshaller(only_ascii())(value) == json.dumps(value, ensure_ascii=False).encode()


class Text(str):
    pass


class Pairs(dict):
    pass


KEYS = st.text() | st.integers() | st.booleans() | st.none() | st.floats() | st.builds(Text, st.text())
ANYTHING = st.recursive(
    JSON | st.text() | st.builds(Text, st.text()) | st.binary() | st.decimals() | st.dates(),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.sets(st.integers())
        | st.dictionaries(KEYS, inner) | st.dictionaries(KEYS, inner).map(Pairs)
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.promise(267)
@pytest.mark.parametrize("only_ascii", [False, True])
@given(ANYTHING)
def test_the_native_part_writes_the_same_or_leaves_it_to_json(only_ascii: bool, value: Any) -> None:
    written = dumps(value, only_ascii)
    if written is not None:
        assert written == json.dumps(value, ensure_ascii=only_ascii).encode()


@pytest.mark.promise(267)
@pytest.mark.parametrize("size", [7, 8, 9, 4095, 4096, 4097, 70_000])
@pytest.mark.parametrize("last", ["x", '"', "\\", "\n", "\0", "\x1f", "\x7f", "ä", "\u2028", "\U0001f600"])
@pytest.mark.parametrize("only_ascii", [False, True])
def test_long_texts_and_many_of_them(size: int, last: str, only_ascii: bool) -> None:
    for value in ("x" * size + last, last * size, {"k" * size + last: [last + "x" * size] * 3}):
        assert dumps(value, only_ascii) == json.dumps(value, ensure_ascii=only_ascii).encode()


def test_what_needs_python_is_left_to_json() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    circle: list[Any] = []
    circle.append(circle)
    for value in (deep, circle, 2**64, "\ud800", {1: 2}, Text("x"), Pairs(), decimal.Decimal(1), b"x", {1}):
        assert dumps(value, False) is None
    with pytest.raises(TypeError):
        dumps({})  # type: ignore[call-arg]


@pytest.mark.promise(69)
@pytest.mark.usefixtures("newest")
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"statusCode": 200, "body": [1, 2]}, b'{"statusCode": 200, "body": [1, 2]}'),
        ("ä\u2028", '"ä\u2028"'.encode()),
        (b"\x00raw", b"\x00raw"),
        ({"a": b"text"}, b'{"a": "text"}'),
        ([decimal.Decimal("3"), decimal.Decimal("1.5"), decimal.Decimal("NaN")], b"[3, 1.5, NaN]"),
        ({2: math.inf, None: (), True: -0.0}, b'{"2": Infinity, "null": [], "true": -0.0}'),
    ],
)
def test_as_on_aws(value: Any, written: bytes) -> None:
    assert marshaller(only_ascii())(value) == written


def test_the_oldest_runtime_writes_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.11")
    assert marshaller(only_ascii())({"ä": "\U0001f600"}) == rb'{"\u00e4": "\ud83d\ude00"}'


@pytest.mark.promise(69)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (datetime.datetime(2026, 1, 1), "Object of type datetime is not JSON serializable"),
        ({"a": {1}}, "Object of type set is not JSON serializable"),
        ([object()], "Object of type object is not JSON serializable"),
        ({(1,): 1}, "keys must be str, int, float, bool or None, not tuple"),
    ],
)
def test_what_it_refuses(value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        marshaller(only_ascii())(value)


def test_what_contains_itself_and_what_comes_after() -> None:
    marshal = marshaller(only_ascii())
    circle: list[Any] = [{}]
    circle[0]["again"] = circle
    for _ in range(2):
        with pytest.raises(ValueError, match="Circular reference detected"):
            marshal(circle)
    shared = {"a": 1}
    assert marshal([shared, shared]) == b'[{"a": 1}, {"a": 1}]'


@pytest.mark.slow
def test_what_is_too_deep() -> None:
    deep: list[Any] = []
    for _ in range(sys.getrecursionlimit() * 100):
        deep = [deep]
    with pytest.raises(RecursionError):
        marshaller(only_ascii())(deep)
    while deep:
        deep = deep.pop()


@given(JSON, st.integers(0, 400))
def test_into_a_buffer_it_writes_the_same_or_nothing_counts(value: Any, size: int) -> None:
    written = dumps(value, False)
    buffer = bytearray(size)
    n = dumps(value, False, memoryview(buffer))
    assert n is None or buffer[:n] == written
    if written is not None and len(written) * 2 + 64 <= size:
        assert n == len(written)
