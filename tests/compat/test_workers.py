"""`stoker serve --workers 2`: two processes accept on the port, and clients see one server."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, ROOT, RUNTIME, Served, url_id, zipped
from support import until

from bench.workers import acceptors
from engine.errors import InvalidConfiguration
from engine.http.listening import listen
from engine.http.options import Options

SOURCE = """
import os, time
VERSION = "{version}"
def handler(event, context):
    event = event or {{}}
    if "requestContext" in event:
        return {{"statusCode": 200, "body": VERSION}}
    if event.get("fail"):
        raise ValueError("asked for")
    if "inside" in event:
        name = f"{{event['inside']}}/{{context.aws_request_id}}"
        open(name, "w").close()
        seen = len(os.listdir(event["inside"]))
        time.sleep(0.01)
        os.unlink(name)
        return seen
    if "gate" in event:
        open(f"{{event['gate']}}-{{context.aws_request_id}}", "w").close()
        while not os.path.exists(event["gate"]):
            time.sleep(0.005)
    return [VERSION, os.getppid(), len(event.get("text", ""))]
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path / "state", "--workers", "2", "--environments", "4")
    yield server
    if server.process.poll() is None:
        assert server.stop() == 0


def package(version: str = "1") -> bytes:
    return zipped(**{"app.py": SOURCE.format(version=version)})


def deploy(served: Served, name: str = "f") -> Any:
    client = served.client()
    client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": package()},
        Timeout=60,
    )
    return client


class Line:
    """One connection of a client's, kept open."""

    def __init__(self, served: Served) -> None:
        host, _, port = served.url.removeprefix("http://").partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self._connection.connect()

    def invoke(self, event: Any = None, name: str = "f", **headers: str) -> tuple[int, Any]:
        path = f"/2015-03-31/functions/{name}/invocations"
        self._connection.request("POST", path, json.dumps(event or {}), headers)
        response = self._connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else None

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()


def lines_to_both(served: Served, each: int = 2) -> dict[int, list[Line]]:
    """Connections by the engine that answers them: so many at least of each of two."""
    found: dict[int, list[Line]] = {}

    def enough() -> bool:
        line = Line(served)
        status, answer = line.invoke()
        assert status == 200
        found.setdefault(answer[1], []).append(line)
        return len(found) == 2 and all(len(lines) >= each for lines in found.values())

    until(enough)
    return found


def arrived(gate: Path) -> int:
    """How many handlers wait for that file."""
    return len(list(gate.parent.glob(f"{gate.name}-*")))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def acceptors_line(served: Served, found: dict[int, list[Line]]) -> tuple[int, list[Line], list[Line]]:
    """The acceptor's pid, its connections, and those of the first process."""
    (acceptor,) = acceptors(served.process.pid)

    def belongs(pid: int) -> bool:
        while pid not in (1, acceptor, served.process.pid):
            pid = parent_of(pid)
        return pid == acceptor

    (its,) = [lines for pid, lines in found.items() if belongs(pid)]
    (firsts,) = [lines for pid, lines in found.items() if not belongs(pid)]
    return acceptor, its, firsts


def total(served: Served, metric: str, name: str = "f") -> float:
    now = datetime.datetime.now(datetime.UTC)
    found = served.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda", MetricName=metric, Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(hours=1), Period=7200,
        Statistics=["Sum"],
    )  # fmt: skip
    return float(sum(point["Sum"] for point in found["Datapoints"]))


