"""Invokes that are known by their keys: answered as any other is, whatever they end with and whatever changes
meanwhile; counted and recorded likewise."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hosted import HERE, Hosted, run, until

from engine.aws.model import Model
from engine.aws.names import LATEST
from engine.hosting.archives import pack
from engine.http.acceptor import Acceptor
from engine.http.browsers import Browsers
from engine.http.budget import Budget
from engine.http.door import Door
from engine.http.exchange import Exchange
from engine.http.invoke import Endpoint
from engine.http.protocol import Protocol
from engine.observe.records import InvocationRecord
from engine.services.lambda_ import own_sources
from engine.services.lambda_.wording import WORDING

ECHO = """
import os, time
def handler(event, context):
    if event == "fail": raise ValueError("asked for")
    if event == "print": print("hello")
    if event == "large": return "x" * 5000
    if event == "end": os._exit(3)
    if isinstance(event, dict) and "size" in event: return "x" * event["size"]
    while isinstance(event, dict) and not os.path.exists(event.get("until", "/")): time.sleep(0.002)
    return event
"""
REQUEST = (
    "POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nhost: 127.0.0.1:1\r\n{}content-length: {}\r\n\r\n"
)
USUALLY = "x-amz-log-type: None\r\n"  # with it a request has no key
TRACE = re.compile(r"root=1-[0-9a-f]{8}-([0-9a-f]{24});sampled=0\Z")


class Response(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def id(self) -> str:
        return dict(self.headers)["x-amzn-requestid"]

    def same(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """All but what is another one each time."""
        each_time = ("date", "x-amzn-requestid", "x-amzn-trace-id")
        headers = [(name, "" if name in each_time else value) for name, value in self.headers]
        return self.status, headers, self.body.replace(self.id.encode(), b"ID")


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, event: object, more: str = "") -> None:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.writer.write(REQUEST.format(more, len(body)).encode() + body)

    async def receive(self) -> Response:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        body = await self.reader.readexactly(int(dict(headers)["content-length"]))
        return Response(int(first.split()[1]), headers, body)

    def leave(self) -> None:
        """At once: what is sent to it is refused."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def ask(self, event: object, more: str = "") -> Response:
        self.send(event, more)
        return await asyncio.wait_for(self.receive(), 20)


class Serving:
    def __init__(self, hosted: Hosted, folder: Path, sending: int = 0) -> None:
        self.hosted, self._sending = hosted, sending
        source = folder / "echo.py"
        source.write_text(ECHO)
        digest = hosted.packages.add(pack(source)).digest
        hosted.put(HERE, _digest=digest, Handler="echo.handler")
        self.digest = digest

    async def start(self) -> None:
        async def app(exchange: Exchange) -> None:
            exchange.respond(404, [], b"")

        door = Door(HERE, None, {}, Browsers(("127.0.0.1",), addresses=False))
        endpoint = Endpoint(self.hosted.hosting, None, Model(own_sources.model(), WORDING), door)
        self.acceptor = Acceptor(Protocol, app, endpoint, Budget())
        listening = socket.create_server(("127.0.0.1", 0))
        if self._sending:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._sending)
        self._address = listening.getsockname()
        await self.acceptor.start([listening])

    async def client(self, receiving: int = 0) -> Client:
        sock = socket.socket()
        if receiving:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiving)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self._address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Client(*await asyncio.open_connection(sock=sock))

    def records(self) -> tuple[list[InvocationRecord], set[str]]:
        """Of all invocations until now; and the ids of those that ended quietly, in native code."""
        self.hosted.outcomes.flush()
        batches = self.hosted.batches
        quiet = {each.request_id for batch in batches for each in batch.records} - {
            each.request_id for batch in batches for each in batch.ended
        }
        return [each for batch in batches for each in batch.records], quiet

    def in_flight(self) -> int:
        return sum(each.in_flight for each in self.hosted.hosting.of(HERE).invoker.running())


def serving(folder: Path, body: Callable[[Serving], Awaitable[None]], sending: int = 0) -> None:
    async def inside(hosted: Hosted) -> None:
        served = Serving(hosted, folder, sending)
        await served.start()
        try:
            await asyncio.wait_for(body(served), 60)
        finally:
            served.acceptor.stop()
            for connection in list(served.acceptor.connections):
                connection.transport.abort()
            await served.acceptor.serve(5)

    run(folder, inside)


