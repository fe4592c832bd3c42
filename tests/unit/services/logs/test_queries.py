"""Queries as operations: each in a process of its own, which can be stopped or killed without harm to others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import until

from engine.services.logs.api import LogsApi
from engine.services.logs.insights import operations, runs, scan, segments
from engine.services.logs.insights.job import Extent, Job, Part, write
from engine.services.logs.insights.scan import Scan
from engine.services.logs.store import DAY_MS, LogStore
from engine.services.logs.tokens import token as token_of

G, H = "/aws/lambda/f", "/other"
ACCOUNT = "000000000000"


class Refused(Exception):
    """Its code and message; body: all of the error."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body["__type"], body.get("message"))
        self.body = body


class Client:
    def __init__(self, api: LogsApi) -> None:
        self.api = api

    def __call__(self, operation: str, **members: Any) -> dict[str, Any]:
        """Raises Refused."""
        status, _, body = self.api.call(f"Logs_20140328.{operation}", json.dumps(members).encode())
        found: dict[str, Any] = json.loads(body or b"{}")
        if status != 200:
            raise Refused(found)
        return found

    def start(self, query: str, **members: Any) -> str:
        """Of group G up to now, unless they say another."""
        now = int(time.time())
        whole = {
            "logGroupName": G,
            "startTime": now - 3600,
            "endTime": now + 60,
            "queryString": query,
            **members,
        }
        if "logGroupIdentifiers" in whole:
            del whole["logGroupName"]
        return str(self("StartQuery", **whole)["queryId"])

    def ended(self, number: str) -> dict[str, Any]:
        def results() -> Any:
            found = self("GetQueryResults", queryId=number)
            return found if found["status"] not in ("Scheduled", "Running") else None

        found: dict[str, Any] = until(results)
        return found

    def rows(self, query: str, **members: Any) -> list[list[str]]:
        found = self.ended(self.start(query, **members))
        assert found["status"] == "Complete"
        return [[each["value"] for each in row if each["field"] != "@ptr"] for row in found["results"]]

    def running(self, number: str) -> int:
        """Once it is: its process."""
        run = self.api._queries._runs.get(number)
        assert run is not None
        return int(until(lambda: run.process and run.process.pid))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    made = LogStore(tmp_path / "logs", segment_bytes=4096)
    yield made
    made.close()


@pytest.fixture
def logs(store: LogStore) -> Iterator[Client]:
    api = LogsApi(store, "us-east-1", ACCOUNT)
    yield Client(api)
    api.close()


def now() -> int:
    return int(time.time() * 1000)


def fill(store: LogStore, count: int, group: str = G, stream: str = "s") -> int:
    at = now() - count
    store.append(group, stream, [(at + n, json.dumps({"n": n, "of": group})) for n in range(count)])
    store.flush()
    return at


@pytest.mark.promise(289)
def test_from_start_to_rows(logs: Client, store: LogStore) -> None:
    at = fill(store, 300)
    number = logs.start("fields @timestamp, n | filter n % 100 = 7 | sort n desc")
    found = logs.ended(number)
    assert [[each["field"] for each in row] for row in found["results"]] == [["@timestamp", "n", "@ptr"]] * 3
    assert [row[1]["value"] for row in found["results"]] == ["207", "107", "7"]
    size = float(sum(len(json.dumps({"n": n, "of": G})) for n in range(300)))
    assert found["statistics"] == {
        "recordsMatched": 3.0, "recordsScanned": 300.0, "estimatedRecordsSkipped": 0.0, "bytesScanned": size,
        "estimatedBytesSkipped": 0.0, "logGroupsScanned": 1.0, "resultCount": 3.0,
    }  # fmt: skip
    record = logs("GetLogRecord", logRecordPointer=found["results"][1][2]["value"])["logRecord"]
    assert record | {"@ingestionTime": "", "@ptr": ""} == {
        "@timestamp": str(at + 107), "@ingestionTime": "", "@ptr": "", "@log": f"{ACCOUNT}:{G}", "@logStream": "s",
        "@message": json.dumps({"n": 107, "of": G}), "n": "107", "of": G,
    }  # fmt: skip
    (query,) = logs("DescribeQueries", logGroupName=G, status="Complete")["queries"]
    assert (query["queryId"], query["bytesScanned"]) == (number, size)
    assert logs("DescribeQueries", logGroupName=H)["queries"] == []


