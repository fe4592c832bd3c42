"""Counts of event source mappings, by the names of CloudWatch's metrics of them."""

from __future__ import annotations

from .functions import MappingMetrics

COUNTS = (
    "PolledEventCount", "FilteredOutEventCount", "InvokedEventCount", "FailedInvokeEventCount", "DroppedEventCount",
    "OnFailureDestinationDeliveredEventCount", "DeletedEventCount", "RecursiveInvocationsDropped",
)  # fmt: skip
GAUGES = ("IteratorAge", "OffsetLag")  # milliseconds; records


class MappingCounters:
    """By mapping ARN, since the server's start. Belongs to the event loop."""

    def __init__(self, metrics: MappingMetrics | None = None) -> None:
        self._metrics = metrics
        self._mappings: dict[str, dict[str, float]] = {}
        self._gone: dict[str, float] = {}

    def add(self, arn: str, name: str, number: int) -> None:
        counts = self._mappings.setdefault(arn, {})
        counts[name] = counts.get(name, 0) + number
        if self._metrics is not None:
            self._metrics.count(arn, name, number)

    def set(self, arn: str, name: str, value: float) -> None:
        """A gauge: what it is now."""
        self._mappings.setdefault(arn, {})[name] = value
        if self._metrics is not None:
            self._metrics.gauge(arn, name, value)

    def of(self, arn: str) -> dict[str, float]:
        """One mapping's."""
        return dict(self._mappings.get(arn, {}))

    def forget(self, arn: str) -> None:
        """A mapping is no more: what it counted stays in the totals."""
        for name, number in self._mappings.pop(arn, {}).items():
            if name in COUNTS:
                self._gone[name] = self._gone.get(name, 0) + number

    def read(self) -> dict[str, dict[str, float]]:
        """By mapping ARN: its counts and gauges by name."""
        return {arn: dict(counts) for arn, counts in self._mappings.items()}

    def totals(self) -> dict[str, int]:
        """Of all mappings that there were, only what was counted; and of a gauge, the largest of those that there
        are."""
        every = [self._gone, *self._mappings.values()]
        totals = {name: int(sum(counts.get(name, 0) for counts in every)) for name in COUNTS}
        totals |= {name: int(max(counts.get(name, 0) for counts in every)) for name in GAUGES}
        return {name: number for name, number in totals.items() if number}
