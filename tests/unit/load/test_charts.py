"""The pictures: well-formed, with what they were given in its place, whatever it was."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import results
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("hdrh.histogram", reason="pip install stoker[load]")
from engine.load.generate.record import HIGHEST, Tally
from engine.load.report import axes, charts
from engine.load.report.charts import ramp
from engine.load.report.picture import NARROW, STANDALONE, STYLE, WIDE, Form, escape, fitted, wrapped
from engine.load.result import Distribution, Knee, Result, Series, StageResult

Chart = Callable[..., str]
CHARTS: list[Chart] = [
    charts.latency_by_percentile, charts.latency_over_time, charts.throughput, charts.latency_by_load,
    charts.concurrency, charts.parts,
]  # fmt: skip
FORMS = {"standalone": STANDALONE, "wide": WIDE, "narrow": NARROW}
SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    """A picture's tree: well-formed, with a caption, all of its numbers finite and within its view."""
    root = ElementTree.fromstring(svg.encode())
    assert root.tag == SVG + "svg"
    assert root.get("role") == "img"
    assert (root.get("aria-label") or "").endswith(tuple(".0123456789sm"))
    _, _, width, height = (float(it) for it in (root.get("viewBox") or "").split())
    assert not re.search(r"\b(nan|inf)\b", re.sub(r">[^<]*<|aria-label=\"[^\"]*\"", "", svg))
    for element in root.iter():
        for name in ("x", "cx", "width"):
            if name in element.attrib:
                assert -0.5 <= float(element.attrib[name]) <= width + 0.5
        for name in ("y", "cy", "height"):
            if name in element.attrib:
                assert -0.5 <= float(element.attrib[name]) <= height + 0.5
        if "line" in classes(element):
            for x, y in points(element.attrib["d"]):
                assert -0.5 <= x <= width + 0.5
                assert -0.5 <= y <= height + 0.5
    return root


