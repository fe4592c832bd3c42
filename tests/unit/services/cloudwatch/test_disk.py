"""Points on the disk: merged, coarser with age, within bounds, and what becomes of a file that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.observe.metrics import Key, Series
from engine.observe.points import Point
from engine.services.cloudwatch.disk import DAY, HOUR, PointStore

SERIES = Series("r", "a", "N", "m")
START = 1_700_000_000 // 3600 * 3600


class Clock:
    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


def point(*values: float) -> Point:
    made = Point(buckets={})
    for value in values:
        made.add(value)
    return made


def keys(*stamps: int, span: int = 60, series: Series = SERIES) -> dict[Key, Point]:
    return {(series, span, stamp): point(1.0) for stamp in stamps}


def test_points_are_merged_and_outlive_a_restart(tmp_path: Path) -> None:
    store = PointStore(tmp_path / "db")
    store.put({(SERIES, 60, START): point(1, 2)})
    store.put({(SERIES, 60, START): point(3), (SERIES, 60, START + 60): point(4)})
    store.close()
    store = PointStore(tmp_path / "db")
    assert store.read([SERIES], START, START + 120, 60) == {START: point(1, 2, 3), START + 60: point(4)}
    assert store.read([SERIES], START, START + 120, 300)[START // 300 * 300].sum == 10
    store.close()


def test_a_point_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    """It keeps neither its minute nor others from being written and read."""
    store = PointStore(tmp_path / "db")
    store.put(keys(START, START + 60))
    store._connection.execute("UPDATE points SET value=? WHERE stamp=?", (b"\x93\xc3\xc3\xc3", START))
    assert store.read([SERIES], START, START + 120, 60)[START + 60] == point(1)
    store.put({(SERIES, 60, START): point(2)})
    assert store.read([SERIES], START, START + 120, 60)[START] == point(2)
    store.close()


@pytest.mark.promise(250)
def test_points_become_coarser_and_go(tmp_path: Path) -> None:
    clock = Clock()
    store = PointStore(tmp_path / "db", clock)
    store.put(keys(*range(START, START + 60), span=1))
    store.put(keys(*range(START, START + 3600, 60)))

    def spans() -> dict[int, int]:
        rows = store._connection.execute("SELECT span, count(*) FROM points GROUP BY span")
        return dict(rows.fetchall())

    for later, wanted in ((4 * HOUR, {60: 60}), (16 * DAY, {300: 12}), (64 * DAY, {3600: 1})):
        clock.now = START + later
        store.tidy()
        assert spans() == wanted
        assert store.read([SERIES], START, START + 3600, 3600)[START].count == 120
    clock.now = START + 456 * DAY
    store.tidy()
    assert spans() == {} and not store.series
    store.close()


@pytest.mark.promise(250)
def test_there_are_no_more_bytes_than_so_many(tmp_path: Path) -> None:
    clock = Clock()
    store = PointStore(tmp_path / "db", clock, most_bytes=400_000)
    for n in range(10):
        store.put(keys(*range(START, START + 60 * 1000, 60), series=SERIES._replace(name=f"m{n}")))
    store.tidy()
    left = store.read([SERIES._replace(name="m0")], START, START + 60 * 1000, 60)
    assert store._size() <= 400_000
    assert left and min(left) > START  # the oldest went
    store.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"no database" * 1000)
    store = PointStore(tmp_path / "db")
    store.put(keys(START))
    assert store.read([SERIES], START, START + 60, 60)
    assert (tmp_path / "db.damaged").exists()
    store.close()
