"""Lanes and windows of a shard, step by step: what is tried, split, given up, and handed on."""

from __future__ import annotations

from typing import Any

import pytest

from engine.sources.streams.flow import Checkpoint, Flow, Invocation
from engine.sources.streams.lineage import Shard, readable
from engine.sources.streams.progress import Progress
from engine.sources.streams.records import Record, Rules
from engine.sources.streams.windows import STATE_BYTES

NOW = 1000.0


def flow(count: int, at: float = NOW, keys: str = "k", **rules: Any) -> Flow:
    """With records 0, 1, 2 … that arrived at the same moment."""
    made = Flow(Rules(**rules), delay=float)
    for n in range(count):
        made.feed(Record(str(n), keys[n % len(keys)], b"{}", at), at)
    return made


def ids(made: Invocation) -> list[str]:
    return [record.id for record in made.records]


def only(flow: Flow, now: float) -> Invocation:
    (made,) = flow.next(now)
    return made


@pytest.mark.promise(165)
def test_retries_are_counted_wait_longer_and_end() -> None:
    it = flow(2, retries=2)
    for attempt, now in enumerate((NOW, NOW + 1, NOW + 3)):
        assert it.next(now - 0.1) == [] or attempt == 0
        it.failed(only(it, now), now, f"request {attempt}", "7")
    (given,) = it.given_up()
    assert (given.condition, given.piece.invoked, given.piece.last) == (
        "RetryAttemptsExhausted", 3, ("request 2", "7", True),
    )  # fmt: skip
    assert it.checkpoint() == Checkpoint(None)  # not before that is reported
    assert it.next(NOW + 9) == []
    it.noted(given)
    assert it.checkpoint() == Checkpoint("1")
    assert it.settled


@pytest.mark.promise(165)
def test_no_retries_is_one_attempt() -> None:
    it = flow(1, retries=0)
    it.failed(only(it, NOW), NOW)
    assert [given.piece.invoked for given in it.given_up()] == [1]


@pytest.mark.promise(165)
def test_splitting_consumes_no_retry() -> None:
    it = flow(4, retries=0, bisect=True)
    now, seen, given = NOW, [], []
    while not it.settled:
        now += 10
        for made in it.next(now):
            seen.append(ids(made))
            if "2" in ids(made):
                it.failed(made, now)
            else:
                assert it.done(made, now, set())
        for each in it.given_up():
            given += [record.id for record in each.piece.records]
            it.noted(each)
    assert seen == [["0", "1", "2", "3"], ["0", "1"], ["2", "3"], ["2"], ["3"]]
    assert given == ["2"]


@pytest.mark.promise(165)
@pytest.mark.parametrize(("bisect", "invoked"), [(False, 2), (True, 3)])
def test_a_report_begins_the_next_attempt_at_its_lowest_number(bisect: bool, invoked: int) -> None:
    it = flow(4, retries=1, bisect=bisect)
    assert it.done(only(it, NOW), NOW, {"3", "1"})
    assert it.checkpoint() == Checkpoint("0")
    made = only(it, NOW + 5)
    assert ids(made) == ["1", "2", "3"]
    assert it.done(made, NOW + 5, {"3"})
    if not bisect:  # the retry that there was is consumed
        (given,) = it.given_up()
        assert [record.id for record in given.piece.records] == ["3"]
        assert given.piece.invoked == invoked
        return
    made = only(it, NOW + 10)
    assert ids(made) == ["3"]
    assert not it.done(made, NOW + 10, None)
    assert it.done(only(it, NOW + 20), NOW + 20, set())
    assert it.settled


@pytest.mark.promise(165)
def test_age_is_looked_at_before_retries_and_record_by_record() -> None:
    it = flow(2, max_age=60.0)
    it.feed(Record("2", "k", b"{}", NOW + 50), NOW + 50)
    it.failed(only(it, NOW + 50), NOW + 50)
    assert it.next(NOW + 70) == []
    (given,) = it.given_up()
    assert (given.condition, [record.id for record in given.piece.records]) == (
        "RecordAgeExceeded",
        ["0", "1"],
    )
    it.noted(given)
    assert ids(only(it, NOW + 70)) == ["2"]


def test_a_refusal_is_no_attempt() -> None:
    it = flow(1, retries=0)
    for step in range(5):
        it.refused(only(it, NOW + 100 * step), NOW + 100 * step)
    assert it.done(only(it, NOW + 1000), NOW + 1000, set())
    assert it.given_up() == []