def classes(element: ElementTree.Element) -> list[str]:
    return element.get("class", "").split()


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def line(root: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    """The line in the plot: that of the legend is "M…h24"."""
    found = [it.attrib["d"] for it in root.iter(SVG + "path") if classes(it) == ["line", kind]]
    [path] = [it for it in found if "h" not in it]
    return points(path)


def dots(root: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    circles = [it for it in root.iter(SVG + "circle") if classes(it) == ["dot", kind]]
    return [(float(it.attrib["cx"]), float(it.attrib["cy"])) for it in circles]


def texts(root: ElementTree.Element, kind: str = "") -> Iterator[str]:
    return (it.text or "" for it in root.iter(SVG + "text") if not kind or kind in classes(it))


def tips(root: ElementTree.Element) -> list[str]:
    return [it.text or "" for it in root.iter(SVG + "title")]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
@pytest.mark.parametrize("name", results.ALL)
def test_every_picture_of_every_run(name: str, chart: Chart, form: Form) -> None:
    root = parsed(chart(results.ALL[name](), form=form))
    [title] = texts(root, "title")
    assert (root.get("aria-label") or "").startswith(title + ". ")


def test_a_picture_on_its_own_brings_its_style_and_nothing_from_elsewhere() -> None:
    svg = charts.latency_over_time(results.short())
    assert STYLE in svg
    assert "prefers-color-scheme:dark" in svg
    assert svg.count("http") == 1  # the name of SVG itself
    assert "<style>" not in charts.latency_over_time(results.short(), form=WIDE)


class TestLatencyByPercentile:
    def test_the_lines_rise_to_the_largest(self) -> None:
        made = results.cold()
        root = parsed(charts.latency_by_percentile(made))
        for kind, them in (("all", made.latency), ("warm", made.warm), ("cold", made.cold)):
            at = line(root, kind)
            assert all(a[0] < b[0] and a[1] >= b[1] for a, b in itertools.pairwise(at))
            assert at[-1][1] == pytest.approx(height(root, made, them.most), abs=0.2)
            assert at[0][1] == pytest.approx(height(root, made, them.tally().quantiles(0.0)[0]), abs=0.2)

    def test_a_known_percentile_is_where_it_should_be(self) -> None:
        """Of 1, 2, … 1000 ms, p90 is 900 ms: at a decade of the axis, which ends at 2000."""
        made = msgspec.structs.replace(results.NOTHING, latency=spread(1000))
        root = parsed(charts.latency_by_percentile(made, form=WIDE))
        left, right = 58, WIDE.width - 10
        at = left + (right - left) * math.log(10) / math.log(2000)
        _, y = min(line(root, "all"), key=lambda point: abs(point[0] - at))
        assert y == pytest.approx(height(root, made, 900_000_000), abs=1)

    def test_the_axis_goes_as_far_as_the_count_justifies(self) -> None:
        for count, last in (
            (5, "90"),
            (99, "90"),
            (100, "99"),
            (999, "99"),
            (1000, "99.9"),
            (10_000, "99.99"),
        ):
            assert axes.percentiles(count).ticks[-1][1] == last

    def test_another_run_is_beside_it(self) -> None:
        other = msgspec.structs.replace(results.stalled(), name="last week's <b>&")
        root = parsed(charts.latency_by_percentile(results.short(), other))
        assert len(line(root, "against")) > 100
        assert any("last week's <b>&" in it for it in texts(root))

    def test_cold_and_warm_are_shown_where_both_are(self) -> None:
        made = msgspec.structs.replace(results.NOTHING, latency=spread(9), warm=spread(9))
        assert "warm," not in charts.latency_by_percentile(made)
        assert "warm, 9" in charts.latency_by_percentile(msgspec.structs.replace(made, cold=spread(2)))


def spread(count: int) -> Distribution:
    return Distribution.of(Tally(number * 1_000_000 for number in range(1, count + 1)))


def height(root: ElementTree.Element, made: Result, value: int) -> float:
    """Where a latency lies, by the grid's first and last lines."""
    y = axes.latency(
        min(it.least for it in (made.latency, made.warm, made.cold) if it.count), made.latency.most
    )
    grid = [it.attrib["d"] for it in root.iter(SVG + "path") if classes(it)[0] in ("grid", "minor")]
    across = [points(path)[0][1] for path in grid if "H" in path]
    (low, bottom), (high, top) = (
        (y.position(y.ticks[0][0]), across[0]),
        (y.position(y.ticks[-1][0]), across[-1]),
    )
    return bottom + (y.position(value) - low) / (high - low) * (top - bottom)


class TestOverTime:
    def test_each_second_is_a_point_in_its_middle(self) -> None:
        made = results.stalled()
        for form in (WIDE, NARROW):
            at = line(parsed(charts.latency_over_time(made, form)), "p99")
            assert len(at) == 30
            width = form.width - 58 - 10
            assert [x for x, _ in at] == pytest.approx(
                [58 + width * (n + 0.5) / 30 for n in range(30)], abs=0.06
            )

    def test_the_worst_second_is_the_highest(self) -> None:
        made = results.stalled()
        at = line(parsed(charts.latency_over_time(made)), "most")
        worst = max(range(30), key=lambda it: made.series.most[it])
        assert min(range(30), key=lambda it: at[it][1]) == worst
        assert worst == 12

    def test_seconds_without_an_answer_are_gaps(self) -> None:
        one = [1] * 5
        made = seconds(offered=one, ok=one, p50=[9, 9, 0, 9, 0], p99=[9, 9, 0, 9, 0], most=[9, 9, 0, 9, 0])
        root = parsed(charts.latency_over_time(made))
        assert len(line(root, "p50")) == 2
        assert len(dots(root, "p50")) == 1

    def test_the_warm_up_is_shaded(self) -> None:
        root = parsed(charts.latency_over_time(results.stalled(), WIDE))
        bands = [it for it in root.iter(SVG + "rect") if classes(it) == ["band"]]
        assert [float(it.attrib["x"]) for it in bands] == [58]
        assert float(bands[0].attrib["width"]) == pytest.approx((WIDE.width - 68) / 10, abs=0.1)
        assert "warm-up" in texts(root)
        assert "warm-up" not in charts.latency_over_time(results.short())

    def test_a_long_run_keeps_its_worst_second(self) -> None:
        """Points are gathered, and none of them hides a stall."""
        most = [1000] * 3000
        most[1234] = 10**9
        made = seconds(offered=most, ok=most, p50=most, p99=most, most=most)
        for form in (WIDE, NARROW):
            root = parsed(charts.latency_over_time(made, form))
            at = line(root, "most")
            assert len(at) <= form.points
            assert min(y for _, y in at) < max(y for _, y in at) - 100
            assert any("max 1.00 s" in tip for tip in tips(root))

    def test_a_fraction_of_a_second_at_the_end_makes_no_rate(self) -> None:
        """Ten requests a second, and one in the first thousandth of the fourth second: that is not 1000/s."""
        made = seconds(duration=3.001, offered=[10, 10, 10, 1], ok=[10, 10, 10, 1])
        root = parsed(charts.throughput(made))
        assert tips(root)[-1].startswith("2 to 3.001 s\noffered 11/s")
        assert tips(root)[0] == "0 s\noffered 10/s\nok 10/s"

    def test_failed_and_throttled_have_lines_where_there_are_such(self) -> None:
        root = parsed(charts.throughput(results.cold()))
        assert {"offered", "ok", "failed", "throttled"} <= set(texts(root))
        assert "failed" not in texts(parsed(charts.throughput(results.stalled())))

    def test_cold_starts_are_bars(self) -> None:
        made = results.cold()
        root = parsed(charts.concurrency(made))
        [bars] = [it.attrib["d"] for it in root.iter(SVG + "path") if classes(it) == ["bar", "cold"]]
        assert bars.count("M") == sum(1 for it in made.series.cold if it) > 2
        assert "no cold start" in texts(parsed(charts.concurrency(seconds(cold=[0]), form=WIDE)))

    def test_a_target_that_does_not_tell_has_no_cold_starts_shown(self) -> None:
        root = parsed(charts.concurrency(results.stalled()))
        assert list(texts(root, "title")) == ["Concurrency"]


def seconds(duration: float = 0.0, **columns: list[int]) -> Result:
    """A run of these columns; its starts were reported."""
    count = len(next(iter(columns.values())))
    whole: dict[str, Any] = {name: [0] * count for name in Series.__struct_fields__}
    return msgspec.structs.replace(
        results.NOTHING,
        series=Series(**{**whole, **columns}),
        duration=duration or float(count),
        warm=spread(3),
    )


@pytest.mark.slow
class TestARamp:
    def test_each_rate_is_a_point(self) -> None:
        made = results.ramped()
        root = parsed(charts.throughput(made, WIDE))
        at = dots(root, "ok")
        assert len(at) == len(made.stages) == 10
        assert [x for x, _ in at] == sorted(x for x, _ in at)
        width = WIDE.width - 68
        assert at[0][0] == pytest.approx(58 + width * made.stages[0].offered_rate / 2000, abs=0.1)
        assert len(dots(parsed(charts.latency_by_load(made)), "p99")) == 10

    def test_the_ideal_is_the_diagonal(self) -> None:
        (x0, y0), (x1, y1) = line(parsed(charts.throughput(results.ramped(), WIDE)), "ideal")
        assert (x0, x1) == (58, WIDE.width - 10)
        assert y0 - y1 == WIDE.height

    def test_the_knee_stands_at_the_last_rate_that_was_kept(self) -> None:
        made = results.ramped()
        [kept] = [number for number, it in enumerate(made.stages) if it.rate == 1000]
        for chart in (charts.throughput, charts.latency_by_load):
            root = parsed(chart(made))
            [rule] = [it for it in root.iter(SVG + "path") if classes(it) == ["rule"]]
            [(x, _)] = points(rule.attrib["d"])
            [band] = [it for it in root.iter(SVG + "rect") if classes(it) == ["band"]]
            at = dots(root, "ok" if chart is charts.throughput else "p99")
            assert x == at[kept][0] == float(band.attrib["x"])
            assert x + float(band.attrib["width"]) == pytest.approx(at[kept + 1][0], abs=0.1)
        assert "knee: 1,000/s" in texts(parsed(charts.throughput(made)))

    @pytest.mark.parametrize(
        ("knee", "caption"),
        [
            (Knee(0.0, 200.0, "slow"), "No rate was kept, 200/s was not: slow"),
            (Knee(2000.0, None, ""), "No knee: every rate up to 2,000/s was kept."),
        ],
    )
    def test_all_or_nothing_was_kept(self, knee: Knee, caption: str) -> None:
        root = parsed(charts.throughput(msgspec.structs.replace(results.ramped(), knee=knee)))
        assert caption in texts(root)
        assert len([it for it in root.iter() if classes(it) == ["rule"]]) == (knee.lost is not None)

    def test_bursts_and_single_rates_are_none(self) -> None:
        def stage(begin: float, rate: float, end: float | None = None) -> StageResult:
            return StageResult(begin, begin + 1 if end is None else end, rate, 9, 9, 0, 0, 1, 1, 1, 1)

        def of(*stages: StageResult) -> list[StageResult]:
            return ramp(msgspec.structs.replace(results.NOTHING, stages=list(stages)))

        assert of(stage(0, 10)) == of(stage(0, 10), stage(1, 99), stage(2, 10)) == of() == []
        assert len(of(stage(0, 10), stage(1, 20), stage(2, 30, end=2))) == 2  # the last was never reached


def test_parts_are_as_wide_as_they_took() -> None:
    timed = {
        "execute": spread(1),
        "queue": Distribution.of(Tally([3_000_000])),
        "reply": Distribution.of(Tally([0])),
    }
    root = parsed(charts.parts(msgspec.structs.replace(results.NOTHING, parts=timed), WIDE))
    bars = [it.attrib["d"] for it in root.iter(SVG + "path") if classes(it)[0] == "part"]
    widths = [float(re.findall(r"h([\d.]+)", bar)[0]) for bar in bars]
    assert widths == pytest.approx(
        [WIDE.width * 3 / 4, WIDE.width / 4], rel=0.002
    )  # queue goes before execute
    assert "reply 0 ns" in texts(root)


# Each decodes a dozen histograms of 33,792 counters: to make a failing one smaller would take many minutes.
@pytest.mark.slow
@settings(max_examples=15, phases=[Phase.reuse, Phase.generate])
@given(
    st.lists(st.integers(0, HIGHEST), max_size=40), st.lists(st.integers(0, HIGHEST), max_size=5), st.data()
)
def test_whatever_the_latencies(values: list[int], others: list[int], data: st.DataObject) -> None:
    them, other = Distribution.of(Tally(values)), Distribution.of(Tally(others))
    count = data.draw(st.integers(0, 5))
    column = st.lists(st.integers(0, 2**63), min_size=count, max_size=count)
    made = msgspec.structs.replace(
        results.NOTHING, latency=them, cold=other, warm=them, parts={"execute": them, "queue": other},
        series=Series(*(data.draw(column) for _ in Series.__struct_fields__)),
        duration=data.draw(st.floats(0, 1e9)), warmup=data.draw(st.floats(0, 1e9)),
        rate=data.draw(st.floats(0, 1e308)),
        knee=Knee(*data.draw(st.tuples(st.floats(0, 1e308), st.floats(0, 1e308))), ""),
        stages=[
            StageResult(0.0, data.draw(st.floats(0, 1e9)), data.draw(st.floats(0, 1e308)), *numbers)
            for numbers in data.draw(st.lists(st.tuples(*[st.integers(0, 2**63)] * 8), max_size=4))
        ],
    )  # fmt: skip
    for chart in CHARTS:
        for form in (WIDE, NARROW):
            parsed(chart(made, form=form))


@given(st.floats(0, 1e18), st.floats(0, 1e18))
def test_an_axis_of_latencies_holds_them(low: float, high: float) -> None:
    low, high = sorted((low, high))
    axis = axes.latency(low, high)
    assert axis.low <= max(low, 1)
    assert axis.high >= high * (1 - 1e-9)
    labels = [label for _, label in axis.ticks if label]
    assert 2 <= len(labels) == len(set(labels))
    assert [axis.position(value) for value, _ in axis.ticks] == sorted(
        axis.position(value) for value, _ in axis.ticks
    )


@given(st.floats(1e-3, 1e12), st.booleans())
def test_an_axis_of_amounts_holds_them(high: float, whole: bool) -> None:
    axis = axes.amount(high, "requests", whole)
    labels = [label for _, label in axis.ticks]
    assert axis.high >= high * (1 - 1e-9)
    assert len(set(labels)) == len(labels) <= 7
    assert not whole or all(value == int(value) for value, _ in axis.ticks)


@given(st.floats(1e-2, 1e9), st.sampled_from([6, 12]))
def test_an_axis_of_time_has_few_ticks(end: float, ticks: int) -> None:
    axis = axes.seconds(end, ticks)
    assert 1 <= len(axis.ticks) <= ticks + 1
    assert axis.high == end


@given(st.text(st.characters(), max_size=60))
def test_any_text_may_be_said(text: str) -> None:
    root = ElementTree.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>'.encode())
    assert len(root.get("b", "")) == len(text)
    assert not {"\x00", "\u202e", "\ud800"} & set(root.text or "")


def test_long_text_is_cut() -> None:
    assert fitted("short", 100) == "short"
    assert fitted("a" * 99, 100).endswith("a…")
    assert [len(it) < 60 for it in wrapped("x" * 100 + " and so on " * 99, 340)] == [True] * 4
