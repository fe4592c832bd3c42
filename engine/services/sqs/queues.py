"""The queues of every place: their records on the disk, and of each its messages and its settings."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...aws.names import Place
from ...durable.queue import Queues as Rows
from ...durable.state import Change, State, States
from . import redrive
from .attributes import Settings
from .fifo import Groups
from .handles import Handle, Signer, decode, encode
from .polls import Polls
from .standard import Standard
from .stored import deadline, stored

TABLE = "sqs-queues"
DELETED = "sqs-deleted"  # by name: when, by the service clock
SERVICE = "sqs"


class Queue:
    """A queue. id: of this one and no other, whatever its name; messages: its rows. run: the server's, for handles."""

    def __init__(self, place: Place, record: dict[str, Any], rows: Rows, run: int) -> None:
        self.place = place
        self.name: str = record["Name"]
        self.arn = redrive.arn(place, self.name)
        self.id: str = record["_id"]
        self.fifo = self.name.endswith(".fifo")
        self._signer = Signer(bytes.fromhex(record["_secret"]))
        self._run = run
        line = f"{SERVICE}:{self.id}"
        self.messages: Standard | Groups = Groups(rows, line, run) if self.fifo else Standard(rows, line)
        self.polls = Polls()
        self.purged: float | None = None  # when it was, by the monotonic clock
        self.counted: dict[str, int] = {}  # by the names of metrics, since they were looked at
        self.apply(record)

    def count(self, name: str, number: int) -> None:
        self.counted[name] = self.counted.get(name, 0) + number

    def apply(self, record: dict[str, Any]) -> None:
        """What its record says from now on."""
        self.record = record
        self.attributes: dict[str, str] = record["Attributes"]
        self.settings = Settings.of(self.attributes)
        self.redrive = redrive.policy_of(self.attributes)
        if isinstance(self.messages, Groups):
            self.messages.floor = record.get("_floor", 0)

    def handle(self, id: int, receive: int, at: int) -> Handle:
        return Handle(id, receive, at, self._run)

    def text(self, handle: Handle) -> str:
        """As clients have it."""
        return encode(self._signer, handle)

    def handled(self, text: str) -> Handle:
        """Raises Fault."""
        return decode(self._signer, text)

    def wake(self, line: str) -> None:
        self.messages.wake(line)
        self.polls.wake()


class Catalog:
    """All queues. Belongs to one event loop; a change holds `lock` from its checks to its end."""

    def __init__(self, states: States, rows: Rows) -> None:
        self.rows = rows
        self.lock = asyncio.Lock()
        self._states = states
        self._run = secrets.randbits(32)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="stoker-sqs")  # one: writes keep their order
        self._places: dict[str, dict[str, Queue]] = {}
        self._by_id: dict[str, Queue] = {}
        for state in states.all():
            for name in state.owners(TABLE):
                record = state.get(TABLE, name)
                if record is not None:
                    self._add(Queue(Place.of(state.partition), record, rows, self._run))
        rows.listen(SERVICE, self._wake)

    def start(self) -> None:
        """What was there before the start is found, and what is left of queues that are gone is purged."""
        for line in self.rows.queues(SERVICE):
            queue = self._by_id.get(_id_of(line))
            if queue is None:
                self.rows.purge(line)
            else:
                queue.messages.wake(line)
                self.rows.ready(line)  # what is due later is looked for then

    def close(self) -> None:
        self._writer.shutdown()

    def _add(self, queue: Queue) -> None:
        self._places.setdefault(queue.place.partition, {})[queue.name] = queue
        self._by_id[queue.id] = queue

    def _wake(self, line: str) -> None:
        queue = self._by_id.get(_id_of(line))
        if queue is not None:
            queue.wake(line)

    def __iter__(self) -> Iterator[Queue]:
        return iter(list(self._by_id.values()))

    def get(self, place: Place, name: str) -> Queue | None:
        return self._places.get(place.partition, {}).get(name)

    def by_arn(self, arn: str) -> Queue | None:
        found = redrive.parse_arn(arn)
        return None if found is None else self.get(*found)

    def names(self, place: Place) -> list[str]:
        """In order."""
        return sorted(self._places.get(place.partition, {}))

    def alive(self, queue: Queue) -> bool:
        return self._by_id.get(queue.id) is queue

    def sources(self, queue: Queue) -> list[Queue]:
        """The queues that have it as their dead-letter queue, in order."""
        here = self._places.get(queue.place.partition, {}).values()
        found = [each for each in here if each.redrive and each.redrive.target == queue.arn]
        return sorted(found, key=lambda each: each.name)

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    async def write(self, place: Place, *changes: tuple[str, str, str, dict[str, Any] | None]) -> None:
        """Records, as (table, owner, id, record or None for none), durably and at once. Raises StoreError."""

        def commit() -> None:
            with self.state(place).change() as change:
                _collect(change, changes)

        await asyncio.get_running_loop().run_in_executor(self._writer, commit)

    async def create(
        self, place: Place, name: str, attributes: dict[str, str], tags: dict[str, str]
    ) -> Queue:
        """Under `lock`."""
        now = int(time.time())
        record = {
            "Name": name, "Attributes": attributes, "Tags": tags, "Created": now, "Modified": now,
            "_id": f"{place.partition}/{name}/{secrets.token_hex(6)}", "_secret": secrets.token_hex(16),
        }  # fmt: skip
        await self.write(place, (TABLE, name, "", record), (DELETED, name, "", None))
        queue = Queue(place, record, self.rows, self._run)
        self._add(queue)
        return queue

    async def change(self, queue: Queue, **members: Any) -> None:
        """Under `lock`: other members of its record."""
        record = {**queue.record, **members}
        await self.write(queue.place, (TABLE, queue.name, "", record))
        queue.apply(record)

    async def delete(self, queue: Queue) -> None:
        """Under `lock`. Its messages go with it."""
        now = {"at": self.rows.now()}
        await self.write(queue.place, (TABLE, queue.name, "", None), (DELETED, queue.name, "", now))
        del self._places[queue.place.partition][queue.name]
        del self._by_id[queue.id]
        queue.polls.end()
        await self.purge(queue)

    async def purge(self, queue: Queue) -> None:
        """All of its messages are gone, durably."""
        lines = set(queue.messages.lines())
        lines |= {line for line in self.rows.queues(SERVICE) if queue.messages.owns(line)}
        end = deadline()
        for purged in [self.rows.purge(line)[1] for line in lines]:
            await stored(purged, end)

    def deleted_at(self, place: Place, name: str) -> int | None:
        """When a queue of that name was deleted last, by the service clock."""
        record = self.state(place).get(DELETED, name)
        return None if record is None else int(record["at"])


def _collect(change: Change, changes: Sequence[tuple[str, str, str, dict[str, Any] | None]]) -> None:
    for table, owner, id, record in changes:
        if record is None:
            change.delete(table, owner, id)
        else:
            change.put(table, owner, id, record)


def _id_of(line: str) -> str:
    return line.removeprefix(f"{SERVICE}:").partition("\0")[0]
