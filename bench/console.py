"""What the live console costs, under a load over many functions: the server's CPU time with somebody watching and
without, in turns of a moment, and what of it the feed's own code takes, by the thread's clock; and the browser's, of
all its processes, with the page in a window as on a desk and with an empty one.

    python -m bench.console --functions 1000 --active 100 --rate 5000
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browsers import chromium
from served import ECHO, Served, zipped

from bench.deploys import Client as Deployer
from bench.metrics import cpu
from engine.load.generate.http_client import Client, HttpResponse

AT_ONCE = 200  # requests that are under way, at most
EVERY = 0.005  # seconds between two bursts
SETTLE = 3.0  # seconds after a page was opened or left
# Runs `stoker`. At each signal it says what the feed has taken until then of the loop's thread, in seconds, without the
# outcomes' other subscribers; and how many bytes it has sent.
METERED = """
import signal, sys, time
from engine.console.feed import Feed
from engine.console.happened import Recent
from engine.console.stream import Stream
from engine.observe.outcomes import Outcomes

clock, spent, sent, at, counting = time.thread_time, 0.0, 0, 0.0, False

def within(counts, function):
    def run(*arguments):
        global spent, at, counting
        now = clock()
        spent += (now - at) * counting
        outer, counting, at = counting, counts, now
        try:
            return function(*arguments)
        finally:
            now = clock()
            spent += (now - at) * counting
            counting, at = outer, now
    return run

def send(self, event, send=Stream.send):
    global sent
    sent += len(event)
    send(self, event)

