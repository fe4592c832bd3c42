"""The counts of event source mappings."""

from __future__ import annotations

from engine.observe.mappings import MappingCounters


def test_totals_have_every_count_there_was_and_the_largest_gauge_there_is() -> None:
    counters = MappingCounters()
    assert counters.totals() == {}
    for arn, count, age in (("a", 1, 70.0), ("b", 2, 50.5), ("c", 4, 20.0)):
        counters.add(arn, "PolledEventCount", count)
        counters.set(arn, "IteratorAge", age)
    assert counters.totals() == {"PolledEventCount": 7, "IteratorAge": 70}
    counters.forget("a")
    assert counters.totals() == {"PolledEventCount": 7, "IteratorAge": 50}
    counters.set("b", "IteratorAge", 0.0)
    counters.add("b", "PolledEventCount", 1)
    assert counters.totals() == {"PolledEventCount": 8, "IteratorAge": 20}
