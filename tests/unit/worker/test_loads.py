"""The decoder of large events: what it takes means the same to msgspec and json, and what is plain it takes."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._json import loads

BLOCK = 32  # native/json/plain.h
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 10**19 - 1) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=30,
)  # fmt: skip
NUMBER = r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?"


def taken(document: bytes) -> bool:
    """Is it taken, and then for the value that the others have it for? repr tells types, order and signs apart."""
    try:
        value = loads(document)
    except ValueError:
        return False
    assert repr(value) == repr(msgspec.json.decode(document)) == repr(json.loads(document)), document[:500]
    return True


@pytest.mark.promise(348)
@given(PLAIN, st.booleans(), st.sampled_from([None, 0, 3]))
def test_what_is_plain_is_taken(value: Any, only_ascii: bool, indent: int | None) -> None:
    assert taken(json.dumps(value, ensure_ascii=only_ascii, indent=indent).encode())


@pytest.mark.promise(348)
@given(PLAIN, st.data())
def test_a_document_with_a_fault_means_what_it_means_to_others(value: Any, data: st.DataObject) -> None:
    document = bytearray(json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(document)))
        cut = data.draw(st.integers(0, 2))
        document[at : at + cut] = data.draw(st.binary(max_size=2) | st.sampled_from(list(ODD)))
    taken(bytes(document))


ODD = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\x00", b"0", b"-", b".", b"e", b"\\u", b"\\ud800",
    b"\\udc00", b"\xed\xa0\x80", b"\xc0\x80", b"\xff", b"\xef\xbb\xbf", b"NaN", b"Infinity", b"1e999", b"//", b"'",
)  # fmt: skip


@pytest.mark.promise(348)
@given(st.from_regex(NUMBER, fullmatch=True))
def test_a_number_is_the_same_number(text: str) -> None:
    document = text.encode()
    exact = "." not in text and "e" not in text.lower()
    if taken(document) or taken(b"[" + document + b"]"):
        return
    refused = (
        len(text.lstrip("-")) > 18 or text == "-0" if exact else math.isinf(float(text)) or len(text) > 64
    )
    assert refused, text


@pytest.mark.parametrize("end", ["", '\\"', "\\\\", "\\n", "\\u0041", "\\ud83d\\ude00", "é", "😀", "\x7f"])
def test_a_string_of_any_length_ends_where_it_does(end: str) -> None:
    for before in range(3 * BLOCK):
        for behind in (0, 1, BLOCK, 2 * BLOCK + 1):
            assert taken(f'["{"x" * before}{end}{"y" * behind}", 1]'.encode())


@pytest.mark.parametrize(
    "document",
    [
        b"", b" ", b"nul", b"truefalse", b"True", b"'a'", b"[1,]", b"[,1]", b"[1 2]", b"{", b"[", b"{1: 2}", b'{"a"}',
        b'{"a":}', b'{"a" 1}', b'{"a": 1,}', b'"a', b'"', b'"\\', b'"\\"', b'"\\u12"', b'"\\u12g4"', b'"\\x41"',
        b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud800\\u0041"', b'"\\ud83d\\u', b'"a\nb"', b'"\x1f"', b'"\xff"',
        b'"\xc3"', b'"\xed\xa0\x80"', b"1 2", b"01", b"-", b"-01", b"+1", b".5", b"1.", b"1.e5", b"1e", b"1e+", b"0x1",
        b"1_0", b"NaN", b"-Infinity", b"1e999", b"1" * 5000, b"null\x00", b"\xef\xbb\xbf1", b"[" * 300 + b"]" * 300,
        b"/**/1", b"1//", b"\xef\xbc\x91", b"\xa01",
    ],
    ids=lambda document: repr(document[:12]),
)  # fmt: skip
def test_what_is_not_plain_is_refused(document: bytes) -> None:
    """Within a string, an array or an object, too: nothing is read beyond the end."""
    for around in (b"%b", b"[%b", b"[0, %b]", b'{"a": %b}', b'{"a": [%b'):
        assert not taken(around % document) or document in (b"", b" ")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_it_takes_whatever_has_bytes(kind: Any) -> None:
    assert loads(kind(b'{"a": [1, "b"]}')) == {"a": [1, "b"]}
    with pytest.raises(TypeError):
        loads("[]")  # type: ignore[arg-type]


def test_the_last_of_two_members_counts_in_the_place_of_the_first() -> None:
    assert taken(b'{"a": 1, "b": 2, "a": 3}')
    assert list(loads(b'{"a": 1, "b": 2, "a": 3}').items()) == [("a", 3), ("b", 2)]


def test_keys_that_share_a_slot_are_told_apart() -> None:
    names = [f"{a}{b}" for a in range(40) for b in "abcdefghijklmnop"]
    document = json.dumps([{name: n} for n, name in enumerate(names * 2)]).encode()
    assert taken(document)


def test_what_is_nested_as_deep_as_it_may_be() -> None:
    assert taken(b"[" * 200 + b"]" * 200)
    assert not taken(b"[" * 201 + b"]" * 201)
