"""Row 31: JSON that is malformed, or at the edge of what JSON is, both ways."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from engine import Engine, FunctionError, InvalidEvent

from .conftest import ECHO, MISBEHAVE

DEEP = 100_000


def calls(fn: Any) -> dict[str, Callable[[Any], Any]]:
    """Every way to call a function from ordinary code."""
    return {
        "invoke": fn.invoke,
        "submit": lambda event: fn.submit(event).result(5),
        "map": lambda event: next(iter(fn.map([event]))),
    }


def large(document: bytes) -> bytes:
    """The same value, behind as many blanks as make it travel as a large payload, which has a decoder of its own."""
    return document[:3] * document.startswith(BOM) + b" " * 20_000 + document.removeprefix(BOM)


BOM = b"\xef\xbb\xbf"


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


MALFORMED = [
    (b"", "Expecting value"),
    (b" \n", "Expecting value"),
    (b"nul", "Expecting value"),
    (b"'a'", "Expecting value"),
    (b"[1,]", "Expecting value"),
    (b"\x00", "Expecting value"),
    (b"{", "Expecting property name"),
    (b"{1: 2}", "Expecting property name"),
    (b'"a', "Unterminated string"),
    (b'"a\nb"', "Invalid control character"),
    (b'"\\x41"', "Invalid \\\\escape"),
    (b"1 2", "Extra data"),
    (b"01", "Extra data"),
    (b'{"a": 1}}', "Extra data"),
    (b"null\x00", "Extra data"),
    (b'"\xff"', "codec can't decode byte 0xff"),
    (b"\x80", "codec can't decode byte 0x80"),
    (b'"\xc3', "codec can't decode byte 0xc3|unexpected end of data"),
    (b"1" * 5000, "Exceeds the limit"),
    (b"[" * DEEP, "recursion"),
    (b"[" * DEEP + b"]" * DEEP, "recursion"),
    (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "recursion"),
]


def test_row_31_an_event_that_is_not_json(stoker: Engine) -> None:
    """Refused in the decoder's words; the handler is not called, and its worker lives on."""
    echo = stoker.function("app:handler", code=ECHO)
    worker = echo.workers()
    for short, words in MALFORMED:
        for payload in (short, large(short)):
            with pytest.raises(InvalidEvent, match="^Could not parse request body into json: .*") as caught:
                echo.invoke_raw(payload)
            assert re.search(words, str(caught.value)), (payload[:40], str(caught.value))
        assert echo.invoke("after") == "after"
    assert echo.workers() == worker


@pytest.mark.promise(11)
@pytest.mark.parametrize(
    ("payload", "result"),
    [
        (b"NaN", b"null"),
        (b'{"a": [-Infinity, Infinity]}', b'{"a":[null,null]}'),
        (b"1e999", b"null"),
        (b"-0.0", b"-0.0"),
        (b'"\\ud800"', b'"\\ud800"'),
        (b'{"\\udfff": "\\ud83d\\ude00"}', b'{"\\udfff": "\\ud83d\\ude00"}'),
        (b'{"a": 1, "a": 2}', b'{"a":2}'),
        (b"\xef\xbb\xbf1", b"1"),
        (b"1" * 4000, b"1" * 4000),
        (b"-9223372036854775809", b"-9223372036854775809"),
        (b"18446744073709551616", b"18446744073709551616"),
        (b"[" * 500 + b"]" * 500, b"[" * 500 + b"]" * 500),
    ],
    ids=lambda value: value[:12].decode("latin-1"),
)
def test_row_31_an_event_at_the_edge_has_its_value(stoker: Engine, payload: bytes, result: bytes) -> None:
    for event in (payload, large(payload)):
        reply = stoker.function("app:handler", code=ECHO).invoke_raw(event)
        assert reply.function_error is None
        assert reply.payload.replace(b'": ', b'":') == result.replace(b'": ', b'":')


def value_of(data: bytes) -> Any:
    """What Python's json makes of a document, in the form that comes back; None if it refuses."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, list):
            return [plain(each) for each in value]
        return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value

    try:
        return [plain(json.loads(data))]
    except (ValueError, RecursionError):
        return None


def test_row_31_nearly_json(stoker: Engine) -> None:
    """Documents damaged at random: each is refused, or has the value that Python's json reads."""
    echo = stoker.function("app:handler", code=ECHO)
    worker = echo.workers()
    chance = random.Random(31)
    whole = (
        '{"a": [1, -2.5e3, true, null, "x\\u00e9\\ud83d\\ude00ü", NaN], "b": {"c": "\\ud800", "d": [[], {}, ""]}}'
    ).encode()
    refused = read = 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    del data[at : at + chance.randint(1, 4)]
                case 1:
                    data[at] = chance.randrange(256)
                case 2:
                    data.insert(at, chance.choice(b'{}[]",:\\0e-.\xff\x00'))
                case _:
                    del data[at + 1 :]
        expected = value_of(bytes(data))
        try:
            payload = echo.invoke_raw(bytes(data)).payload
        except InvalidEvent:
            assert expected is None, data
            refused += 1
        else:
            assert value_of(payload) == expected, data
            read += 1
    assert refused > 20
    assert read > 20
    assert echo.workers() == worker


