"""Row 46: functions that come, change and go by the thousand leave nothing: no memory, no descriptor, no slot.

STOKER_DEPLOYS=5000 python -m pytest tests/faults/test_row_46_deploys.py -m soak -s: for as many cycles, with figures.
"""

from __future__ import annotations

import base64
import gc
import http.client
import io
import json
import os
import signal
import threading
import time
import zipfile
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from engine._native import lib
from served import ROLE, RUNTIME, Served

from engine import Engine

from .conftest import ECHO, Ledger, descriptors, lanes_mapped, wait_until

CYCLES = int(os.environ.get("STOKER_DEPLOYS", "1000"))  # of the soak
WARM = 500  # cycles until what grows once has grown: caches, free lists, the allocator's arenas
# Cycles between two readings, at least: freed memory goes back now and then. What stays is the lowest of so many.
PERIOD = 100
SOME = 300  # cycles, where thousands would take too long
PERIODIC = 12.0  # seconds after which all has been done once that is done now and then
READ_EVERY = 5  # cycles
UNCOLLECTED = 20  # cycles, of which each leaves nothing in cycles of references
CLIENTS = 2
LOGS_KEPT = 10  # functions whose log group is there a while longer than they
A_CYCLE = 8 * 1024  # bytes that a few cycles may cost each: a slot alone that is not given back is 18 kB
GROWTH = 2 << 20  # bytes that thousands of cycles may cost together
_FUNCTIONS = "/2015-03-31/functions"


def zipped(source: str) -> str:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("app.py", source)
    return base64.b64encode(made.getvalue()).decode()


class Client:
    """One connection: requests as boto3 sends them, without what boto3 costs."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def __call__(self, method: str, path: str, body: Any = None, target: str = "") -> Any:
        headers = {"content-type": "application/json"}
        if target:
            scope = "AKIA/20260101/us-east-1/logs/aws4_request"
            signature = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
            headers = {
                "content-type": "application/x-amz-json-1.1",
                "x-amz-target": f"Logs_20140328.{target}",
                "authorization": signature,
            }
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {content!r}"
        return json.loads(content) if content else None

    def ready(self, function: str) -> None:
        while True:
            state = self("GET", f"{function}/configuration")
            if state["State"] == "Active" and state.get("LastUpdateStatus", "Successful") == "Successful":
                return

    def cycle(self, number: int) -> None:
        """A function's whole life."""
        name = f"f{number}"
        function = f"{_FUNCTIONS}/{name}"
        source = f"def handler(event, context):\n    print(event)\n    return [event, {number}]\n"
        code = {"ZipFile": zipped(source)}
        create = {
            "FunctionName": name,
            "Runtime": RUNTIME,
            "Role": ROLE,
            "Handler": "app.handler",
            "Code": code,
        }
        self("POST", _FUNCTIONS, create)
        self.ready(function)
        assert self("POST", f"{function}/invocations", 1) == [1, number]
        self("PUT", f"{function}/code", {"ZipFile": zipped(source.replace("[event", "[1 + event"))})
        self.ready(function)
        self("PUT", f"{function}/configuration", {"Environment": {"Variables": {"NUMBER": name}}})
        self.ready(function)
        assert self("POST", f"{function}/invocations", 1) == [2, number]
        assert self("POST", f"{function}/versions", {})["Version"] == "1"
        self.ready(function)
        self("POST", f"{function}/aliases", {"Name": "live", "FunctionVersion": "1"})
        assert self("POST", f"{function}/invocations?Qualifier=live", 1) == [2, number]
        url = "/2021-10-31" + function.removeprefix("/2015-03-31") + "/url"
        self("POST", url, {"AuthType": "NONE"})
        self("DELETE", url)
        self("DELETE", function)

    def forget_log(self, number: int) -> None:
        """Of a function that was deleted a while ago: its last lines have arrived."""
        self("POST", "/", {"logGroupName": f"/aws/lambda/f{number}"}, "DeleteLogGroup")

    def close(self) -> None:
        self._connection.close()


