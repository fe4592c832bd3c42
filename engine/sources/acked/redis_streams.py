"""Redis Streams (and Valkey's): entries read for a consumer group, acknowledged once they are done.

A consumer of a name that stays the same finds what it had not acknowledged when it was killed, and in order, before
anything new. What other consumers of the group left behind is claimed when it was idle for long enough.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from ... import wire
from ...aws.clients import CallFailed
from ..settings import Settings
from ..streams.api import Page, Position, Raw
from ..streams.lineage import Shard
from .broker import AGAIN, MOST, POLL, REFUSED, Held, gone, missing

NEW = ">"  # the iterator of entries that no consumer has got yet; others are ids, of this consumer's own entries
CLAIM = 60.0  # seconds of idleness after which another consumer's entry is taken over
_COUNTED = 10_000  # pending entries whose deliveries are asked for at a time
_TIMEOUT = 10.0  # seconds for a response, beyond what it waits for
_DIGITS = 13  # of milliseconds since 1970: ids of less are no times

# An id, and names and values by turns; None of an entry that the stream has not any more.
Entry = tuple[bytes, list[bytes] | None]


class RedisStream:
    """The settings' options: Url, Stream, and if they are not by the mapping's id, Group and Consumer;
    ClaimAfterSeconds."""

    pause = 0.0
    batch_info = "RedisBatchInfo"

    def __init__(self, settings: Settings) -> None:
        try:
            import redis.asyncio as library
        except ImportError:
            raise missing("redis", "redis") from None
        self._library = library
        options = settings.options
        self._url, self._stream = str(options["Url"]), str(options["Stream"])
        self._source = settings.source
        self._group = str(options.get("Group") or f"stoker-{settings.uuid}")
        self._consumer = str(options.get("Consumer") or f"stoker-{options.get('Instance') or settings.uuid}")
        self._idle = float(options.get("ClaimAfterSeconds") or CLAIM)
        self.kept = self._idle / 3
        self._count = min(MOST, max(100, 5 * settings.batch_size * settings.parallel))
        self._filtered = bool(settings.filters)
        self._client: Any = None
        self._lines: dict[str, Any] = {}
        self._held: Held[bytes] = Held()  # by their ids as the broker has them
        self._settled = ""  # the last entry before which everything is done
        self._position = Position(settings.position or "TRIM_HORIZON", settings.timestamp or 0.0)
        self._begin = _before(self._position)  # where a group is made
        self._again = ""  # the last entry that a group which was made anew hands over once more
        self._claimed = 0.0  # when others' entries were looked for, by the monotonic clock
        self._form = self._format()

    def _open(self) -> Any:
        if self._client is None:
            try:
                client = self._library.Redis.from_url(self._url, socket_connect_timeout=5.0)
            except ValueError as error:
                raise CallFailed("InvalidUrl", str(error), retriable=False) from error
            from .redis_line import Line

            client.set_response_callback("XAUTOCLAIM", lambda response, **_: response)
            self._client = client
            self._lines = {name: Line(client.connection_pool) for name in ("XREADGROUP", "XACK")}
        return self._client

    async def _call(self, name: str, *rest: bytes | str | int) -> Any:
        """What is called often. Within `_calls`."""
        return await self._lines[name].call(name, *rest)

    @contextlib.asynccontextmanager
    async def _calls(self) -> AsyncIterator[Any]:
        """The client; its errors are CallFailed."""
        from redis import exceptions

        client = self._open()
        try:
            async with asyncio.timeout(POLL + _TIMEOUT):
                yield client
        except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
            raise CallFailed(REFUSED, str(error), retriable=True) from error
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            text = str(error)
            if text.startswith(("NOGROUP", "UNBLOCKED")):
                raise CallFailed(AGAIN, text, retriable=True) from error
            if text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                raise CallFailed(REFUSED, text, retriable=True) from error
            raise CallFailed(type(error).__name__, text, retriable=True) from error

    def begin(self, at: float, known: Mapping[str, str]) -> None:
        self._settled = known.get(self._stream, "")
        if self._position.kind == "LATEST":
            self._begin = _before(Position("AT_TIMESTAMP", at))

    # As a stream.

    async def look(self) -> None:
        async with self._calls() as client:
            kind = await client.type(self._stream)
        if kind == b"none":
            self._settled, self._begin = "", "0-0"  # one that has its name later is another one
            self._held.clear()
            raise gone(f"there is no stream {self._stream}")
        if kind != b"stream":
            raise CallFailed("WRONGTYPE", f"{self._stream} is no stream", retriable=True)

    async def shards(self) -> list[Shard]:
        await self.look()
        await self._join()
        return [Shard(self._stream)]

    async def iterator(self, shard: str, position: Position) -> str:
        """Where the group is, the broker knows. What was on its way when a connection broke, or a server ended, is this
        consumer's: that comes first."""
        await self._join()
        return "0-0"

    async def _join(self) -> None:
        """The group is there, made if need be where this mapping was, or begins."""
        async with self._calls() as client:
            begin = self._begin
            if self._settled:
                begin = min([self._settled, *(_previous(id) for id in self._held.ids)], key=_order)
                if _order(await self._last(client)) < _order(begin):
                    begin = "0-0"  # it is another stream of that name
            try:
                await client.xgroup_create(self._stream, self._group, begin)
                self._again = max(self._held.ids, key=_order, default="")
            except self._library.ResponseError as error:
                if "requires the key to exist" in str(error):
                    raise gone(f"there is no stream {self._stream}") from error
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def _last(self, client: Any) -> str:
        """The stream's last id."""
        try:
            return _text((await client.xinfo_stream(self._stream))["last-generated-id"])
        except self._library.ResponseError as error:
            if "no such key" in str(error):
                raise gone(f"there is no stream {self._stream}") from error
            raise

    async def read(self, shard: str, iterator: str) -> Page:
        async with self._calls() as client:
            if iterator != NEW:
                return await self._own(client, iterator)
            if time.monotonic() >= self._claimed + self._idle / 2:
                self._claimed = time.monotonic()
                if found := await self._others(client):
                    return Page(found, NEW)
            wait = int(min(POLL, self._idle / 2) * 1e3)
            entries = await self._received(NEW, wait)
            if self._again:  # those of a group that was made anew may be done
                last = min(_order(self._again), _order(self._settled))
                if done := [id for id, _ in entries if _order(_text(id)) <= last]:
                    await self._call("XACK", self._stream, self._group, *done)
                    entries = [entry for entry in entries if entry[0] not in done]
            return Page(self._taken(entries, {}), NEW)

    async def _received(self, begin: str, wait: int | None) -> list[Entry]:
        block = () if wait is None else ("BLOCK", wait)
        found = await self._call(
            "XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", self._count, *block,
            "STREAMS", self._stream, begin,
        )  # fmt: skip
        if not found:
            return []
        entries: list[Entry] = next(iter(found.values())) if isinstance(found, dict) else found[0][1]
        return entries

    async def _own(self, client: Any, begin: str) -> Page:
        """This consumer's entries that are not acknowledged, behind an id."""
        entries = await self._received(begin, None)
        if not entries:
            return Page([], NEW)
        return Page(await self._pending(client, entries), _text(entries[-1][0]), 1.0)

    async def _others(self, client: Any) -> list[Raw]:
        """Entries that other consumers of the group left behind are this one's from now on."""
        entries: list[Entry] = []
        begin: Any = "0-0"
        while True:
            claimed = await client.xautoclaim(
                self._stream, self._group, self._consumer, min_idle_time=int(self._idle * 1e3),
                start_id=begin, count=self._count,
            )  # fmt: skip
            begin = claimed[0]
            # Redis 6.2 has nil for those that the stream has not any more.
            entries += filter(None, claimed[1])
            if begin == b"0-0" or len(entries) >= self._count:
                return await self._pending(client, entries)

    async def _pending(self, client: Any, entries: Iterable[Entry]) -> list[Raw]:
        """Entries that were delivered before. Those that the stream has not any more are acknowledged: there is nothing
        to be done with them."""
        there = [entry for entry in entries if _text(entry[0]) not in self._held]
        if trimmed := [id for id, fields in there if not fields]:
            await self._call("XACK", self._stream, self._group, *trimmed)
        fresh = [(id, fields) for id, fields in there if fields]
        if not fresh:
            return []
        counted = await client.xpending_range(
            self._stream, self._group, min=fresh[0][0], max=fresh[-1][0], count=_COUNTED, consumername=self._consumer
        )  # fmt: skip
        return self._taken(fresh, {each["message_id"]: each["times_delivered"] for each in counted})

    def _taken(self, entries: Iterable[Entry], deliveries: Mapping[bytes, int]) -> list[Raw]:
        """Those that are not held are, and are handed over: nothing may come between the two."""
        found: list[Raw] = []
        hold, raw, delivered = self._held.add, self._raw, deliveries.get
        for id, fields in entries:
            sequence = id.decode()
            if hold(sequence, id):
                found.append(raw(id, sequence, fields or [], b"%d" % delivered(id, 1)))
        return found

    # As a broker.

    async def settle(self, sequence: str) -> None:
        done = self._held.until(sequence)
        if not done:
            return
        async with self._calls():
            await self._call("XACK", self._stream, self._group, *done.values())
        self._held.drop(done)
        self._settled = max(self._settled, sequence, key=_order)

    async def keep(self) -> None:
        if held := self._held.ids:
            async with self._calls() as client:
                await client.xclaim(
                    self._stream, self._group, self._consumer, min_idle_time=0, message_ids=held, justid=True
                )

    async def lag(self) -> int:
        async with self._calls() as client:
            groups = await client.xinfo_groups(self._stream)
        mine = next((each for each in groups if _text(each["name"]) == self._group), None)
        return 0 if mine is None else int(mine.get("lag") or 0) + int(mine["pending"])

    async def release(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_TIMEOUT):
                    for line in self._lines.values():
                        await line.close()
                    await client.aclose()

    # Records.

    def _format(self) -> tuple[bytes, ...]:
        """Of a record's JSON, what is around its id, deliveries, time (seconds, milliseconds), fields, what else there
        is about those, and its id again."""
        own = wire.encode({"stream": self._stream, "group": self._group})[:-1]
        first = wire.encode(
            {"eventSource": "stoker:redis", "eventVersion": "1.0", "eventID": f"{self._stream}:"}
        )
        last = wire.encode({"eventName": "stoker:redis:entry", "eventSourceARN": self._source})
        return (
            b'{"redis":' + own + b',"id":"', b'","deliveries":', b',"approximateArrivalTimestamp":', b',"fields":',
            b"}," + first[1:-2], b'",' + last[1:],
        )  # fmt: skip

    def _raw(self, id: bytes, sequence: str, fields: list[bytes], deliveries: bytes) -> Raw:
        """sequence: its id as a text."""
        at = id[: id.index(b"-")]
        if len(at) < _DIGITS:
            at = b"%d" % (time.time() * 1e3)
        more, texts, turns = b"", {}, iter(fields)
        try:
            for name in turns:
                texts[name.decode()] = next(turns).decode()
        except UnicodeDecodeError:
            texts, binary = _texts(fields)
            more = b',"binary":' + wire.encode(binary)
        before, delivered, arrived, held, about, behind = self._form
        json = b"".join((
            before, id, delivered, deliveries, arrived, at[:-3], b".", at[-3:], held, wire.fast_encode(texts), more,
            about, id, behind,
        ))  # fmt: skip
        found = Raw(sequence, self._stream, json, float(at) / 1e3)
        if self._filtered:
            found.seen = lambda: _shown(json, texts)
        return found


