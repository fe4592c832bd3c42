"""Rows 31 and 32: JSON that is malformed or at the edge of what JSON is, and a wall clock that jumps."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionCrashed, FunctionError, FunctionTimeout, InvalidEvent
from engine.clock import ManualClock
from engine.core.scaling import BASE_NS, CAP_NS, TRIPS_AFTER, Breaker

from .conftest import ECHO, MISBEHAVE, wait_until

DAY = 86_400
DEEP = 100_000


def calls(fn: Any) -> dict[str, Callable[[Any], Any]]:
    """Every way to call a function from ordinary code."""
    return {
        "invoke": fn.invoke,
        "submit": lambda event: fn.submit(event).result(5),
        "map": lambda event: next(iter(fn.map([event]))),
    }


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
    for payload, words in MALFORMED:
        with pytest.raises(InvalidEvent, match="^Could not parse request body into json: .*") as caught:
            echo.invoke_raw(payload)
        assert re.search(words, str(caught.value)), (payload[:40], str(caught.value))
        assert echo.invoke("after") == "after"
    assert echo.workers() == worker


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
    reply = stoker.function("app:handler", code=ECHO).invoke_raw(payload)
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
    assert refused > 50
    assert read > 50
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
        for event, value in ((math.nan, None), ([math.inf], [None]), ("a\ud800", "a\ud800"), (-(10**99), -(10**99))):
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
INEXPRESSIBLE = ["object()", "10**5000", "nested(100_000)", "[1j]", "{(1, 2): 3}", "(a := [], a.append(a))[0]"]


def cannot(error: BaseException | None) -> bool:
    assert isinstance(error, FunctionError), error
    return error.error_type == "Runtime.MarshalError" and error.error_message.startswith("Unable to marshal response: ")


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


# A library that makes the wall clock of a whole tree of processes jump a day back or forth at each look at it.
JUMPING = """
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static atomic_long looks;
static long jump(void) { return (atomic_fetch_add(&looks, 1) % 3 - 1) * 86400L; }
int clock_gettime(clockid_t clock, struct timespec *t) {
    long failed = syscall(SYS_clock_gettime, clock, t);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += jump();
    return (int)failed;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""

UNDER_IT = """
import itertools, json, time
from engine import Engine, FunctionCrashed, FunctionTimeout

def jumps():
    looks = [time.time() for _ in range(6)]
    return max(looks) - min(looks) > 86_000

def handler(event, context):
    if event == "hang":
        while True: time.sleep(60)
    if event == "die":
        import os; os.kill(os.getpid(), 9)
    return [jumps(), context.get_remaining_time_in_millis()]

if __name__ == "__main__":
    said = {"jumps": jumps()}
    with Engine(logs=False) as engine:
        fn = engine.function(handler, timeout=0.5, name="hit")
        said["seen"] = [fn.invoke() for _ in range(50)] + list(fn.map(range(50)))
        took = []
        for call in (fn.invoke, lambda event: fn.submit(event).result(), lambda event: list(fn.map([event]))):
            began = time.monotonic()
            try: call("hang")
            except FunctionTimeout: took.append(time.monotonic() - began)
        said["took"] = took
        crashes = 0
        began = time.monotonic()
        for _ in range(5):
            try: fn.invoke("die")
            except FunctionCrashed: crashes += 1
            fn.invoke()
        said["crashes"], said["recovering"] = crashes, time.monotonic() - began
        stats = engine.stats()["hit"]
        said["counted"] = [stats.timeouts, stats.crashes, stats.latency_max]
        began = time.monotonic()
    said["closing"] = time.monotonic() - began
    print(json.dumps(said))
"""


def test_row_32_a_wall_clock_that_jumps_a_day_at_every_look(script: Any, tmp_path: Path) -> None:
    """In the engine, the zygote and the workers, in Python and in C: all intervals are what they were."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "jumping.c").write_text(JUMPING)
    library = tmp_path / "jumping.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, tmp_path / "jumping.c"], check=True)
    done = subprocess.run(
        script(UNDER_IT), env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["jumps"], "the library is in force"
    assert all(jumps for jumps, _ in said["seen"]), "in the workers too"
    assert all(0 < left <= 500 for _, left in said["seen"])
    assert len(said["took"]) == 3
    assert all(0.5 <= took < 1.2 for took in said["took"]), said["took"]
    assert (said["crashes"], said["counted"][:2]) == (5, [3, 5])
    assert said["counted"][2] < 5
    assert said["recovering"] < 5
    assert said["closing"] < 5


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_row_32_a_jump_while_it_runs(
    stoker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """The embedder's clock jumps in the middle of an invocation: its deadline stays where it was."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, timeout=0.4, concurrency=2, warm=2)
    began, gate = tmp_path / "began", tmp_path / "gate"
    started = time.monotonic()
    late, early = fn.submit({"began": str(began)}), fn.submit({"began": str(began), "until": str(gate), "result": 1})
    wait_until(lambda: began.exists() and len(began.read_text().split()) == 2)
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + jump * 10**9)
    assert not late.done()
    gate.touch()
    assert early.result(5) == 1, "not ended by the jump"
    with pytest.raises(FunctionTimeout):
        late.result(5)
    assert 0.4 <= time.monotonic() - started < 0.9
    assert fn.invoke({"until": str(gate), "result": 2}) == 2


def test_row_32_a_function_that_does_not_start_is_retried_in_time(
    stoker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-off counts from the failure, whatever the wall clock says in between."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - DAY)
    sick = tmp_path / "sick"
    fn = stoker.function(
        "fails_on_import:handler", code=MISBEHAVE, warm=0, init="fresh",
        environment={"SIN": "recovers", "SIN_WHILE": str(sick)},
    )  # fmt: skip
    sick.touch()
    with pytest.raises(FunctionError, match="not yet"):
        fn.invoke(1)
    sick.unlink()
    monkeypatch.setattr(time, "time", lambda: real() + DAY)
    started = time.monotonic()
    assert wait_until(lambda: answered(fn, 2)) == 2
    assert time.monotonic() - started < 2


def answered(fn: Any, event: Any) -> Any:
    try:
        return fn.invoke(event)
    except (FunctionError, FunctionCrashed):
        return None


def test_row_32_back_off_goes_by_the_clock_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, breaker = ManualClock(start=5 * 10**9), Breaker()
    wall = iter([0.0, 1e9, -1e9] * 1000)
    monkeypatch.setattr(time, "time", lambda: next(wall))
    delays = []
    for failures in range(1, 12):
        breaker.failed(clock.now())
        assert breaker.open == (failures >= TRIPS_AFTER)
        assert not breaker.may_start(clock.now())
        delay = breaker.not_before - clock.now()
        clock.advance((delay - 1000) / 1e9)
        assert not breaker.may_start(clock.now())
        clock.advance(0.000002)
        assert breaker.may_start(clock.now())
        delays.append(delay)
    assert delays == [min(CAP_NS, BASE_NS * 2**n) for n in range(11)]
    breaker.succeeded()
    assert not breaker.open
    assert breaker.may_start(clock.now())
