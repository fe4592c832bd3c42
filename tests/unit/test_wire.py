"""The codec: what crosses as JSON, what it means, and what is refused. And the messages between processes."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import socket
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import wire

TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)  # lone surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.promise(11)
@given(JSON)
def test_what_json_can_express_comes_back(value: Any) -> None:
    assert wire.decode(wire.encode(value)) == value


@given(JSON)
def test_it_is_what_lambdas_encoder_would_mean(value: Any) -> None:
    assert json.loads(wire.encode(value)) == value


@given(JSON)
def test_what_lambdas_encoder_writes_is_read(value: Any) -> None:
    for document in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert wire.decode(document.encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=60))
def test_any_bytes_mean_what_pythons_json_says_or_are_refused(data: bytes) -> None:
    def outcome(decode: Any) -> Any:
        try:
            return repr(decode(data))
        except ValueError:
            return ValueError

    assert outcome(wire.decode) == outcome(json.loads)


@given(st.text('[]{}",:0123456789eE+-. ntrufalse\\ud"', max_size=30))
def test_nearly_json_means_what_pythons_json_says_or_is_refused(text: str) -> None:
    test_any_bytes_mean_what_pythons_json_says_or_are_refused.hypothesis.inner_test(text.encode())


class TestNumbers:
    @pytest.mark.parametrize(
        ("document", "value"), [(b"NaN", math.nan), (b"[Infinity]", [math.inf]), (b"-Infinity", -math.inf)]
    )
    def test_pythons_own_words_are_read(self, document: bytes, value: Any) -> None:
        assert repr(wire.decode(document)) == repr(value)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_no_number_becomes_null(self, value: float) -> None:
        """JSON has no such number. Lambda's runtime would print NaN, which no other JSON reader takes."""
        assert wire.encode([value]) == b"[null]"

    @pytest.mark.parametrize(
        "value", [math.nan, math.inf, -math.inf, decimal.Decimal("-NaN"), decimal.Decimal("1e400")]
    )
    def test_also_beside_what_the_fast_encoder_refuses(self, value: Any) -> None:
        beside = {"\ud800": 2**70, "deep": [{"a": (value, 1.5)}, [value]], "decimal": decimal.Decimal("1.5")}
        document = wire.encode(beside)
        expected = {"\ud800": 2**70, "deep": [{"a": [None, 1.5]}, [None]], "decimal": 1.5}
        assert json.loads(document, parse_constant=pytest.fail) == expected
        assert json.loads(wire.encode({1: value, None: "\ud800"})) == {"1": None, "null": "\ud800"}
        assert wire.encode(Celsius(value)) == b"null"  # a class of float's own, as NumPy's are

    @pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**100, -(10**1000)])
    def test_huge_integers(self, value: int) -> None:
        assert wire.encode(value) == str(value).encode()
        assert wire.decode(str(value).encode()) == value

    def test_more_digits_than_python_reads(self) -> None:
        with pytest.raises(ValueError, match="4300"):
            wire.decode(b"1" * 5000)
        with pytest.raises(ValueError, match="4300"):
            wire.encode(10**5000)

    def test_a_float_too_large_is_infinite(self) -> None:
        assert wire.decode(b"1e999") == math.inf

    def test_minus_zero(self) -> None:
        assert math.copysign(1, wire.decode(wire.encode(-0.0))) == -1

    @pytest.mark.parametrize("value", [0.1, 1e22, 5e-324, 1.7976931348623157e308, 123456789.123456789])
    def test_floats_are_exact(self, value: float) -> None:
        assert wire.decode(wire.encode(value)) == value

    @pytest.mark.parametrize(("value", "document"), [("1.50", b"1.50"), ("0", b"0"), ("-1E+3", b"-1E+3")])
    def test_a_decimal_is_a_number(self, value: str, document: bytes) -> None:
        assert wire.encode(decimal.Decimal(value)) == document
        json.loads(document)

    def test_a_decimal_beside_what_the_fast_encoder_refuses(self) -> None:
        assert wire.encode([decimal.Decimal("1.5"), "\ud800"]) == b'[1.5, "\\ud800"]'


