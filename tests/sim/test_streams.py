"""A shard's flow under random schedules, with a clock of the test's own: functions that fail, throttles, kills.

Records are read, invocations begin and end in any order, and now and then the server is killed and goes on from what
it had written down. STOKER_STREAM_SCHEDULES: how many schedules of each kind (200; 10,000 take some minutes).
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.sources.streams.flow import Flow, Invocation
from engine.sources.streams.records import Record, Rules

SCHEDULES = int(os.environ.get("STOKER_STREAM_SCHEDULES", "200"))
STEPS = 120


class Shard:
    """A shard, its function, and the flow between them. Each record is worth its number."""

    def __init__(self, seed: int, rules: Rules, keys: int, poison: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.rules = rules
        self.now = 1_000_000.0
        self.records: list[Record] = []
        self.bad = {n for n in range(200) if self.random.random() < poison}
        self.keys = keys
        self.flow = Flow(rules, delay=self.delay)
        self.durable = self.flow.checkpoint()
        self.fed = 0
        self.running: list[Invocation] = []
        self.seen: dict[str, list[int]] = defaultdict(list)  # by key: what ended well, or was given up
        self.given: list[int] = []
        self.sums: dict[str, int] = {}  # by window: what its last invocation had
        self.kills = 0

    @staticmethod
    def delay(failures: int) -> float:
        return 0.1 * failures

    def arrive(self) -> None:
        self.now += self.random.choice((0.0, 0.01, 0.3, 3.0))
        number = len(self.records)
        key = f"k{self.random.randrange(self.keys)}"
        self.records.append(Record(str(number), key, b"{}", self.now))

    def read(self) -> None:
        upto = min(len(self.records), self.fed + self.random.randint(1, 8))
        while self.fed < upto and self.flow.room:
            record = self.records[self.fed]
            self.fed += 1
            passes = int(record.id) % 11 != 7
            self.flow.feed(Record(record.id, record.group, record.json, record.arrived), self.now, passes)
        if self.fed == len(self.records):
            self.flow.read_until(self.now)

    def begin(self) -> None:
        for made in self.flow.next(self.now):
            assert len(made.records) <= self.rules.batch_size
            busy = {record.group for other in self.running for record in other.records}
            assert not busy & {record.group for record in made.records}, "two batches of a key at once"
            if self.rules.tumbling:
                assert not self.running, "two batches of a shard with windows at once"
            self.running.append(made)
        for dropped in self.flow.given_up():
            self.end_of(dropped.piece.records)
            self.given += [int(record.id) for record in dropped.piece.records]
            self.flow.noted(dropped)

    def end_of(self, records: list[Record]) -> None:
        for record in records:
            self.seen[record.group].append(int(record.id))

    def end(self, well: bool = False) -> None:
        made = self.running.pop(self.random.randrange(len(self.running)))
        way = "well" if well else self.random.choice(("well", "well", "well", "fails", "refused", "part"))
        bad = [at for at, record in enumerate(made.records) if int(record.id) in self.bad]
        if way == "refused":
            self.flow.refused(made, self.now)
        elif way == "fails" or (bad and way != "part"):
            self.flow.failed(made, self.now)
        else:
            at = bad[0] if bad else None
            if way == "part" and made.records:
                at = min(self.random.randrange(len(made.records)), len(made.records) if at is None else at)
            failed = set() if at is None else {made.records[at].id}
            done = made.records if at is None else made.records[:at]
            self.flow.done(made, self.now, failed, self.response(made, done))
            self.end_of(done)

    def response(self, made: Invocation, done: list[Record]) -> dict[str, Any]:
        """A function that adds up what is in its window."""
        if made.window is None:
            return {}
        assert made.state is not None
        total = made.state.get("sum", 0) + sum(int(record.id) for record in done)
        if made.final:
            assert not made.records
            self.sums[made.window["start"]] = total
        return {"state": {"sum": total}}

    def write(self) -> None:
        self.durable = self.flow.checkpoint()

    def kill(self) -> None:
        """What ran may have had its effect; nobody knows."""
        self.kills += 1
        self.running.clear()
        self.flow = Flow(self.rules, self.durable, delay=self.delay)
        self.fed = 0 if self.durable.sequence is None else int(self.durable.sequence) + 1

    def run(self, kills: bool) -> None:
        for _ in range(STEPS):
            step = self.random.random()
            if step < 0.3:
                self.arrive()
            elif step < 0.5:
                self.read()
            elif step < 0.75:
                self.begin()
            elif step < 0.93:
                if self.running:
                    self.end()
            elif step < 0.985 or not kills:
                self.write()
            else:
                self.kill()
            self.now += self.random.choice((0.0, 0.0, 0.05))
        for _ in range(20_000):  # until all is done
            self.read()
            self.begin()
            if self.running:
                self.end(well=True)
            self.now += 0.5
            if self.fed == len(self.records) and self.flow.settled:
                break
        assert self.flow.settled, "it does not come to an end"

    def passed(self) -> list[Record]:
        return [record for record in self.records if int(record.id) % 11 != 7]


RULES = st.builds(
    Rules,
    batch_size=st.integers(1, 7), window=st.sampled_from((0.0, 0.5, 4.0)), parallel=st.integers(1, 4),
    bisect=st.booleans(), retries=st.sampled_from((-1, 0, 1, 3)), max_age=st.sampled_from((-1.0, 60.0)),
    tumbling=st.just(0.0),
)  # fmt: skip
WINDOWS = st.builds(
    Rules,
    batch_size=st.integers(1, 7), window=st.sampled_from((0.0, 0.5)), bisect=st.booleans(),
    tumbling=st.sampled_from((1.0, 5.0, 30.0)), parallel=st.just(1), retries=st.just(-1), max_age=st.just(-1.0),
)  # fmt: skip
many = settings(
    max_examples=SCHEDULES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=SCHEDULES <= 200,
    phases=(Phase.explicit, Phase.generate),
    database=None,  # a seed cannot be made smaller
)


@pytest.mark.promise(166)
@pytest.mark.timeout(900)
@many
@given(st.integers(0, 1 << 32), RULES, st.integers(1, 5), st.sampled_from((0.0, 0.1)), st.booleans())
def test_every_record_is_done_or_given_up_and_keys_keep_their_order(
    seed: int, rules: Rules, keys: int, poison: float, kills: bool
) -> None:
    if poison and rules.retries < 0 and rules.max_age < 0:
        rules = rules._replace(retries=2)  # else a record that always fails stops its lane, as it should
    shard = Shard(seed, rules, keys, poison)
    shard.run(kills)
    for key, numbers in shard.seen.items():
        first = list(dict.fromkeys(numbers))
        assert first == sorted(first), f"{key} out of order"
    assert {n for numbers in shard.seen.values() for n in numbers} == {int(r.id) for r in shard.passed()}
    if not shard.kills:
        assert sum(map(len, shard.seen.values())) == len(shard.passed()), "twice"
    if rules.retries < 0 and rules.max_age < 0:
        assert shard.given == []
    last = shard.records[-1].id if shard.records else None
    assert shard.flow.checkpoint().sequence == last


@pytest.mark.promise(167)
@pytest.mark.timeout(900)
@many
@given(st.integers(0, 1 << 32), WINDOWS, st.booleans())
def test_sums_of_windows_are_exact(seed: int, rules: Rules, kills: bool) -> None:
    shard = Shard(seed, rules, keys=3)
    shard.run(kills)
    expected: dict[float, int] = defaultdict(int)
    for record in shard.passed():
        expected[record.arrived // rules.tumbling * rules.tumbling] += int(record.id)
    assert sorted(shard.sums.values()) == sorted(expected.values())
