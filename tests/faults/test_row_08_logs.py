"""Row 8: the server is killed: what it answered is in its log."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import threading
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from served import ROLE, RUNTIME, Served

from engine.hosting.archives import pack
from engine.observe.journal import HALF

from .conftest import wait_until

KILLS = int(os.environ.get("STOKER_KILLS", "3"))
PRINTED = 240 * 1024  # bytes
CODE = "def handler(event, context):\n    if event: print('said', event)\n    return event\n"


class Callers:
    """Invoke as fast as they can until the server is gone, and keep the ids of what was answered."""

    def __init__(self, url: str, number: int) -> None:
        self.answered: list[str] = []
        self._host = urlsplit(url).netloc
        self._threads = [threading.Thread(target=self._call, args=(n % 2,)) for n in range(number)]
        for thread in self._threads:
            thread.start()

    def _call(self, printing: int) -> None:
        """printing: what the handler prints, if anything."""
        connection = http.client.HTTPConnection(self._host)
        try:
            while True:
                connection.request("POST", "/2015-03-31/functions/f/invocations", str(printing))
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.answered.append(response.headers["x-amzn-requestid"])
        except (OSError, http.client.HTTPException):
            return

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.promise(282)
@pytest.mark.timeout(60 + 30 * KILLS)
def test_row_08_what_was_answered_is_logged(tmp_path: Path) -> None:
    """Every invocation's START, output and REPORT, each once, whatever moment the server is killed at."""
    file = tmp_path / "app.py"
    file.write_text(CODE)
    answered: set[str] = set()
    for kill in itertools.count():
        server = Served(tmp_path / "state")
        api, logs = server.client(), server.client("logs")
        if kill == 0:
            api.create_function(
                FunctionName="f",
                Runtime=RUNTIME,
                Role=ROLE,
                Handler="app.handler",
                Code={"ZipFile": pack(file)},
            )
        if answered:
            wait_until(lambda: answered <= reported(logs), 30.0)  # noqa: B023
        if kill == KILLS:
            break
        callers = Callers(server.url, 4)
        enough = 150 * (kill + 1)
        wait_until(lambda: len(callers.answered) > enough, 60.0)  # noqa: B023
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        callers.join()
        answered |= set(callers.answered)
    texts = [event["message"] for page in pages(logs) for event in page["events"]]
    for kind in ("START", "REPORT"):
        ids = [text.split()[2] for text in texts if text.startswith(kind)]
        assert len(ids) == len(set(ids)) and answered <= set(ids)
    assert server.stop() == 0


def pages(logs: Any) -> Any:
    return logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/f")


def reported(logs: Any) -> set[str]:
    return {
        event["message"].split()[2]
        for page in pages(logs)
        for event in page["events"]
        if event["message"].startswith("REPORT")
    }


@pytest.mark.promise(39)
def test_row_08_a_log_that_stands_still_holds_up_nobody_and_what_it_lost_is_counted(tmp_path: Path) -> None:
    """Beyond the memory that it shares with the server: health and metrics say so."""
    file = tmp_path / "app.py"
    file.write_text("def handler(event, context):\n    print('x' * event)\n    return event\n")
    server = Served(tmp_path / "state")
    try:
        api, logs = server.client(), server.client("logs")
        api.create_function(
            FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code={"ZipFile": pack(file)}
        )

        def invoke(size: int) -> str:
            response = api.invoke(FunctionName="f", Payload=str(size))
            assert "FunctionError" not in response
            return str(response["ResponseMetadata"]["RequestId"])

        invoke(1)
        assert dropped(server) == 0
        log = log_process(server.process.pid)
        os.kill(log, signal.SIGSTOP)
        try:
            for _ in range(2 * HALF // PRINTED + 20):
                invoke(PRINTED)
            assert dropped(server) >= 10
        finally:
            os.kill(log, signal.SIGCONT)

        def kept() -> bool:
            before = dropped(server)
            invoke(1)
            return dropped(server) == before

        wait_until(kept, 30.0)
        last = invoke(1)
        wait_until(lambda: last in reported(logs), 60.0)
    finally:
        server.stop()


def log_process(server: int) -> int:
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    (found,) = [pid for pid in children if b"logs.places" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(found)


def dropped(server: Served) -> int:
    """As health has it, which is what metrics have."""
    with urllib.request.urlopen(f"{server.url}/_stoker/health") as response:
        found = int(json.load(response)["dropped"]["logs"])
    with urllib.request.urlopen(f"{server.url}/metrics") as response:
        assert f'stoker_dropped_total{{kind="logs"}} {float(found)}' in response.read().decode()
    return found
