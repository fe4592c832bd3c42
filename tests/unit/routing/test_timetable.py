"""What is due by a clock that a test moves, when firing fails."""

from __future__ import annotations

import asyncio

import pytest

from engine.durable.queue import QueueFull
from engine.routing import timetable
from engine.routing.timetable import Timetable


def test_what_could_not_be_put_is_fired_again_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timetable, "AGAIN", 0.0)
    errors: list[Exception] = [QueueFull("full"), ValueError("a mistake")]
    fired: list[tuple[str, float]] = []
    now = 0.0

    async def fire(key: str, when: float, at: float) -> float | None:
        if key == "a" and errors:
            raise errors.pop(0)
        fired.append((key, when))
        return when + 10.0 if key == "a" else None

    async def body() -> None:
        nonlocal now
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        table = Timetable(lambda: ["a", "b"], str, lambda key, at, back: at + 1.0, fire, lambda: now)
        table.look()
        await table.fire()
        assert fired == []
        now = 1.5
        await table.fire()
        assert fired == [("b", 1.0)]
        await table.fire()
        assert fired == [("b", 1.0)] and len(reported) == 1
        await table.fire()
        await table.fire()
        assert fired == [("b", 1.0), ("a", 1.0)]
        now = 11.0
        await table.fire()
        assert fired[2:] == [("a", 11.0)]

    asyncio.run(body())


def test_a_table_that_runs_hears_of_what_changes() -> None:
    things = {"a": 1e9}
    fired: asyncio.Queue[str] = asyncio.Queue()

    async def fire(key: str, when: float, at: float) -> None:
        fired.put_nowait(key)

    async def body() -> None:
        table = Timetable(
            lambda: list(things), lambda key: str(things.get(key)) if key in things else None,
            lambda key, at, back: things[key], fire, lambda: 5.0,
        )  # fmt: skip
        table.start()
        things["b"] = 4.0
        table.changed("b")
        assert await asyncio.wait_for(fired.get(), 5) == "b"
        things["a"] = 3.0
        table.changed()
        assert await asyncio.wait_for(fired.get(), 5) == "a"
        del things["a"]
        things["c"] = 2.0
        table.changed("a", "c")
        assert await asyncio.wait_for(fired.get(), 5) == "c"
        table.close()

    asyncio.run(body())
