"""Row 49: the n-th write, fsync, rename, … of an operation fails, for n = 1, 2, 3, … until there are no more; then the
server is killed, and what the next one has is what was acknowledged.

python -m pytest tests/faults/test_row_49_nth_call.py -m soak -s: every n of every operation, and the table.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import io
import json
import signal
import socket
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, RUNTIME, Served

from .conftest import wait_until as within
from .nth_call import KINDS, Calls

SOURCE = """
import os, time
VERSION = {version}
def handler(event, context):
    if not event: return VERSION
    with open(event["note"] + ".begun", "a") as file: file.write("x\\n")
    while "until" in event and not os.path.exists(event["until"]): time.sleep(0.002)
    with open(event["note"], "a") as file: file.write("x\\n")
    if len(open(event["note"]).read().split()) <= event.get("fails", 0): raise ValueError("as asked for")
"""
FUNCTIONS = "/2015-03-31/functions"
ARN = "arn:aws:sqs:us-east-1:000000000000:"
PATIENCE = 60.0  # seconds until something will not come any more
Key = tuple[str, str]  # an operation, and the kind of call that fails in it
Check = Callable[[], None]  # what must hold after a kill


def wait_until(condition: Callable[[], Any]) -> Any:
    return within(condition, PATIENCE)


def zipped(version: int) -> dict[str, str]:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("app.py", SOURCE.format(version=version))
        archive.writestr("more/__init__.py", "")
    return {"ZipFile": base64.b64encode(made.getvalue()).decode()}


class Lives:
    """Servers on one state directory, one after the other, and what they acknowledged. `number`: of the life, in the
    names of all that it makes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir()
        self.calls = Calls(folder, self.state)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.number = 0
        self.deployed = 0  # the code that d has
        self.deleted: set[str] = set()  # messages
        self.armed: tuple[str, int, int, bool] = ("write", 0, 0, False)  # as Calls.failing takes them
        self.key: Key = ("", "")
        self.wrong: list[str] = []
        self.reached: Counter[Key] = Counter()
        self.refused: Counter[Key] = Counter()
        self.violated: Counter[Key] = Counter()
        self.served = self.start()
        for name in ("d", "a", "e", "r", "s"):
            assert self.create(name, 0) == 201
        for queue in ("box", "kept", "ends"):
            assert self.sqs("CreateQueue", QueueName=queue, Attributes={"VisibilityTimeout": "1"})[0] == 200
        path = "/2019-09-25/functions/s/event-invoke-config"
        wanted = {"DestinationConfig": {"OnSuccess": {"Destination": f"{ARN}ends"}}}
        assert self("PUT", path, wanted)[0] == 200

    def start(self) -> Served:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.calls.environment.items():
                patch.setenv(name, value)
            patch.setenv("PATH", "")  # no other interpreter is looked for, which is most of a start
            return Served(self.state, "--port", str(self.port), "--retry-delays", "0.02,0.02")

    def kill(self) -> None:
        if self.served.process.poll() is None:
            self.served.process.send_signal(signal.SIGKILL)
            with self.served.process:
                self.served.process.wait(20)

    def close(self) -> None:
        self.kill()
        self.calls.close()

    # Requests.

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """A status, and the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, None if body is None else json.dumps(body), named)
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content else None

    def sqs(self, operation: str, **members: Any) -> tuple[int, Any]:
        return self("POST", "/", members, X_Amz_Target=f"AmazonSQS.{operation}")

    def create(self, name: str, version: int) -> int:
        wanted = {
            "FunctionName": name, "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Timeout": 60,
            "Code": zipped(version),
        }  # fmt: skip
        return self("POST", FUNCTIONS, wanted)[0]

    def settled(self, name: str) -> bool:
        status, found = self("GET", f"{FUNCTIONS}/{name}/configuration")
        return (
            status == 200
            and found["State"] == "Active"
            and found.get("LastUpdateStatus") in ("Successful", None)
        )

    def version(self, name: str) -> int | None:
        """Of the code that runs; None: there is no such function."""
        status, found = self("POST", f"{FUNCTIONS}/{name}/invocations")
        if status == 404:
            return None
        assert status == 200 and isinstance(found, int), f"{name}: {status} {found}"
        return found

    def event(self, function: str, name: str, **members: Any) -> int:
        event = {"note": str(self.folder / name), **members}
        path = f"{FUNCTIONS}/{function}/invocations"
        return self("POST", path, event, X_Amz_Invocation_Type="Event")[0]

    def ran(self, name: str) -> int:
        path = self.folder / name
        return len(path.read_text().split()) if path.exists() else 0

    def rows(self, function: str) -> int:
        """Of its events and deliveries, on the disk."""
        uri = f"file:{self.state}/stoker.db?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            pattern = f"*:*/{function}"
            found = database.execute("SELECT count(*) FROM queue WHERE queue GLOB ?", (pattern,))
            return int(found.fetchone()[0])

    def receive(self, queue: str) -> dict[str, str]:
        """The bodies of what can be received now, with their handles."""
        found: dict[str, str] = {}
        while True:
            status, received = self.sqs("ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10)
            assert status == 200, received
            if not received.get("Messages"):
                return found
            found |= {each["Body"]: each["ReceiptHandle"] for each in received["Messages"]}

    def there(self, queue: str, part: str) -> None:
        """A message whose body has this part is in the queue: it is received, and deleted."""

        def found() -> bool:
            hits = [handle for body, handle in self.receive(queue).items() if part in body]
            for handle in hits:
                self.sqs("DeleteMessage", QueueUrl=queue, ReceiptHandle=handle)
            return bool(hits)

        wait_until(found)

    # What operations are made of.

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        with self.calls.failing(*self.armed):
            yield

    def acknowledged(self, status: int, success: int) -> bool:
        """Or refused, with a status that says that it is the server's fault."""
        assert status == success or status >= 500, f"status {status}"
        self.refused[self.key] += status != success
        return status == success

    def over(self, condition: Callable[[], Any]) -> None:
        """Until it is so, or so much failed that it will not be before the kill."""
        wait_until(lambda: condition() or self.calls.failed > 2)

    # Lives.

    def live(self, kind: str, n: int, error: int, rest: bool, operations: list[str]) -> list[str]:
        """Do the operations, kill, start, and check. Those in which a call failed."""
        failed: list[str] = []
        checks: list[tuple[Key, str, Check]] = []
        self.number += 1
        self.armed = (kind, n, error, rest)
        for name in operations:
            self.key = (name, kind)
            try:
                check = OPERATIONS[name](self)
                checks.append((self.key, self.calls.path, check))
            except (AssertionError, OSError, ValueError) as wrong:
                self.violation(self.calls.path, f"while it was done: {wrong!r}")
            if self.calls.failed:
                failed.append(name)
                self.reached[self.key] = n
        self.kill()
        self.served = self.start()
        for self.key, path, check in checks:
            try:
                check()
            except (AssertionError, OSError, ValueError) as wrong:
                self.violation(path, f"after the kill: {wrong!r}")
        return failed

    def violation(self, path: str, text: str) -> None:
        _, n, error, rest = self.armed
        self.violated[self.key] += 1
        which = f"{n} and all after it" if rest else str(n)
        self.wrong.append(f"{' '.join(self.key)} {which} ({errno.errorcode[error]}, {path}): {text}")
        print(self.wrong[-1], flush=True)

    def finish(self) -> str:
        """No message that was deleted comes back, and the server ends in order. The table."""
        if back := self.deleted & self.receive("box").keys():
            self.wrong.append(f"deleted messages came back: {back}")
        assert self.served.stop() == 0
        lines = [f"{'operation':9} {'call':8} {'n reached':>9} {'refused':>8} {'violations':>10}"]
        for key in sorted(self.reached, key=lambda key: (KINDS.index(key[1]), key[0])):
            figures = f"{self.reached[key]:9} {self.refused[key]:8} {self.violated[key]:10}"
            lines.append(f"{key[0]:9} {key[1]:8} {figures}")
        lines.append(f"{self.number} kills, {len(self.wrong)} violations")
        return "\n".join(lines)