def at_once(lines: list[Line], do: Callable[[Line], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(lines)) as pool:
        return list(pool.map(do, lines))


@pytest.mark.promise(331)
def test_what_changes_is_seen_at_once_on_every_connection(served: Served) -> None:
    client = deploy(served)
    lines = [line for some in lines_to_both(served, 3).values() for line in some]
    for version in "2345":
        client.update_function_code(FunctionName="f", ZipFile=package(version))
        assert {line.invoke()[1][0] for line in lines} == {version}
    published = client.publish_version(FunctionName="f")["Version"]
    client.create_alias(FunctionName="f", Name="live", FunctionVersion=published)
    client.update_function_code(FunctionName="f", ZipFile=package("6"))
    assert {line.invoke(name="f:live")[1][0] for line in lines} == {"5"}
    client.update_alias(FunctionName="f", Name="live", FunctionVersion="$LATEST")
    assert {line.invoke(name="f:live")[1][0] for line in lines} == {"6"}
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    assert {line.invoke()[0] for line in lines} == {429}
    client.delete_function_concurrency(FunctionName="f")
    assert {line.invoke()[0] for line in lines} == {200}
    client.delete_function(FunctionName="f")
    assert {line.invoke()[0] for line in lines} == {404}


@pytest.mark.promise(331)
def test_a_function_url_is_served_by_both_and_follows_its_changes(served: Served) -> None:
    client = deploy(served)
    lines = [line for some in lines_to_both(served).values() for line in some]
    url = client.create_function_url_config(FunctionName="f", AuthType="NONE")["FunctionUrl"]
    path, host = f"/lambda-url/{url_id(url)}/x", f"{url_id(url)}.lambda-url.us-east-1.localhost"
    assert [line.get(path) for line in lines] == [(200, b"1")] * len(lines)
    assert [line.get("/x", host=host) for line in lines] == [(200, b"1")] * len(lines)
    assert total(served, "UrlRequestCount") == 2 * len(lines)
    client.delete_function_url_config(FunctionName="f")
    assert {line.get(path)[0] for line in lines} == {line.get("/x", host=host)[0] for line in lines} == {403}


@pytest.mark.promise(332)
def test_a_limit_holds_over_both(served: Served, tmp_path: Path) -> None:
    client = deploy(served)
    found = lines_to_both(served, 6)
    lines = [line for some in found.values() for line in some]
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=3)
    inside = tmp_path / "inside"
    inside.mkdir()

    def often(line: Line) -> list[tuple[int, Any]]:
        return [line.invoke({"inside": str(inside)}) for _ in range(30)]

    answers = [answer for some in at_once(lines, often) for answer in some]
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) == {200, 429}
    assert statuses[200] >= 3
    assert 1 < max(seen for status, seen in answers if status == 200) <= 3
    assert {answer["Reason"] for status, answer in answers if status == 429} == {
        "ReservedFunctionConcurrentInvocationLimitExceeded"
    }


@pytest.mark.promise(332)
def test_the_accounts_limit_holds_over_both_to_the_unit(served: Served, tmp_path: Path) -> None:
    client = deploy(served)
    deploy(served, "other")
    client.put_function_concurrency(FunctionName="other", ReservedConcurrentExecutions=900)
    gate = tmp_path / "gate"
    lines = [Line(served) for _ in range(130)]
    refused = []

    def one(line: Line) -> int:
        status, answer = line.invoke({"gate": str(gate)})
        if status == 429:
            refused.append(answer["Reason"])
        return status

    def opened() -> None:
        until(lambda: len(refused) == 30, what="30 refusals")
        gate.touch()

    opener = threading.Thread(target=opened)
    opener.start()
    statuses = Counter(at_once(lines, one))
    opener.join()
    assert statuses == {200: 100, 429: 30}
    assert set(refused) == {"ConcurrentInvocationLimitExceeded"}
    assert {line.invoke()[0] for line in lines[:20]} == {200}


@pytest.mark.promise(333)
def test_sums_of_both_agree_to_the_unit(served: Served) -> None:
    client = deploy(served)
    found = lines_to_both(served, 4)
    before = sum(map(len, found.values()))
    lines = [line for some in found.values() for line in some]

    def some(line: Line) -> Counter[str]:
        answers = [line.invoke({"fail": number % 5 == 0}) for number in range(50)]
        return Counter("fail" if isinstance(each, dict) else "done" for _, each in answers)

    done = sum(at_once(lines, some), Counter[str]())
    assert total(served, "Invocations") == before + done.total() == before + 50 * len(lines)
    assert total(served, "Errors") == done["fail"] == 10 * len(lines)
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    assert {line.invoke()[0] for line in lines} == {429}
    assert total(served, "Throttles") == len(lines)
    reports = 0
    pages = served.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(logGroupName="/aws/lambda/f", filterPattern="REPORT"):
        reports += len(page["events"])
    assert reports == before + 50 * len(lines)


