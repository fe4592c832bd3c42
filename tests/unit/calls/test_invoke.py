"""One invocation from a thread: what goes in, what comes out, how large it may be."""

from __future__ import annotations

import json
import math
import pickle
import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from engine._native import lib
from support import FUNCTIONS, Gate, until

from engine import Engine, InvalidEvent, PayloadTooLarge, Reply, Timings
from engine.limits import EVENT_BYTES, REPLY_BYTES

Function = Callable[..., Any]

VALUES = [
    None, True, False, 0, -1, 1.5, 1e300, "", "text", "\u00fc\U0001f600\0", [], {}, [1, [2, [3]]], {"a": {"b": [None]}},
    2**63, -(2**63), 2**64 - 1, {"key": "cat.jpg"},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_json_value_comes_back_as_it_went(function: Function, value: Any) -> None:
    assert function("echo").invoke(value) == value


def test_without_an_event_the_handler_gets_none(function: Function) -> None:
    assert function("represent").invoke() == "None"


def test_a_worker_keeps_what_is_global_between_invocations(function: Function) -> None:
    count = function("count")
    assert [count.invoke() for _ in range(3)] == [1, 2, 3]


def test_what_json_lacks_is_encoded_as_msgspec_does(function: Function) -> None:
    class Point:
        __slots__ = ()

    echo = function("echo")
    assert echo.invoke((1, 2)) == [1, 2]
    assert echo.invoke({1: 2, "x": {3}}) == {"1": 2, "x": [3]}
    assert echo.invoke(b"abc") == "YWJj"
    with pytest.raises(
        InvalidEvent, match=r"cannot be encoded as JSON: Object of type Point is not JSON"
    ) as caught:
        echo.invoke(Point())
    assert caught.value.__cause__ is None
    assert echo.invoke("still there") == "still there"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("float('inf') > 1", True),
        ("(1, {2})", [1, [2]]),
        ("decimal.Decimal('1.50')", 1.5),
        ("2**200", 2**200),
        ("'\\ud800'", "\ud800"),
        ("{1: {None: 'n'}}", {"1": {"null": "n"}}),
        ("{'a': '\\udfff', 'b': 10**30}", {"a": "\udfff", "b": 10**30}),
    ],
)
@pytest.mark.parametrize("way", ["invoke", "submit", "map"])
def test_results_that_the_fast_codec_refuses(
    function: Function, expression: str, value: Any, way: str
) -> None:
    evaluate = function("evaluate")
    got = {
        "invoke": lambda: evaluate.invoke(expression),
        "submit": lambda: evaluate.submit(expression).result(20),
        "map": lambda: next(iter(evaluate.map([expression]))),
    }[way]()
    assert got == value
    assert evaluate.submit("1").result(20) == 1  # nothing behind it is lost