# Operations: each is done while a call may fail, and returns what must hold after the kill.


def create(it: Lives) -> Check:
    number, name = it.number, f"c{it.number}"
    with it.fault():
        status = it.create(name, number)
        if it.acknowledged(status, 201):
            it.over(lambda: it.settled(name))

    def check() -> None:
        found = it.version(name)
        assert found == number or (found is None and status != 201), f"it is {found} after {status}"
        if found is None:
            assert it.create(name, number) == 201, "it cannot be created any more"
            assert it.version(name) == number
        wait_until(lambda: it.settled(name))
        assert it("DELETE", f"{FUNCTIONS}/{name}")[0] == 204

    return check


def deploy(it: Lives) -> Check:
    number, before = it.number, it.deployed
    wait_until(lambda: it.settled("d"))
    with it.fault():
        status, _ = it("PUT", f"{FUNCTIONS}/d/code", zipped(number))
        if it.acknowledged(status, 200):
            it.over(lambda: it.settled("d"))

    def check() -> None:
        wait_until(lambda: it.settled("d"))
        found = it.version("d")
        assert found == number or (found == before and status != 200), f"it is {found} after {status}"
        it.deployed = found

    return check


def accept(it: Lives) -> Check:
    """An event that does not end before the kill."""
    name = f"accepted-{it.number}"
    go = it.folder / f"{name}.go"
    with it.fault():
        status = it.event("a", name, until=str(go))
        if it.acknowledged(status, 202):
            it.over(lambda: it.ran(f"{name}.begun"))

    def check() -> None:
        go.touch()
        if status == 202:
            wait_until(lambda: it.ran(name))

    return check


