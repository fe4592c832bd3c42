"""The metrics of queues, namespace AWS/SQS: what was sent, received and deleted, and each minute what is there."""

from __future__ import annotations

from ...durable.queue import Queues as Rows
from ...observe.metrics import MINUTE, Metrics, Series
from ...observe.points import of_counts
from .queues import Catalog, Queue

NAMESPACE = "AWS/SQS"


class QueueMetrics:
    """Belongs to the event loop."""

    def __init__(self, catalog: Catalog, rows: Rows, metrics: Metrics) -> None:
        self._catalog, self._rows = catalog, rows
        self._minute = 0
        metrics.collect(self._made)

    def _made(self, metrics: Metrics) -> None:
        now = metrics.clock()
        fresh = int(now // MINUTE) != self._minute
        self._minute = int(now // MINUTE)
        for queue in self._catalog:
            counted, queue.counted = queue.counted, {}
            for name, number in counted.items():
                metrics.merge(_series(queue, name), of_counts(0, number), now)
            if fresh:
                counts = [self._rows.counts(line) for line in queue.messages.lines()]
                metrics.add(
                    _series(queue, "ApproximateNumberOfMessagesVisible"), sum(each.ready for each in counts)
                )
                metrics.add(
                    _series(queue, "ApproximateNumberOfMessagesDelayed"), sum(each.delayed for each in counts)
                )
                metrics.add(
                    _series(queue, "ApproximateNumberOfMessagesNotVisible"),
                    sum(each.leased for each in counts),
                )


def _series(queue: Queue, name: str) -> Series:
    return Series(
        queue.place.region, queue.place.account, NAMESPACE, name, (("QueueName", queue.name),), "Count"
    )