class TestRaw:
    """invoke_raw: JSON bytes in, a Reply out."""

    def test_reply(self, function: Function) -> None:
        reply = function("echo").invoke_raw(b'{"b": [1]}')
        assert isinstance(reply, Reply)
        assert reply.payload == b'{"b":[1]}'
        assert reply.function_error is None
        assert uuid.UUID(reply.request_id).version == 4
        assert reply.version == "$LATEST"
        assert 5 < reply.memory < 128
        assert reply.cold is False

    def test_timings_are_whole(self, function: Function) -> None:
        t = function("echo").invoke_raw(b"1").timings
        assert isinstance(t, Timings)
        parts = (t.queue, t.dispatch, t.execute, t.reply)
        assert all(part >= 0 for part in parts)
        assert t.execute > 0
        assert sum(parts) == pytest.approx(t.total, abs=1e-6)

    def test_each_reply_is_read_whenever_one_likes(self, function: Function) -> None:
        echo = function("echo")
        begun = time.monotonic()
        replies = [echo.invoke_raw(b"%d" % n) for n in range(100)]
        took = time.monotonic() - begun
        assert [reply.payload for reply in replies] == [b"%d" % n for n in range(100)]
        assert len({reply.request_id for reply in replies}) == 100
        assert 0 < sum(reply.timings.total for reply in replies) < took
        last = replies[-1]
        assert last == pickle.loads(pickle.dumps(last)) != replies[0]
        assert repr(last) == (
            f"Reply(payload=b'99', function_error=None, request_id={last.request_id!r}, version='$LATEST', "
            f"memory={last.memory}, cold=False)"
        )

    def test_a_failure_is_in_the_reply(self, function: Function) -> None:
        reply = function("fail").invoke_raw(b'"no"')
        assert reply.function_error == "Unhandled"
        error = json.loads(reply.payload)
        assert error["errorType"] == "Trouble"
        assert error["errorMessage"] == "no"
        assert error["requestId"] == reply.request_id

    def test_none_is_null(self, function: Function) -> None:
        assert function("evaluate").invoke_raw(b'"None"').payload == b"null"

    def test_the_default_payload_is_null(self, function: Function) -> None:
        assert function("echo").invoke_raw().payload == b"null"

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_anything_with_a_buffer(self, function: Function, kind: Any) -> None:
        assert function("echo").invoke_raw(kind(b"[7]")).payload == b"[7]"

    def test_a_str_is_not_bytes(self, function: Function) -> None:
        with pytest.raises(InvalidEvent, match="takes bytes, bytearray or memoryview, not str"):
            function("echo").invoke_raw("{}")

    @pytest.mark.parametrize(
        "payload", [b"", b" ", b"{", b"[1,]", b"1 2", b"nul", b"\xff", b"'a'", b"0x1", b'"\n"']
    )
    def test_what_is_not_json_never_reaches_the_handler(self, function: Function, payload: bytes) -> None:
        count = function("count")
        with pytest.raises(InvalidEvent, match=r"^Could not parse request body into json: .+"):
            count.invoke_raw(payload)
        assert count.invoke() == 1

    @pytest.mark.parametrize(
        ("payload", "value"),
        [
            (b"NaN", "nan"),
            (b"-Infinity", "-inf"),
            (b"1e999", "inf"),
            (b'"\\ud800"', repr("\ud800")),
            (b'"\xed\xa0\x80"', repr("\ud800")),  # Python's json reads these bytes so
            (b"1" * 40, "1" * 40),
            (b'{"a":1,"a":2}', "{'a': 2}"),
            (b"\xef\xbb\xbf[]", "[]"),
            (b" [ 1 , 2.0 ]\n", "[1, 2.0]"),
            (b"[" * 500 + b"]" * 500, "[" * 500 + "]" * 500),
        ],
    )
    def test_json_as_python_reads_it(self, function: Function, payload: bytes, value: str) -> None:
        assert json.loads(function("represent").invoke_raw(payload).payload) == value

    @pytest.mark.parametrize("beside", ["1", r"'\ud800'", "2**70"])
    def test_a_result_holds_null_for_what_is_no_number(self, function: Function, beside: str) -> None:
        """Whether the fast encoder takes what is beside it or not."""
        evaluate = function("evaluate")
        made = f"{{'a': [float('nan'), {{'b': (float('inf'), -float('inf'))}}, {beside}]}}"
        expected = {"a": [None, {"b": [None, None]}, eval(beside)]}
        assert evaluate.invoke(made) == expected
        payload = evaluate.invoke_raw(json.dumps(made).encode()).payload
        assert json.loads(payload, parse_constant=pytest.fail) == expected

    @pytest.mark.parametrize("beside", [1, "\ud800", 2**70])
    def test_an_event_holds_null_for_what_is_no_number(self, function: Function, beside: Any) -> None:
        event = {"a": [math.nan, {"b": (math.inf, -math.inf)}, beside]}
        assert eval(function("represent").invoke(event)) == {"a": [None, {"b": [None, None]}, beside]}

    @pytest.mark.parametrize("payload", [b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b"9" * 5000])
    def test_what_python_cannot_hold_is_an_invalid_event(self, function: Function, payload: bytes) -> None:
        echo = function("echo")
        with pytest.raises(InvalidEvent, match="recursion depth|4300 digits"):
            echo.invoke_raw(payload)
        assert echo.invoke(1) == 1


