"""Rows 42 to 45: accepted events under clocks that jump, throttles, functions in each other's way, and floods."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, RUNTIME, Served

from engine.hosting.archives import pack

from .conftest import wait_until
from .wall_clock import SHIFTED, wall_clock

# Holds its event until there is the file that it names, and notes it then; fails as often as it is asked to.
SOURCE = """
import os, time
def handler(event, context):
    note = event["note"]
    with open(note + ".begun", "a") as file: file.write(event["id"] + "\\n")
    while "until" in event and not os.path.exists(event["until"]): time.sleep(0.01)
    time.sleep(event.get("seconds", 0))
    with open(note, "a") as file: file.write(event["id"] + "\\n")
    lines = open(note).read().split().count(event["id"])
    if event.get("die"): os._exit(1)
    if lines <= event.get("fails", 0): raise ValueError("as asked for")
    return [os.environ.get("_X_AMZN_TRACE_ID", ""), lines]
"""


class Waiting:
    """A server whose functions note what they run, and what was sent to them."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.ids = itertools.count()
        self.folder.joinpath("app.py").write_text(SOURCE)
        self.start()

    def start(self) -> None:
        self.served = Served(self.folder / "state", *self.options)
        self.api = self.served.client()
        self.logs = self.served.client("logs")

    def stop(self) -> None:
        self.api.close()
        self.logs.close()
        if self.served.process.poll() is None:
            self.served.stop()

    def kill(self) -> None:
        self.served.process.send_signal(signal.SIGKILL)
        with self.served.process:
            self.served.process.wait(20)
        self.stop()

    def create(self, *names: str, reserved: int | None = None) -> None:
        for name in names:
            self.api.create_function(
                FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=60,
                Code={"ZipFile": pack(self.folder / "app.py")},
            )  # fmt: skip
            self.api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
            if reserved is not None:
                self.api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)

    def event(self, name: str, **members: Any) -> dict[str, Any]:
        return {"id": f"e{next(self.ids)}", "note": str(self.folder / name), **members}

    def send(self, name: str, count: int = 1, **members: Any) -> list[str]:
        """Events, from several threads, since each waits for a disk."""
        events = [self.event(name, **members) for _ in range(count)]
        left = iter(events)
        lock = threading.Lock()
        refused: list[BaseException] = []

        def work() -> None:
            while True:
                with lock:
                    event = next(left, None)
                if event is None:
                    return
                try:
                    response = self.api.invoke(
                        FunctionName=name, InvocationType="Event", Payload=json.dumps(event)
                    )
                    assert response["StatusCode"] == 202
                except BaseException as error:
                    refused.append(error)
                    return

        threads = [threading.Thread(target=work) for _ in range(min(8, count))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not refused, refused
        return [event["id"] for event in events]

    def ran(self, name: str, begun: bool = False) -> list[str]:
        path = self.folder / (name + ".begun" if begun else name)
        return path.read_text().split() if path.exists() else []

    def ends(self) -> Counter[str]:
        """How events ended, by what their functions' logs have of those that were given up."""
        found: Counter[str] = Counter()
        for group in self.logs.describe_log_groups()["logGroups"]:
            pages = self.logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"], filterPattern='"given up"'
            )
            for page in pages:
                for event in page["events"]:
                    found[event["message"].split("given up: ")[1].split()[0]] += 1
        return found


@pytest.fixture
def waiting(nothing_is_left: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Waiting]:
    it = Waiting(tmp_path, *getattr(request, "param", ("--retry-delays", "0.1,0.2")))
    yield it
    it.stop()