@pytest.mark.parametrize("how", ["invoke", "submit", "map"])
def test_row_31_an_event_that_json_cannot_express(how: str) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with Engine(logs=False) as engine:
        echo = engine.function("app:handler", code=ECHO)
        call = calls(echo)[how]
        for event in (nested(DEEP), loop, 10**5000, object(), {(1, 2): 3}, [1j]):
            with pytest.raises(InvalidEvent, match="^the event cannot be encoded as JSON: "):
                call(event)
        for event, value in (
            (math.nan, None),
            ([math.inf], [None]),
            ("a\ud800", "a\ud800"),
            (-(10**99), -(10**99)),
        ):
            assert call(event) == value
        assert engine.stats()[echo.name].invocations == 4, "what cannot be encoded is not accepted"


ODD = [
    ("float('nan')", None),
    ("[float('inf'), -float('inf')]", [None, None]),
    ("'\\ud800'", "\ud800"),
    ("{'\\udfff': 1}", {"\udfff": 1}),
    ("2**64", 2**64),
    ("-10**100", -(10**100)),
    ("nested(500)", nested(500)),
    ("{1: 2, None: 3}", {"1": 2, "null": 3}),
]
INEXPRESSIBLE = [
    "object()",
    "10**5000",
    "nested(100_000)",
    "[1j]",
    "{(1, 2): 3}",
    "(a := [], a.append(a))[0]",
]


def cannot(error: BaseException | None) -> bool:
    assert isinstance(error, FunctionError), error
    return error.error_type == "Runtime.MarshalError" and error.error_message.startswith(
        "Unable to marshal response: "
    )


@pytest.mark.promise(11)
@pytest.mark.parametrize("how", ["invoke", "submit", "map"])
def test_row_31_a_result_at_the_edge(stoker: Engine, how: str) -> None:
    fn = stoker.function("answers_oddly:handler", code=MISBEHAVE)
    call, worker = calls(fn)[how], fn.workers()
    for expression, value in ODD:
        assert call(expression) == value
    for expression in INEXPRESSIBLE:
        with pytest.raises(FunctionError) as caught:
            call(expression)
        assert cannot(caught.value), expression
    assert fn.workers() == worker


def test_row_31_a_result_at_the_edge_awaited(awaited: Any) -> None:
    async def main(engine: Any) -> None:
        fn = await engine.function("answers_oddly:handler", code=MISBEHAVE)
        for expression, value in ODD:
            assert await fn.invoke(expression) == value
            assert [each async for each in fn.map([expression])] == [value]
        for got in await asyncio.gather(*map(fn.invoke, INEXPRESSIBLE), return_exceptions=True):
            assert cannot(got)

    awaited(main)


@pytest.mark.parametrize("how", ["invoke", "submit", "map"])
@pytest.mark.parametrize("depth", [3_000, 30_000])  # small enough for a lane's ring, and not
def test_row_31_a_result_too_deep_for_its_caller(stoker: Engine, how: str, depth: int) -> None:
    """An error for that caller; those whose results came with it, and come after it, have theirs."""
    fn = stoker.function("answers_oddly:handler", code=MISBEHAVE, timeout=5)
    neighbours = [fn.submit(str(n)) for n in range(20)]
    with pytest.raises(FunctionError, match="recursion"):
        calls(fn)[how](depth)
    neighbours += [fn.submit(str(n)) for n in range(20, 40)]
    assert [each.result(5) for each in neighbours] == list(range(40))


def test_row_31_a_result_too_deep_for_its_caller_awaited(awaited: Any) -> None:
    async def main(engine: Any) -> None:
        fn = await engine.function("answers_oddly:handler", code=MISBEHAVE, timeout=5)
        events: list[Any] = [*map(str, range(10)), 3_000, *map(str, range(10, 20))]
        got = await asyncio.wait_for(asyncio.gather(*map(fn.invoke, events), return_exceptions=True), 10)
        assert isinstance(got.pop(10), FunctionError)
        assert got == list(range(20))

    awaited(main)