class TestRawCodec:
    """codec="raw": bytes in, bytes out."""

    def test_the_handler_gets_a_read_only_view(self, function: Function) -> None:
        assert function("raw_kind", codec="raw").invoke(b"abc") == b"memoryview True 3"

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_anything_with_a_buffer(self, function: Function, kind: Any) -> None:
        assert function("raw_echo", codec="raw").invoke(kind(b"\0\xff")) == b"\0\xff"

    def test_a_view_with_steps_is_made_whole(self, function: Function) -> None:
        assert function("raw_echo", codec="raw").invoke(memoryview(b"abcdef")[::2]) == b"ace"

    def test_anything_else_is_refused(self, function: Function) -> None:
        with pytest.raises(InvalidEvent, match="takes bytes, bytearray or memoryview, not dict"):
            function("raw_echo", codec="raw").invoke({})

    @pytest.mark.parametrize(
        ("kind", "value"),
        [("str", "ü".encode()), ("none", b""), ("bytearray", b"ab"), ("view", b"vi"), ("dict", b'{"a":1}')],
    )
    def test_what_it_may_return(self, function: Function, kind: str, value: bytes) -> None:
        assert function("raw_give", codec="raw").invoke(kind.encode()) == value

    def test_every_way(self, function: Function) -> None:
        echo = function("raw_echo", codec="raw")
        assert echo.submit(b"{").result(20) == b"{"
        assert list(echo.map([b"", b"a", bytearray(b"b")])) == [b"", b"a", b"b"]
        assert echo.invoke_raw(b"\xff").payload == b"\xff"

    def test_six_mib_both_ways(self, function: Function) -> None:
        echo = function("raw_echo", codec="raw")
        event = bytes(range(256)) * (EVENT_BYTES // 256)
        for way in (echo.invoke, lambda e: echo.submit(e).result(20), lambda e: next(iter(echo.map([e])))):
            assert way(memoryview(event)) == event
        assert echo.invoke(b"small") == b"small"

    def test_a_slice_of_the_event_is_a_result(self, function: Function) -> None:
        """Large ones are not copied in the worker, and are read before the next event takes their place."""
        cut = function("raw_slice", codec="raw")
        events = [bytes([n]) * 300_000 + b"end" for n in range(40)]
        assert list(cut.map(events)) == [event[7:-1] for event in events]
        futures = [cut.submit(event) for event in events]
        assert [future.result(20) for future in futures] == [event[7:-1] for event in events]

    def test_a_large_result_that_nobody_fetches_keeps_no_one_waiting(self, function: Function) -> None:
        echo = function("raw_echo", codec="raw")
        paused = echo.map([bytes([n]) * 300_000 for n in range(8)])
        assert next(paused) == bytes(300_000)
        assert echo.invoke(b"\xff" * 300_000) == b"\xff" * 300_000
        assert [result[0] for result in paused] == [1, 2, 3, 4, 5, 6, 7]


EDGES = [0, 1, 4096, 4097, lib.STK_INLINE - 1, lib.STK_INLINE, lib.STK_INLINE + 1, lib.STK_RING, EVENT_BYTES]


@pytest.mark.slow
class TestSizes:
    @pytest.mark.promise(29)
    @pytest.mark.parametrize("size", EDGES)
    @pytest.mark.parametrize("way", ["invoke", "submit", "map", "invoke_raw"])
    def test_a_raw_payload_of(self, function: Function, size: int, way: str) -> None:
        echo = function("raw_echo", codec="raw")
        event = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        got = {
            "invoke": lambda: echo.invoke(event),
            "submit": lambda: echo.submit(event).result(20),
            "map": lambda: next(iter(echo.map([event]))),
            "invoke_raw": lambda: echo.invoke_raw(event).payload,
        }[way]()
        assert got == event

    @pytest.mark.promise(29)
    def test_one_byte_more_is_refused_before_it_is_accepted(self, engine: Any, function: Function) -> None:
        echo = function("raw_echo", codec="raw")
        message = f"{EVENT_BYTES + 1} byte payload is too large for the engine's limit of {EVENT_BYTES} bytes"
        for way in (echo.invoke, echo.invoke_raw, echo.submit, lambda e: list(echo.map([e]))):
            with pytest.raises(PayloadTooLarge, match=message):
                way(bytes(EVENT_BYTES + 1))
        assert engine.stats()[echo.name].invocations == 0

    def test_json_at_the_limit(self, function: Function) -> None:
        echo = function("echo")
        event = "e" * (EVENT_BYTES - 2)
        assert echo.invoke(event) == event
        with pytest.raises(PayloadTooLarge):
            echo.invoke(event + "e")

    def test_a_result_at_the_limit(self, function: Function) -> None:
        assert len(function("large").invoke(REPLY_BYTES)) == REPLY_BYTES - 2
        assert len(function("raw_large", codec="raw").invoke(str(REPLY_BYTES).encode())) == REPLY_BYTES

    @pytest.mark.promise(29)
    @pytest.mark.parametrize("handler", ["large", "raw_large"])
    def test_a_larger_result_is_lambdas_error(self, function: Function, handler: str) -> None:
        target = function(handler, codec="raw" if handler == "raw_large" else "json")
        reply = target.invoke_raw(str(REPLY_BYTES + 1).encode())
        assert reply.function_error == "Unhandled"
        assert json.loads(reply.payload) == {
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
            "errorType": "Function.ResponseSizeTooLarge",
        }
        assert target.invoke_raw(b"5").function_error is None

    def test_a_smaller_limit_holds_both_ways(self) -> None:
        with Engine(payload_limit=100) as engine:
            echo = engine.function("app:raw_echo", code=FUNCTIONS, codec="raw")
            give = engine.function("app:raw_large", code=FUNCTIONS, codec="raw")
            assert echo.invoke(bytes(100)) == bytes(100)
            with pytest.raises(PayloadTooLarge, match="101 byte payload .* limit of 100 bytes"):
                echo.invoke(bytes(101))
            assert len(give.invoke(b"100")) == 100
            assert b"(100 bytes)" in give.invoke_raw(b"101").payload

    def test_a_larger_limit_holds_both_ways(self) -> None:
        size = EVENT_BYTES + 1_000_000
        with Engine(payload_limit=size) as engine:
            echo = engine.function("app:raw_echo", code=FUNCTIONS, codec="raw")
            assert echo.invoke(b"z" * size) == b"z" * size


class TestManyCallers:
    def test_each_thread_gets_its_own_answers(self, engine: Any, function: Function) -> None:
        echo = function("echo", concurrency=2, warm=2)

        def caller(who: int) -> int:
            wrong = 0
            for n in range(300):
                wrong += echo.invoke([who, n]) != [who, n]
            return wrong

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(caller, range(8))) == 0
        assert engine.stats()[echo.name].invocations == 2400

    def test_every_way_at_once(self, function: Function) -> None:
        echo = function("echo", concurrency=2, warm=1)
        sizes = [10, 5000, lib.STK_INLINE + 5]

        def by_invoke(who: int) -> bool:
            return all(echo.invoke("i" * (n + who)) == "i" * (n + who) for n in sizes * 20)

        def by_raw(who: int) -> bool:
            payload = json.dumps(["r" * who]).encode()
            return all(json.loads(echo.invoke_raw(payload).payload) == ["r" * who] for _ in range(50))

        def by_submit(who: int) -> bool:
            futures = [echo.submit([who, n]) for n in range(100)]
            return [f.result(20) for f in futures] == [[who, n] for n in range(100)]

        def by_map(who: int) -> bool:
            return list(echo.map(([who, n] for n in range(300)), ahead=16)) == [[who, n] for n in range(300)]

        with ThreadPoolExecutor(8) as pool:
            jobs = [
                pool.submit(way, who) for who, way in enumerate([by_invoke, by_raw, by_submit, by_map] * 2)
            ]
            assert [job.result(60) for job in jobs] == [True] * 8

    def test_large_payloads_of_many_threads_do_not_mix(self, function: Function) -> None:
        echo = function("raw_echo", codec="raw", concurrency=2, warm=2)

        def caller(who: int) -> bool:
            event = bytes([who]) * (lib.STK_INLINE * 8 + who)
            return all(echo.invoke(event) == event for _ in range(15))

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(caller, range(6)))

    def test_a_thread_that_ends_leaves_nothing_behind(self, function: Function) -> None:
        echo = function("echo")
        for n in range(20):
            thread = threading.Thread(target=echo.invoke, args=(n,))
            thread.start()
            thread.join()
        assert echo.invoke("after") == "after"