@pytest.mark.promise(334)
def test_one_that_is_killed_loses_nothing_that_was_answered_and_is_replaced(served: Served) -> None:
    client = deploy(served)
    found = lines_to_both(served, 3)
    asked = sum(map(len, found.values()))
    acceptor, its, firsts = acceptors_line(served, found)
    answered = asked
    lost = 0
    killing = threading.Timer(0.3, os.kill, (acceptor, signal.SIGKILL))
    killing.start()

    def until_it_breaks(line: Line) -> tuple[int, int]:
        done = 0
        while True:
            try:
                assert line.invoke()[0] == 200
            except (OSError, http.client.HTTPException):
                return done, 1
            done += 1

    def throughout(line: Line) -> tuple[int, int]:
        done = 0
        while killing.is_alive() or done < 20:
            assert line.invoke()[0] == 200
            done += 1
        return done, 0

    with ThreadPoolExecutor(8) as pool:
        both = [pool.submit(until_it_breaks, line) for line in its[:3]]
        both += [pool.submit(throughout, line) for line in firsts[:3]]
        for each in both:
            answered, lost = answered + each.result()[0], lost + each.result()[1]
    until(lambda: acceptors(served.process.pid) not in ([], [acceptor]), what="another acceptor")
    assert answered <= total(served, "Invocations") <= answered + lost
    client.update_function_code(FunctionName="f", ZipFile=package("2"))
    again = lines_to_both(served)
    assert {line.invoke()[1][0] for some in again.values() for line in some} == {"2"}


@pytest.mark.promise(334)
def test_what_a_killed_one_held_is_given_back(served: Served, tmp_path: Path) -> None:
    client = deploy(served)
    acceptor, its, firsts = acceptors_line(served, lines_to_both(served))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(its[0].invoke, {"gate": str(gate)})
        until(lambda: arrived(gate) == 1, what="the one that is held")
        assert firsts[0].invoke()[0] == 429
        os.kill(acceptor, signal.SIGKILL)
        assert isinstance(held.exception(), (OSError, http.client.HTTPException))
    until(lambda: firsts[0].invoke()[0] == 200, what="its place")


@pytest.mark.promise(335)
def test_whatever_else_comes_on_a_connection_is_answered_as_by_one_process(served: Served) -> None:
    deploy(served)
    _, its, _ = acceptors_line(served, lines_to_both(served, 4))
    large = {"text": "x" * 3_000_000}
    assert its[0].invoke(large)[1][2] == 3_000_000
    status, body = its[0].get("/2015-03-31/functions/f")
    assert (status, json.loads(body)["Configuration"]["FunctionName"]) == (200, "f")
    assert its[0].invoke(large)[1][2] == 3_000_000  # on the same connection, which the first process has now
    assert its[1].invoke(**{"X-Amz-Invocation-Type": "Event"}) == (202, None)
    assert its[2].invoke(Origin="http://elsewhere")[0] == 403
    assert its[3].invoke(name="nobody")[0] == 404