Feed._look = within(True, Feed._look)
Recent.__call__ = within(True, Recent.__call__)
Outcomes.flush = within(False, Outcomes.flush)
Stream.send = send
signal.signal(signal.SIGUSR1, lambda *_: print(spent, sent, flush=True))
from engine.cli.main import main
sys.exit(main())
"""


async def load(url: str, names: list[str], rate: float, seconds: float) -> int:
    """Invocations that ended, of so many a second as far as the server keeps up. Raises RuntimeError."""
    client = Client(url)
    heads = [client.request("POST", f"/2015-03-31/functions/{name}/invocations", {}) for name in names]
    ended, failed, sent = 0, "", 0

    def done(response: HttpResponse | str) -> None:
        nonlocal ended, failed
        ended += 1
        if isinstance(response, str) or response.status != 200:
            failed = str(response)

    began = time.perf_counter()
    while (now := time.perf_counter() - began) < seconds:
        while sent < now * rate and sent - ended < AT_ONCE:
            client.send(heads[sent % len(heads)], b"{}", done)
            sent += 1
        await asyncio.sleep(EVERY)
    while ended < sent:
        await asyncio.sleep(EVERY)
        if time.perf_counter() - began > seconds + 30:
            raise RuntimeError(f"{sent - ended} requests have not ended")
    if failed:
        raise RuntimeError(failed)
    return ended


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def spent(pids: list[int]) -> float:
    """CPU seconds of all threads of those that are there."""
    total = 0.0
    for pid in pids:
        try:
            total += cpu(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def deployed(server: Served, functions: int, active: int) -> list[str]:
    """The names of those that are invoked, which all have a worker."""
    client = Deployer(int(server.url.rpartition(":")[2]))
    archive = zipped(**{"app.py": ECHO})
    names = [f"function-{number:04}" for number in range(functions)]
    for name in names:
        client.create(name, archive)
    for name in names[:active]:
        client.active(name)
        client.invoke(name)
    return names[:active]


async def watched(url: str, names: list[str], rate: float, seconds: float, watching: bool) -> int:
    """`load`, while somebody reads the feed or nobody does."""
    if not watching:
        return await load(url, names, rate, seconds)
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(f"GET /_stoker/console/events HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    await reader.readuntil(b"event: snapshot")

    async def read() -> None:
        while await reader.read(1 << 16):
            pass

    reading = asyncio.ensure_future(read())
    try:
        return await load(url, names, rate, seconds)
    finally:
        reading.cancel()
        writer.close()


class Meter:
    """What a metered server says of its feed."""

    def __init__(self, server: Served) -> None:
        self._process = server.process

    def read(self) -> tuple[float, int]:
        """Seconds and bytes, since its start."""
        self._process.send_signal(signal.SIGUSR1)
        assert self._process.stdout is not None
        spent, sent = self._process.stdout.readline().split()
        return float(spent), int(sent)


def of_the_server(server: Served, names: list[str], options: argparse.Namespace) -> None:
    """With somebody watching, without, without, with: what drifts does so for both."""
    each: dict[bool, list[float]] = {True: [], False: []}  # CPU seconds an invocation
    own, sizes, rates, meter = [], [], [], Meter(server)
    for turn in range(2 * options.rounds):
        watching = turn % 4 in (0, 3)
        (spent, sent), before, began = meter.read(), cpu(server.process.pid), time.perf_counter()
        ended = uvloop.run(watched(server.url, names, options.rate, options.seconds, watching))
        took = time.perf_counter() - began
        each[watching].append((cpu(server.process.pid) - before) / ended)
        rates.append(ended / took)
        if watching:
            now = meter.read()
            own.append((now[0] - spent) / took)
            sizes.append((now[1] - sent) / took)
    pairs = [(a - b) * options.rate for a, b in zip(each[True], each[False], strict=True)]
    low, middle, high = statistics.quantiles(pairs, n=4)
    without = statistics.median(each[False])
    print(f"  the load: {statistics.median(rates):,.0f} a second came of it")
    print(
        f"  the server, all of it, with somebody watching: {middle:+.2%} of a core at {options.rate:,.0f}/s (median of "
        f"{len(pairs)} rounds; quartiles {low:+.2%}, {high:+.2%}; standard error of the mean "
        f"{statistics.stdev(pairs) / len(pairs) ** 0.5:.2%}); {without * 1e6:.1f} µs an invocation without"
    )
    low, middle, high = statistics.quantiles(own, n=4)
    print(
        f"  the feed's own code, by the thread's clock: {middle:.2%} of a core at that load (quartiles {low:.2%}, "
        f"{high:.2%}); it sends {statistics.median(sizes) / 1000:.1f} kB/s"
    )


def of_the_browser(server: Served, browser: Any, names: list[str], options: argparse.Namespace) -> None:
    found: dict[str, list[float]] = {"about:blank": [], f"{server.url}/_stoker/": []}
    for _ in range(options.pages):
        for url, shares in found.items():
            browser.get(url)
            time.sleep(SETTLE)
            pids = [pid for pid in tree(browser.service.process.pid) if pid != browser.service.process.pid]
            before, began = spent(pids), time.perf_counter()
            uvloop.run(load(server.url, names, options.rate, 2 * SETTLE))
            shares.append((spent(pids) - before) / (time.perf_counter() - began))
    blank, shown = found.values()
    print(
        f"  the browser, all processes: {statistics.median(shown):.2%} of a core ({min(shown):.2%} to "
        f"{max(shown):.2%}; with an empty page {statistics.median(blank):.2%})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", type=int, default=1000)
    parser.add_argument("--active", type=int, default=100, help="functions among which the load goes round")
    parser.add_argument("--rate", type=float, default=5000.0, help="invocations a second")
    parser.add_argument("--rounds", type=int, default=40, help="with somebody watching, and as many without")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each")
    parser.add_argument("--pages", type=int, default=4, help="times that the page is opened; 0: no browser")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Served(Path(folder, "state"), program=("-c", METERED))
        try:
            names = deployed(server, options.functions, options.active)
            print(f"{options.functions} functions, {options.active} of them invoked:", flush=True)
            of_the_server(server, names, options)
            if options.pages:
                with chromium(Path(folder, "profile")) as browser:
                    browser.set_window_size(1280, 900)
                    of_the_browser(server, browser, names, options)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