def test_results_come_in_pages(logs: Client, store: LogStore) -> None:
    fill(store, 25)
    number = logs.start("fields n | sort n | limit 21")
    logs.ended(number)
    found, token = [], {}
    while token is not None:
        page = logs("GetQueryResults", queryId=number, maxItems=8, **token)
        found.append([row[0]["value"] for row in page["results"]])
        token = {"nextToken": page["nextToken"]} if "nextToken" in page else None
    assert [len(page) for page in found] == [8, 8, 5]
    assert [value for page in found for value in page] == [str(n) for n in range(21)]
    for forged in (token_of(3), token_of(-1), token_of(1 << 60), token_of(1 << 70), "nonsense"):
        with pytest.raises(Refused, match="The specified nextToken is invalid"):
            logs("GetQueryResults", queryId=number, nextToken=forged)
    listed = [logs.start("fields n") for _ in range(5)]
    first = logs("DescribeQueries", maxResults=4)
    second = logs("DescribeQueries", maxResults=4, nextToken=first["nextToken"])
    assert [each["queryId"] for each in (*first["queries"], *second["queries"])] == [
        *reversed(listed),
        number,
    ]
    assert "nextToken" not in second


def test_of_which_time_and_which_groups(logs: Client, store: LogStore) -> None:
    store.create_group(G)
    store.create_group(H)
    second = int(time.time())
    events = [(second * 1000 + ms, f"at {ms}") for ms in (-2001, -2000, 0, 999, 1000)]
    store.append(G, "s", events)
    store.append(G, "gone", [(second * 1000, "of a stream that was deleted")])
    store.append(H, "s", [(second * 1000, "other")])
    store.delete_stream(G, "gone")
    times = {"startTime": second - 2, "endTime": second}
    assert logs.rows("fields @message", **times) == [["at 999"], ["at 0"], ["at -2000"]]
    groups = [f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{G}", H]
    rows = logs.rows("stats count(*) by @log | sort @log", logGroupIdentifiers=groups, **times)
    assert rows == [[f"{ACCOUNT}:{G}", "3"], [f"{ACCOUNT}:{H}", "1"]]
    store.append(H, "s", [(now() - 3 * DAY_MS, "three days old")])
    old = {"logGroupName": H, "startTime": second - 10 * 86_400}
    assert len(logs.rows("fields @message", **old)) == 2
    store.put_retention(H, 1)
    assert logs.rows("fields @message", **old) == [["other"]]


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("piece", [50, 1 << 20])
def test_segments_are_read_as_the_store_reads_them(
    logs: Client, store: LogStore, monkeypatch: pytest.MonkeyPatch, indexed: bool, piece: int
) -> None:
    monkeypatch.setattr(segments, "PIECE", piece)
    at = now() - 400
    for begin in range(0, 400, 40):  # a segment each
        store.append(G, "s", [(at + n, json.dumps({"n": n, "of": G})) for n in range(begin, begin + 40)])
        store.flush()
    fill(store, 3, stream="deleted")
    store.delete_stream(G, "deleted")  # which reads the whole group
    if not indexed:
        store.close()
        store = LogStore(store.folder, segment_bytes=4096)
    part = LogsApi(store, "us-east-1", ACCOUNT)._queries._part(G, 0, now() + 1)
    assert len(part.extents) > 5
    made = Scan(Job("fields n, @ptr | sort n", 1000, 1, -1, [part]))
    for _ in made.run():
        pass
    events = store.filter(G).events
    assert made.scanned == len(events) == 400
    assert [row[0]["value"] for row in made.query.rows] == [str(n) for n in range(400)]
    assert [segments.find(part, event.sequence) for event in events[::50]] == events[::50]
    assert segments.find(part, events[-1].sequence + 9) is None
    pointers = [operations.untoken(row[1]["value"], str, int, int)[2] for row in made.query.rows]
    assert pointers == [event.sequence for event in events]
    store.close()


@pytest.mark.promise(289)
@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"queryLanguage": "SQL"}, "InvalidParameterException", "The query language SQL is not supported: CWLI is"),
        ({"logGroupName": "/none"}, "ResourceNotFoundException",
         f"Log group '/none' does not exist for account ID '{ACCOUNT}'"),
        ({"logGroupNames": [G]}, "InvalidParameterException",
         "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given"),
        ({"endTime": 5}, "InvalidParameterException", "startTime must not be after endTime"),
        ({"startTime": 1, "endTime": 2}, "MalformedQueryException",
         "Query's end date and time is either before the log groups creation time or exceeds the log groups log "
         "retention settings"),
        ({"queryString": "fields a | nonsense"}, "MalformedQueryException", "mismatched input 'nonsense' expecting"),
        ({"limit": 100_001}, "InvalidParameterException", "1 validation error detected"),
    ],
)  # fmt: skip
def test_refusals(logs: Client, store: LogStore, members: dict[str, Any], code: str, message: str) -> None:
    fill(store, 1)
    with pytest.raises(Refused) as raised:
        logs.start(**{"query": str(members.pop("queryString", "fields a")), **members})
    assert raised.value.args[0] == code
    assert raised.value.args[1].startswith(message)
    if message.startswith("mismatched"):
        error = raised.value.body["queryCompileError"]
        assert error["location"] == {"startCharOffset": 11, "endCharOffset": 19}
        assert error["message"] == raised.value.args[1]


