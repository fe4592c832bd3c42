"""NATS JetStream: messages that a durable pull consumer is handed, acknowledged once they are done.

A consumer that the mapping made is its own: what it had not acknowledged when it was killed, or its connection broke,
is asked for at once, before anything new, so that the order is kept. For that its AckWait is short, and nothing new may
be delivered, until all of it is there. One that somebody else made is used as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from binascii import b2a_base64
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ... import wire
from ...aws.clients import CallFailed
from ...services.lambda_.own_sources import address
from ..settings import Settings
from ..streams.api import Page, Position, Raw
from ..streams.lineage import Shard
from .broker import AGAIN, MOST, POLL, REFUSED, Held, gone, missing

ACK_WAIT = 30.0  # seconds after which the broker gives a message to another reader
_SHORT = 0.1  # seconds of it while what was lost is collected
_POLL = 5.0  # seconds that a pull waits; one that has no end is of a consumer that is not there any more
_LOOK = 0.02  # seconds between two looks at whether all of it is there
_PATIENCE = 5.0  # seconds for that, and for responses
_MARK = "stoker"  # of a consumer's metadata: whose it is
_AHEAD = 8  # times a pull: messages that may be delivered and not acknowledged
_NO_STREAM = 10059  # JetStream's error code
_DONE = ("404", "408")  # statuses that end a pull: there is nothing; its time is over


class About(NamedTuple):
    """What the subject says to which a message's acknowledgement goes. at: nanoseconds since 1970."""

    deliveries: int
    sequence: int
    at: int

    @classmethod
    def of(cls, reply: str) -> About:
        """$JS.ACK.[domain.account.]stream.consumer.deliveries.sequence.…, of the consumer's sequence, the time, and how
        many are left (NATS's ADR-15)."""
        parts = reply.split(".")
        first = 4 if len(parts) == 9 else 6
        return cls(int(parts[first]), int(parts[first + 1]), int(parts[first + 3]))


