"""Results of runs that never were: a seeded queue in front of a few servers, recorded as a real one is."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.load.generate.arrivals import Stages, ramp, steady
from engine.load.generate.record import Interval, Record, Response, Tally
from engine.load.result import (
    Cpu,
    Distribution,
    Estimate,
    Knee,
    Noise,
    Result,
    Series,
    StageResult,
)

NS = 1e9
MACHINE = {
    "cpu": "AMD EPYC 7B13, 2 cores", "kernel": "Linux 6.8.0", "memory": "7.8 GiB", "python": "3.12.4",
    "governor": "performance",
}  # fmt: skip
NOTHING = Result(
    stoker="0.1.0", name="nothing", target="nobody", arrivals="none", payload="{}", seed=0, started="", duration=1.0,
    warmup=0.0, offered=0, rate=0.0, goodput=0.0, ended={}, latency=Distribution(),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Servers:
    """A target. Seconds; service: the median of a log-normal distribution; stall: (when, for how long); a server that
    nobody used for `idle` seconds starts cold; more than `limit` at once are throttled."""

    number: int = 4
    service: float = 0.000_2
    spread: float = 0.35
    stalls: Sequence[tuple[float, float]] = ()
    cold: float = 0.0
    idle: float = math.inf
    limit: float = math.inf
    errors: float = 0.0
    parts: bool = True


def record(servers: Servers, schedule: Stages, warmup: float, seed: int) -> Record:
    """What a generator would have recorded."""
    draw = random.Random(f"servers {seed}")
    made = Record(warmup, schedule.stages)
    free = [-math.inf] * servers.number  # when each ended, or will end, its last invocation
    open_: list[tuple[float, int, float, Response]] = []

    def finish(until: float) -> None:
        while open_ and open_[0][0] <= until:
            end, _, begun, response = heapq.heappop(open_)
            made.receive(round(begun * NS), round((end - begun) * NS), response)

    for number, (at, _) in enumerate(schedule):
        finish(at)
        made.send(round(at * NS), round(draw.lognormvariate(10, 0.6)))
        if len(open_) >= servers.limit:
            heapq.heappush(open_, (at + 30e-6, number, at, Response("throttle", why="Rate Exceeded.")))
            continue
        idle = [it for it in free if it <= at]
        last = max(idle) if idle else min(free)  # who was busy last, for as long as there are such
        free.remove(last)
        begin = max(at, last)
        for when, length in servers.stalls:
            if when <= begin < when + length:
                begin = when + length
        is_cold = begin - last > servers.idle
        service = draw.lognormvariate(math.log(servers.service), servers.spread)
        end = begin + service + (servers.cold * draw.uniform(0.8, 1.6) if is_cold else 0.0)
        free.append(end)
        parts = None
        if servers.parts and not number % 16:
            parts = {"queue": begin - at, "dispatch": 8e-6, "execute": end - begin, "reply": 11e-6}
        wrong = draw.random() < servers.errors
        response = Response(
            "error" if wrong else "ok",
            why="ValueError: the amount must be above 0" if wrong else "",
            cold=is_cold if servers.cold else None,
            parts={name: round(value * NS * draw.uniform(0.9, 1.3)) for name, value in parts.items()}
            if parts
            else None,
        )
        heapq.heappush(open_, (end + 20e-6, number, at, response))
    finish(math.inf)
    return made


def result(made: Record, schedule: Stages, warmup: float, **more: Any) -> Result:
    """What a record comes to; `more` is put over it."""
    seconds = schedule.duration - warmup
    latency = Distribution.of(made.latency)
    values: dict[str, Any] = {
        "stoker": "0.1.0", "name": "orders", "target": "orders:handler in this process, 2 workers",
        "arrivals": f"poisson, {schedule.stages[0].rate:,.0f}/s", "payload": "a template of 212 bytes",
        "seed": 7, "started": "2026-03-02T09:30:00Z", "duration": schedule.duration, "warmup": warmup,
        "machine": MACHINE, "offered": made.offered, "rate": made.offered / seconds,
        "goodput": made.ended["ok"] / seconds, "ended": dict(made.ended),
        "reasons": {kind: dict(reasons) for kind, reasons in made.reasons.items()},
        "latency": latency, "cold": Distribution.of(made.cold), "warm": Distribution.of(made.warm),
        "refused": Distribution.of(made.refused), "lag": Distribution.of(made.lag),
        "parts": {name: Distribution.of(tally) for name, tally in made.parts.items()},
        "estimates": {
            "p50": Estimate(latency.p50, latency.p50 * 0.99, latency.p50 * 1.01),
            "p99": Estimate(latency.p99, latency.p99 * 0.93, latency.p99 * 1.09),
            "p99.9": Estimate(latency.p999, latency.p999 * 0.8, latency.p999 * 1.4),
            "goodput": Estimate(*(made.ended["ok"] / seconds * it for it in (1, 0.99, 1.01))),
        },
        "noise": Noise(5.0, 1.02, 1.11), "cpu": Cpu(21.4, 6.2, 48.0), "steal": 0.0007,
        "most_in_flight": made.most_in_flight, "series": series(made.intervals),
        "stages": [
            StageResult(
                stage.begin, stage.end, stage.rate, it.offered, it.ended["ok"], failed(it), it.ended["throttle"],
                *it.latency.quantiles(0.5, 0.99, 0.999, 1.0),
            )
            for stage, it in zip(schedule.stages, made.stages, strict=True)
        ],
    }  # fmt: skip
    return Result(**{**values, **more})


def failed(interval: Interval) -> int:
    return sum(interval.ended.values()) - interval.ended["ok"] - interval.ended["throttle"]


def series(intervals: Sequence[Interval]) -> Series:
    quantiles = [it.latency.quantiles(0.5, 0.99, 1.0) for it in intervals]
    return Series(
        [it.offered for it in intervals], [it.ended["ok"] for it in intervals], [failed(it) for it in intervals],
        [it.ended["throttle"] for it in intervals], [it.cold for it in intervals],
        [it.most_in_flight for it in intervals], *(list(column) for column in zip(*quantiles, strict=True)),
    )  # fmt: skip


def run(servers: Servers, schedule: Stages, warmup: float = 0.0, seed: int = 1, **more: Any) -> Result:
    return result(record(servers, schedule, warmup, seed), schedule, warmup, **more)


def stalled() -> Result:
    """Half a minute at one rate; the target stands still once for a second and once for a third of one."""
    return run(Servers(stalls=[(12.2, 1.0), (22, 0.3)]), steady(400, 30, seed=1), 3.0)


def ramped() -> Result:
    """Up to twice what the target can do."""
    schedule = ramp(200, 2000, 200, 1.5, seed=2)
    servers = Servers(number=1, service=0.000_8, limit=400)
    knee = Knee(1000.0, 1200.0, "p99 of 184 ms at 1,200/s, more than 10 times that at 200/s")
    return run(servers, schedule, knee=knee, name="orders, to the knee", arrivals="ramp, 200/s to 2,000/s")


def cold() -> Result:
    """Few requests to many servers, with cold starts, throttles and errors."""
    servers = Servers(number=12, service=0.02, spread=0.6, cold=0.25, idle=1.5, limit=8, errors=0.02)
    return run(servers, steady(120, 40, seed=3), 5.0, name="thumbnails", seed=3)


def voided() -> Result:
    """A run in which the generator slipped, with names and reasons that mean harm."""
    hostile = '</title><script>alert("1")</script>\x00\u202e&amp;'
    made = stalled()
    return msgspec.structs.replace(
        made,
        void=["the generator's lag was 38.2 ms at p99; more than 1 ms is too much", f"the target was {hostile}"],
        name=f"orders {hostile}", target="x" * 300, machine={hostile: hostile, "cpu": "y" * 200},
        ended={"ok": 10_000, "error": 700, "timeout": 90, "failure": 7},
        reasons={"error": {hostile: 650, "z" * 200: 50}, "timeout": {"no answer before the end of the run": 90}},
        parts={hostile: made.latency, "execute": made.latency},
        steal=0.12,
    )  # fmt: skip


def unanswered() -> Result:
    """Everything was sent and nothing came."""
    servers, schedule = Servers(), steady(50, 10, seed=4)
    made = run(servers, schedule, seed=4)
    silent = [0] * 10
    return msgspec.structs.replace(
        made, name="a port where nobody listens", ended={"failure": made.offered}, goodput=0.0,
        reasons={"failure": {"connection refused": made.offered}}, latency=Distribution(), warm=Distribution(),
        parts={}, estimates={}, noise=None, cpu=Cpu(generator=80.0), machine={},
        series=Series(made.series.offered, silent, made.series.offered, silent, silent, silent, silent, silent, silent),
        stages=[],
    )  # fmt: skip


def short() -> Result:
    """One second."""
    return run(Servers(cold=0.1, idle=10), steady(40, 1, seed=5), name="one second", seed=5)


def extreme() -> Result:
    """From a nanosecond to an hour, at a million a second for three hours."""
    draw = random.Random(6)
    values = Tally(int(math.exp(draw.uniform(0, math.log(3.6e12)))) for _ in range(20_000))
    values.counts = {value: count * 50_000 for value, count in values.counts.items()} | {1: 1}
    latency = Distribution.of(values)
    seconds = 10_800
    column = [draw.randrange(900_000, 1_100_000) for _ in range(seconds)]
    made = Series(
        column, column, [0] * seconds, [0] * seconds, [draw.randrange(90_000) for _ in column],
        [draw.randrange(10**7) for _ in column], [draw.randrange(1, 10**5) for _ in column],
        [draw.randrange(10**8, 10**11) for _ in column], [draw.randrange(10**11, 36 * 10**11) for _ in column],
    )  # fmt: skip
    return msgspec.structs.replace(
        NOTHING, name="extreme", target="everything", latency=latency, warm=latency, series=made,
        duration=float(seconds),
        rate=1e6, goodput=999_999.9, offered=10_800_000_000, ended={"ok": 10_799_999_999, "error": 1},
        started="not a time", most_in_flight=10**7, cold=Distribution.of(Tally([5])), warmup=600.0,
    )  # fmt: skip


ALL = {it.__name__: it for it in (stalled, ramped, cold, voided, unanswered, short, extreme)}
