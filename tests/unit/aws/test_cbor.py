"""CBOR: what botocore writes is read, what is written botocore reads, and what is malformed is an error."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from botocore.model import ShapeResolver
from botocore.parsers import RpcV2CBORParser
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.protocols import cbor

SHAPES = ShapeResolver({
    "S": {"type": "structure", "members": {
        "text": {"shape": "T"}, "whole": {"shape": "L"}, "number": {"shape": "D"}, "bytes": {"shape": "B"},
        "at": {"shape": "At"}, "yes": {"shape": "Y"}, "list": {"shape": "Ls"}, "map": {"shape": "M"}}},
    "T": {"type": "string"}, "L": {"type": "long"}, "D": {"type": "double"}, "B": {"type": "blob"},
    "At": {"type": "timestamp"}, "Y": {"type": "boolean"}, "Ls": {"type": "list", "member": {"shape": "D"}},
    "M": {"type": "map", "key": {"shape": "T"}, "value": {"shape": "L"}},
})  # fmt: skip
SHAPE = SHAPES.get_shape_by_name("S")
PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
)


def read_by_botocore(data: bytes) -> Any:
    stream = RpcV2CBORParser().get_peekable_stream_from_bytes(data)
    return RpcV2CBORParser().parse_data_item(stream)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=5))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    data = cbor.encode_plain(value)
    assert cbor.decode(data) == value == read_by_botocore(data)


def test_a_structure_by_its_shapes() -> None:
    value = {
        "text": "ü",
        "whole": -5,
        "number": 1,
        "bytes": b"\0",
        "at": 1.5,
        "yes": True,
        "list": [1, 2.5],
        "map": {"k": 1},
    }
    data = cbor.encode(SHAPE, {**value, "unknown": 1})
    assert cbor.decode(data) == value
    assert read_by_botocore(data)["at"].timestamp() == 1.5


@pytest.mark.parametrize(("data", "value"), [
    ("9f0102ff", [1, 2]), ("bf616101ff", {"a": 1}), ("7f61616162ff", "ab"), ("5f41004101ff", b"\0\1"),
    ("f93c00", 1.0), ("fa3fc00000", 1.5), ("c11a5e0be100", 1577836800), ("f7", None), ("f97c00", math.inf),
])  # fmt: skip
def test_other_ways_to_write_it(data: str, value: Any) -> None:
    assert cbor.decode(bytes.fromhex(data)) == value


@given(st.binary(max_size=40))
def test_anything_else_is_an_error(data: bytes) -> None:
    with contextlib.suppress(cbor.CborError):
        cbor.decode(data)


@pytest.mark.parametrize(
    "data", ["", "ff", "9f", "0102", "9bffffffffffffffff", "a1", "bf01ff", "81" * 500, "1c", "f8ff"]
)
def test_malformed(data: str) -> None:
    with pytest.raises(cbor.CborError):
        cbor.decode(bytes.fromhex(data))
