"""Changes of records, for callers on an event loop: made in one thread, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from .state import Record, State

Step = tuple[str, str, str, Record | None]  # table, owner, id; None: no record
_Asked = tuple[State, Sequence[Step], asyncio.Future[None]]


class Changes:
    """One writer's. Whoever checks before he changes holds `lock` from his checks to the end."""

    def __init__(self, name: str) -> None:
        self.lock = asyncio.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"stoker-{name}")
        self._asked: list[_Asked] = []
        self._writing = False

    def close(self) -> None:
        self._writer.shutdown()

    async def write(self, state: State, *steps: Step) -> None:
        """All of it, or nothing: durable, then visible. What is asked for during another commit is one commit. Raises
        StoreError."""
        done = asyncio.get_running_loop().create_future()
        self._asked.append((state, steps, done))
        if not self._writing:
            self._begin()
        await done

    def _begin(self) -> None:
        group = [each for each in self._asked if not each[2].done()]  # but of who was cancelled
        self._asked = []
        self._writing = bool(group)
        if not group:
            return
        loop = asyncio.get_running_loop()

        def over(committed: asyncio.Future[list[Exception | None]]) -> None:
            for (_, _, done), error in zip(group, committed.result(), strict=True):
                if not done.done():
                    done.set_result(None) if error is None else done.set_exception(error)
            self._begin()

        try:
            loop.run_in_executor(self._writer, _committed, group).add_done_callback(over)
        except RuntimeError as error:  # it is closed
            self._writing = False
            for _, _, done in group:
                done.set_exception(error)


def _committed(group: Sequence[_Asked]) -> list[Exception | None]:
    """What became of each. A commit for those of one state that follow each other; what fails together is tried one by
    one: nobody fails for another's sake."""
    outcomes: list[Exception | None] = []
    at = 0
    while at < len(group):
        state, end = group[at][0], at + 1
        while end < len(group) and group[end][0] is state:
            end += 1
        error = _commit(state, group[at:end])
        if error is None or end == at + 1:
            outcomes += [error] * (end - at)
        else:
            outcomes += [_commit(state, [each]) for each in group[at:end]]
        at = end
    return outcomes


def _commit(state: State, group: Sequence[_Asked]) -> Exception | None:
    try:
        with state.change() as change:
            for _, steps, _ in group:
                for table, owner, id, record in steps:
                    if record is None:
                        change.delete(table, owner, id)
                    else:
                        change.put(table, owner, id, record)
    except Exception as error:
        return error
    return None
