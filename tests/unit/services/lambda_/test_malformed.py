"""Events that are no JSON: refused in the words of AWS's parser, with the place at which it gave up."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.aws.faults import Fault
from engine.services.lambda_ import malformed

PREFIX = "Could not parse request body into json: Could not parse payload into json: "
SOURCE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {}, column: {}]"
VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
UNEXPECTED = "Unexpected character ({}): {}"
COMMA = "was expecting comma to separate Array entries"
OPEN = f"Unexpected end-of-input: expected close marker for {{}} (start marker at {SOURCE.format(1, 1)})"


def refusal(event: bytes) -> str:
    with pytest.raises(Fault) as caught:
        malformed.check(event)
    assert caught.value.code == "InvalidRequestContentException"
    assert caught.value.members == {"Type": "User"}
    message = caught.value.message
    assert message is not None and message.startswith(PREFIX)
    return message.removeprefix(PREFIX)


@pytest.mark.parametrize(
    ("event", "text", "column"),
    [
        # The first two were recorded on AWS.
        (b"\x99", UNEXPECTED.format("(CTRL-CHAR, code 153)", f"expected a valid value {VALUES}"), 1),
        (b'"\x87"', "Invalid UTF-8 start byte 0x87", 3),
        (b'"\xc3("', "Invalid UTF-8 middle byte 0x28", 4),
        (b"hello", f"Unrecognized token 'hello': was expecting {VALUES}", 6),
        (b"nope", f"Unrecognized token 'nope': was expecting {VALUES}", 5),
        (b'{"a":tru}', f"Unrecognized token 'tru': was expecting {VALUES}", 10),
        (b"[truer]", f"Unrecognized token 'truer': was expecting {VALUES}", 8),
        (b"{nope", UNEXPECTED.format("'n' (code 110)", "was expecting double-quote to start field name"), 2),
        (b"{'a':1}", UNEXPECTED.format("''' (code 39)", "was expecting double-quote to start field name"), 2),
        (b'{"a":1,}', UNEXPECTED.format("'}' (code 125)", "was expecting double-quote to start field name"), 8),
        (b"'a'", UNEXPECTED.format("''' (code 39)", f"expected a valid value {VALUES}"), 1),
        (b"[1,]", UNEXPECTED.format("']' (code 93)", "expected a value"), 4),
        (b'{"a" 1}', UNEXPECTED.format("'1' (code 49)", "was expecting a colon to separate field name and value"), 6),
        (b'{"a":1 "b":2}', UNEXPECTED.format("'\"' (code 34)", "was expecting comma to separate Object entries"), 8),
        (b"[1 2]", UNEXPECTED.format("'2' (code 50)", COMMA), 4),
        ("[1 €]".encode(), UNEXPECTED.format("'€' (code 8364 / 0x20ac)", COMMA), 4),
        (b'"a\tb"', "Illegal unquoted character ((CTRL-CHAR, code 9)): has to be escaped using backslash to be "
         "included in string value", 3),
        (b'"\\x"', "Unrecognized character escape 'x' (code 120)", 3),
        (b'"\\u12x"', UNEXPECTED.format("'x' (code 120)", "expected a hex-digit for character escape sequence"), 6),
        (b"01", "Invalid numeric value: Leading zeroes not allowed", 2),
        (b".5", UNEXPECTED.format("'.' (code 46)", f"expected a valid value {VALUES}"), 1),
        (b"-x", "Unexpected character ('x' (code 120)) in numeric value: expected digit (0-9) to follow minus sign, "
         "for valid numeric value", 2),
        (b"[1.]", "Unexpected character (']' (code 93)) in numeric value: Decimal point not followed by a digit", 4),
        (b"1x", UNEXPECTED.format("'x' (code 120)", "Expected space separating root-level values"), 2),
        (b'{"a":', "Unexpected end-of-input within/between Object entries", 6),
        (b"[1,", "Unexpected end-of-input within/between Array entries", 4),
        (b'"abc', "Unexpected end-of-input in VALUE_STRING", 5),
        (b'{"abc', "Unexpected end-of-input: was expecting closing '\"' for name", 6),
        (b'{"a":1', OPEN.format("Object"), 7),
        (b"[[1]", OPEN.format("Array"), 5),
        (b"[1}", f"Unexpected close marker '}}': expected ']' (for Array starting at {SOURCE.format(1, 1)})", 4),
        (b"{}}", f"Unexpected close marker '}}': expected ']' (for root starting at {SOURCE.format(1, 0)})", 4),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where(event: bytes, text: str, column: int) -> None:
    assert refusal(event) == f"{text}\n at {SOURCE.format(1, column)}"


def test_lines_are_counted() -> None:
    assert refusal(b'{\r\n  "a":\n x}').endswith(SOURCE.format(3, 4))


def test_an_event_that_is_long_is_not_read_again() -> None:
    assert refusal(b"[" + b"1," * 40_000 + b"]") == "Expecting value: line 1 column 80002 (char 80001)"


def test_a_fault_of_a_worker_is_explained() -> None:
    text = "Could not parse request body into json: Unable to unmarshal input: Expecting value"
    message = malformed.explained(
        Fault("InvalidRequestContentException", text, Type="User"), b"hello"
    ).message
    assert message == f"{PREFIX}Unrecognized token 'hello': was expecting {VALUES}\n at {SOURCE.format(1, 6)}"
    other = Fault("ServiceException", "m", Type="Service")
    assert malformed.explained(other, b"hello") is other


def no_constant(name: str) -> None:
    raise ValueError(name)


@given(st.text('{}[]",:\\u01.-+eEtrnflas\n é', max_size=16))
@example("NaN")
def test_a_place_is_named_wherever_there_is_something_wrong_and_only_there(event: str) -> None:
    fault = malformed.explained(Fault("InvalidRequestContentException", "as it was"), event.encode())
    assert fault.message is not None
    placed = fault.message.endswith("]") and f"\n at {SOURCE[:20]}" in fault.message
    try:
        json.loads(event, parse_constant=no_constant)
    except ValueError:
        assert placed or not event.strip()  # what is empty is at its end as it should be
    else:
        assert fault.message == PREFIX + "as it was"
