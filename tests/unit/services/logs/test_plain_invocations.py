"""Invocations that wrote nothing are kept without their text: they read as if they had been written out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.observe.log import Plain
from engine.services.logs import group as loggroup
from engine.services.logs.disk import Key, StoredEvent
from engine.services.logs.store import LogStore, Page

G, NOW = "/aws/lambda/f", 1_735_689_600_000
Event = tuple[int, str]
PLAIN = st.builds(
    Plain, st.uuids().map(str), st.integers(0, 40).map(lambda n: NOW + n + 0.25), st.integers(0, 9_000_000),
    st.sampled_from(["1", "$LATEST"]), st.just(128), st.integers(0, 1 << 20),
)  # fmt: skip
LINE = st.tuples(st.integers(NOW, NOW + 40), st.text(min_size=1, max_size=20))
BATCHES = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(PLAIN | LINE, min_size=1, max_size=5)), min_size=1, max_size=8
)


def written_out(events: list[Plain | Event]) -> list[Event]:
    return [each for event in events for each in (event.events() if isinstance(event, Plain) else [event])]


def facts(events: list[StoredEvent]) -> list[tuple[int, str, str, int]]:
    return [(e.timestamp, e.stream, e.message, e.sequence) for e in events]


def everything(store: LogStore, limit: int, from_head: bool) -> list[tuple[int, str, str, int]]:
    found: list[tuple[int, str, str, int]] = []
    page, at = Page([], None), None
    while page.events or at is None:
        page = store.filter(G, limit=limit, from_head=from_head, at=at)
        found = found + facts(page.events) if from_head else facts(page.events) + found
        at: Key | None = page.at
        if at is None:
            break
    return found


@given(BATCHES, st.integers(0, 8), st.integers(1, 4), st.sampled_from([60, 200, 64 * 1024]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_they_read_as_if_they_had_been_written_out(
    batches: list[tuple[str, list[Plain | Event]]], looked_at: int, limit: int, block: int, stream_goes: bool
) -> None:
    """Whole and by pages, forward and backward, behind each sequence; before and after a restart; with a stream that
    was deleted."""
    folder, before = Path(tempfile.mkdtemp()), loggroup.BLOCK_BYTES
    loggroup.BLOCK_BYTES = block
    try:
        kept, plain = LogStore(folder / "kept"), LogStore(folder / "plain")
        for n, (stream, events) in enumerate(batches):
            for store, lines in ((kept, written_out(events)), (plain, events)):
                store.append(G, stream, lines)
                store.flush()
                if n == looked_at:  # from then on it has an index
                    store.filter(G)
                    if stream_goes:
                        store.delete_stream(G, stream)
        for _ in range(2):
            for from_head in (True, False):
                assert everything(plain, limit, from_head) == everything(kept, limit, from_head)
            assert plain.last_sequence(G) == kept.last_sequence(G)
            for sequence in range(plain.last_sequence(G)):
                assert facts(list(plain.arrived(G, sequence))) == facts(list(kept.arrived(G, sequence)))
            assert [(s.name, s.first, s.last) for s in plain.streams(G)] == [
                (s.name, s.first, s.last) for s in kept.streams(G)
            ]
            plain.close()
            kept.close()
            kept, plain = LogStore(folder / "kept"), LogStore(folder / "plain")
        plain.close()
        kept.close()
    finally:
        loggroup.BLOCK_BYTES = before
        shutil.rmtree(folder)