@pytest.mark.promise(96)
@pytest.mark.slow
@pytest.mark.parametrize("waiting", [("--retry-delays", "2,2")], indirect=True)
def test_row_42_no_event_ages_by_a_clock_that_jumps_nor_while_no_server_runs(
    waiting: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted, killed; seven hours later (an event lives six) killed again; a day earlier everything runs."""
    library = wall_clock(tmp_path, SHIFTED)
    go = str(tmp_path / "go")
    waiting.create("f", reserved=1)
    waiting.create("g", "h")
    waiting.api.put_function_event_invoke_config(FunctionName="h", MaximumEventAgeInSeconds=60)
    sent = waiting.send("f", 20, until=go)
    waiting.send("g", until=go, fails=1)
    aged = waiting.send("h", until=go)
    wait_until(lambda: waiting.ran("f", begun=True) and waiting.ran("g", begun=True))
    waiting.kill()
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("WALL_OFFSET", str(7 * 3600))
    waiting.start()
    wait_until(lambda: len(waiting.ran("g", begun=True)) == 2)
    waiting.kill()
    monkeypatch.setenv("WALL_OFFSET", str(-86_400))
    waiting.start()
    open(go, "w").close()
    wait_until(lambda: set(waiting.ran("f")) == set(sent))
    wait_until(lambda: len(waiting.ran("g")) == 2)  # its second attempt, two seconds after the first
    wait_until(lambda: waiting.ran("h") == aged)
    assert not waiting.ends()


@pytest.mark.promise(96)
@pytest.mark.slow
def test_row_42_what_is_too_old_is_told(waiting: Waiting) -> None:
    """The next attempt would come too late: it is not waited for, and the log says so."""
    waiting.create("f")
    waiting.api.put_function_event_invoke_config(FunctionName="f", MaximumEventAgeInSeconds=60)
    waiting.stop()
    waiting.options = ("--retry-delays", "61,61")
    waiting.start()
    waiting.send("f", fails=9)
    wait_until(lambda: waiting.ends() == {"EventAgeExceeded": 1})
    assert len(waiting.ran("f")) == 1


@pytest.mark.promise(97)
@pytest.mark.slow
def test_row_43_all_that_was_throttled_runs_one_after_the_other(waiting: Waiting) -> None:
    """One at a time, as reserved; nobody waits for a timer (the time it takes is measured: python -m bench.events)."""
    waiting.create("f", reserved=1)
    go = str(waiting.folder / "go")
    sent = waiting.send("f", until=go)
    sent += waiting.send("f", 299, seconds=0.005)
    open(go, "w").close()
    wait_until(lambda: len(waiting.ran("f")) >= 300, 20)
    assert Counter(waiting.ran("f")) == Counter(sent)
    # A slot that a synchronous invocation had frees, too.
    held = str(waiting.folder / "held")
    event = waiting.event("f", until=held)
    caller = threading.Thread(
        target=waiting.api.invoke, kwargs={"FunctionName": "f", "Payload": json.dumps(event)}
    )
    caller.start()
    wait_until(lambda: event["id"] in waiting.ran("f", begun=True))
    late = waiting.send("f", 3)
    open(held, "w").close()
    caller.join()
    wait_until(lambda: set(late) <= set(waiting.ran("f")))


@pytest.mark.promise(97)
@pytest.mark.slow
@pytest.mark.parametrize("waiting", [("--retry-delays", "3600,3600")], indirect=True)
def test_row_43_events_run_at_once_after_an_update(waiting: Waiting) -> None:
    """Those of the old code are held; what waits for them runs as soon as they let go, on the new code."""
    waiting.create("f", reserved=1)
    go = str(waiting.folder / "go")
    sent = waiting.send("f", until=go) + waiting.send("f", 14)
    waiting.folder.joinpath("app.py").write_text(SOURCE + "# new\n")
    waiting.api.update_function_code(FunctionName="f", ZipFile=pack(waiting.folder / "app.py"))
    open(go, "w").close()
    wait_until(lambda: Counter(waiting.ran("f")) == Counter(sent))


@pytest.mark.promise(97)
@pytest.mark.slow
def test_row_44_no_function_is_in_anothers_way(waiting: Waiting) -> None:
    """One slow, one throttled, one crashing, each with a crowd of events: an idle one's run in between."""
    waiting.create("slow", "crashing", "idle")
    waiting.create("throttled", reserved=1)
    never = str(waiting.folder / "never")
    waiting.send("throttled", 50, until=never)
    waiting.send("slow", 400, seconds=1)
    waiting.send("crashing", 50, die=True)
    sent: list[str] = []
    for _ in range(10):
        sent = [*sent, *waiting.send("idle")]
        wait_until(lambda sent=sent: waiting.ran("idle") == sent, 5)
    assert len(waiting.ran("slow")) < 400, "they wait still"
    assert (
        waiting.api.invoke(FunctionName="slow", Payload=json.dumps(waiting.event("other")))["StatusCode"]
        == 200
    )
    assert not waiting.ran("throttled")
    open(never, "w").close()
    wait_until(lambda: waiting.ends() == {"RetriesExhausted": 50}, 60)
    assert set(Counter(waiting.ran("crashing")).values()) == {3}


@pytest.mark.promise(98)
@pytest.mark.slow
@pytest.mark.parametrize("waiting", [("--queue-bytes", "200000")], indirect=True)
def test_row_45_beyond_the_bound_is_awss_429_and_nothing_accepted_is_dropped(waiting: Waiting) -> None:
    waiting.create("f", reserved=1)
    go = str(waiting.folder / "go")
    sent = waiting.send("f", until=go)
    padding = "x" * 1000
    refused = None
    for _ in range(300):
        event = waiting.event("f", padding=padding)
        try:
            waiting.api.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps(event))
        except waiting.api.exceptions.TooManyRequestsException as error:
            refused = error.response
            break
        sent.append(event["id"])
    assert refused is not None
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert refused["Error"] == {"Message": "Rate Exceeded.", "Code": "TooManyRequestsException"}
    assert refused["Reason"] == "FunctionInvocationRateLimitExceeded"
    assert 100 < len(sent) < 200
    waiting.kill()
    waiting.start()
    open(go, "w").close()
    wait_until(lambda: set(waiting.ran("f")) == set(sent))
    wait_until(lambda: waiting.send("f"))