class TestText:
    @pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udcff", "\ud83d", "\ude00\ud83d"])
    def test_lone_surrogates(self, text: str) -> None:
        assert wire.decode(wire.encode({text: text})) == {text: text}

    def test_pairs_are_one_character(self) -> None:
        assert wire.decode(b'"\\ud83d\\ude00"') == "\U0001f600"

    def test_everything_else_is_utf8(self) -> None:
        assert wire.encode("ü€\U0001f600\x7f") == '"ü€\U0001f600\x7f"'.encode()
        assert wire.encode('"\\\n\0') == b'"\\"\\\\\\n\\u0000"'

    def test_a_byte_order_mark(self) -> None:
        assert wire.decode(b"\xef\xbb\xbf[1]") == [1]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
    def test_other_encodings_are_read_as_python_does(self, encoding: str) -> None:
        assert wire.decode('{"ü": 1}'.encode(encoding)) == {"ü": 1}


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "name"), [(1, "1"), (-5, "-5"), (1.5, "1.5"), (None, "null"), (True, "true")]
    )
    def test_what_json_makes_strings(self, key: Any, name: str) -> None:
        assert wire.decode(wire.encode({key: 1})) == {name: 1}

    @pytest.mark.parametrize("key", [(1, 2), frozenset(), object()])
    def test_what_cannot_be_a_key(self, key: Any) -> None:
        with pytest.raises(TypeError, match="keys must be"):
            wire.encode({key: 1})

    def test_the_last_of_two_counts(self) -> None:
        assert wire.decode(b'{"a":1,"a":2}') == {"a": 2}


class TestDepth:
    def test_a_thousand_levels_come_back_or_are_refused(self) -> None:
        for depth in (100, 500):
            document = b"[" * depth + b"]" * depth
            assert wire.encode(wire.decode(document)) in (document, document.replace(b",", b", "))

    @pytest.mark.parametrize("depth", [10_000, 1_000_000])
    def test_more_is_an_error_not_a_crash(self, depth: int) -> None:
        for document in (b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth):
            with pytest.raises((RecursionError, ValueError)):
                wire.decode(document)
        value: Any = []
        for _ in range(10_000):
            value = [value]
        with pytest.raises((RecursionError, ValueError)):
            wire.encode(value)
        while value:
            value = value[0]

    def test_what_contains_itself(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        with pytest.raises(ValueError, match="Circular reference detected"):
            wire.encode(loop)


class Celsius(float):
    pass


class Colour(enum.Enum):
    RED = "r"


@dataclasses.dataclass
class Point:
    x: int
    y: float


@pytest.mark.parametrize(
    ("value", "document"),
    [
        ((1, (2,)), b"[1,[2]]"),
        ({5}, b"[5]"),
        (b"abc", b'"YWJj"'),
        (Colour.RED, b'"r"'),
        (Point(1, 2.5), b'{"x":1,"y":2.5}'),
        (datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC), b'"2026-11-23T00:00:00Z"'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_more_than_lambda_takes(value: Any, document: bytes) -> None:
    """What Lambda's encoder refuses, msgspec has a form for: a superset."""
    assert wire.encode(value) == document


@pytest.mark.parametrize(
    "value", [object(), len, 1j, range(3), [object()]], ids=lambda value: type(value).__name__
)
def test_what_has_no_form(value: Any) -> None:
    with pytest.raises(TypeError, match="is not JSON serializable"):
        wire.encode(value)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_read(kind: Any) -> None:
    for document, value in ((b'{"a":1}', {"a": 1}), (b"NaN", None), (b'"\\ud800"', "\ud800")):
        got = wire.decode(kind(document))
        assert got == value or value is None


class TestMessages:
    @pytest.fixture
    def pair(self) -> Any:
        one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        yield one, two
        one.close()
        two.close()

    def test_descriptors_go_along(self, pair: Any) -> None:
        one, two = pair
        r, w = os.pipe()
        wire.send(one, wire.Forked(3, 99), [w])
        os.close(w)
        message, fds = wire.receive(two)  # type: ignore[misc]
        assert message == wire.Forked(3, 99)
        assert len(fds) == 1
        assert not os.get_inheritable(fds[0])
        os.write(fds[0], b"x")
        assert os.read(r, 1) == b"x"
        os.close(fds[0])
        os.close(r)

    def test_one_each(self, pair: Any) -> None:
        one, two = pair
        sent = [
            wire.Fork(1, -1),
            wire.WorkerEnded(1, -9),
            wire.Initialised("{}", "", 0.5),
            wire.ForkFailed(2, 12),
        ]
        for message in sent:
            wire.send(one, message)
        assert [wire.receive(two)[0] for _ in sent] == sent  # type: ignore[index]

    def test_the_end(self, pair: Any) -> None:
        one, two = pair
        one.close()
        assert wire.receive(two) is None
        with pytest.raises(OSError):
            wire.send(two, wire.Fork(1, 0))

    def test_nothing_yet(self, pair: Any) -> None:
        pair[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            wire.receive(pair[1])

    def test_the_largest(self, pair: Any) -> None:
        error = "x" * (128 * 1024)
        wire.send(pair[0], wire.Initialised(error))
        assert wire.receive(pair[1])[0].error == error  # type: ignore[index,union-attr]
