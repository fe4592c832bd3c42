"""Values that are added up together are what each of them alone would be."""

from __future__ import annotations

import math
import random

import pytest

from engine.observe.functions import FunctionMetrics
from engine.observe.lines import LogFormat
from engine.observe.metrics import MINUTE, Metrics, Series
from engine.observe.outcomes import OutcomeBatch, Throttle
from engine.observe.points import Point, of_values
from engine.observe.records import DeploymentInfo, InvocationRecord
from engine.observe.tally import MOST, Subject, Tally

INFO = DeploymentInfo(
    "r", "a", "", "", "f", "arn:aws:lambda:r:a:function:f", "$LATEST", 128, "", "", LogFormat()
)


@pytest.mark.promise(263)
@pytest.mark.parametrize("zeros", (False, True))
def test_values_together_are_the_point_of_each(zeros: bool) -> None:
    random_ = random.Random(19)
    values = [math.exp(random_.uniform(-12, 14)) for _ in range(2_000)] + [1.0, 0.5, 0.25, 2.0, 64.0, 3]
    values += [0.0, -1.5] if zeros else []
    one = Point(buckets={})
    for value in values:
        one.add(value)
    together = of_values(values)
    assert together.buckets == one.buckets and together.count == one.count
    assert (together.low, together.high) == (one.low, one.high) and math.isclose(together.sum, one.sum)


@pytest.mark.promise(263)
def test_a_batch_is_each_of_its_records() -> None:
    """Over the ends of minutes, by several aliases, with failures, and with provisioned concurrency."""
    random_ = random.Random(7)
    records = [
        InvocationRecord(
            str(n), 60_000 * 100 + random_.uniform(-3_000, 3_000), random_.randrange(1, 5_000_000_000), 0,
            random_.choice(("success", "success", "failure", "error", "timeout")),
            alias=random_.choice(("", "", "arn:aws:lambda:r:a:function:f:live")),
            provisioned=random_.choice((0, 0, 1, 2)),
        )
        for n in range(500)
    ]  # fmt: skip

    def kept(batches: list[list[InvocationRecord]]) -> dict[tuple[Series, int, int], Point]:
        metrics = Metrics(clock=lambda: 6_000.0)
        measured = FunctionMetrics(metrics)
        for batch in batches:
            measured(OutcomeBatch(INFO, batch, [Throttle(6_000.0, "x")]))
        metrics.gather()
        return metrics.take()

    alone, together = kept([[each] for each in records]), kept([records, *[[]] * (len(records) - 1)])
    assert set(alone) == set(together)
    for key, point in alone.items():
        assert together[key].buckets == point.buckets and together[key].count == point.count, key
        assert math.isclose(together[key].sum, point.sum)
    first = min(record.at - record.took / 1e6 for record in records)
    assert min(stamp for _, _, stamp in together) == first // 60_000 * 60


def test_what_services_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each set of dimensions, in the minute in which it was noted; nothing where nobody wants it."""
    now = 120.0
    metrics = Metrics(clock=lambda: now)
    tally = Tally(metrics)
    one = Subject("r", "a", "AWS/X", (), (("A", "b"),))
    tally.add(one, {"Count": 1, "Latency": 2.5})
    now = 180.0
    for _ in range(MOST + 5):
        tally.add(one, {"Count": 1})
    metrics.gather()
    taken = {(s.name, s.dimensions, s.unit, at): point.sum for (s, _, at), point in metrics.take().items()}
    of: tuple[tuple[tuple[str, str], ...], ...] = ((), (("A", "b"),))
    counts = {("Count", each, "Count", at): float(n) for each in of for at, n in ((120, 1), (180, MOST + 5))}
    assert taken == counts | {("Latency", each, "Milliseconds", 120): 2.5 for each in of}
    for unwanted in (Tally(), Tally(Metrics(own=False))):
        unwanted.add(one, {"Count": 1})
        assert not unwanted.wanted and not unwanted._noted
    assert MINUTE == 60