def ending(it: Lives, function: str, name: str, **members: Any) -> Check:
    """An event from where it has begun on."""
    runs, go = members.get("fails", 0) + 1, it.folder / f"{name}.go"
    wait_until(lambda: not it.rows(function))
    assert it.event(function, name, until=str(go), **members) == 202
    wait_until(lambda: it.ran(f"{name}.begun"))
    with it.fault():
        go.touch()
        it.over(lambda: it.ran(name) >= runs and not it.rows(function))

    def check() -> None:
        wait_until(lambda: it.ran(name) >= runs)
        if function == "s":
            it.there("ends", name)

    return check


def run(it: Lives) -> Check:
    return ending(it, "e", f"run-{it.number}")


def retry(it: Lives) -> Check:
    return ending(it, "r", f"retried-{it.number}", fails=1)


def deliver(it: Lives) -> Check:
    return ending(it, "s", f"delivered-{it.number}")


def send(it: Lives) -> Check:
    body = f"sent-{it.number}"
    with it.fault():
        status, _ = it.sqs("SendMessage", QueueUrl="box", MessageBody=body)
        sent = it.acknowledged(status, 200)
    return lambda: it.there("box", body) if sent else None


def receive(it: Lives) -> Check:
    body = f"received-{it.number}"
    assert it.sqs("SendMessage", QueueUrl="kept", MessageBody=body)[0] == 200
    with it.fault():
        status, _ = it.sqs("ReceiveMessage", QueueUrl="kept")
        it.acknowledged(status, 200)
    return lambda: it.there("kept", body)


def delete(it: Lives) -> Check:
    body = f"deleted-{it.number}"
    assert it.sqs("SendMessage", QueueUrl="box", MessageBody=body)[0] == 200
    handle = wait_until(lambda: it.receive("box").get(body))
    with it.fault():
        status, _ = it.sqs("DeleteMessage", QueueUrl="box", ReceiptHandle=handle)
        if it.acknowledged(status, 200):
            it.deleted.add(body)
    return lambda: None


OPERATIONS = {
    each.__name__: each for each in (create, deploy, accept, run, retry, deliver, send, receive, delete)
}


@pytest.fixture
def lives(nothing_is_left: str, tmp_path: Path) -> Iterator[Lives]:
    it = Lives(tmp_path)
    yield it
    it.close()


def through(lives: Lives, kind: str, error: int, rest: bool, step: int) -> None:
    """n = 1, 1 + step, … until no call fails any more. The operation that is last before the kill is each in turn."""
    left, n = list(OPERATIONS), 1
    while left:
        left = left[1:] + left[:1]
        failed = lives.live(kind, n, error, rest, left)
        left = [name for name in left if name in failed]
        n += step


@pytest.mark.promise(106)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_row_49_as_acknowledged_when_a_call_fails(lives: Lives) -> None:
    """A thin cut: every ninth write, every fifth of the others; by turns once, and from then on."""
    for number, kind in enumerate(KINDS):
        rest = bool(number % 2)
        through(lives, kind, errno.ENOSPC if rest else errno.EIO, rest, 9 if kind == "write" else 5)
    print(f"\n{lives.finish()}")
    assert lives.wrong == []


@pytest.mark.promise(106)
@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rest", [False, True], ids=["once", "and all after it"])
def test_row_49_soak_of_calls_that_fail(lives: Lives, rest: bool) -> None:
    for kind in KINDS:
        through(lives, kind, errno.ENOSPC if rest else errno.EIO, rest, 1)
    print(f"\n{lives.finish()}")
    assert lives.wrong == []