@pytest.mark.promise(291)
def test_a_query_that_takes_long_keeps_nobody_waiting(logs: Client, store: LogStore) -> None:
    fill(store, 10)
    slow = logs.start("fields n")
    os.kill(logs.running(slow), signal.SIGSTOP)
    fill(store, 10)
    assert logs.rows("stats count(*)") == [["20"]]
    assert logs("GetQueryResults", queryId=slow)["status"] == "Running"
    assert logs("StopQuery", queryId=slow) == {"success": True}
    assert logs.ended(slow)["status"] == "Cancelled"
    with pytest.raises(Refused, match="it has ended, and its status is Cancelled"):
        logs("StopQuery", queryId=slow)
    until(lambda: not logs.api._queries._runs._threads)
    with pytest.raises(Refused, match="ResourceNotFoundException"):
        logs("StopQuery", queryId="nobody's")


def test_few_run_at_a_time_and_not_too_many_wait(
    logs: Client, store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 10)
    monkeypatch.setattr(runs, "OUTSTANDING", 4)
    held = [logs.start("fields n") for _ in range(runs.RUNNING)]
    for number in held:
        os.kill(logs.running(number), signal.SIGSTOP)
    waiting = [logs.start("fields n") for _ in range(2)]
    assert [logs("GetQueryResults", queryId=each)["status"] for each in waiting] == ["Scheduled"] * 2
    with pytest.raises(Refused, match=r"Account maximum query concurrency limit of \[4\] reached"):
        logs.start("fields n")
    assert logs("StopQuery", queryId=waiting[0]) == {"success": True}
    os.kill(logs.running(held[0]), signal.SIGKILL)
    assert logs.ended(held[0])["status"] == "Failed"
    assert logs.ended(waiting[1])["status"] == "Complete"
    assert logs.ended(waiting[0])["status"] == "Cancelled"