class Figures:
    """What a server has at one moment. memory: the private bytes of each of its long-lived processes."""

    def __init__(self, server: Served, state: Path) -> None:
        self.processes = {"server": server.process.pid, **_children(server.process.pid)}
        self.memory = {name: _private(pid) for name, pid in self.processes.items()}  # see PERIOD
        self.descriptors = {name: _descriptors(pid) for name, pid in self.processes.items()}
        self.lanes = _lanes(server.process.pid)
        self.disk = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())

    def text(self) -> str:
        memory = ", ".join(f"{name} {size / 2**20:.2f} MB" for name, size in self.memory.items())
        opened = ", ".join(f"{name} {sum(found.values())}" for name, found in self.descriptors.items())
        return f"memory: {memory}; descriptors: {opened}; lanes: {self.lanes}; state directory: {self.disk} bytes"


def _children(pid: int) -> dict[str, int]:
    """The zygote and the log's process."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            for name in (b"zygote", b"logs"):
                if name in command:
                    found[name.decode()] = int(child)
    return found


def _private(pid: int) -> int:
    """Bytes that this process alone has, swapped out or not: those it shares with what it forked come and go."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Anonymous:", "Swap:")):
            total += int(line.split()[1]) * 1024
    return total


def _descriptors(pid: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            path = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if "log-groups" not in path:  # open as long as they are of use, a bounded number
            found[path.partition(":")[0]] += 1
    return found


def _lanes(pid: int) -> int:
    return sum("memfd:stoker-" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


class Cycles:
    """A server that functions come to and go from."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.server = Served(state)
        pid = self.server.process.pid
        self._processes = {"server": pid, **_children(pid)}
        self._memory: deque[dict[str, int]] = deque(maxlen=PERIOD // READ_EVERY)
        self._done = 0
        self._lock = threading.Lock()

    def run(self, until: int) -> None:
        """As many cycles in all."""
        errors: list[BaseException] = []

        def work() -> None:
            client = Client(self.server.url)
            try:
                while number := self._next(until):
                    client.cycle(number)
                    if number > LOGS_KEPT:
                        client.forget_log(number - LOGS_KEPT)
                    if number % READ_EVERY == 0:
                        self._memory.append({name: _private(pid) for name, pid in self._processes.items()})
            except BaseException as error:
                errors.append(error)
            finally:
                client.close()

        threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _next(self, until: int) -> int:
        with self._lock:
            self._done += self._done < until + 1
            return self._done if self._done <= until else self._back()

    def _back(self) -> int:
        self._done -= 1
        return 0

    def figures(self) -> Figures:
        """At rest: every template and worker of what is deleted has ended."""
        zygote = _children(self.server.process.pid)["zygote"]
        wait_until(lambda: not Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split(), 30.0)
        seen: list[Counter[str]] = []

        def at_rest() -> bool:
            seen.append(_descriptors(self.server.process.pid))
            return len(seen) > 20 and all(each == seen[-1] for each in seen[-20:])

        wait_until(at_rest, 30.0)
        found = Figures(self.server, self._state)
        for name in found.memory:
            found.memory[name] = min(found.memory[name], *(each[name] for each in self._memory))
        return found


@pytest.fixture
def no_collector() -> Iterator[None]:
    """A server's collector rarely looks at everything: nothing large may wait for it."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def cycles(nothing_is_left: str, tmp_path: Path) -> Iterator[Cycles]:
    made = Cycles(tmp_path / "state")
    yield made
    assert made.server.stop() == 0


def grown(before: Figures, after: Figures) -> dict[str, int]:
    assert after.processes == before.processes, "one of them ended"
    assert after.descriptors == before.descriptors
    assert after.lanes == before.lanes
    return {name: after.memory[name] - before.memory[name] for name in before.memory}


@pytest.mark.promise(93)
@pytest.mark.timeout(600)
def test_row_46_a_server_after_some_deploys(cycles: Cycles) -> None:
    began, warm = time.monotonic(), SOME
    cycles.run(warm)
    while time.monotonic() - began < PERIODIC:
        warm += READ_EVERY
        cycles.run(warm)
    before = cycles.figures()
    cycles.run(warm + SOME)
    after = cycles.figures()
    for name, size in grown(before, after).items():
        assert size / SOME < A_CYCLE, (
            f"{name}: {size} bytes in {SOME} cycles\n{before.text()}\n{after.text()}"
        )


@pytest.mark.promise(93)
def test_row_46_a_deploy_leaves_nothing_to_pythons_collector(
    nothing_is_left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps itself, by a cycle of references, lies there until the collector comes, which is rare: an archive held
    by the traceback of an error that names it, say."""
    file = tmp_path / "garbage.json"
    monkeypatch.setenv("GARBAGE", str(file))
    server = Served(tmp_path / "state", program=(str(Path(__file__).with_name("garbage.py")),))

    def found() -> dict[str, int]:
        file.unlink(missing_ok=True)
        server.process.send_signal(signal.SIGUSR1)
        wait_until(file.exists)
        return dict(json.loads(file.read_text()))

    client = Client(server.url)
    try:
        for number in range(5):
            client.cycle(number)
        assert found(), "what is made once is found, too"
        for number in range(5, 5 + UNCOLLECTED):
            client.cycle(number)
        each = {name: count for name, count in found().items() if count >= UNCOLLECTED}
        assert not each, f"objects in {UNCOLLECTED} cycles"
    finally:
        client.close()
        assert server.stop() == 0


@pytest.mark.soak
@pytest.mark.promise(93)
@pytest.mark.timeout(7200)
def test_row_46_a_server_after_thousands_of_deploys(cycles: Cycles) -> None:
    warm, began = min(WARM, CYCLES // 2), time.monotonic()
    cycles.run(warm)
    before = cycles.figures()
    print(f"\n{warm} cycles, {time.monotonic() - began:.0f} s: {before.text()}")
    cycles.run(CYCLES)
    after = cycles.figures()
    print(f"{CYCLES} cycles, {time.monotonic() - began:.0f} s: {after.text()}")
    for name, size in grown(before, after).items():
        print(f"{name}: {size / 1024:+.0f} kB, {size / (CYCLES - warm):+.0f} bytes a cycle")
        assert size < GROWTH, name


@pytest.mark.promise(93)
@pytest.mark.timeout(600)
def test_row_46_an_embedded_engine_after_many_functions(
    ledger: Ledger, nothing_is_left: str, no_collector: None
) -> None:
    with Engine(logs=False) as stoker:
        runtime = stoker._runtime
        population = runtime.supervisor._population

        def cycle(number: int) -> None:
            same = stoker.function("app:handler", code=ECHO, name="same")
            other = stoker.function("app:handler", code=ECHO, name=f"other-{number}")
            assert same.invoke(number) == other.submit(number).result() == number
            assert list(other.map([1, 2])) == [1, 2]
            other.remove()

        def at_rest() -> None:
            wait_until(lambda: len(population.functions) == len(population.workers) == 1)
            ledger.entries.clear()  # it refers to all of them
            wait_until(lambda: lib.stk_functions_live(runtime.pointer) == 1)

        for number in range(3):
            cycle(number)
        at_rest()
        opened, mapped = descriptors(), lanes_mapped()
        for number in range(20):
            cycle(number)
        at_rest()
        assert len(stoker.stats()) == 1
        wait_until(lambda: (descriptors(), lanes_mapped()) == (opened, mapped))


@pytest.mark.promise(93)
def test_row_46_a_slow_map_reaches_what_replaced_its_function(
    ledger: Ledger, nothing_is_left: str, no_collector: None
) -> None:
    """It names its function by a slot that must not become another's meanwhile."""
    with Engine(logs=False) as stoker:
        stoker.function("app:handler", code=ECHO, name="same")

        def events() -> Iterator[int]:
            for number in range(6):
                yield number
                stoker.function("app:handler", code=ECHO, name="same")
                stoker.function("app:handler", code=ECHO, name=f"other-{number}").remove()

        assert list(stoker.function("app:handler", code=ECHO, name="same").map(events(), ahead=1)) == [
            *range(6)
        ]
        ledger.entries.clear()
        wait_until(lambda: lib.stk_functions_live(stoker._runtime.pointer) == 1)
