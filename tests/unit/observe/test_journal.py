"""The journal: what was written is taken once, in order, also when the server dies at any point of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.observe import journal
from engine.observe.journal import Described, Entry, Forgotten, Journal, JournalReader, Step, Taken, shared
from engine.observe.lines import LogFormat
from engine.observe.records import DeploymentInfo, FunctionOutput, InvocationRecord, Quiet

DEPLOYMENT = DeploymentInfo("r", "a", "/g", "s", "f", "arn", "1", 128, "python3.11", "", LogFormat())
# What a server may do: write so many bytes, tell the process, forget; and what the process may: take, say so.
ACTIONS = st.lists(
    st.one_of(
        st.integers(0, 400),
        st.sampled_from(["flush", "forget", "take", "take", "acknowledge", "acknowledge"]),
    ),
    max_size=120,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves of a few lines, so that they change places often."""
    for name, value in {"HALF": 8192, "TURN": 300, "KEPT": 4096, "STEP": 500}.items():
        monkeypatch.setattr(journal, name, value)
    monkeypatch.setattr(journal, "_SIZE", 4096 + 2 * 8192)


class Both:
    """A server and its log's process."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.memory = shared()
        self.journal = Journal(self.memory, self.steps.append)
        self.reader = JournalReader(self.memory)
        self.taken: list[Taken] = []
        self.written: list[str] = []
        self.read: list[str] = []

    def __del__(self) -> None:
        os.close(self.memory)

    def write(self, size: int) -> None:
        id, dropped = f"{len(self.written)}", self.journal.dropped
        self.journal.ended(InvocationRecord(id, 0.0, 1, 1, output="x" * size))
        if self.journal.dropped == dropped:
            self.written.append(id)

    def take(self) -> None:
        if self.steps:
            step = self.steps.pop(0)
            self.note(self.reader.take(step))
            self.taken.append(Taken(step.half, step.generation, step.end))

    def note(self, entries: Iterator[Entry]) -> None:
        self.read += [entry.request_id for entry in entries if isinstance(entry, InvocationRecord)]

    def act(self, action: int | str) -> None:
        if isinstance(action, int):
            self.write(action)
        elif action == "flush":
            self.journal.flush()
        elif action == "forget":
            self.journal.describe(DEPLOYMENT)
            self.journal.forget()
        elif action == "take":
            self.take()
        elif self.taken:
            self.journal.taken(self.taken.pop(0))


@given(ACTIONS, st.booleans())
@settings(max_examples=300)
def test_what_was_written_is_taken_once_and_in_order(actions: list[int | str], heard: bool) -> None:
    """And what a dead server has left, whether its last steps were heard or not."""
    both = Both()
    for action in actions:
        both.act(action)
    while heard and both.steps:
        both.take()
    both.note(both.reader.rest())
    assert both.read == both.written


def test_it_goes_on_for_ever() -> None:
    """Far more than both halves hold, with a process that keeps up: nothing is dropped."""
    both = Both()
    for _ in range(2000):
        both.write(100)
        both.take()
        if both.taken:
            both.journal.taken(both.taken.pop(0))
    both.journal.flush()
    while both.steps:
        both.take()
    assert both.journal.dropped == 0 and both.read == both.written and len(both.read) == 2000


def test_what_there_is_no_room_for_is_counted() -> None:
    both = Both()
    for _ in range(200):
        both.write(200)
    dropped = both.journal.dropped
    assert dropped + len(both.written) == 200 and dropped
    while both.steps:
        both.take()
        both.journal.taken(both.taken.pop(0))
    both.write(200)
    both.journal.quiet(b"x" * 8193, 3)
    assert both.journal.dropped == dropped + 3
    both.note(both.reader.rest())
    assert both.read == both.written


def test_one_that_is_closed_has_no_room() -> None:
    """The server's end is not disturbed by what comes after that of its log."""
    both = Both()
    both.journal.describe(DEPLOYMENT)
    for _ in range(3):
        both.write(100)
    both.journal.flush()
    steps = len(both.steps)
    both.journal.close()
    both.write(100)
    both.journal.printed(FunctionOutput("r", "a", "/g", "s", 7, "late"))
    both.journal.forget()
    assert both.journal.dropped == 1 and len(both.steps) == steps


def test_everything_comes_as_it_was() -> None:
    """Lone surrogates, which no UTF-8 has, come escaped."""
    both = Both()
    number = both.journal.describe(DEPLOYMENT)
    record = InvocationRecord("id", 1.5, 2, 3, "failure", "E", "out\n", 4, True, deployment=number)
    both.journal.ended(record)
    both.journal.printed(FunctionOutput("r", "a", "/g", "s", 7, "text \ud800\n"))
    both.journal.quiet(b'[6,"one",1.25,2,3,4,5,%d]\n[6,"other",1.75,2,3,4,5,%d]\n' % (number, number), 2)
    both.journal.forget()
    (step,) = both.steps
    assert list(both.reader.take(step)) == [
        Described(1, DEPLOYMENT), record, FunctionOutput("r", "a", "/g", "s", 7, "text \\ud800\n"),
        Quiet("one", 1.25, 2, 3, 4, 5, number), Quiet("other", 1.75, 2, 3, 4, 5, number), Forgotten(),
    ]  # fmt: skip


def test_memory_that_one_burst_needed_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "HALF", 4 << 20)
    monkeypatch.setattr(journal, "_SIZE", 4096 + 2 * (4 << 20))
    both = Both()
    for _ in range(30):
        both.write(100_000)
    held = os.fstat(both.memory).st_blocks * 512
    for size in (0, 1000):
        both.write(size)
        both.journal.flush()
        while both.steps:
            both.take()
            both.journal.taken(both.taken.pop(0))
    assert held > 3_000_000 and os.fstat(both.memory).st_blocks * 512 < 500_000
