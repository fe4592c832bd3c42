"""Changes that are asked for at once: few commits, in order, and nobody fails for another's sake."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.durable.changes import Changes
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store


class Counted:
    """A store that counts its commits."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.commits = 0

    def commit(self, steps: Any) -> Any:
        self.commits += 1
        return self.store.commit(steps)

    def load(self, kind: Any) -> Any:
        return self.store.load(kind)


@pytest.mark.promise(286)
def test_what_is_asked_for_during_a_commit_is_one_commit(tmp_path: Path) -> None:
    async def run(states: States, changes: Changes) -> None:
        one, two = states.of("one"), states.of("two")
        writes = [changes.write(one if n % 3 else two, ("t", "o", "same", {"n": n})) for n in range(300)]
        writes += [changes.write(one, ("t", "o", str(n), {"n": n})) for n in range(300)]
        await asyncio.gather(*writes)
        assert (one.get("t", "o", "same"), two.get("t", "o", "same")) == ({"n": 299}, {"n": 297})
        assert [one.get("t", "o", str(n)) for n in range(300)] == [{"n": n} for n in range(300)]

    with contextlib.closing(Store(tmp_path, [Records()])) as store:
        counted = Counted(store)
        changes = Changes("test")
        asyncio.run(run(States(counted), changes))  # type: ignore[arg-type]
        changes.close()
        assert counted.commits < 320  # those of two partitions by turns; of the last 300, one
    with contextlib.closing(Store(tmp_path, [Records()])) as store:
        assert States(store).of("one").get("t", "o", "299") == {"n": 299}


@pytest.mark.promise(286)
def test_one_that_fails_or_is_given_up_is_alone(tmp_path: Path) -> None:
    async def run(states: States, changes: Changes) -> None:
        state, gate = states.of("p"), threading.Event()
        changes._writer.submit(gate.wait, 30)
        first = asyncio.ensure_future(changes.write(state, ("t", "o", "first", {})))
        await asyncio.sleep(0)
        given_up = asyncio.ensure_future(changes.write(state, ("t", "o", "given up", {})))
        broken = changes.write(state, ("t", "o", "half", {}), ("t", "o", "broken", {"no JSON": object()}))
        writes = [changes.write(state, ("t", "o", str(n), {})) for n in range(5)]
        rest = asyncio.gather(broken, *writes, return_exceptions=True)
        await asyncio.sleep(0)
        given_up.cancel()
        gate.set()
        outcomes = await rest
        await first
        assert isinstance(outcomes[0], TypeError)
        assert outcomes[1:] == [None] * 5
        assert set(state.owned("t", "o")) == {"first", "0", "1", "2", "3", "4"}
        changes.close()
        with pytest.raises(RuntimeError):
            await changes.write(state, ("t", "o", "late", {}))

    with contextlib.closing(Store(tmp_path, [Records()])) as store:
        asyncio.run(run(States(store), Changes("test")))
