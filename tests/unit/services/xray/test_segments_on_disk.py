"""Segments on the disk: complete ones in the place of those in progress, and bounds of time and bytes."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from engine.services.xray.disk import KEPT, Row, SegmentStore
from engine.services.xray.documents import Unprocessed, read, tree

HERE, THERE = "r/1", "r/2"
NOW = 1_700_000_000.0


def row(n: int, place: str = HERE, at: float = NOW, progress: int = 0, size: int = 10) -> Row:
    return Row(f"1-00000000-{n:024x}", f"{n:016x}", place, int(at * 1e3), progress, b"x" * size)


def store(path: Path, most: int = 1 << 30) -> SegmentStore:
    return SegmentStore(path / "db", lambda: NOW, most)


@pytest.mark.promise(300)
def test_they_outlive_a_restart_and_are_seen_where_they_are_from(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.put([row(1), row(2, "")])
    one.close()
    again = store(tmp_path)
    first, second = row(1).trace, row(2).trace
    assert again.trace(first, HERE, True) is not None and again.trace(first, THERE, True) is None
    assert again.trace(second, HERE, True) is not None, "what names no place is the default one's"
    assert again.trace(second, THERE, False) is None
    again.put([row(2, THERE)])
    assert again.trace(second, HERE, True) is None, "until it is known whose it is"
    again.close()


def test_what_is_complete_is_not_undone(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.put([row(1, progress=1, size=5), row(1, size=6), row(1, progress=1, size=7)])
    found = kept.trace(row(1).trace, HERE, False)
    assert found is not None and [len(each) for each in found.documents] == [6]
    kept.close()


@pytest.mark.promise(300)
def test_bounds_of_time_and_bytes(tmp_path: Path) -> None:
    kept = store(tmp_path, most=8 << 20)
    kept.put([row(n, at=NOW - KEPT - 1) for n in range(3000)])
    kept.put([row(5000)])
    kept.tidy()
    assert kept.older(0, (1 << 60, "~", "~"), 10_000) == [(int(NOW * 1e3), row(5000).trace, row(5000).id)]
    for n in range(60):
        kept.put([row(6000 + n * 10 + k, at=NOW + n, size=50_000) for k in range(10)])
    files = sum(each.stat().st_size for each in tmp_path.glob("db"))
    left = kept.older(0, (1 << 60, "~", "~"), 10_000)
    assert files < 16 << 20 and 50 < len(left) < 600
    assert left[0][1] == row(6599).trace, "the newest is there"
    kept.close()


@pytest.mark.promise(300)
def test_memory_does_not_grow_with_traces(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.put([row(n, size=500) for n in range(1000)])
    tracemalloc.start()
    kept.put([row(n, size=500) for n in range(1000, 2000)])
    before, _ = tracemalloc.get_traced_memory()
    for n in range(2, 12):
        kept.put([row(n * 1000 + k, size=500) for k in range(1000)])
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 256 << 10
    kept.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"no database" * 1000)
    kept = store(tmp_path)
    kept.put([row(1)])
    kept.close()
    assert (tmp_path / "db.damaged").exists()


def segment(id: str, **more: object) -> dict[str, object]:
    return {
        "id": id * 16,
        "trace_id": f"1-00000000-{0:024x}",
        "name": "n",
        "start_time": 1.0,
        "end_time": 2.0,
        **more,
    }


def test_subsegments_that_came_by_themselves_are_in_their_segments() -> None:
    (whole, alone) = tree(
        [
            segment("b", type="subsegment", parent_id="a" * 16),
            segment("c", type="subsegment", parent_id="b" * 16, start_time=1.5),
            segment("d", type="subsegment", parent_id="e" * 16, start_time=3.0),
            segment("a", start_time=1.1),
        ]
    )
    assert whole["subsegments"][0]["subsegments"][0]["id"] == "c" * 16 and alone["id"] == "d" * 16
    circle = [
        segment("a", type="subsegment", parent_id="b" * 16),
        segment("b", type="subsegment", parent_id="a" * 16),
    ]
    assert json.dumps(tree(circle))  # it ends


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", "null", '{"id": 5}', '{"id": "0123456789abcdef", "trace_id": {}}']
)
def test_what_is_no_document(text: str) -> None:
    with pytest.raises(Unprocessed):
        read(text)
