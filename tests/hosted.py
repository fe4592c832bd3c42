"""Hosting over a real engine, in a loop of a test's own: two places, functions that note what they do, and queues."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from engine import limits
from engine.aws.faults import Fault
from engine.aws.names import LATEST, Place
from engine.calls.reaper import Reaper
from engine.durable.queue import Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store
from engine.hosting.archives import pack
from engine.hosting.interpreters import OWN
from engine.hosting.layout import Layouts
from engine.hosting.outside import Outside
from engine.hosting.packages import Packages
from engine.hosting.placements import Hosting
from engine.hosting.results import Result
from engine.observe.counters import Counters
from engine.observe.outcomes import OutcomeBatch, Outcomes
from engine.observe.records import FunctionOutput
from engine.routing.earlier import EventRows
from engine.runtime import Runtime

HERE, THERE = Place("eu-west-1", "111111111111"), Place("us-east-1", "222222222222")
SOURCE = """
import os, time
os.write(1, f"init of {os.environ['AWS_REGION']}\\n".encode())
def handler(event, context):
    if isinstance(event, dict) and "note" in event:
        with open(event["note"], "a") as file: file.write(os.environ["AWS_REGION"] + "\\n")
    if event == "fail": raise ValueError("asked for")
    while isinstance(event, dict) and not os.path.exists(event.get("until", "/")): time.sleep(0.005)
    names = ("AWS_REGION", "AWS_DEFAULT_REGION", "OWNER")
    return [*(os.environ[name] for name in names), context.invoked_function_arn]
"""


class Hosted:
    """Hosting over a real engine, in the running loop."""

    def __init__(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.store = Store(
            folder / "state", [Records(HERE.partition), QueueRows(), EventRows(HERE.partition)]
        )
        self.queues = Queues(self.store)
        self.states = States(self.store)
        self.packages = Packages(folder / "code")
        source = folder / "app.py"
        source.write_text(SOURCE)
        self.digest = self.packages.add(pack(source)).digest
        self.batches: list[OutcomeBatch] = []
        self.output: list[FunctionOutput] = []
        self.counters = Counters()
        self.outcomes = Outcomes(loop)
        self.outcomes.subscribe(self.batches.append)
        self.outcomes.subscribe(self.counters)
        self.outside = Outside(loop, self.output.append)
        self.runtime = Runtime(
            payload_limit=limits.EVENT_BYTES, logs=self.outside, pin=False, spin=0.0,
            waiting_bytes=limits.WAITING_BYTES,
        )  # fmt: skip
        self.reaper = Reaper(self.runtime.dispatch, loop, self.runtime.data_epoll, self.runtime.spin_ns)
        layouts = Layouts(
            self.packages, folder / "opt", lambda place, _: {"OWNER": place.account}, {OWN: ""}, 4
        )
        self.hosting = Hosting(self.states, self.runtime, self.reaper, layouts, self.outcomes, 600.0, loop)

    def put(self, place: Place, name: str = "f", **members: Any) -> None:
        record = {
            "FunctionName": name, "Version": LATEST, "FunctionArn": place.function(name), "MemorySize": 128,
            "Timeout": 20, "Handler": "app.handler", "Runtime": OWN, "_digest": self.digest, **members,
        }  # fmt: skip
        with self.states.of(place.partition).change() as change:
            change.put("function", name, LATEST, record)

    async def invoke(self, place: Place, event: Any = None, name: str = "f") -> Result:
        """Raises Fault."""
        invoker = self.hosting.of(place).invoker
        future: asyncio.Future[Result | Fault] = asyncio.get_running_loop().create_future()
        invoker.invoke(invoker.route(name, None), json.dumps(event).encode(), future.set_result, None)
        result = await asyncio.wait_for(future, 20)
        if isinstance(result, Fault):
            raise result
        return result

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.runtime.close_processes, 1.0)
        self.reaper.close()
        self.runtime.close(0.0)
        self.queues.close()
        self.store.close()


def run(folder: Path, body: Callable[[Hosted], Awaitable[None]]) -> None:
    async def inside() -> None:
        hosted = Hosted(folder)
        try:
            await body(hosted)
        finally:
            await hosted.close()

    asyncio.run(inside())


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)
