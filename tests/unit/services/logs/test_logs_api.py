"""CloudWatch Logs as boto3 and the AWS CLI see it, over real HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from engine.services.logs.api import RETENTION_DAYS, LogsApi
from engine.services.logs.store import DAY_MS, LogStore

G = "/aws/lambda/f"
ARN = f"arn:aws:logs:us-east-1:000000000000:log-group:{G}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    made = LogStore(tmp_path / "logs")
    yield made
    made.close()


@pytest.fixture
def api(store: LogStore) -> LogsApi:
    return LogsApi(store, "us-east-1", "000000000000")


@pytest.fixture
def endpoint(api: LogsApi) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = api.call(self.headers["X-Amz-Target"], body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def logs(endpoint: str) -> Any:
    return boto3.client(
        "logs", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b",
        config=Config(retries={"max_attempts": 1}, parameter_validation=False),
    )  # fmt: skip


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as raised:
        call(**members)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


class TestGroups:
    def test_its_members(self, logs: Any, store: LogStore) -> None:
        logs.create_log_group(logGroupName=G, tags={"a": "b"})
        logs.put_retention_policy(logGroupName=G, retentionInDays=7)
        (group,) = logs.describe_log_groups()["logGroups"]
        assert group == {
            "logGroupName": G, "creationTime": store.meta(G).created, "retentionInDays": 7,
            "metricFilterCount": 0, "arn": f"{ARN}:*", "logGroupArn": ARN, "storedBytes": 0,
            "logGroupClass": "STANDARD", "deletionProtectionEnabled": False,
        }  # fmt: skip
        logs.delete_retention_policy(logGroupName=G)
        assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]
        logs.delete_log_group(logGroupName=G)
        assert logs.describe_log_groups()["logGroups"] == []

    @pytest.mark.slow
    def test_pages_and_filters(self, logs: Any) -> None:
        names = sorted(f"/g/{n}" for n in range(120))
        for name in names:
            logs.create_log_group(logGroupName=name)
        pages = list(logs.get_paginator("describe_log_groups").paginate())
        assert [len(p["logGroups"]) for p in pages] == [50, 50, 20]
        assert [g["logGroupName"] for p in pages for g in p["logGroups"]] == names

        def found(**members: Any) -> list[str]:
            return [g["logGroupName"] for g in logs.describe_log_groups(**members)["logGroups"]]

        assert found(logGroupNamePrefix="/g/11") == ["/g/11", *(f"/g/11{n}" for n in range(10))]
        assert found(logGroupNamePattern="g/7", limit=2) == ["/g/7", "/g/70"]
        assert found(logGroupIdentifiers=["/g/3", ARN.replace(G, "/g/4")]) == ["/g/3", "/g/4"]
        assert found(logGroupClass="INFREQUENT_ACCESS") == []
        assert set(logs.describe_log_groups(logGroupNamePattern="g/7")["logGroups"][0]) == {
            "logGroupName", "creationTime", "arn", "logGroupArn",
        }  # fmt: skip

    def test_refusals(self, logs: Any) -> None:
        logs.create_log_group(logGroupName=G)
        assert refused(logs.create_log_group, logGroupName=G) == (
            "ResourceAlreadyExistsException", "The specified log group already exists",
        )  # fmt: skip
        there_is_none = ("ResourceNotFoundException", "The specified log group does not exist.")
        assert refused(logs.delete_log_group, logGroupName="x") == there_is_none
        assert refused(logs.put_retention_policy, logGroupName="x", retentionInDays=1) == there_is_none
        assert refused(logs.describe_log_streams, logGroupName="x") == there_is_none
        other = ARN.replace("us-east-1", "eu-west-1")
        assert refused(logs.describe_log_streams, logGroupIdentifier=other) == there_is_none
        code, message = refused(logs.put_retention_policy, logGroupName=G, retentionInDays=2)
        assert (code, message) == (
            "InvalidParameterException",
            f"Invalid retention value. Valid values are: {list(RETENTION_DAYS)}",
        )
        assert refused(logs.create_log_group, logGroupName="aws/x") == (
            "InvalidParameterException", "Log groups starting with AWS/ are reserved for AWS.",
        )  # fmt: skip

    def test_tags(self, logs: Any) -> None:
        logs.create_log_group(logGroupName=G, tags={"a": "1"})
        logs.tag_resource(resourceArn=ARN, tags={"b": "2", "é x": "3"})
        logs.untag_resource(resourceArn=ARN, tagKeys=["a"])
        assert logs.list_tags_for_resource(resourceArn=ARN)["tags"] == {"b": "2", "é x": "3"}
        assert logs.list_tags_log_group(logGroupName=G)["tags"] == {"b": "2", "é x": "3"}
        code, _ = refused(logs.tag_resource, resourceArn=ARN, tags={str(n): "" for n in range(49)})
        assert code == "TooManyTagsException"


class TestStreams:
    def test_order_and_pages(self, logs: Any, store: LogStore) -> None:
        for n in range(60):
            store.append(G, f"s{n:02d}", [(1000 - n, "x")])
        logs.create_log_stream(logGroupName=G, logStreamName="s99")
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=G)
        assert [s["logStreamName"] for p in pages for s in p["logStreams"]] == [
            *(f"s{n:02d}" for n in range(60)), "s99",
        ]  # fmt: skip
        newest = logs.describe_log_streams(logGroupName=G, orderBy="LastEventTime", descending=True, limit=2)
        assert [s["logStreamName"] for s in newest["logStreams"]] == ["s00", "s01"]
        more = logs.describe_log_streams(
            logGroupIdentifier=ARN, orderBy="LastEventTime", descending=True,
            nextToken=newest["nextToken"], limit=1,
        )  # fmt: skip
        (stream,) = more["logStreams"]
        assert (stream["logStreamName"], stream["firstEventTimestamp"], stream["storedBytes"]) == (
            "s02",
            998,
            0,
        )
        assert stream["arn"] == f"{ARN}:log-stream:s02"
        logs.delete_log_stream(logGroupName=G, logStreamName="s02")
        found = logs.describe_log_streams(logGroupName=G, logStreamNamePrefix="s02")["logStreams"]
        assert found == []

    def test_refusals(self, logs: Any) -> None:
        logs.create_log_group(logGroupName=G)
        logs.create_log_stream(logGroupName=G, logStreamName="s")
        assert refused(logs.create_log_stream, logGroupName=G, logStreamName="s") == (
            "ResourceAlreadyExistsException", "The specified log stream already exists",
        )  # fmt: skip
        there_is_none = ("ResourceNotFoundException", "The specified log stream does not exist.")
        assert refused(logs.get_log_events, logGroupName=G, logStreamName="x") == there_is_none
        assert refused(logs.filter_log_events, logGroupName=G, logStreamNames=["s", "x"]) == there_is_none
        assert refused(
            logs.describe_log_streams, logGroupName=G, logStreamNamePrefix="s", orderBy="LastEventTime"
        ) == ("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")


class TestGetting:
    def test_forward_until_the_token_stays(self, logs: Any, store: LogStore) -> None:
        store.append(G, "s", [(n // 3, str(n)) for n in range(25)])
        seen: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = logs.get_log_events(
                logGroupName=G, logStreamName="s", limit=10, startFromHead=True, **token
            )
            seen += [e["message"] for e in page["events"]]
            if page["nextForwardToken"] == token.get("nextToken"):
                break
            token = {"nextToken": page["nextForwardToken"]}
        assert seen == [str(n) for n in range(25)]
        store.append(G, "s", [(99, "later")])
        page = logs.get_log_events(logGroupName=G, logStreamName="s", **token)
        assert [(e["message"], e["timestamp"]) for e in page["events"]] == [("later", 99)]
        assert page["events"][0]["ingestionTime"] <= store.now()

    def test_backward(self, logs: Any, store: LogStore) -> None:
        store.append(G, "s", [(n, str(n)) for n in range(5)])
        last = logs.get_log_events(logGroupName=G, logStreamName="s", limit=2)
        assert [e["message"] for e in last["events"]] == ["3", "4"]
        before = logs.get_log_events(
            logGroupName=G, logStreamName="s", limit=9, nextToken=last["nextBackwardToken"]
        )
        assert [e["message"] for e in before["events"]] == ["0", "1", "2"]
        token = before["nextBackwardToken"]
        none = logs.get_log_events(logGroupName=G, logStreamName="s", nextToken=token)
        assert (none["events"], none["nextBackwardToken"]) == ([], token)

    def test_an_empty_stream_has_tokens_that_lead_to_what_comes(self, logs: Any, store: LogStore) -> None:
        logs.create_log_group(logGroupName=G)
        logs.create_log_stream(logGroupName=G, logStreamName="s")
        page = logs.get_log_events(logGroupName=G, logStreamName="s")
        assert page["events"] == []
        store.append(G, "s", [(1, "x")])
        page = logs.get_log_events(logGroupName=G, logStreamName="s", nextToken=page["nextForwardToken"])
        assert [e["message"] for e in page["events"]] == ["x"]

    @pytest.mark.parametrize("token", ["x", "f/1", "f/" + "x" * 56, "a/" + "0" * 56, "f/" + "²" * 56])
    def test_a_token_that_is_none(self, logs: Any, store: LogStore, token: str) -> None:
        store.append(G, "s", [(1, "x")])
        assert refused(logs.get_log_events, logGroupName=G, logStreamName="s", nextToken=token) == (
            "InvalidParameterException", "The specified nextToken is invalid.",
        )  # fmt: skip


class TestFiltering:
    @pytest.mark.slow
    def test_all_of_it(self, logs: Any, store: LogStore) -> None:
        store.append(G, "a", [(n, f"INFO {n}") for n in range(0, 30, 2)])
        store.append(G, "b", [(n, f"ERROR {n}") for n in range(1, 30, 2)])
        paginator = logs.get_paginator("filter_log_events")
        pages = list(paginator.paginate(logGroupName=G, interleaved=True, limit=7, startTime=5, endTime=20))
        events = [e for p in pages for e in p["events"]]
        assert [e["timestamp"] for e in events] == list(
            range(5, 21)
        )  # unlike GetLogEvents', the end included
        assert len({e["eventId"] for e in events}) == len(events)
        assert all(p["searchedLogStreams"] == [] for p in pages)
        found = logs.filter_log_events(logGroupName=G, filterPattern="ERROR -11", logStreamNamePrefix="b")
        assert [e["timestamp"] for e in found["events"]] == [n for n in range(1, 30, 2) if n != 11]
        assert "nextToken" not in found
        newest = logs.filter_log_events(logGroupIdentifier=ARN, startFromHead=False, limit=3)
        assert [e["timestamp"] for e in newest["events"]] == [29, 28, 27]
        more = logs.filter_log_events(logGroupName=G, nextToken=newest["nextToken"], limit=2)
        assert [e["timestamp"] for e in more["events"]] == [26, 25]

    def test_refusals(self, logs: Any, store: LogStore) -> None:
        store.append(G, "a", [(1, "x")])
        code, message = refused(logs.filter_log_events, logGroupName=G, filterPattern="{ $.a")
        assert (code, message) == ("InvalidParameterException", "Invalid filter pattern")
        for members in (
            {"nextToken": "%%"},
            {"nextToken": "WzFd"},
            {"logStreamNames": ["a"], "logStreamNamePrefix": "a"},
            {"logGroupIdentifier": G},
        ):
            assert (
                refused(logs.filter_log_events, logGroupName=G, **members)[0] == "InvalidParameterException"
            )


class TestPutting:
    def test_what_is_too_old_or_too_new_is_left_out(self, logs: Any, store: LogStore) -> None:
        logs.create_log_group(logGroupName=G)
        logs.create_log_stream(logGroupName=G, logStreamName="s")
        now = store.now()

        def put(*times: int) -> Any:
            events = [{"timestamp": t, "message": str(t)} for t in times]
            return logs.put_log_events(logGroupName=G, logStreamName="s", logEvents=events)

        assert "rejectedLogEventsInfo" not in put(now, now + 1)
        assert put(now, now + 3 * 3_600_000)["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
        old = now - 15 * DAY_MS
        assert put(old, old + 1)["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2}
        logs.put_retention_policy(logGroupName=G, retentionInDays=1)
        expired = put(now - DAY_MS - 1000, now - 1000)["rejectedLogEventsInfo"]
        assert expired == {"expiredLogEventEndIndex": 1}
        found = logs.filter_log_events(logGroupName=G)["events"]
        assert [e["timestamp"] for e in found] == [now - 1000, now, now, now + 1]

    def test_refusals(self, logs: Any, store: LogStore) -> None:
        logs.create_log_group(logGroupName=G)
        logs.create_log_stream(logGroupName=G, logStreamName="s")
        now = store.now()

        def refusal(*events: tuple[int, str], stream: str = "s") -> str:
            members = [{"timestamp": t, "message": m} for t, m in events]
            return refused(logs.put_log_events, logGroupName=G, logStreamName=stream, logEvents=members)[1]

        assert "chronological order" in refusal((now, "a"), (now - 1, "b"))
        assert "cannot span more than 24 hours" in refusal((now - DAY_MS - 1, "a"), (now, "b"))
        assert refusal((now, "x" * 1_048_551)) == "Upload too large: 1048577 bytes exceeds limit of 1048576"
        assert refusal((now, "a"), stream="none") == "The specified log stream does not exist."


class TestTheProtocol:
    @pytest.mark.parametrize(
        ("operation", "body", "message"),
        [  # the first two as AWS gave them
            ("DescribeLogGroups", {"logGroupNamePrefix": ""},
             "2 validation errors detected: Value '' at 'logGroupNamePrefix' failed to satisfy constraint: Member "
             "must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+; Value '' at 'logGroupNamePrefix' failed "
             "to satisfy constraint: Member must have length greater than or equal to 1"),
            ("PutLogEvents", {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"message": "m"}]},
             "1 validation error detected: Value null at 'logEvents.1.member.timestamp' failed to satisfy "
             "constraint: Member must not be null"),
            ("CreateLogGroup", {}, "1 validation error detected: Value null at 'logGroupName' failed to satisfy "
             "constraint: Member must not be null"),
            ("FilterLogEvents", {"logGroupName": "g", "limit": 10001}, "1 validation error detected: Value '10001' "
             "at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"),
            ("DescribeLogStreams", {"logGroupName": "g", "orderBy": "x"}, "1 validation error detected: Value 'x' at "
             "'orderBy' failed to satisfy constraint: Member must satisfy enum value set: [LogStreamName, "
             "LastEventTime]"),
        ],
    )  # fmt: skip
    def test_validation(self, api: LogsApi, operation: str, body: Any, message: str) -> None:
        status, headers, content = api.call(f"Logs_20140328.{operation}", json.dumps(body).encode())
        assert (status, json.loads(content)) == (
            400,
            {"__type": "InvalidParameterException", "message": message},
        )
        assert headers["Content-Type"] == "application/x-amz-json-1.1"
        assert headers["x-amzn-RequestId"]

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"logGroupName":1}', b'{"limit":"5"}']
    )
    def test_what_cannot_be_read(self, api: LogsApi, body: bytes) -> None:
        status, _, content = api.call("Logs_20140328.DescribeLogStreams", body)
        assert (status, json.loads(content)["__type"]) == (400, "SerializationException")

    @pytest.mark.parametrize(
        "target", ["Logs_20140328.PutDestination", "Logs_20140328.Nope", "X.GetLogEvents", "", "."]
    )
    def test_what_is_not_served(self, api: LogsApi, target: str) -> None:
        status, _, content = api.call(target, b"{}")
        assert (status, json.loads(content)["__type"]) == (400, "UnknownOperationException")
        assert ("PutDestination is not supported" in json.loads(content).get("message", "")) == (
            "Destination" in target
        )

    def test_every_operation_of_the_model_is_answered(self, api: LogsApi) -> None:
        for name in api._service.operations:
            status, _, content = api.call(f"Logs_20140328.{name}", b"{}")
            assert status in (200, 400)
            assert status == 200 or json.loads(content)["__type"]

    def test_a_disk_that_fails(self, api: LogsApi, store: LogStore, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "logs")
        (tmp_path / "logs").write_text("not a folder")
        status, _, content = api.call("Logs_20140328.CreateLogGroup", b'{"logGroupName":"g"}')
        assert (status, json.loads(content)["__type"]) == (503, "ServiceUnavailableException")


@given(
    st.sampled_from(["CreateLogGroup", "FilterLogEvents", "GetLogEvents", "PutLogEvents", "TagResource"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["logGroupName", "logStreamName", "logEvents", "limit", "nextToken", "tags",
                             "timestamp", "message", "filterPattern", "resourceArn", "startTime"]),
            inner, max_size=4,
        ),
    ),
)  # fmt: skip
def test_no_request_breaks_it(operation: str, body: Any) -> None:
    api = SHARED["api"]
    status, _, content = api.call(f"Logs_20140328.{operation}", json.dumps(body).encode())
    assert status in (200, 400)
    assert isinstance(json.loads(content or b"{}"), dict)


SHARED: dict[str, LogsApi] = {}


@pytest.fixture(scope="module", autouse=True)
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store = LogStore(tmp_path_factory.mktemp("shared"))
    SHARED["api"] = LogsApi(store, "us-east-1", "000000000000")
    yield
    store.close()


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
class TestTheCli:
    @staticmethod
    def environment(endpoint: str) -> dict[str, str]:
        return os.environ | {
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "",
        }  # fmt: skip

    def aws(self, endpoint: str, *arguments: str) -> str:
        done = subprocess.run(
            ["aws", *arguments], env=self.environment(endpoint), capture_output=True, text=True, timeout=100,
            check=True,
        )  # fmt: skip
        return done.stdout

    @pytest.mark.slow
    def test_reading(self, endpoint: str, store: LogStore) -> None:
        now = store.now()
        store.append(G, "2025/01/01/[$LATEST]0123", [(now - 5000, "old\n"), (now, "new\n")])
        out = self.aws(
            endpoint, "logs", "filter-log-events", "--log-group-name", G, "--start-time", str(now - 10)
        )
        assert [e["message"] for e in json.loads(out)["events"]] == ["new\n"]

    @pytest.mark.slow
    def test_tailing(self, endpoint: str, store: LogStore) -> None:
        """`aws logs tail` is part of the CLI's second version: where there is none, its own calls are made."""
        now = int(time.time() * 1000)
        store.append(G, "s", [(now - 3_600_000, "old"), (now - 1, "new"), (now, "newest")])
        version = subprocess.run(["aws", "--version"], capture_output=True, text=True, check=True, timeout=60)
        if version.stdout.startswith("aws-cli/2"):
            out = self.aws(endpoint, "logs", "tail", G, "--since", "1m")
            assert [line.split()[-1] for line in out.splitlines()] == ["new", "newest"]
            return
        client = boto3.client(
            "logs",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        seen: list[str] = []
        since = now - 60_000
        for text in ("", "more"):
            if text:  # the second poll asks from the newest time on, and knows the ids it has seen
                store.append(G, "t", [(now, text)])
            found = client.filter_log_events(logGroupName=G, startTime=since, interleaved=True)["events"]
            seen += [e["eventId"] for e in found if e["eventId"] not in seen]
            since = found[-1]["timestamp"]
        assert len(seen) == 3
