"""A run for code that is not asynchronous, in a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import uvloop

from .run import run

if TYPE_CHECKING:
    from .result import Result
    from .run import Watch
    from .scenario.scenario import Scenario


def run_now(scenario: Scenario, watch: Watch | None = None) -> Result:
    """What run() finds; raises what it raises. Where a loop runs already, this one is in another thread, and that one
    stands still meanwhile."""

    def work() -> Result:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(scenario, watch))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    found: list[Result] = []
    failed: list[BaseException] = []

    def there() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=there, name="stoker-load")
    thread.start()
    thread.join()
    for error in failed:
        raise error
    return found[0]
