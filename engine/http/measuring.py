"""What metrics are made of that no outcome says: what runs, looked at once a second, and whose a mapping is."""

from __future__ import annotations

import asyncio

from ..aws.names import Place
from ..hosting.placements import Hosting
from ..observe.functions import FunctionMetrics
from ..sources.settings import TABLE

SAMPLE = 1.0  # seconds


async def sample(hosting: Hosting, measured: FunctionMetrics) -> None:
    """For as long as the server runs."""
    while True:
        await asyncio.sleep(SAMPLE)
        for placement in hosting.known():
            place = placement.place
            measured.sampled(place.region, place.account, placement.invoker.running())


def function_of(hosting: Hosting, arn: str) -> str:
    """The name of an event source mapping's function; "": it is no more."""
    region, account = arn.split(":")[3:5]
    record = hosting.of(Place(region, account)).state.get(TABLE, arn.rpartition(":")[2]) or {}
    return ([*str(record.get("FunctionArn", "")).split(":"), *[""] * 7])[6]
