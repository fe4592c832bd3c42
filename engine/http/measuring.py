"""A server's metrics put together, and what it does by the clock: it looks at what runs, and ends what nobody uses."""

from __future__ import annotations

import asyncio
import contextlib

from ..aws.names import Place
from ..hosting.placements import Hosting
from ..observe.counters import Counters
from ..observe.functions import FunctionMetrics
from ..observe.losses import Losses
from ..observe.metrics import Metrics, Series
from ..observe.otlp_metrics import OtlpMetrics
from ..services.cloudwatch.keeper import Keeper
from ..services.logs.messages import Measured
from ..sources.settings import TABLE
from .options import Options

SAMPLE = 1.0  # seconds
SWEEP = 15.0


def keeping(stack: contextlib.AsyncExitStack, options: Options, losses: Losses) -> Keeper:
    """Ends with the stack. Raises StoreError."""
    keeper = Keeper(options.state, Metrics(own=options.metrics))
    if options.otlp:
        exported = OtlpMetrics(options.otlp)
        keeper.on_points = exported.take
        losses.watch("exports", lambda: exported.dropped)
        stack.push_async_callback(asyncio.get_running_loop().run_in_executor, None, exported.close)
    stack.push_async_callback(keeper.aclose)
    return keeper


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