@pytest.fixture
def endless(tmp_path: Path) -> Part:
    """A group that nobody gets to the end of."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return Part(ACCOUNT, G, 0, 1, {}, [Extent(str(path), 0, 100, 1)])


@pytest.mark.slow
@pytest.mark.promise(291)
def test_a_query_that_never_ends_is_a_timeout(
    logs: Client, store: LogStore, monkeypatch: pytest.MonkeyPatch, endless: Part
) -> None:
    fill(store, 1)
    monkeypatch.setattr(operations, "SECONDS", 1)
    monkeypatch.setattr(operations.QueryOperations, "_part", lambda *_: endless)
    assert logs.ended(logs.start("fields n"))["status"] == "Timeout"


@pytest.mark.promise(291)
def test_a_querys_process_ends_with_who_started_it(endless: Part) -> None:
    code = f"import sys; sys.path[:] = {sys.path!r}; from {scan.__name__} import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        write(process.stdin, Job("fields n", 10, 60, -1, [endless]))
        process.stdin.close()
        assert process.wait(30) == 1


@pytest.mark.slow
@pytest.mark.promise(291)
def test_a_query_that_needs_too_much_memory_fails(logs: Client, store: LogStore) -> None:
    at = now() - 2000
    store.append(G, "s", [(at + n, f"{n:01024}") for n in range(2000)])
    many = "concat(" + ", ".join(["@message"] * 900) + ") as whole"
    assert logs.ended(logs.start(f"fields {many}"))["status"] == "Failed"
    assert logs.rows(f"fields {many} | stats max(strlen(whole)), count(*)") == [["921600", "2000"]]


@pytest.mark.slow
@pytest.mark.promise(291)
def test_a_query_whose_regular_expression_takes_too_long_fails(logs: Client, store: LogStore) -> None:
    store.append(G, "s", [(now(), ("x" * 30 + "y") * 200)])
    query = r"filter @message like /^(x|x?)+(x|xx)*(x?x)*$/"
    assert logs.ended(logs.start(query))["status"] == "Failed"
    assert logs.rows("stats count(*)") == [["1"]]


def test_which_fields_a_group_has(logs: Client, store: LogStore) -> None:
    store.append(G, "s", [(now(), '{"a": 1, "b": {"c": 2}}'), (now(), '{"a": 1}'), (now(), "text")])
    store.append(G, "s", [(now() - 3_600_000, '{"old": 1}')])
    fields = {
        each["name"]: each["percent"] for each in logs("GetLogGroupFields", logGroupName=G)["logGroupFields"]
    }
    assert fields == {
        "@timestamp": 100, "@message": 100, "@logStream": 100, "@log": 100, "@ingestionTime": 100, "a": 66, "b.c": 33,
    }  # fmt: skip
    hour_ago = logs("GetLogGroupFields", logGroupIdentifier=G, time=int(time.time()) - 3600)["logGroupFields"]
    assert {"name": "old", "percent": 100} in hour_ago
    with pytest.raises(Refused, match="The specified logRecordPointer is invalid"):
        logs("GetLogRecord", logRecordPointer="nonsense")


def test_definitions_are_kept(logs: Client, store: LogStore) -> None:
    key = "k" * 36
    first = logs("PutQueryDefinition", name="b/errors", queryString="fields @message", clientToken=key)
    assert (
        logs("PutQueryDefinition", name="b/errors", queryString="fields @message", clientToken=key) == first
    )
    logs("PutQueryDefinition", name="a", queryString="stats count(*)", logGroupNames=[G])
    logs("PutQueryDefinition", name="b/all", queryString="fields x", **first)
    again = Client(LogsApi(store, "us-east-1", ACCOUNT))
    page = again("DescribeQueryDefinitions", maxResults=1)
    (one,) = page["queryDefinitions"]
    assert (one["name"], one["queryString"], one["logGroupNames"]) == ("a", "stats count(*)", [G])
    (two,) = again("DescribeQueryDefinitions", nextToken=page["nextToken"])["queryDefinitions"]
    assert (two["name"], two["queryDefinitionId"]) == ("b/all", first["queryDefinitionId"])
    assert again("DescribeQueryDefinitions", queryDefinitionNamePrefix="b/e")["queryDefinitions"] == []
    assert again("DeleteQueryDefinition", **first) == {"success": True}
    for operation, more in (
        ("DeleteQueryDefinition", {}),
        ("PutQueryDefinition", {"name": "x", "queryString": "y"}),
    ):
        with pytest.raises(Refused, match="The specified query definition does not exist"):
            again(operation, **first, **more)
