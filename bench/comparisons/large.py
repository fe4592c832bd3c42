"""Large payloads as users have them: a handler's own bytes against a Pipe, JSON against its codec, and over HTTP."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import socket
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from bench.comparisons.scale import time_payload
from bench.harness import Comparison, Effort, Series, WrongResult, interleave, quiet_gc, time_calls
from bench.peers.base import Peer
from bench.peers.http import BareUvicorn, HttpPeer, Served
from bench.peers.memcpy_floor import Memcpy
from bench.report import Figure, Outcome, latency
from bench.subject import Stoker
from engine import wire

COMMAND = "python -m bench.run --only large"
RAW = 6 << 20
SIZES = {"1 MB": 1_000_000, "100 KB": 100_000}
PROMISED = {"1 MB": 0.5, "100 KB": 0.7}  # of the bare echo's rate, of text
CODEC = 1.3
SHORTER = 3  # rounds than others, of JSON against its codec: both sides of one meet the same machine


def document(size: int) -> dict[str, Any]:
    """Records as a service returns them, so many that their JSON has about this many bytes."""
    record = {"id": "00000000-0000-4000-8000-000000000000", "key": "photos/cat.jpg", "n": 17, "ok": True,
              "price": 12.5, "tags": ["a", "b"], "note": None}  # fmt: skip
    return {"records": [{**record, "n": n} for n in range(size // (len(json.dumps(record)) + 4))]}


def text(size: int) -> dict[str, Any]:
    """A response whose body is an image, in base64."""
    body = base64.b64encode(os.urandom(size * 3 // 4)).decode()
    return {"statusCode": 200, "body": body, "isBase64Encoded": True}


class BytesPipe(Peer):
    """multiprocessing.Pipe without pickle, both ends where the kernel places them."""

    name = "multiprocessing.Pipe, bytes"

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.child = context.Process(target=serve_bytes, args=(theirs,), daemon=True)
        self.child.start()
        theirs.close()
        self.call(b"x")

    def call(self, event: bytes) -> bytes:
        self.connection.send_bytes(event)
        return self.connection.recv_bytes()

    def close(self) -> None:
        self.connection.close()
        self.child.terminate()
        self.child.join()


def serve_bytes(connection: Connection) -> None:
    while True:
        try:
            connection.send_bytes(connection.recv_bytes())
        except EOFError:
            return


def callers(event: Any) -> Any:
    """All that JSON costs the side that calls."""
    return wire.decode(wire.encode(event))


def workers(event: Any) -> Any:
    """The same of the other side, which does not keep the value."""
    wire.decode(wire.encode(event))
    return event


def codec_alone(events: Sequence[Any], core: int) -> Series:
    """All that JSON costs invocations, in one process: one half on the worker's core, the other on another one, as in
    an invocation. A virtual core is slower by up to 1.8 while its sibling is somebody else's, for a second or so, and
    the other one is not."""
    mine = os.sched_getaffinity(0)
    halves = []
    try:
        for half, cores in ((workers, {core}), (callers, mine - {core} or mine)):
            os.sched_setaffinity(0, cores)
            halves.append(time_calls(half, events, warmup=3))
    finally:
        os.sched_setaffinity(0, mine)
    samples = array("q", map(sum, zip(*(each.samples for each in halves), strict=True)))
    return Series(samples, len(samples), sum(each.elapsed_ns for each in halves))


def posts(peer: HttpPeer, body: bytes, count: int) -> Series:
    """One connection, one request after the other; each response's value is checked at the end."""
    head = (
        f"POST {peer.path} HTTP/1.1\r\nhost: 127.0.0.1:{peer.port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    samples = array("q")
    response = memoryview(bytearray(2 * len(body) + 65536))
    with socket.create_connection(("127.0.0.1", peer.port)) as sock, quiet_gc():
        for number in range(count + 3):
            begin = time.perf_counter_ns()
            sock.sendall(head + body)
            have, total = 0, 0
            while not total or have < total:
                got = sock.recv_into(response[have:])
                if not got:
                    raise WrongResult(f"{peer.name}: a connection was lost")
                have += got
                if not total:
                    total = length(bytes(response[: min(have, 4096)]))
            took = time.perf_counter_ns() - begin
            if number >= 3:
                samples.append(took)
    content = bytes(response[:total]).partition(b"\r\n\r\n")[2]
    if json.loads(content) != json.loads(body):
        raise WrongResult(f"{peer.name}: {content[:100]!r}")
    return Series(samples, count, sum(samples))


def length(begin: bytes) -> int:
    """Bytes of a response, head and all; 0: its head is not whole yet."""
    head, found, _ = begin.partition(b"\r\n\r\n")
    if not found:
        return 0
    if not head.startswith(b"HTTP/1.1 200"):
        raise WrongResult(repr(begin[:300]))
    (line,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + 4 + int(line.split(b":")[1])


def raw(effort: Effort, rounds: int) -> Outcome:
    """6 MiB in, and 6 MiB of the handler's own out."""
    data = os.urandom(RAW)
    ours, copies, pipe = "Stoker, the handler's own bytes", "memcpy", BytesPipe.name
    with Stoker("own_bytes:handler", codec="raw") as stoker, Memcpy(RAW) as memcpy, BytesPipe() as peer:
        assert isinstance(stoker, Stoker)
        invoke_raw = stoker.function.invoke_raw
        calls: dict[str, Callable[[bytes], Any]] = {
            ours: lambda payload: invoke_raw(payload).payload,
            copies: memcpy.call,
            pipe: peer.call,
        }
        subjects = {
            name: partial(time_payload, call, data, effort.large_calls) for name, call in calls.items()
        }
        comparison = interleave("large-raw", rounds, subjects)
    return Outcome(
        [comparison],
        [
            figure("6 MiB, the handler's own bytes, vs memcpy", comparison, ours, copies, 10),
            figure("6 MiB, the handler's own bytes, vs a free Pipe", comparison, ours, pipe, 0.6),
        ],
    )


def figure(name: str, comparison: Comparison, ours: str, theirs: str, target: float) -> Figure:
    ratio = comparison.ratio(ours, theirs, want="low")
    return Figure(name, latency(comparison, ours), latency(comparison, theirs), ratio, target, "low", COMMAND)


def as_json(effort: Effort, rounds: int) -> Outcome:
    """An echo of records, against encoding and decoding them twice."""
    out = Outcome()
    ours, alone = "Stoker, JSON echo", "the codec alone"
    with Stoker() as stoker:
        assert isinstance(stoker, Stoker)
        (core,) = os.sched_getaffinity(stoker.function.workers()[0])
        for name, size in SIZES.items():
            events = [document(size)] * max(3, effort.large_calls // SHORTER)
            comparison = interleave(
                f"large-json-{size}",
                rounds * SHORTER,
                {
                    ours: partial(time_calls, stoker.call, events, warmup=3),
                    alone: partial(codec_alone, events, core),
                },
            )
            out.comparisons.append(comparison)
            out.figures.append(
                figure(f"JSON echo of {name} vs its codec alone", comparison, ours, alone, CODEC)
            )
    return out


def http(effort: Effort, rounds: int) -> Outcome:
    """A deployed echo, blanks of AWS's and all, against an echo of bytes."""
    out = Outcome()
    with ExitStack() as stack:
        ours, floor = Served(), BareUvicorn()
        stack.enter_context(ours)
        stack.enter_context(floor)
        documents = [(name, "text", text(size), PROMISED[name]) for name, size in SIZES.items()]
        # To decode and encode a value for each of their bytes is not what HTTP costs: no promise.
        documents += [(name, "records", document(size), None) for name, size in SIZES.items()]
        for name, kind, content, target in documents:
            body = json.dumps(content).encode()
            comparison = interleave(
                f"large-http-{kind}-{len(body)}",
                rounds,
                {peer.name: partial(posts, peer, body, effort.large_calls) for peer in (ours, floor)},
            )
            out.comparisons.append(comparison)
            out.figures.append(
                Figure(
                    f"HTTP, {name} of JSON ({kind}), requests/s vs the bare echo",
                    latency(comparison, ours.name),
                    latency(comparison, floor.name),
                    comparison.ratio(ours.name, floor.name, "rate"),
                    target,
                    "high",
                    COMMAND,
                )
            )
    return out


def large(effort: Effort) -> Outcome:
    rounds = max(3, effort.rounds // 2)
    parts = [part(effort, rounds) for part in (raw, as_json, http)]
    return Outcome(
        [each for part in parts for each in part.comparisons],
        [each for part in parts for each in part.figures],
    )
