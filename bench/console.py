"""What the live console costs: the server's CPU time with its page open and without, in turns, under the same load over
many functions; and the browser's, of all its processes, with the page in a window as on a desk.

    python -m bench.console --functions 1000 --active 100 --rate 5000
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def measured(
    server: Served, browser: Any, names: list[str], rate: float, seconds: float
) -> tuple[float, float]:
    """CPU seconds a second, of the server at that rate, whatever came of it, and of the browser."""
    of_browser = [pid for pid in tree(browser.service.process.pid) if pid != browser.service.process.pid]
    before, began = (cpu(server.process.pid), spent(of_browser)), time.perf_counter()
    ended = uvloop.run(load(server.url, names, rate, seconds))
    took = time.perf_counter() - began
    if ended / took < rate * 0.9:
        print(f"  the load was {ended / took:,.0f} a second only", flush=True)
    return (cpu(server.process.pid) - before[0]) / ended * rate, (spent(of_browser) - before[1]) / took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", type=int, default=1000)
    parser.add_argument("--active", type=int, default=100, help="functions among which the load goes round")
    parser.add_argument("--rate", type=float, default=5000.0, help="invocations a second")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Served(Path(folder, "state"))
        try:
            names = deployed(server, options.functions, options.active)
            with chromium(Path(folder, "profile")) as browser:
                browser.set_window_size(1280, 900)
                run(server, browser, names, options)
        finally:
            server.stop()


def run(server: Served, browser: Any, names: list[str], options: argparse.Namespace) -> None:
    extra, page = [], []
    for _ in range(options.rounds):
        found = []
        for url in ("about:blank", f"{server.url}/_stoker/"):
            browser.get(url)
            time.sleep(SETTLE)
            found.append(measured(server, browser, names, options.rate, options.seconds))
        (without, blank), (shown, browsing) = found
        extra.append(shown - without)
        page.append(browsing)
        print(
            f"  server {without:.1%} of a core, with the page {shown:.1%}; "
            f"browser {blank:.1%}, with the page {browsing:.1%}",
            flush=True,
        )
    print(
        f"{options.functions} functions, {options.active} of them invoked, {options.rate:,.0f} invocations/s:"
    )
    print(
        f"  the server's CPU for the page: {statistics.median(extra):+.2%} of a core (median of {len(extra)})"
    )
    print(f"  the browser's CPU, all processes: {statistics.median(page):.2%} of a core")


if __name__ == "__main__":
    main()
