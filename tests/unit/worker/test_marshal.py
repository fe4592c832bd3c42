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

from engine.worker.marshal import marshaller

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")


@given(JSON)
def test_it_is_what_json_dumps_gives(value: Any) -> None:
    assert marshaller()(value) == json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.promise(68)
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
    assert marshaller()(value) == written


def test_the_oldest_runtime_writes_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.11")
    assert marshaller()({"ä": "\U0001f600"}) == rb'{"\u00e4": "\ud83d\ude00"}'


@pytest.mark.promise(68)
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
        marshaller()(value)


def test_what_contains_itself_and_what_comes_after() -> None:
    marshal = marshaller()
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
        marshaller()(deep)
    while deep:
        deep = deep.pop()