def _shown(json: bytes, texts: Mapping[str, str]) -> dict[str, Any]:
    """A record as filters see it."""
    shown = wire.decode(json)
    own = shown.pop("redis")
    return {**shown, **own, "fields": {name: _seen(text) for name, text in texts.items()}}


def _texts(fields: list[bytes]) -> tuple[dict[str, str], list[str]]:
    """Fields as JSON has them, and the names of those that are base64."""
    texts: dict[str, str] = {}
    binary: list[str] = []
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        key = name.decode("utf-8", "backslashreplace")
        try:
            texts[key] = value.decode()
        except UnicodeDecodeError:
            texts[key] = base64.b64encode(value).decode()
            binary.append(key)
    return texts, binary


def _seen(text: str) -> Any:
    """As filters see a field: one that is a JSON object as that."""
    if text[:1] == "{":
        with contextlib.suppress(ValueError, RecursionError):
            return wire.decode(text.encode())
    return text


def _text(id: Any) -> str:
    return id.decode() if isinstance(id, bytes) else str(id)


def _order(id: str) -> tuple[int, int]:
    time, _, number = id.partition("-")
    return int(time or 0), int(number or 0)


def _previous(id: str) -> str:
    """The id right before it."""
    milliseconds, number = _order(id)
    if number or not milliseconds:
        return f"{milliseconds}-{max(0, number - 1)}"
    return f"{milliseconds - 1}-{(1 << 64) - 1}"


def _before(position: Position) -> str:
    """Behind which id a group begins."""
    if position.kind == "LATEST":
        return "$"
    if position.kind == "AT_TIMESTAMP":
        return _previous(f"{int(position.at * 1e3)}-0")
    return "0-0"
