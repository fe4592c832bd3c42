"""What deploying costs a server, and whoever else uses it: a large package beside another client's invokes, and the
memory, descriptors and disk that thousands of deploys leave; and a stack of many functions, deployed twice.

    python -m bench.deploys stack --functions 100
    python -m bench.deploys package --files 40000
    python -m bench.deploys cycles --cycles 5000
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = "/2015-03-31/functions"
SOURCE = "def handler(event, context):\n    return event\n"
QUIET_SECONDS = 5.0
SETTLED_SECONDS = 5.0  # after which a server has removed what is to go
LOGS = "Logs_20140328."


class Failed(Exception):
    """The server refused what must work."""


@dataclass
class Client:
    """One connection to a server."""

    port: int
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, headers or {})
        response = self.connection.getresponse()
        content = response.read()
        if response.status >= 300:
            raise Failed(f"{method} {path}: {response.status} {content.decode()[:300]}")
        return content

    def create(self, name: str, archive: bytes) -> None:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        code = {"ZipFile": base64.b64encode(archive).decode()}
        role = "arn:aws:iam::000000000000:role/bench"
        request = {
            "FunctionName": name,
            "Runtime": version,
            "Role": role,
            "Handler": "app.handler",
            "Code": code,
        }
        self.send("POST", FUNCTIONS, request)

    def update(self, name: str, archive: bytes) -> None:
        self.send("PUT", f"{FUNCTIONS}/{name}/code", {"ZipFile": base64.b64encode(archive).decode()})

    def active(self, name: str) -> None:
        while True:
            found = json.loads(self.send("GET", f"{FUNCTIONS}/{name}/configuration"))
            if found["State"] == "Active" and found["LastUpdateStatus"] == "Successful":
                return

    def invoke(self, name: str) -> None:
        self.send("POST", f"{FUNCTIONS}/{name}/invocations", b"{}")

    def delete(self, name: str) -> None:
        self.send("DELETE", f"{FUNCTIONS}/{name}")

    def forget_logs(self, name: str) -> None:
        headers = {"X-Amz-Target": f"{LOGS}DeleteLogGroup", "Content-Type": "application/x-amz-json-1.1"}
        self.send("POST", "/", {"logGroupName": f"/aws/lambda/{name}"}, headers)


def archive(files: int, note: str = "") -> bytes:
    """A package of so many files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("app.py", SOURCE + f"# {note}\n")
        for n in range(files - 1):
            zipped.writestr(f"lib/p{n // 200}/m{n}.py", f"VALUE = {n}\n" * 20)
    return out.getvalue()


@contextmanager
def server(state: Path) -> Iterator[tuple[int, int]]:
    """A server's port and process id."""
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", str(state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().rsplit(":", 1)[1]), process.pid
        process.terminate()


