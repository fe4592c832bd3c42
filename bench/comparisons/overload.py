"""Overload: an open loop of 1.5 times as many calls as the engine can serve, and the time after."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import Any

from bench.harness import Comparison, Effort, Series, WrongResult, time_awaits
from bench.machine import resident_bytes
from bench.report import Figure, Outcome, duration, mib, rate, single
from bench.subject import AwaitedStoker, Loop
from engine.load import machine

BUSY = 0.0005  # long enough for the client to offer 1.5 times capacity from the other core
OFFERED = 1.5
CLIENTS = 64
GROWTH = 32 << 20
# Ticks of the open loop: each starts all the calls that are due by then.
TICK = 0.001


@dataclass
class Tally:
    completed: int = 0
    refused: int = 0
    late: int = 0  # completed after the overload had ended
    other: list[str] = field(default_factory=list)
    peak: int = 0


async def capacity(stoker: AwaitedStoker, seconds: float) -> float:
    """Calls per second of 64 callers, each with one call in flight."""
    until = time.perf_counter() + seconds
    completed = 0

    async def client(number: int) -> None:
        nonlocal completed
        while time.perf_counter() < until:
            event = {"busy": BUSY, "n": number}
            if await stoker.call_async(event) != event:
                raise WrongResult(f"a wrong reply for {event!r}")
            completed += 1

    begin = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return completed / (time.perf_counter() - begin)


async def flood(stoker: AwaitedStoker, per_second: float, seconds: float) -> tuple[Tally, float]:
    """One task per call, started when it is due whether or not earlier ones have completed."""
    from engine import TooManyRequests

    tally, tasks = Tally(), set[asyncio.Task[None]]()
    begin = time.perf_counter()
    end = begin + seconds

    async def call(number: int) -> None:
        event = {"busy": BUSY, "n": number}
        try:
            result: Any = await stoker.call_async(event)
        except TooManyRequests:
            tally.refused += 1
        except Exception as error:  # counted: anything but the explicit refusal fails the figure
            tally.other.append(repr(error))
        else:
            if result != event:
                tally.other.append(f"{result!r} for {event!r}")
            elif time.perf_counter() <= end:
                tally.completed += 1
            else:
                tally.late += 1

    started, sampled = 0, begin
    while (now := time.perf_counter()) < end:
        due = int((now - begin) * per_second)
        while started < due:
            task = asyncio.create_task(call(started))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            started += 1
        if now - sampled > 0.2:
            sampled = now
            tally.peak = max(tally.peak, _resident())
        await asyncio.sleep(TICK)
    offered = started / (time.perf_counter() - begin)
    while tasks:
        await asyncio.wait(tasks)
    counted = tally.completed + tally.late + tally.refused + len(tally.other)
    if counted != started:
        raise WrongResult(f"{started} calls, {counted} outcomes")
    return tally, offered


def _resident() -> int:
    return resident_bytes([os.getpid(), *machine.descendants(os.getpid())])


def overload(effort: Effort) -> Outcome:
    """Goodput against the capacity measured before and after; what is refused, and how; memory; recovery."""
    events = [{"busy": BUSY, "n": number} for number in range(400)]
    seconds = effort.overload_seconds
    with Loop() as loop:
        stoker = AwaitedStoker("work:handler")
        loop.run(stoker.start_async())
        try:
            loop.run(capacity(stoker, 0.5))  # warm-up
            before = loop.run(capacity(stoker, seconds / 4))
            calm = loop.run(time_awaits(stoker.call_async, events, warmup=20))
            loop.run(flood(stoker, before * OFFERED, 1.0))  # the first queue's memory is not growth
            resident = _resident()
            # The collector stays on: memory must be bounded as users run it.
            tally, offered = loop.run(flood(stoker, before * OFFERED, seconds))
            growth = max(0, tally.peak - resident)
            again = loop.run(time_awaits(stoker.call_async, events, warmup=20))
            after = loop.run(capacity(stoker, seconds / 4))
        finally:
            loop.run(stoker.close_async())
    able = (before + after) / 2
    return _outcome(tally, offered=offered, able=able, seconds=seconds, growth=growth, calm=calm, again=again)


def _outcome(
    tally: Tally, *, offered: float, able: float, seconds: float, growth: int, calm: Series, again: Series
) -> Outcome:
    command = "python -m bench.run --only overload"
    goodput = tally.completed / seconds
    # Each call completes or is refused explicitly, and under overload there must be refusals.
    honest = not tally.other and tally.refused > 0
    recovered = again.value("p50") / calm.value("p50")
    return Outcome(
        [Comparison("overload", [{"calm": calm, "again": again}])],
        [
            Figure(
                "goodput at 1.5 times capacity",
                rate(goodput),
                f"{rate(able)} capacity",
                single(goodput / able),
                0.95,
                "high",
                command,
                note=f"{offered / able:.2f} times capacity offered for {seconds:g} s",
            ),
            Figure(
                "anything but an answer or TooManyRequests",
                f"{tally.refused:,} refused, {len(tally.other)} others",
                "some refused, no others",
                single(0.0 if honest else 2.0),
                1,
                "low",
                command,
                note=f"{tally.late} answered from the line after the end; others: {tally.other[:3]}",
            ),
            Figure(
                "memory growth under overload",
                mib(growth),
                mib(GROWTH),
                single(growth / GROWTH),
                1,
                "low",
                command,
            ),
            Figure(
                "p50 after overload vs before",
                duration(again.value("p50")),
                duration(calm.value("p50")),
                single(recovered),
                1.2,
                "low",
                command,
            ),
        ],
    )