@pytest.mark.promise(21)
def test_engines_in_one_process_do_not_meet() -> None:
    with Engine() as one, Engine() as two:
        a = one.function("app:count", code=FUNCTIONS, name="same")
        b = two.function("app:count", code=FUNCTIONS, name="same")
        assert [a.invoke(), a.invoke(), b.invoke()] == [1, 2, 1]
        assert one.stats()["same"].invocations == 2
        assert set(a.workers()).isdisjoint(b.workers())
        one.close()
        assert b.invoke() == 2


def test_many_functions_in_one_engine(function: Function) -> None:
    many = [function("pid") for _ in range(10)]
    pids = [one.invoke() for one in many]
    assert len(set(pids)) == 10
    assert [one.invoke() for one in many] == pids
    assert [one.workers() for one in many] == [[pid] for pid in pids]


def test_the_handles_say_who_they_are(function: Function) -> None:
    echo = function("echo", name="readable")
    assert repr(echo) == "<Function readable>"
    assert echo.name == "readable"


def test_a_request_id_is_never_given_twice(function: Function) -> None:
    echo = function("echo")
    ids = {echo.invoke_raw(b"1").request_id for _ in range(500)}
    assert len(ids) == 500
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids
    )


def test_a_blocked_call_does_not_hold_the_interpreter(function: Function, gate: Gate) -> None:
    held = function("gated")
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(held.invoke(gate.event("result"))))
    thread.start()
    gate.wait()
    begin = time.process_time()
    assert function("echo").invoke(1) == 1  # another function goes on
    assert not done
    gate.open()
    thread.join(20)
    assert done == ["result"]
    assert time.process_time() - begin < 5


def test_an_idle_engine_has_no_work_in_flight(engine: Any, function: Function) -> None:
    echo = function("echo")
    echo.invoke(1)
    stats = until(lambda: (s := engine.stats()[echo.name]).idle == 1 and s)
    assert (stats.queue_depth, stats.in_flight, stats.starting, stats.concurrency) == (0, 0, 0, 1)