@pytest.mark.promise(346)
def test_it_is_answered_as_any_other_is(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        client = await served.client()
        await client.ask(0)  # a first one
        usual = [await client.ask(event, USUALLY) for event in ([1, "ä"], None, {"a": 1.5})]
        await client.ask(0)
        known = [await client.ask(event) for event in ([1, "ä"], None, {"a": 1.5})]
        known.append(await client.ask(b""))  # which is {}
        assert [each.same() for each in known[:3]] == [each.same() for each in usual]
        assert known[3].body == b"{}"
        records, quiet = served.records()
        assert {each.id for each in known} == quiet
        by_id = {each.request_id: each for each in records}
        assert len(by_id) == len(records) == 9
        for response in (*known, *usual):
            record = by_id[response.id]
            assert record.status == "success" and not record.cold and not record.output
            assert record.produced == len(response.body) and record.took > 0 and record.peak_kib
            trace = TRACE.match(dict(response.headers)["x-amzn-trace-id"])
            assert trace is not None and trace[1] == response.id.replace("-", "")[:24]
        assert [each.at for each in records] == sorted(each.at for each in records)
        counts = served.hosted.counters.read()[HERE.function("f")]
        assert counts["invocations"] == 9 and counts["duration_ns"] == sum(each.took for each in records)

    serving(tmp_path, body)


@pytest.mark.promise(346)
def test_what_does_not_end_quietly_ends_as_ever(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        client = await served.client()
        await client.ask(0)
        for event in ("fail", "print", b"{", "end", "large"):
            usual = await client.ask(event, USUALLY)
            for _ in range(2):
                assert (await client.ask(0)).status == 200
                assert (await client.ask(event)).same() == usual.same(), event
            assert (await client.ask(7)).body == b"7"
        records, quiet = served.records()
        assert sum(each.status == "success" for each in records if each.request_id not in quiet) >= 7
        assert len(quiet) >= 10 and served.in_flight() == 0

    serving(tmp_path, body)


@pytest.mark.promise(346)
def test_what_changes_holds_for_the_next_one(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        hosted, client = served.hosted, await served.client()
        for _ in range(3):
            assert (await client.ask(1)).body == b"1"
        state = hosted.states.of(HERE.partition)
        with state.change() as change:
            change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": 0})
        await until(lambda: hosted.hosting.of(HERE).invoker.usage("f").reserved == 0)
        refused = await client.ask(1)
        assert refused.status == 429 and b"ReservedFunctionConcurrentInvocationLimitExceeded" in refused.body
        with state.change() as change:
            change.delete("concurrency", "f", "")
        await until(lambda: hosted.hosting.of(HERE).invoker.usage("f").reserved is None)
        assert [(await client.ask(n)).body for n in range(3)] == [b"0", b"1", b"2"]
        hosted.put(HERE)  # the code of hosted.py
        await until(lambda: not hosted.hosting.of(HERE).invoker.routes)
        assert json.loads((await client.ask(1)).body)[3] == HERE.function("f")
        with state.change() as change:
            change.delete("function", "f", LATEST)
        await until(lambda: not hosted.hosting.of(HERE).invoker.routes)
        assert (await client.ask(1)).status == 404
        counts = hosted.counters.read()[HERE.function("f")]
        assert sum(counts["throttles"].values()) == 1

    serving(tmp_path, body)


@pytest.mark.promise(346)
def test_each_connection_gets_its_own(tmp_path: Path) -> None:
    """Many at once, some that leave before they are answered, some that send what ends otherwise."""

    async def talk(served: Serving, number: int) -> int:
        draw, done = random.Random(number), 0
        client = await served.client()
        for turn in range(60):
            event = draw.choice([[number, turn]] * 9 + ["fail"])
            if draw.random() < 0.05:
                client.send(event)
                client.leave()
                client = await served.client()
                continue
            response = await client.ask(event, USUALLY if draw.random() < 0.1 else "")
            assert response.status == 200
            assert json.loads(response.body) == event or b"asked for" in response.body
            done += 1
        client.writer.close()
        return done

    async def body(served: Serving) -> None:
        await (await served.client()).ask(0)
        done = sum(await asyncio.gather(*(talk(served, number) for number in range(24))))
        await until(lambda: served.in_flight() == 0)
        records, quiet = served.records()
        ids = [each.request_id for each in records]
        assert len(set(ids)) == len(ids) and done < len(ids) <= 24 * 60 + 1
        assert len(quiet) > done / 2

    serving(tmp_path, body)


@pytest.mark.promise(346)
def test_a_socket_that_takes_part_of_it_gets_the_rest(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        client, event = await served.client(receiving=4096), "y" * 3900
        assert [(await client.ask(n)).body for n in range(3)] == [b"0", b"1", b"2"]
        for n in range(4):  # no response is read meanwhile
            client.send(event)
            await until(lambda ended=4 + n: len(served.records()[0]) == ended)
        for _ in range(4):
            assert (await client.receive()).body == json.dumps(event).encode()
        assert (await client.ask(4)).body == b"4"

    serving(tmp_path, body, sending=1)


@pytest.mark.promise(346)
def test_one_that_runs_when_its_client_or_its_server_leaves_is_over_all_the_same(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        client, other, there = await served.client(), await served.client(), tmp_path / "there"
        for each in (client, other):
            await each.ask(0)
            await each.ask(0)
        client.send({"until": str(there)})
        other.send({"until": str(there)})
        await until(lambda: served.in_flight() == 2)
        client.leave()
        other.writer.write_eof()
        await until(lambda: len(served.acceptor.connections) == 1)
        there.touch()
        last = await asyncio.wait_for(other.receive(), 20)
        assert last.status == 200 and ("connection", "close") in last.headers
        assert await other.reader.read() == b""
        await until(lambda: served.in_flight() == 0)

    serving(tmp_path, body)


SIZES = (4080, 4097, 16_383, 16_385, 65_537, 200_000, 400_000)  # around the bounds that there are on the way


@pytest.mark.promise(347)
def test_large_ones_are_answered_as_any_other_is(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        client = await served.client()
        await client.ask(0)
        await client.ask("large")
        for size in SIZES:
            for event in ("y" * size, ["é" * size], {"size": size}, {"size": size, "pad": "z" * size}):
                usual = await client.ask(event, USUALLY)
                for _ in range(2):
                    assert (await client.ask(event)).same() == usual.same()
        (connection,) = served.acceptor.connections
        assert isinstance(connection, Protocol) and connection._quick is not None
        assert connection._quick.body == b"" and served.acceptor.budget.held == 0
        records, quiet = served.records()
        assert len(records) == 2 + 12 * len(SIZES) and len(quiet) > len(records) / 2
        assert served.in_flight() == 0

    serving(tmp_path, body)


@pytest.mark.promise(347)
def test_a_large_response_that_is_read_late_is_held_and_keeps_nobody(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        late, other, budget = (
            await served.client(receiving=4096),
            await served.client(),
            served.acceptor.budget,
        )
        for client in (late, other):
            await client.ask({"size": 100_000})
            await client.ask({"size": 100_000})
        late.send({"size": 3_000_000})
        await until(lambda: budget.held > 1_000_000)
        for n in range(3):  # by the same worker
            assert len((await other.ask({"size": 200_000 + n})).body) == 200_002 + n
        assert (await late.receive()).body == b'"' + b"x" * 3_000_000 + b'"'
        await until(lambda: budget.held == 0)
        late.send({"size": 3_000_000})
        await until(lambda: budget.held > 1_000_000)
        late.leave()
        await until(lambda: budget.held == 0)

    serving(tmp_path, body, sending=1)


@pytest.mark.promise(347)
def test_there_is_room_for_a_large_one_or_a_503(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        client, budget = await served.client(), served.acceptor.budget
        for event in ("y" * 200_000, {"size": 200_000}):
            assert [(await client.ask(event)).status for _ in range(2)] == [200, 200]
            others = budget.size - budget.size // 16 - 100_000
            budget.add(others)
            refused = await client.ask(event)
            assert refused.status == 503 and b"--inflight" in refused.body
            assert (await client.ask(1)).body == b"1"
            budget.add(-others)
            assert (await client.ask(event)).status == 200
        assert budget.held == 0 and served.in_flight() == 0

    serving(tmp_path, body)


def a_request(event: object) -> tuple[bytes, int]:
    """All of it, and how long its head is."""
    body = json.dumps(event).encode()
    head = REQUEST.format("", len(body)).encode()
    return head + body, len(head)


async def kept(served: Serving, client: Client, data: bytes) -> Protocol:
    """Sends that. The only connection, once it keeps it with what it has of the request."""
    (connection,) = served.acceptor.connections
    assert isinstance(connection, Protocol)
    size = sum(map(len, connection._pieces.came)) + len(data)
    client.writer.write(data)
    await until(lambda: sum(map(len, connection._pieces.came)) == size)
    return connection


@pytest.mark.promise(349)
def test_one_that_comes_in_pieces_is_answered_as_one_that_comes_whole(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        client, budget = await served.client(), served.acceptor.budget
        assert [(await client.ask(n)).body for n in range(2)] == [b"0", b"1"]
        known = 0
        for event in ("y", "y" * 4000, "y" * 5000, ["é" * 300_000], b"{", "fail"):
            data, head = a_request(event) if event != b"{" else (REQUEST.format("", 1).encode() + b"{", 0)
            head = head or len(data) - 1
            usual = await client.ask(event, USUALLY)
            for cuts in ([head], [len(data) - 1], [head + 1, len(data) // 2 + head // 2, len(data) - 1]):
                so_far = 0
                for cut in sorted({each for each in cuts if head <= each < len(data)}):
                    await kept(served, client, data[so_far:cut])
                    so_far = cut
                    assert budget.held == (2 * (len(data) - head) if len(data) - head > 4096 else 0)
                client.writer.write(data[so_far:])
                assert (await asyncio.wait_for(client.receive(), 20)).same() == usual.same()
                known += event not in (b"{", "fail")
        assert budget.held == 0 and not budget.watched and served.in_flight() == 0
        assert len(served.records()[1]) >= known

    serving(tmp_path, body)


@pytest.mark.promise(349)
def test_what_comes_behind_it_or_changes_before_it_is_whole(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        hosted, client = served.hosted, await served.client()
        assert [(await client.ask(n)).body for n in range(2)] == [b"0", b"1"]
        for event in ("a", "b" * 50_000):
            (data, head), (next_one, _) = a_request(event), a_request([event])
            await kept(served, client, data[:head])
            client.writer.write(data[head:] + next_one[:-1])
            assert (await client.receive()).body == data[head:]
            client.writer.write(next_one[-1:])
            assert json.loads((await client.receive()).body) == [event]
            await client.ask(0)
            await kept(served, client, data[:-1])
            served.acceptor.known.clear()  # as when more are known than are kept, or a route has changed
            client.writer.write(data[-1:])
            assert (await client.receive()).body == data[head:]
            await client.ask(0)
            connection = await kept(served, client, data[:-1])
            connection.shut_down()  # the server's
            client.writer.write(data[-1:])
            last = await client.receive()
            assert last.body == data[head:] and ("connection", "close") in last.headers
            client = await served.client()
        await client.ask(0)
        await kept(served, client, data[:-1])
        with hosted.states.of(HERE.partition).change() as change:
            change.delete("function", "f", LATEST)
        await until(lambda: not hosted.hosting.of(HERE).invoker.routes)
        client.writer.write(data[-1:])
        assert (await client.receive()).status == 404
        await until(lambda: served.acceptor.budget.held == 0)

    serving(tmp_path, body)


@pytest.mark.promise(349)
def test_what_it_waits_for_is_bounded(tmp_path: Path) -> None:
    async def body(served: Serving) -> None:
        budget = served.acceptor.budget
        await (await served.client()).ask(0)
        small, large = a_request("a")[0][:-1], a_request("b" * 50_000)[0][:-1]
        for data in (small, large):
            client = await served.client()
            await client.ask(0)
            connection = await kept(served, client, data)
            assert connection.busy and (budget.held > 0) == (data is large)
            if data is large:
                connection.too_slow()  # for the budget to say
                assert connection.linger is None and not connection.transport.is_closing()
                connection.head_hold.cut_off()
            else:
                connection.too_slow()
            assert (await client.receive()).status == 408
            assert budget.held == 0 and not connection.busy
            client.leave()
            await until(lambda: not served.acceptor.connections)
        client = await served.client()
        await client.ask(0)
        await kept(served, client, large)
        client.leave()
        await until(lambda: not served.acceptor.connections)
        assert budget.held == 0 and not budget.watched
        client = await served.client()
        data, head = a_request("b" * 200_000)
        others = budget.largest - 50_000
        budget.add(others)
        client.writer.write(data[: head + 1])  # stands in line as any other does
        await until(lambda: budget.waiting == 1)
        (connection,) = served.acceptor.connections
        assert isinstance(connection, Protocol) and not connection._pieces.came
        budget.add(-others)
        client.writer.write(data[head + 1 :])
        assert (await client.receive()).body == data[head:]

    serving(tmp_path, body)