@pytest.mark.promise(166)
def test_lanes_are_by_key_and_the_checkpoint_is_before_what_is_left() -> None:
    it = flow(9, keys="abc", parallel=10, batch_size=2)
    made = {each.records[0].group: each for each in it.next(NOW)}
    assert {key: ids(each) for key, each in made.items()} == {
        "a": ["0", "3"],
        "b": ["1", "4"],
        "c": ["2", "5"],
    }
    assert it.done(made["b"], NOW, set())
    assert it.checkpoint() == Checkpoint(None)
    assert it.done(made["a"], NOW, set())
    assert it.checkpoint() == Checkpoint("1")  # 2 is under way


def test_a_window_of_batching() -> None:
    it = flow(1, window=5.0)
    assert it.next(NOW + 4) == []
    assert it.wake_at() == NOW + 5
    assert ids(only(it, NOW + 5)) == ["0"]


@pytest.mark.promise(167)
def test_a_window_opens_hands_on_its_state_and_ends() -> None:
    it = flow(3, at=1000.0, batch_size=2, tumbling=60.0)
    made = only(it, 1000.0)
    assert (made.window, made.state, made.final) == (
        {"start": "1970-01-01T00:16:00Z", "end": "1970-01-01T00:17:00Z"}, {}, False,
    )  # fmt: skip
    assert not it.done(made, 1000.0, set(), None)  # without a state
    made = only(it, 1010.0)
    assert it.done(made, 1010.0, set(), {"state": {"n": 2}})
    assert it.checkpoint() == Checkpoint("1", 960.0, {"n": 2})
    assert it.done(only(it, 1010.0), 1010.0, set(), {"state": {"n": 3}})
    it.read_until(1019.9)
    assert it.next(1030.0) == []  # something of this window may come
    it.read_until(1020.0)
    made = only(it, 1030.0)
    assert (ids(made), made.final, made.early, made.state) == ([], True, False, {"n": 3})
    it.feed(Record("3", "k", b"{}", 1025.0), 1030.0)
    it.failed(made, 1030.0)
    assert it.next(1030.5) == []  # that stops the shard
    assert it.wake_at() == 1031.0
    made = only(it, 1031.0)
    assert made.final
    assert it.done(made, 1031.0, set(), {"state": {}})
    made = only(it, 1031.0)
    assert (ids(made), made.state) == (["3"], {})
    assert it.checkpoint() == Checkpoint("2", 1020.0, {})


@pytest.mark.promise(167)
def test_a_state_that_is_too_large_ends_its_window_early() -> None:
    it = flow(2, at=1000.0, batch_size=1, tumbling=60.0)
    assert it.done(only(it, 1000.0), 1000.0, set(), {"state": {"x": "y" * STATE_BYTES}})
    made = only(it, 1000.0)
    assert (made.final, made.early, ids(made)) == (True, True, [])
    assert it.done(made, 1000.0, set(), {"state": {}})
    made = only(it, 1000.0)
    assert (ids(made), made.state, made.window) == (
        ["1"], {}, {"start": "1970-01-01T00:16:00Z", "end": "1970-01-01T00:17:00Z"},
    )  # fmt: skip


@pytest.mark.promise(164)
def test_children_are_read_after_their_parents() -> None:
    shards = [
        Shard("a"),
        Shard("b", ("a",)),
        Shard("c", ("a",)),
        Shard("d", ("b", "c")),
        Shard("e", ("gone",)),
    ]
    assert readable(shards, ()) == ["a", "e"]
    assert readable(shards, {"a"}) == ["b", "c", "e"]
    assert readable(shards, {"a", "b", "e"}) == ["c"]
    assert readable(shards, {"a", "b", "c", "e"}) == ["d"]


@pytest.mark.promise(322)
def test_a_record_that_is_done_before_others_holds_nothing_but_its_place() -> None:
    progress = Progress()
    records = [Record(str(n), "", b"{}" * 1000, NOW) for n in range(4)]
    for record in records:
        progress.take(record)
    progress.done(records[1:3])
    assert (progress.sequence, len(progress)) == (None, 4)
    assert [len(record.json) for record in records] == [2000, 0, 0, 2000]
    progress.done(records[:1])
    assert (progress.sequence, len(progress)) == ("2", 1)
    progress.done(records[3:])
    assert (progress.sequence, len(progress)) == ("3", 0)


@pytest.mark.promise(341)
@pytest.mark.parametrize(
    ("size", "record", "ahead"), [(1, 10, 1000), (10, 10, 1000), (600, 10, 1200), (1, 4096, 256)]
)
def test_so_much_of_a_shard_is_read_ahead(size: int, record: int, ahead: int) -> None:
    made = Flow(Rules(batch_size=size))
    read = 0
    while made.room and read < 2000:
        made.extend([Record(str(read), "", b"x" * (record - 1), NOW)], NOW)
        read += 1
    assert read == ahead
    made.done(only(made, NOW), NOW, set())
    assert made.room, "one batch less is one more to be read"
