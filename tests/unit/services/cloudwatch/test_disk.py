"""Points on the disk: merged, coarser with age, within bounds, and what becomes of a file that is damaged."""

from __future__ import annotations

import gc
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from engine.durable.folder import StoreError
from engine.observe.metrics import Key, Series
from engine.observe.points import Point, merged
from engine.services.cloudwatch.disk import DAY, HOUR, PointStore
from engine.services.cloudwatch.index import ANY, Wanted

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


def names(store: PointStore, most: int = 1000, **wanted: Any) -> list[str]:
    """Of the series that are listed: their names, and the values of their dimensions."""
    rows = store.page(Wanted("r", "a", **wanted), most)
    return ["/".join([name, *(value for _, value in of)]) for _, name, of in rows]


def test_points_are_merged_and_outlive_a_restart(tmp_path: Path) -> None:
    store = PointStore(tmp_path / "db")
    store.put({(SERIES, 60, START): point(1, 2)})
    store.put({(SERIES, 60, START): point(3), (SERIES, 60, START + 60): point(4)})
    store.close()
    store = PointStore(tmp_path / "db")
    assert store.read(SERIES, START, START + 120, 60) == {START: point(1, 2, 3), START + 60: point(4)}
    assert store.read(SERIES, START, START + 120, 300)[START // 300 * 300].sum == 10
    store.close()


def test_a_point_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    """It keeps neither its minute nor others from being written and read."""
    store = PointStore(tmp_path / "db")
    store.put(keys(START, START + 60))
    store._connection.execute("UPDATE points SET value=? WHERE stamp=?", (b"\x93\xc3\xc3\xc3", START))
    store.close()
    store = PointStore(tmp_path / "db")
    assert store.read(SERIES, START, START + 120, 60)[START + 60] == point(1)
    store.put({(SERIES, 60, START): point(2)})
    assert store.read(SERIES, START, START + 120, 60)[START] == point(2)
    store.close()


@pytest.mark.promise(251)
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
        assert store.read(SERIES, START, START + 3600, 3600)[START].count == 120
    clock.now = START + 456 * DAY
    store.tidy()
    assert spans() == {} and not names(store)
    store.close()


@pytest.mark.promise(251)
def test_there_are_no_more_bytes_than_so_many(tmp_path: Path) -> None:
    clock = Clock()
    store = PointStore(tmp_path / "db", clock, most_bytes=400_000)
    for n in range(10):
        store.put(keys(*range(START, START + 60 * 1000, 60), series=SERIES._replace(name=f"m{n}")))
    store.tidy()
    left = store.read(SERIES._replace(name="m0"), START, START + 60 * 1000, 60)
    assert store._database.size() <= 400_000
    assert left and min(left) > START  # the oldest went
    store.close()


def test_series_without_points_go_with_the_oldest(tmp_path: Path) -> None:
    """Names that come once each are bounded by the same bytes."""
    store = PointStore(tmp_path / "db", Clock(), most_bytes=500_000)
    for n in range(10):
        of = [SERIES._replace(name="m", dimensions=(("d", f"{n}-{each}"),)) for each in range(500)]
        store.put({(each, 60, START + 60 * n): point(1.0) for each in of})
    assert store._database.size() <= 500_000
    listed, read = names(store, 10_000), store.read(of[-1], START, START + DAY, 60)
    assert read and f"m/{of[-1].dimensions[0][1]}" in listed and 0 < len(listed) < 10_000
    (rows,) = store._connection.execute("SELECT count(*) FROM dimensions").fetchone()
    assert rows == len(listed)
    store.close()


@pytest.mark.promise(260)
def test_the_index_of_series(tmp_path: Path) -> None:
    """By namespace, name, dimensions, age and page, in order; a series that differs in its unit only is listed once."""
    store = PointStore(tmp_path / "db")
    for name, unit, *of in (
        ("b", "Count", ("f", "x")), ("b", "Bytes", ("f", "x")), ("a", "Count", ("f", "x"), ("g", "y")),
        ("a", "Count"), ("c", "Count", ("f", "z")),
    ):  # fmt: skip
        store.put(keys(START, series=SERIES._replace(name=name, unit=unit, dimensions=tuple(of))))
    store.put(keys(START + HOUR, series=SERIES._replace(namespace="O", name="late")))
    store.put(keys(START, series=SERIES._replace(account="other")))
    assert names(store) == ["a/x/y", "a", "b/x", "c/z", "late"]
    assert names(store, namespace="N", name="a") == ["a/x/y", "a"] and names(store, name="late") == ["late"]
    assert names(store, dimensions=[("f", "x")]) == ["a/x/y", "b/x"]
    assert names(store, dimensions=[("f", None)]) == ["a/x/y", "b/x", "c/z"]
    assert names(store, dimensions=[("f", "x"), ("g", None)]) == ["a/x/y"]
    assert names(store, since=START + 1) == ["late"]
    paged, after = [], None
    while page := store.page(Wanted("r", "a", after=after), 2):
        paged += page
        after = page[-1]
    assert paged == store.page(Wanted("r", "a"), 1000)
    either = SERIES._replace(name="b", unit=ANY, dimensions=(("f", "x"),))
    assert sorted(store.units(either)) == ["Bytes", "Count"]
    assert store.read(either, START, START + 60, 60)[START].count == 2
    assert store.read(either._replace(unit="Bytes"), START, START + 60, 60)[START].count == 1
    store.close()


@pytest.mark.promise(260)
def test_a_name_that_was_there_once_costs_no_memory(tmp_path: Path) -> None:
    store = PointStore(tmp_path / "db")

    def named(first: int) -> None:
        for n in range(first, first + 1_000, 500):
            store.put(
                {(SERIES._replace(name=f"m{each}"), 60, START): point(1.0) for each in range(n, n + 500)}
            )

    named(0)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    named(1_000)
    store.put(keys(START))  # what was written last is known until the next time
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1_000 * 50 and len(names(store, 10_000)) == 2_001
    store.close()


def test_what_is_known_of_the_last_time_is_what_is_there(tmp_path: Path) -> None:
    """Whatever comes when: the same minutes again and again, some put that fails on its way, what ages, a restart."""
    draw, clock = random.Random(19), Clock()
    store = PointStore(tmp_path / "db", clock)
    series = [SERIES._replace(name=f"m{n}") for n in range(3)]
    expected: dict[Series, list[float]] = {each: [] for each in series}
    fails = f"BEFORE INSERT ON points WHEN NEW.stamp={START + 600} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    for step in range(400):
        points = {
            (each, draw.choice((1, 60, 60)), START + 60 * draw.randrange(2)): point(float(step))
            for each in draw.sample(series, draw.randrange(4))
        }
        kind = draw.random()
        if kind < 0.1:
            store._connection.execute(f"CREATE TEMP TRIGGER fails {fails}")
            with pytest.raises(StoreError):
                store.put(points | keys(START + 600))
            store._connection.execute("DROP TRIGGER fails")
            continue
        store.put(points)
        for each, _, _ in points:
            expected[each].append(float(step))
        assert all(found == point(float(step)) for found in points.values()), "they are still their owner's"
        if kind < 0.2:
            store.tidy()
        elif kind < 0.25:
            clock.now += 2 * HOUR  # seconds become minutes
        elif kind < 0.3:
            store.close()
            store = PointStore(tmp_path / "db", clock)
        for each, values in expected.items():
            found = merged(store.read(each, START, START + 300, 60).values())
            assert found == merged([point(value) for value in values])
    store.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"no database" * 1000)
    store = PointStore(tmp_path / "db")
    store.put(keys(START))
    assert store.read(SERIES, START, START + 60, 60)
    assert (tmp_path / "db.damaged").exists()
    store.close()
