"""What handlers invoke: by their own lane, with the errors that callers outside get."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import FUNCTIONS, Gate, Logs, until

from engine import AsyncEngine, Engine, FunctionCrashed, FunctionError, FunctionTimeout
from engine.limits import REPLY_BYTES

Function = Callable[..., Any]


def inner(name: str, event: Any = None) -> dict[str, Any]:
    return {"name": name, "event": event}


@pytest.mark.promise(107)
@pytest.mark.parametrize("event", [None, 1, "text", {"a": [1, {"b": None}]}, "x" * 100_000, "ü" * 20_000])
def test_a_handler_invokes_another_function(function: Function, event: Any) -> None:
    echo, call = function("echo"), function("nested:call")
    for _ in range(3):
        assert call.invoke(inner(echo.name, event)) == event


@pytest.mark.promise(107)
def test_the_largest_result_comes_back(function: Function) -> None:
    large, call = function("large"), function("nested:call")
    assert len(call.invoke(inner(large.name, REPLY_BYTES))) == REPLY_BYTES - 2


@pytest.mark.promise(107)
def test_a_chain_of_handlers(function: Function) -> None:
    deep = function("nested:deep", concurrency=5)
    for _ in range(20):
        assert deep.invoke({"name": deep.name, "levels": 4}) == 4


@pytest.mark.promise(107)
def test_bytes_go_to_a_function_that_takes_those(function: Function) -> None:
    raw, call = function("raw_echo", codec="raw"), function("nested:call_bytes")
    for text in ("first", "again", "x" * 50_000):
        assert call.invoke({"name": raw.name, "text": text}) == text
    caught = function("nested:caught")
    assert caught.invoke(inner(raw.name, {"no": "bytes"}))["type"] == "InvalidEvent"


@pytest.mark.promise(107)
def test_every_way_in_leads_to_it(function: Function) -> None:
    echo, call = function("echo"), function("nested:call", concurrency=2)
    assert call.submit(inner(echo.name, 1)).result() == 1
    assert list(call.map([inner(echo.name, n) for n in range(200)])) == list(range(200))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: call.invoke(inner(echo.name, n)), range(200))) == list(range(200))


@pytest.mark.promise(107)
def test_awaited() -> None:
    async def run() -> list[Any]:
        async with AsyncEngine() as engine:
            await engine.function("app:echo", code=FUNCTIONS, name="echo")
            call = await engine.function("nested:call", code=FUNCTIONS, name="call", concurrency=2)
            return list(await asyncio.gather(*(call.invoke(inner("echo", n)) for n in range(100))))

    assert asyncio.run(run()) == list(range(100))


@pytest.mark.promise(107)
def test_the_errors_are_those_that_callers_outside_get(function: Function) -> None:
    caught = function("nested:caught")
    cases = [
        (function("fail"), {}),
        (function("forever", timeout=0.2), {}),
        (function("exit_with"), 3),
        (function("kill_with"), "SIGSEGV"),
    ]
    for failing, event in cases:
        with pytest.raises(FunctionError) as outside:
            failing.invoke(event)
        inside = caught.invoke(inner(failing.name, event))
        assert inside["type"] == type(outside.value).__name__
        own = vars(outside.value)
        for member in ("error_type", "stack_trace", "timeout", "exit_status", "signal"):
            assert inside["is"].get(member) == own.get(member), member
        assert inside["is"]["request_id"] != own["request_id"]
    nobody = caught.invoke(inner("nobody"))
    assert (nobody["type"], nobody["text"]) == ("FunctionNotFound", "Function not found: nobody")
    assert isinstance(outside.value, FunctionCrashed)


@pytest.mark.promise(107)
def test_one_that_would_wait_for_itself_is_refused_at_once(function: Function) -> None:
    deep = function("nested:deep", concurrency=2)
    with pytest.raises(
        FunctionError, match=r"TooManyRequests: Rate Exceeded: each worker of the function waits"
    ):
        deep.invoke({"name": deep.name, "levels": 5})
    assert deep.invoke({"name": deep.name, "levels": 1}) == 1


@pytest.mark.promise(107)
def test_a_circle_of_functions_is_refused_at_once(function: Function) -> None:
    one, other = function("nested:caught"), function("nested:call")
    event = inner(other.name, inner(one.name, inner(other.name, None)))
    assert one.invoke(event)["type"] == "FunctionError"
    assert other.invoke(inner(one.name, inner("nobody")))["type"] == "FunctionNotFound"


@pytest.mark.promise(107)
def test_it_waits_for_a_worker_that_is_only_busy(function: Function, gate: Gate) -> None:
    gated, call = function("gated"), function("nested:call")
    first = gated.submit(gate.event("first"))
    gate.wait()
    second = call.submit(inner(gated.name, gate.event("second")))
    until(lambda: call.workers() and not second.done())
    gate.open()
    assert [first.result(), second.result()] == ["first", "second"]


@pytest.mark.promise(107)
def test_a_line_that_is_full_is_said_so(function: Function, gate: Gate) -> None:
    gated, caught = function("gated", waiting=0), function("nested:caught")
    first = gated.submit(gate.event(1))
    gate.wait()
    refused = caught.invoke(inner(gated.name, gate.event(2)))
    assert refused["type"] == "TooManyRequests"
    assert "the waiting line is full" in refused["text"]
    gate.open()
    assert first.result() == 1


@pytest.mark.promise(107)
def test_the_callers_deadline_bounds_it(function: Function) -> None:
    slow, call, echo = function("nested:slow"), function("nested:call", timeout=0.3), function("echo")
    with pytest.raises(FunctionTimeout):
        call.invoke(inner(slow.name, 2))
    assert call.invoke(inner(echo.name, "next")) == "next"
    assert slow.invoke(0) == 0


@pytest.mark.promise(107)
def test_a_caller_that_dies_takes_what_has_not_begun_along(
    function: Function, engine: Engine, gate: Gate
) -> None:
    gated, call = function("gated"), function("nested:call")
    first = gated.submit(gate.event("first"))
    gate.wait()
    second = call.submit(inner(gated.name, gate.event("second")))
    (worker,) = until(call.workers)
    until(lambda: engine.stats()[gated.name].queue_depth == 1)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(FunctionCrashed):
        second.result()
    gate.open()
    assert first.result() == "first"
    assert gated.invoke(gate.event("third")) == "third"
    assert gate.arrived() == ["first", "third"]


@pytest.mark.promise(107)
def test_the_threads_of_a_handler_take_turns(function: Function) -> None:
    echo, at_once = function("echo"), function("nested:at_once")
    for _ in range(20):
        assert at_once.invoke({"name": echo.name}) == list(range(8))


@pytest.mark.promise(107)
def test_what_a_signal_ended_does_not_come_back_for_the_next(function: Function) -> None:
    slow, echo, alarmed = function("nested:slow"), function("echo"), function("nested:alarmed")
    for _ in range(2):
        assert alarmed.invoke({"name": slow.name, "event": 0.3, "other": echo.name}) == ["rung", "again"]


@pytest.mark.promise(107)
def test_a_context_serves_its_own_invocation_alone(function: Function) -> None:
    keep, child = function("nested:keep"), function("nested:child")
    assert keep.invoke() is None
    assert "has ended" in keep.invoke()
    assert "another process's" in child.invoke()


@pytest.mark.promise(107)
def test_the_trace_goes_along(function: Function) -> None:
    environment, traced = function("environment"), function("nested:traced")
    trace = "Root=1-0-0;Lineage=aabbccdd:3"
    assert traced.invoke({"name": environment.name, "trace": trace})["_X_AMZN_TRACE_ID"] == trace


@pytest.mark.promise(107)
def test_what_it_prints_is_logged_as_its_own(function: Function, logs: Logs) -> None:
    speak, call = function("speak"), function("nested:call")
    call.invoke(inner(speak.name, "hello from inside"))
    until(lambda: "hello from inside" in logs.of(speak.name))
    assert all(request for name, request, _ in logs.lines if name == speak.name)


@pytest.mark.promise(107)
def test_a_function_that_is_replaced_or_removed_while_it_is_known(function: Function, engine: Engine) -> None:
    call, caught = function("nested:call"), function("nested:caught")
    target = function("echo", name="target-of-calls")
    assert call.invoke(inner(target.name, "old")) == "old"
    function("count", name=target.name)
    assert call.invoke(inner(target.name, "new")) == 1
    function("raw_echo", name=target.name, codec="raw")
    assert function("nested:call_bytes").invoke({"name": target.name, "text": "bytes"}) == "bytes"
    target.remove()
    assert caught.invoke(inner(target.name))["type"] == "FunctionNotFound"


@pytest.mark.promise(107)
def test_a_cold_start_of_what_is_called(function: Function) -> None:
    echo, call = function("echo", warm=0), function("nested:call", warm=0)
    assert call.invoke(inner(echo.name, 5)) == 5


@pytest.mark.promise(107)
def test_closing_waits_for_what_was_accepted_and_what_that_calls() -> None:
    with Engine() as engine:
        engine.function("nested:slow", code=FUNCTIONS, name="slow")
        call = engine.function("nested:call", code=FUNCTIONS, name="call")
        futures = [call.submit(inner("slow", 0.05)) for _ in range(5)]
    assert [future.result() for future in futures] == [0.05] * 5