@pytest.mark.promise(98)
@pytest.mark.slow
def test_row_45_a_deleted_functions_events_go_with_it(waiting: Waiting) -> None:
    waiting.create("f", reserved=1)
    never, go = str(waiting.folder / "never"), str(waiting.folder / "go")
    waiting.send("f", 20, until=never)
    waiting.api.delete_function(FunctionName="f")
    open(never, "w").close()
    waiting.create("f")
    sent = waiting.send("f", until=go)
    open(go, "w").close()
    wait_until(lambda: sent[0] in waiting.ran("f"))
    assert len(waiting.ran("f", begun=True)) <= 2, "the one that ran, and the new one"
    waiting.stop()
    waiting.start()
    assert len(waiting.ran("f", begun=True)) <= 2


@pytest.mark.promise(98)
@pytest.mark.slow
def test_row_45_no_reserved_concurrency_is_told_at_once(waiting: Waiting) -> None:
    waiting.create("f", reserved=0)
    waiting.send("f", 3)
    wait_until(lambda: waiting.ends() == {"ZeroReservedConcurrency": 3})
    with urllib.request.urlopen(f"{waiting.served.url}/_stoker/health") as response:
        assert json.load(response)["events"] == {"ZeroReservedConcurrency": 3}
    assert not waiting.ran("f", begun=True)


@pytest.mark.slow
def test_what_ends_while_the_server_ends_does_not_run_again(waiting: Waiting) -> None:
    waiting.create("f", reserved=1)
    (first, second) = waiting.send("f", seconds=2) + waiting.send("f")
    wait_until(lambda: waiting.ran("f", begun=True))
    waiting.stop()
    assert waiting.ran("f") == [first]
    waiting.start()
    wait_until(lambda: second in waiting.ran("f"))
    assert waiting.ran("f") == [first, second]


# Row 12 has what kills workers; this is what never ends by itself: a function that invokes itself.
ITSELF = """
import json, os, boto3
client = boto3.client("lambda")
def handler(event, context):
    with open(event["note"], "a") as file: file.write("x\\n")
    client.invoke(FunctionName=context.function_name, InvocationType="Event", Payload=json.dumps(event))
"""


@pytest.mark.promise(98)
@pytest.mark.slow
def test_a_function_that_invokes_itself_is_stopped_at_the_seventeenth(waiting: Waiting) -> None:
    note = waiting.folder / "loops"
    waiting.folder.joinpath("app.py").write_text(ITSELF)
    waiting.create("f")
    payload = json.dumps({"note": str(note)})
    for chain in (1, 2):
        waiting.api.invoke(FunctionName="f", InvocationType="Event", Payload=payload)
        wait_until(lambda chain=chain: waiting.ends() == {"RecursiveInvocation": chain}, 60)
        assert len(note.read_text().split()) == 16 * chain
    waiting.api.put_function_recursion_config(FunctionName="f", RecursiveLoop="Allow")
    waiting.api.invoke(FunctionName="f", InvocationType="Event", Payload=payload)
    wait_until(lambda: len(note.read_text().split()) > 60, 60)
    waiting.api.put_function_recursion_config(FunctionName="f", RecursiveLoop="Terminate")
    wait_until(lambda: waiting.ends() == {"RecursiveInvocation": 3}, 60)
    with pytest.raises(waiting.api.exceptions.RecursiveInvocationException) as refused:
        looping(waiting.api, payload)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def looping(api: Any, payload: str) -> None:
    """An Invoke that its caller waits for, as the seventeenth of its chain."""
    from engine.aws.names import Place
    from engine.routing.recursion import hop

    trace = ""
    for _ in range(16):
        trace, _ = hop(trace, Place("us-east-1", "000000000000").function("f"))

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace

    api.meta.events.register("before-sign.lambda.Invoke", add)
    try:
        api.invoke(FunctionName="f", Payload=payload)
    finally:
        api.meta.events.unregister("before-sign.lambda.Invoke", add)