@pytest.mark.promise(335)
@pytest.mark.parametrize("pieces", [1, 3])
def test_requests_behind_each_other_are_answered_in_order(served: Served, pieces: int) -> None:
    deploy(served)
    for lines in lines_to_both(served).values():
        for line in lines:
            line.close()
    head = b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: localhost\r\n"
    whole = head + b'Content-Length: 13\r\n\r\n{"text":"xy"}'
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b'c\r\n{"text":"x"}\r\n0\r\n\r\n'
    get = b"GET /2015-03-31/functions/f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    sent = whole + whole + chunked + whole + get
    host, _, port = served.url.removeprefix("http://").partition(":")
    for _ in range(8):  # by both
        with socket.create_connection((host, int(port)), 60) as sock:
            for at in range(0, len(sent), -(-len(sent) // pieces)):
                sock.sendall(sent[at : at + -(-len(sent) // pieces)])
            received = b"".join(iter(lambda sock=sock: sock.recv(65536), b""))
        assert received.count(b"HTTP/1.1 200 OK") == 5
        lengths = [part.partition(b"]")[0][-1:] for part in received.split(b"\r\n\r\n")[1:5]]
        assert lengths == [b"2", b"2", b"1", b"2"]


@pytest.mark.promise(335)
def test_it_ends_with_what_runs_and_leaves_no_process(served: Served, tmp_path: Path) -> None:
    deploy(served)
    acceptor, its, firsts = acceptors_line(served, lines_to_both(served))
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(line.invoke, {"gate": str(gate)}) for line in (its[0], firsts[0])]
        until(lambda: arrived(gate) == 2, what="both to run")
        served.process.terminate()
        gate.touch()
        assert [each.result()[0] for each in held] == [200, 200]
    assert served.process.wait(40) == 0
    assert not Path(f"/proc/{acceptor}").exists()


@pytest.mark.promise(335)
def test_all_end_with_the_first_process(served: Served) -> None:
    deploy(served)
    found = lines_to_both(served)
    (acceptor,) = acceptors(served.process.pid)
    served.process.kill()
    served.process.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (acceptor, *found)), what="all to end")


@pytest.mark.promise(335)
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--workers", "2", "--uds", "socket"), "several processes accept on a port only"),
        (("--workers", "2", "--otlp", "http://127.0.0.1:4318"), "only one process does"),
        (("--workers", "16"), "512 MB are the least for 16 processes"),
        (("--workers", "65", "--inflight", "4096"), "1 to 64 processes"),
        (("--workers", "many"), "write a number, or auto"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, options: tuple[str, ...], text: str) -> None:
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", str(tmp_path / "state")]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.returncode != 0
    assert text in done.stderr


@pytest.mark.promise(335)
def test_a_port_is_one_servers(tmp_path: Path) -> None:
    """Though several processes of one share it."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(each) for each in listen(Options(port=0, workers=3))]
        ports = {each.getsockname()[1] for each in found}
        assert len(found) == 3
        assert len(ports) == 1
        for workers in (1, 2):
            with pytest.raises(InvalidConfiguration, match="Is another server there"):
                listen(Options(port=ports.pop() if workers == 2 else next(iter(ports)), workers=workers))


@pytest.mark.promise(331)
def test_a_change_does_not_wait_for_one_that_is_stopped(served: Served) -> None:
    """It is killed, and the next one knows of the change."""
    client = deploy(served)
    acceptor, _, firsts = acceptors_line(served, lines_to_both(served))
    os.kill(acceptor, signal.SIGSTOP)
    client.update_function_code(FunctionName="f", ZipFile=package("2"))
    assert not Path(f"/proc/{acceptor}").exists()
    assert firsts[0].invoke()[1][0] == "2"
    again = lines_to_both(served)
    assert {line.invoke()[1][0] for some in again.values() for line in some} == {"2"}


@pytest.mark.promise(333)
def test_who_watches_sees_the_events_of_all(served: Served) -> None:
    """Of one that is started while he does, too."""
    deploy(served)
    acceptor, _, firsts = acceptors_line(served, lines_to_both(served))
    request = urllib.request.Request(
        f"{served.url}/_stoker/invocations", json.dumps({"functions": ["f"]}).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as stream:
        assert json.loads(stream.readline()) == {}
        os.kill(acceptor, signal.SIGKILL)
        again = lines_to_both(served)
        for number, lines in enumerate([firsts, *again.values()]):
            assert lines[0].invoke({"number": number})[0] == 200
            told: dict[str, Any] = {}
            while told.get("event") != json.dumps({"number": number}):
                told = json.loads(stream.readline())
            assert json.loads(stream.readline())["status"] == "success"
