"""What a server does by the clock: it looks at what runs, for metrics, and ends what nobody uses."""

from __future__ import annotations

import asyncio

from ..aws.names import Place
from ..hosting.placements import Hosting
from ..observe.counters import Counters
from ..observe.functions import FunctionMetrics
from ..observe.metrics import Metrics, Series
from ..services.logs.process import Measured
from ..sources.settings import TABLE

SAMPLE = 1.0  # seconds
SWEEP = 15.0


async def sample(hosting: Hosting, measured: FunctionMetrics) -> None:
    """For as long as the server runs."""
    while True:
        await asyncio.sleep(SAMPLE)
        for placement in hosting.known():
            place = placement.place
            measured.sampled(place.region, place.account, placement.invoker.running())


async def sweep(hosting: Hosting, counters: Counters, measured: FunctionMetrics) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        hosting.sweep()
        counters.keep_only(hosting.has)
        measured.keep_only(hosting.has)


def function_of(hosting: Hosting, arn: str) -> str:
    """The name of an event source mapping's function; "": it is no more."""
    region, account = arn.split(":")[3:5]
    record = hosting.of(Place(region, account)).state.get(TABLE, arn.rpartition(":")[2]) or {}
    return ([*str(record.get("FunctionArn", "")).split(":"), *[""] * 7])[6]


def of_logs(metrics: Metrics, measured: Measured) -> None:
    """What logs say of metrics."""
    for each in measured.points:
        of = (measured.region, measured.account, each.namespace, each.name, each.dimensions, each.unit)
        metrics.merge(Series(*of), each.point, each.stamp, each.span)