class JetStream:
    """The settings' options: Url, Stream, and if it is not by the mapping's id, Consumer; Subject: a filter;
    CredentialsFile; AckWaitSeconds."""

    pause = 0.0
    batch_info = "NatsBatchInfo"

    def __init__(self, settings: Settings) -> None:
        try:
            import nats
        except ImportError:
            raise missing("nats-py", "nats") from None
        self._library = nats
        options = settings.options
        self._url, self._stream = str(options["Url"]), str(options["Stream"])
        self._at = address("nats", self._url)
        self._credentials = options.get("CredentialsFile")
        self._source, self._mark = settings.source, str(options.get("Instance") or settings.uuid)
        self._name = str(options.get("Consumer") or f"stoker-{settings.uuid}")
        self._subject = options.get("Subject")
        self._wait = float(options.get("AckWaitSeconds") or ACK_WAIT)
        self.kept = self._wait / 3
        self._count = min(MOST, max(100, 2 * settings.batch_size * settings.parallel))
        self._position = Position(settings.position or "TRIM_HORIZON", settings.timestamp or 0.0)
        self._known: dict[str, str] = {}
        self._settled = 0  # the last message before which everything is done
        self._again = 0  # the last message that a consumer which was made anew hands over once more
        self._shard = ""
        self._filtered = bool(settings.filters)
        self._held: Held[str] = Held()  # by the subjects to which acknowledgements go
        self._connection: Any = None
        self._connecting, self._managing = asyncio.Lock(), asyncio.Lock()
        self._joined: Any = None  # the connection in which the consumer was looked at
        self._own = True  # is the consumer this mapping's?
        self._arrived: deque[tuple[Any, About]] = deque()
        self._form = self._format()
        self._status = ""  # with which the broker has ended a pull that it did not serve
        self._wake = asyncio.Event()
        self._asked = 0  # messages that the broker may still send
        self._until = 0.0  # for so long, by the monotonic clock

    # The connection.

    @contextlib.asynccontextmanager
    async def _calls(self, connect: bool = False) -> AsyncIterator[Any]:
        """JetStream's context; its errors are CallFailed. connect: in a new connection, if need be."""
        from nats import errors
        from nats.js import errors as failures

        try:
            yield (await self._connected() if connect else self._open()).jetstream(timeout=_PATIENCE)
        except failures.NotFoundError as error:
            if error.err_code == _NO_STREAM:
                raise gone(f"there is no stream {self._stream}") from error
            raise CallFailed(AGAIN, str(error.description), retriable=True) from error
        except (failures.NoStreamResponseError, failures.ServiceUnavailableError) as error:
            raise CallFailed(
                "NoJetStream", "JetStream is not enabled, or not there", retriable=True
            ) from error
        except errors.Error as error:
            text = str(error)
            if "uthorization" in text or "ermissions" in text or isinstance(error, errors.AuthorizationError):
                raise CallFailed(REFUSED, text, retriable=True) from error
            raise CallFailed(type(error).__name__, text, retriable=True) from error
        except (OSError, TimeoutError) as error:
            raise CallFailed(type(error).__name__, f"{self._at}: {error}", retriable=True) from error

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._connection is not None and not self._connection.is_closed:
                return self._connection
            return await self._connect()

    async def _connect(self) -> Any:
        failed: list[Exception] = []

        async def lost() -> None:
            if self._connection is connection:
                self._connection = None
            self._wake.set()

        async def trouble(error: Exception) -> None:
            failed.append(error)

        connection = None
        try:
            connection = await self._library.connect(
                self._url, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0.1,
                connect_timeout=int(_PATIENCE), ping_interval=20, closed_cb=lost, disconnected_cb=lost,
                error_cb=trouble, user_credentials=self._credentials, name=self._name,
            )  # fmt: skip
        except self._library.errors.NoServersError:
            raise failed[-1] if failed else ConnectionError("no server") from None
        inbox = connection.new_inbox()
        await connection.subscribe(inbox, cb=self._came, pending_bytes_limit=-1)
        self._connection, self._inbox = connection, inbox
        self._asked, self._status = 0, ""
        return connection

    def _open(self) -> Any:
        """The connection that there is."""
        if self._connection is None or self._connection.is_closed:
            raise CallFailed("ConnectionLost", f"{self._at}: there is no connection", retriable=True)
        return self._connection

    async def _came(self, message: Any) -> None:
        """A message, or, as it wants no acknowledgement, the status of a pull."""
        if not message.reply:
            headers = message.headers or {}
            status = str(headers.get("Status", ""))
            self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages") or self._asked))
            if status not in _DONE:
                self._status = str(headers.get("Description") or status or "refused")
            self._wake.set()
            return
        self._asked = max(0, self._asked - 1)
        about = About.of(message.reply)
        sequence = about.sequence
        again = about.deliveries > 1 or sequence <= self._again
        if self._own and again and sequence <= self._settled:  # its acknowledgement was lost
            if self._connection is not None:
                await self._connection.publish(message.reply, b"+ACK")
        elif self._held.add(str(sequence), message.reply):
            self._arrived.append((message, about))
            self._wake.set()

    # As a stream.

    def begin(self, at: float, known: Mapping[str, str]) -> None:
        self._known = dict(known)
        if self._position.kind == "LATEST":
            self._position = Position("AT_TIMESTAMP", at)

    async def look(self) -> Any:
        async with self._calls(connect=True) as jetstream:
            try:
                return await jetstream.stream_info(self._stream)
            except self._library.js.errors.NotFoundError:
                if self._shard:
                    self._other()
                raise

    async def shards(self) -> list[Shard]:
        """Its id says which stream of that name it is."""
        shard = self._id(await self.look())
        if self._shard and self._shard != shard:
            self._other()
            raise gone(f"the stream {self._stream} was deleted, and there is another one")
        if not self._shard:
            self._settled = int(self._known.get(shard) or 0)
            if self._known and shard not in self._known:
                self._position = Position()
        self._shard = shard
        async with self._calls(connect=True) as jetstream, self._managing:
            await self._join(jetstream)
        return [Shard(shard)]

    def _id(self, found: Any) -> str:
        return f"{self._stream}@{found.created.isoformat() if found.created else ''}"

    def _other(self) -> None:
        """A stream that has its name later is another one."""
        self._shard, self._known, self._settled, self._position = "", {}, 0, Position()
        self._held.clear()
        self._arrived.clear()

    async def iterator(self, shard: str, position: Position) -> str:
        """Where the consumer is, the broker knows."""
        async with self._calls(connect=True) as jetstream, self._managing:
            if self._id(await jetstream.stream_info(self._stream)) != shard:
                raise gone(f"the stream {self._stream} was deleted, and there is another one")
            found = await self._join(jetstream)
            if self._own and found.num_ack_pending > len(self._held):
                await self._collect(jetstream, found)
            self._joined = self._connection
        return "next"

    def _config(self) -> Any:
        api = self._library.js.api
        config = api.ConsumerConfig(
            durable_name=self._name, name=self._name, ack_policy=api.AckPolicy.EXPLICIT, ack_wait=self._wait,
            max_ack_pending=_AHEAD * self._count, filter_subject=self._subject, metadata={_MARK: self._mark},
            deliver_policy=api.DeliverPolicy.ALL,
        )  # fmt: skip
        if self._settled:
            first = min([self._settled + 1, *map(int, self._held.ids)])
            config.deliver_policy, config.opt_start_seq = api.DeliverPolicy.BY_START_SEQUENCE, first
        elif self._position.kind == "LATEST":
            config.deliver_policy = api.DeliverPolicy.NEW
        elif self._position.kind == "AT_TIMESTAMP":
            config.deliver_policy = api.DeliverPolicy.BY_START_TIME
            config.opt_start_time = datetime.fromtimestamp(self._position.at, UTC)
        return config

    async def _join(self, jetstream: Any) -> Any:
        """The consumer as the broker describes it, made if need be where this mapping was, or begins."""
        try:
            found = await jetstream.consumer_info(self._stream, self._name)
        except self._library.js.errors.NotFoundError as error:
            if error.err_code == _NO_STREAM:
                raise
            found = await jetstream.add_consumer(self._stream, self._config())
            self._again = max(map(int, self._held.ids), default=0)
        self._own = (found.config.metadata or {}).get(_MARK) == self._mark
        if self._own and found.config.ack_wait != self._wait:  # of a run that was killed while it collected
            found = await self._update(jetstream, found, self._wait, _AHEAD * self._count)
        return found

    async def _update(self, jetstream: Any, found: Any, wait: float, most: int) -> Any:
        return await jetstream.add_consumer(
            self._stream, replace(found.config, ack_wait=wait, max_ack_pending=most)
        )

    async def _collect(self, jetstream: Any, found: Any) -> None:
        """What was delivered and is not acknowledged is delivered again, in order, and nothing else until then."""
        end = time.monotonic() + _PATIENCE
        found = await self._update(jetstream, found, _SHORT, 1)
        try:
            while found.num_ack_pending > len(self._held) and time.monotonic() < end:
                await self._pull()
                await asyncio.sleep(_LOOK)
                found = await jetstream.consumer_info(self._stream, self._name)
        finally:
            await self._update(jetstream, found, self._wait, _AHEAD * self._count)

    async def _pull(self) -> None:
        """Ask for messages, unless enough are on their way. Raises CallFailed when nothing responded the last time."""
        connection, now = self._open(), time.monotonic()
        if self._asked and now >= self._until:
            self._asked = 0
            raise CallFailed(AGAIN, "the consumer does not respond", retriable=True)
        if self._asked > self._count // 2:
            return
        self._asked, self._until = self._asked + self._count, now + _POLL + 1.0
        body = b'{"batch":%d,"expires":%d}' % (self._count, int(_POLL * 1e9))
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        await connection.publish(subject, body, reply=self._inbox)

    async def read(self, shard: str, iterator: str) -> Page:
        """What has come, or comes first."""
        async with self._calls():
            if self._open() is not self._joined:
                raise CallFailed(AGAIN, "it is another connection", retriable=True)
            end = time.monotonic() + POLL
            await self._pull()
            while not self._arrived and not self._status and (left := end - time.monotonic()) > 0:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, max(0.0, self._until - time.monotonic()))):
                        await self._wake.wait()
                await self._pull()
        if self._status:
            status, self._status = self._status, ""
            if not self._arrived:  # a moment later it is asked for the consumer again, which may be going
                raise CallFailed("PullRefused", status, retriable=True)
        found: list[Raw] = []
        while self._arrived and len(found) < self._count:
            found.append(self._raw(*self._arrived.popleft()))
        return Page(found, "next")

    # As a broker.

    async def settle(self, sequence: str) -> None:
        done = self._held.until(sequence)
        if not done:  # it is done already, or of a stream that is no more
            return
        await self._tell(done.values(), b"+ACK")
        self._held.drop(done)
        self._settled = max(self._settled, int(sequence))

    async def keep(self) -> None:
        await self._tell(self._held.handles, b"+WPI")

    async def _tell(self, replies: Iterable[str], word: bytes) -> None:
        async with self._calls():
            for reply in replies:
                await self._open().publish(reply, word)

    async def lag(self) -> int:
        async with self._calls() as jetstream:
            found = await jetstream.consumer_info(self._stream, self._name)
        return int(found.num_pending or 0) + int(found.num_ack_pending or 0)

    async def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_PATIENCE):
                for reply in self._held.handles:
                    await connection.publish(reply, b"-NAK")
                await connection.flush()
                await connection.close()
        self._held.clear()
        self._arrived.clear()

    # Records.

    def _format(self) -> bytes:
        """Of a record's JSON: its subject, sequence, deliveries, time (seconds, milliseconds), headers, data, and its
        sequence again."""
        own = wire.encode({"stream": self._stream, "consumer": self._name})[:-1]
        first = wire.encode(
            {"eventSource": "stoker:nats", "eventVersion": "1.0", "eventID": f"{self._stream}:"}
        )
        last = wire.encode({"eventName": "stoker:nats:message", "eventSourceARN": self._source})
        parts = [part.replace(b"%", b"%%") for part in (own, first[1:-2], last[1:])]
        return (
            b'{"nats":%b,"subject":%%b,"sequence":%%d,"deliveries":%%d,"approximateArrivalTimestamp":%%d.%%03d,'
            b'"headers":%%b,"data":"%%b"},%b%%d",%b'
        ) % tuple(parts)

    def _raw(self, message: Any, about: About) -> Raw:
        subject, data, sequence = message.subject, message.data, about.sequence
        headers = wire.encode(dict(message.headers)) if message.headers else b"{}"
        milliseconds = about.at // 1_000_000
        json = self._form % (
            wire.encode(subject), sequence, about.deliveries, milliseconds // 1000, milliseconds % 1000, headers,
            b2a_base64(data, newline=False), sequence,
        )  # fmt: skip
        found = Raw(str(sequence), subject, json, about.at / 1e9)
        if self._filtered:
            found.seen, found.data = lambda: _shown(json), data
        return found


def _shown(json: bytes) -> dict[str, Any]:
    """A record as filters see it."""
    shown = wire.decode(json)
    own = shown.pop("nats")
    return {**shown, **own}
