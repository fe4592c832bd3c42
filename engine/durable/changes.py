"""Changes of records, for callers on an event loop: made in one thread, one after the other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from .state import Record, State

Step = tuple[str, str, str, Record | None]  # table, owner, id; None: no record


class Changes:
    """One writer's. Whoever checks before he changes holds `lock` from his checks to the end."""

    def __init__(self, name: str) -> None:
        self.lock = asyncio.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"stoker-{name}")

    def close(self) -> None:
        self._writer.shutdown()

    async def write(self, state: State, *steps: Step) -> None:
        """All of it, or nothing: durable, then visible. Raises StoreError."""

        def commit() -> None:
            with state.change() as change:
                for table, owner, id, record in steps:
                    if record is None:
                        change.delete(table, owner, id)
                    else:
                        change.put(table, owner, id, record)

        await asyncio.get_running_loop().run_in_executor(self._writer, commit)
