"""A function's workers under random arrivals, durations and deaths, in virtual time: seeded, and millions of times
faster than life. The decisions are the engine's own; the world around them is made up."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support import ManualClock

from engine.control.backoff import BASE_NS, CAP_NS, TRIPS_AFTER, Breaker
from engine.control.scaling import PATIENCE_NS, Bounds, Load, may_retire, workers_to_start

US, MS, S = 1_000, 1_000_000, 1_000_000_000
TICK_NS = 5 * MS


@dataclass(frozen=True)
class World:
    """What happens to a function."""

    minimum: int = 1
    maximum: int = 4
    keep_alive_ns: int = 60 * S
    arrivals: int = 400
    gap_ns: int = 50 * US  # between arrivals, on average
    work_ns: tuple[int, int] = (5 * US, 50 * US)
    fork_ns: tuple[int, int] = (1 * MS, 3 * MS)
    fork_fails: float = 0.0
    worker_dies: float = 0.0  # while it works
    broken_until: int = 0  # until then, no start succeeds


@dataclass
class Worker:
    ready: bool = False
    busy: bool = False
    dead: bool = False
    idle_since: int = 0


@dataclass
class Simulation:
    """Runs a world to its end. `check` is called after every event."""

    world: World
    seed: int
    clock: ManualClock = field(default_factory=ManualClock)
    breaker: Breaker = field(default_factory=Breaker)
    workers: list[Worker] = field(default_factory=list)
    line: deque[tuple[int, int]] = field(default_factory=deque)  # (arrived, number)
    finished: list[int] = field(default_factory=list)
    crashed: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)  # failed with the init's error
    begun: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    longest_delay: int = 0
    ewma: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.bounds = Bounds(self.world.minimum, self.world.maximum, self.world.keep_alive_ns)
        at = 0
        for number in range(self.world.arrivals):
            at += int(self.random.expovariate(1) * self.world.gap_ns)
            self.at(at, lambda n=number: self.arrives(n))
        self.at(0, self.scale)
        self.at(TICK_NS, self.tick)

    def at(self, when: int, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order), what))

    def after(self, delay: int, what: Callable[[], None]) -> None:
        self.at(self.clock.now() + delay, what)

    def run(self) -> Simulation:
        while self.events:
            when, _, what = heapq.heappop(self.events)
            assert when >= self.clock.now()
            self.clock.advance((when - self.clock.now()) / 1e9)
            self.clock._now = when  # exactly
            what()
            self.check()
        return self

    # What the engine decides.

    def load(self) -> Load:
        return Load(
            waiting=len(self.line),
            idle=sum(w.ready and not w.busy for w in self.workers),
            busy=sum(w.busy for w in self.workers),
            starting=sum(not w.ready for w in self.workers),
            ewma_ns=self.ewma,
            oldest_ns=self.clock.now() - self.line[0][0] if self.line else 0,
        )

    def scale(self) -> None:
        now = self.clock.now()
        if not self.breaker.may_start(now):
            if self.breaker.open:
                self.refused += [number for _, number in self.line]
                self.line.clear()
            return
        for _ in range(workers_to_start(self.load(), self.bounds)):
            self.fork()

    def failed(self) -> None:
        now = self.clock.now()
        self.breaker.failed(now)
        self.longest_delay = max(self.longest_delay, self.breaker.not_before - now)
        self.at(self.breaker.not_before, self.scale)

    def tick(self) -> None:
        if self.line:
            self.scale()
        now = self.clock.now()
        for worker in list(self.workers):
            idle = worker.ready and not worker.busy
            if idle and may_retire(now - worker.idle_since, len(self.workers), self.bounds):
                self.workers.remove(worker)
        if any(what != self.tick for _, _, what in self.events) or self.surplus():
            self.after(TICK_NS, self.tick)

    def surplus(self) -> bool:
        """Is a worker to go one day?"""
        return len(self.workers) > self.world.minimum and self.world.keep_alive_ns < S

    # What the world does.

    def fork(self) -> None:
        now = self.clock.now()
        assert self.breaker.may_start(now), "a start while it backs off"
        self.starts.append(now)
        worker = Worker()
        self.workers.append(worker)
        low, high = self.world.fork_ns

        def ended() -> None:
            if self.random.random() < self.world.fork_fails or self.clock.now() < self.world.broken_until:
                self.workers.remove(worker)
                self.failed()
                return
            self.breaker.succeeded()
            worker.ready, worker.idle_since = True, self.clock.now()
            self.dispatch()

        self.after(self.random.randint(low, high), ended)

    def arrives(self, number: int) -> None:
        self.line.append((self.clock.now(), number))
        self.dispatch()
        if self.line:
            self.scale()

    def dispatch(self) -> None:
        for worker in self.workers:
            if self.line and worker.ready and not worker.busy:
                self.begin(worker, self.line.popleft()[1])

    def begin(self, worker: Worker, number: int) -> None:
        self.begun.append(number)
        worker.busy = True
        took = self.random.randint(*self.world.work_ns)

        def ended() -> None:
            worker.busy = False
            worker.idle_since = self.clock.now()
            if self.random.random() < self.world.worker_dies:
                self.crashed.append(number)
                self.workers.remove(worker)
                self.scale()
                return
            self.finished.append(number)
            self.ewma = (self.ewma * 7 + took) // 8 + 1 if self.ewma else took + 1
            self.dispatch()

        self.after(took, ended)

    # What must hold at every moment.

    def check(self) -> None:
        self.peak = max(self.peak, len(self.workers))
        assert len(self.workers) <= self.world.maximum, "more workers than the cap"
        assert self.longest_delay <= CAP_NS
        idle = any(w.ready and not w.busy for w in self.workers)
        assert not (self.line and idle), "an invocation waits while a worker is idle"
        running = sum(w.busy for w in self.workers)
        ended = len(self.finished) + len(self.crashed) + len(self.refused)
        arrived = len(self.begun) + len(self.line) + len(self.refused)
        assert arrived == ended + running + len(self.line), "an invocation was lost or doubled"


WORLDS: dict[str, World] = {
    "calm": World(gap_ns=5 * MS),
    "busy": World(gap_ns=10 * US),
    "slow": World(work_ns=(5 * MS, 30 * MS), gap_ns=4 * MS),
    "overload": World(work_ns=(2 * MS, 4 * MS), gap_ns=100 * US),
    "mixed": World(work_ns=(2 * US, 20 * MS), gap_ns=1 * MS, maximum=8),
    "from nothing": World(minimum=0, gap_ns=20 * MS, keep_alive_ns=50 * MS),
    "all warm": World(minimum=6, maximum=6),
    "one": World(maximum=1, work_ns=(1 * MS, 2 * MS)),
    "forks fail": World(fork_fails=0.4, work_ns=(1 * MS, 5 * MS), gap_ns=MS, worker_dies=0.05, arrivals=200),
    "workers die": World(worker_dies=0.3, work_ns=(100 * US, 2 * MS), gap_ns=500 * US),
    "slow forks": World(fork_ns=(50 * MS, 400 * MS), gap_ns=2 * MS, minimum=0),
}


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("seed", range(12))
def test_a_world_to_its_end(name: str, seed: int) -> None:
    world = WORLDS[name]
    done = Simulation(world, seed).run()
    assert not done.line, "the line drains"
    ends = done.finished + done.crashed + done.refused
    assert sorted(ends) == list(range(world.arrivals)), "each ends exactly once"
    assert done.begun == sorted(done.begun), "first come, first served"
    if not done.breaker.failures:
        assert len(done.workers) >= world.minimum, "as many as are to be warm"
    if not world.fork_fails:
        assert done.refused == []


def test_the_same_seed_is_the_same_world() -> None:
    one, two = (Simulation(WORLDS["forks fail"], 7).run() for _ in range(2))
    assert (one.finished, one.starts, one.refused) == (two.finished, two.starts, two.refused)
    assert Simulation(WORLDS["forks fail"], 8).run().starts != one.starts


@pytest.mark.slow
def test_short_work_does_not_start_a_crowd() -> None:
    """4 µs of work every 10 µs: one worker is enough, and 99 more would only be forks."""
    world = World(maximum=100, work_ns=(3 * US, 5 * US), gap_ns=10 * US, arrivals=5000)
    for seed in range(5):
        done = Simulation(world, seed).run()
        later = [at for at in done.starts if at > 5 * MS]  # before, it was not measured
        assert later == []


def test_long_work_gets_all_workers() -> None:
    world = World(maximum=16, work_ns=(20 * MS, 40 * MS), gap_ns=MS, arrivals=300)
    assert all(Simulation(world, seed).run().peak == 16 for seed in range(5))


def test_what_is_idle_for_long_goes_down_to_the_floor() -> None:
    world = World(minimum=2, maximum=10, work_ns=(10 * MS, 20 * MS), gap_ns=MS, keep_alive_ns=100 * MS)
    for seed in range(5):
        done = Simulation(world, seed).run()
        assert done.peak == 10
        assert len(done.workers) == 2


@pytest.mark.slow
class TestCrashLoop:
    world = World(arrivals=3000, gap_ns=20 * MS, broken_until=30 * S, worker_dies=0.0, keep_alive_ns=60 * S)

    @pytest.fixture(params=range(5))
    def done(self, request: pytest.FixtureRequest) -> Simulation:
        return Simulation(self.world, request.param).run()

    def test_starts_are_few(self, done: Simulation) -> None:
        """No storm: 30 s of failing starts take as many as the back-off allows, times the workers of one go."""
        failing = [at for at in done.starts if at < self.world.broken_until]
        goes = len(set(failing))
        assert goes <= 7 + 30 * S // CAP_NS + 2
        assert len(failing) <= goes * self.world.maximum

    def test_callers_are_answered_at_once_while_it_is_open(self, done: Simulation) -> None:
        assert len(done.refused) > 500

    def test_it_recovers(self, done: Simulation) -> None:
        assert done.breaker.failures == 0
        assert not done.breaker.open
        assert done.finished[-1] == self.world.arrivals - 1
        first = min(at for at in done.starts if at >= self.world.broken_until)
        assert first <= self.world.broken_until + CAP_NS + max(self.world.fork_ns)

    def test_the_back_off_reached_its_cap(self, done: Simulation) -> None:
        assert done.longest_delay == CAP_NS


class TestTheBreaker:
    def test_closed_at_first(self) -> None:
        breaker = Breaker()
        assert not breaker.open
        assert breaker.may_start(0)

    def test_delays_double_up_to_the_cap(self) -> None:
        breaker, now, delays = Breaker(), 1000, []
        for _ in range(40):
            breaker.failed(now)
            delays.append(breaker.not_before - now)
            assert not breaker.may_start(breaker.not_before - 1)
            assert breaker.may_start(breaker.not_before)
            now = breaker.not_before
        assert delays[:4] == [BASE_NS, 2 * BASE_NS, 4 * BASE_NS, 8 * BASE_NS]
        assert set(delays[7:]) == {CAP_NS}

    def test_it_opens_and_closes(self) -> None:
        breaker = Breaker()
        for n in range(1, 6):
            breaker.failed(0)
            assert breaker.open == (n >= TRIPS_AFTER)
        breaker.succeeded()
        assert not breaker.open
        assert breaker.may_start(0)
        breaker.failed(0)
        assert not breaker.open
        assert breaker.not_before == BASE_NS

    def test_those_that_began_together_fail_as_one(self) -> None:
        breaker = Breaker()
        for now in (100, 101, 102):
            assert not breaker.last_try(began=50)
            breaker.failed(now, began=50)
        assert (breaker.failures, breaker.not_before) == (1, 100 + BASE_NS)
        breaker.failed(2 * BASE_NS, began=BASE_NS + 100)
        assert breaker.last_try(began=4 * BASE_NS)
        assert not breaker.last_try(began=BASE_NS + 100)


BOUNDS = Bounds(1, 4, S)
LOAD = Load(waiting=0, idle=0, busy=0, starting=0, ewma_ns=0, oldest_ns=0)


class TestTheDecision:
    @pytest.mark.parametrize(
        ("seen", "bounds", "count"),
        [
            ({}, BOUNDS, 1),  # the floor
            ({}, Bounds(0, 4, S), 0),
            ({"idle": 1}, BOUNDS, 0),
            ({"starting": 1}, BOUNDS, 0),
            ({"idle": 1}, Bounds(3, 4, S), 2),
            ({"waiting": 1}, Bounds(0, 4, S), 1),  # a cold start
            ({"waiting": 9}, Bounds(0, 4, S), 4),  # nothing is measured: one each, up to the cap
            ({"waiting": 2, "starting": 2}, Bounds(0, 4, S), 0),  # they are coming
            ({"waiting": 3, "starting": 2}, Bounds(0, 4, S), 1),
            ({"waiting": 9, "busy": 4}, BOUNDS, 0),  # the cap
            ({"waiting": 50, "busy": 1, "ewma_ns": 5 * US}, BOUNDS, 0),  # done before a fork is
            ({"waiting": 50, "busy": 1, "ewma_ns": 5 * US, "oldest_ns": 3 * MS}, BOUNDS, 1),
            ({"waiting": 8, "busy": 1, "ewma_ns": 10 * MS}, BOUNDS, 3),
            ({"waiting": 2, "busy": 1, "ewma_ns": 10 * MS}, BOUNDS, 2),  # not more than wait
            ({"waiting": 2, "busy": 1, "starting": 2, "ewma_ns": 10 * MS}, BOUNDS, 1),
        ],
    )
    def test_of(self, seen: dict[str, int], bounds: Bounds, count: int) -> None:
        assert workers_to_start(LOAD._replace(**seen), bounds) == count

    def test_never_above_the_cap_never_below_the_floor(self) -> None:
        rng = random.Random(1)
        for _ in range(20_000):
            bounds = Bounds(low := rng.randint(0, 5), low + rng.randint(0, 20) or 1, S)
            have = [rng.randint(0, 8) for _ in range(3)]
            seen = Load(rng.choice([0, 1, 5, 500]), *have, rng.choice([0, US, MS, S]), rng.choice([0, MS, S]))
            count = workers_to_start(seen, bounds)
            assert count >= 0
            assert sum(have) + count <= max(bounds.maximum, sum(have))
            assert sum(have) + count >= min(bounds.minimum, bounds.maximum) or not count

    def test_more_waiting_never_means_fewer(self) -> None:
        for ewma, busy in itertools.product([0, US, MS, 10 * MS], [0, 1, 3]):
            counts = [
                workers_to_start(LOAD._replace(waiting=n, busy=busy, ewma_ns=ewma), Bounds(0, 50, S))
                for n in range(200)
            ]
            assert counts == sorted(counts)

    def test_patience_is_about_a_fork(self) -> None:
        assert MS <= PATIENCE_NS <= 10 * MS

    @pytest.mark.parametrize(
        ("idle", "have", "goes"),
        [(S, 2, True), (S - 1, 2, False), (S, 1, False), (10 * S, 0, False), (0, 9, False)],
    )
    def test_retiring(self, idle: int, have: int, goes: bool) -> None:
        assert may_retire(idle, have, BOUNDS) is goes

    def test_they_are_values(self) -> None:
        seen: Any = LOAD
        with pytest.raises(AttributeError):
            seen.waiting = 5