def at(times: list[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def shown(what: str, times: list[float]) -> None:
    p50, p99, most = (at(times, share) * 1e3 for share in (0.5, 0.99, 1.0))
    print(f"{what:<34} {len(times):>6} times: p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   longest {most:7.1f} ms")


def timed(client: Client, name: str, until: threading.Event | float) -> list[float]:
    """Warm invokes, one after the other, a millisecond between them."""
    times = []
    while not until.is_set() if isinstance(until, threading.Event) else time.monotonic() < until:
        began = time.perf_counter()
        client.invoke(name)
        times.append(time.perf_counter() - began)
        time.sleep(0.001)
    return times


class Others:
    """Another client's small creates and lists, one after the other, 20 ms between them, until the end of `with`."""

    def __init__(self, port: int) -> None:
        self._client = Client(port)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.creates: list[float] = []
        self.lists: list[float] = []

    def __enter__(self) -> Others:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        number = 0
        while not self._ended.wait(0.02):
            number += 1
            name = f"small{number}-{id(self)}"
            began = time.perf_counter()
            self._client.create(name, archive(1, name))
            created = time.perf_counter()
            self._client.send("GET", f"{FUNCTIONS}/")
            self.creates.append(created - began)
            self.lists.append(time.perf_counter() - created)


def package(files: int, folder: Path) -> None:
    """A large create beside other clients' warm invokes, small creates and lists; and the same without it."""
    with tempfile.TemporaryDirectory(dir=folder) as work, server(Path(work, "state")) as (port, _):
        client = Client(port)
        client.create("probe", archive(1))
        client.active("probe")
        client.invoke("probe")
        large = Path(work, "large.zip")
        large.write_bytes(archive(files))
        done = threading.Event()

        def create() -> None:
            # In a process of its own: what it encodes is not the server's work.
            command = [sys.executable, "-m", "bench.deploys", "upload", str(port), str(large)]
            subprocess.run(command, check=True, cwd=ROOT)
            done.set()

        for when, until in (("quiet", time.monotonic() + QUIET_SECONDS), ("during the create", done)):
            with Others(port) as others:
                if until is done:
                    threading.Thread(target=create).start()
                times = timed(client, "probe", until)
            shown(f"invokes, {when}", times)
            shown(f"small creates, {when}", others.creates)
            shown(f"lists, {when}", others.lists)
        client.active("large")
        client.invoke("large")
        client.delete("large")
        shown("invokes, during its removal", timed(client, "probe", time.monotonic() + SETTLED_SECONDS))


def upload(port: int, path: Path) -> None:
    data = path.read_bytes()
    client = Client(port)
    began = time.perf_counter()
    client.create("large", data)
    took = time.perf_counter() - began
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        print(f"create of {len(zipped.namelist())} files, {len(data) / 1e6:.1f} MB: {took:.2f} s", flush=True)


def disk(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:  # it went meanwhile
            continue
    return total


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def cycles(count: int) -> None:
    """create, invoke, update and delete, again and again, under a few names."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        state = Path(folder, "state")
        with server(state) as (port, pid):
            client = Client(port)
            client.create("stays", archive(1))
            client.active("stays")
            client.invoke("stays")
            names = [f"f{n}" for n in range(5)]
            first, began = (0, 0, 0), time.monotonic()
            for n in range(count + 1):
                if n in (min(500, count // 10), count):
                    for name in names:
                        client.forget_logs(name)
                    time.sleep(SETTLED_SECONDS)
                    now = disk(state), resident(pid), len(os.listdir(f"/proc/{pid}/fd"))
                    first = first if n == count else now
                    print(
                        f"after {n:>5} cycles: state {now[0] / 1e3:,.0f} kB, server {now[1] / 1e6:.1f} MB, "
                        f"{now[2]} descriptors, {time.monotonic() - began:.0f} s",
                        flush=True,
                    )
                if n < count:
                    name = names[n % len(names)]
                    client.create(name, archive(3, f"{n} one"))
                    client.active(name)
                    client.invoke(name)
                    client.update(name, archive(3, f"{n} two"))
                    client.delete(name)
            growth = (now[0] - first[0]) / first[0]
            print(f"state {growth:+.1%}, memory {(now[1] - first[1]) / 1e6:+.2f} MB")


def stack(count: int) -> None:
    """`stoker deploy` of functions in folders of their own, twice: as its user waits for it."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    with (
        tempfile.TemporaryDirectory(dir=ROOT / "build") as folder,
        server(Path(folder, "state")) as (port, _),
    ):
        resources = {}
        for n in range(count):
            source = Path(folder, f"f{n}")
            source.mkdir()
            (source / "app.py").write_text(f"{SOURCE}# {n}\n")
            properties = {"CodeUri": source.name, "Handler": "app.handler", "Runtime": version}
            resources[f"F{n}"] = {"Type": "AWS::Serverless::Function", "Properties": properties}
        template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}
        Path(folder, "template.json").write_text(json.dumps(template))
        command = [sys.executable, "-m", "engine.cli", "deploy", "template.json", "--stack", "many"]
        command += ["--endpoint", f"http://127.0.0.1:{port}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for what, times in (("made", 1), ("again, unchanged", 5)):
            took = []
            for _ in range(times):
                began = time.perf_counter()
                subprocess.run(
                    command, check=True, cwd=folder, stdout=subprocess.DEVNULL, env=environment
                )  # fmt: skip
                took.append(time.perf_counter() - began)
            print(f"stack of {count} functions, {what}: {at(took, 0.5):.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    large = commands.add_parser("package")
    large.add_argument("--files", type=int, default=40_000)
    large.add_argument(
        "--folder", type=Path, default=ROOT / "build", help="where the state directory is made"
    )
    commands.add_parser("cycles").add_argument("--cycles", type=int, default=5_000)
    commands.add_parser("stack").add_argument("--functions", type=int, default=100)
    hidden = commands.add_parser("upload")
    hidden.add_argument("port", type=int)
    hidden.add_argument("path", type=Path)
    options = parser.parse_args()
    if options.command == "package":
        package(options.files, options.folder)
    elif options.command == "stack":
        stack(options.functions)
    elif options.command == "cycles":
        cycles(options.cycles)
    else:
        upload(options.port, options.path)


if __name__ == "__main__":
    main()
