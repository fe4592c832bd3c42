"""Logs Insights and live tail of a real function's log, by boto3, the AWS CLI and `stoker logs query`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from clients import AWS_CLI, needs_aws_cli
from served import REGION, Run, Served
from support import until

SOURCE = """
import json
def handler(event, context):
    print(json.dumps({"level": "ERROR" if event % 3 == 0 else "INFO", "order": {"id": event}}))
    return event
"""


@pytest.fixture
def logs(server: Served) -> Any:
    return server.client("logs")


@pytest.fixture
def group(server: Served, api: Any, logs: Any, deploy: Callable[..., str]) -> str:
    """Of a function that was invoked nine times."""
    name = deploy(SOURCE)
    for n in range(9):
        api.invoke(FunctionName=name, Payload=str(n))
    found = f"/aws/lambda/{name}"
    until(lambda: rows(logs, found, 'filter @type = "REPORT" | stats count(*)') == [["9"]])
    return found


def rows(logs: Any, group: str, query: str) -> list[list[str]]:
    now = int(time.time())
    try:
        number = logs.start_query(
            logGroupName=group, startTime=now - 600, endTime=now + 60, queryString=query
        )["queryId"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    found: Any = until(lambda: ended(logs.get_query_results(queryId=number)))
    assert found["status"] == "Complete"
    return [[each["value"] for each in row if each["field"] != "@ptr"] for row in found["results"]]


def ended(found: dict[str, Any]) -> Any:
    return found if found["status"] not in ("Scheduled", "Running") else None


@pytest.mark.promise(288)
def test_a_functions_log_is_queried(logs: Any, group: str) -> None:
    errors = rows(logs, group, 'filter level = "ERROR" | fields order.id, @requestId | sort order.id desc')
    assert [each[0] for each in errors] == ["6", "3", "0"]
    report = 'filter @type = "REPORT" | stats max(@memorySize / 1000000), count(@initDuration) > 0, avg(@duration) > 0'
    assert rows(logs, group, report) == [["128.0", "1", "1"]]
    query = 'filter @type in ["START", "END", "REPORT"] | stats count(*) as c by @type | sort @type'
    assert rows(logs, group, query) == [["END", "9"], ["REPORT", "9"], ["START", "9"]]
    with pytest.raises(ClientError) as raised:
        logs.start_query(
            logGroupName=group, startTime=0, endTime=1 << 32, queryString="fields @message | count()"
        )
    assert raised.value.response["Error"]["Code"] == "MalformedQueryException"
    assert raised.value.response["queryCompileError"]["location"] == {
        "startCharOffset": 18,
        "endCharOffset": 23,
    }


@pytest.mark.promise(293)
def test_stoker_logs_query(run: Run, group: str) -> None:
    query = "filter level = 'ERROR' | fields order.id as id, level | sort id"
    status, out, err = run(
        "logs", "query", query, "--group", group.removeprefix("/aws/lambda/"), "--since", "10m"
    )
    assert (status, out) == (0, "id  level\n0   ERROR\n3   ERROR\n6   ERROR\n")
    assert err.startswith("3 of ")
    assert run("logs", "query", "stats count(*) by absent | filter absent = 1", "--group", group)[:2] == (
        0,
        "",
    )
    wrong = run("logs", "query", "fields a | nonsense", "--group", group)
    assert wrong[0] == 2
    assert wrong[2].startswith("stoker logs: MalformedQueryException: mismatched input 'nonsense' expecting")
    for arguments in (
        ["query", query],
        ["f", query],
        ["query", "--group", group],
        ["query", query, "-f", "--group", "g"],
    ):
        message = "stoker logs: a query is written: stoker logs query 'QUERY' --group NAME\n"
        assert run("logs", *arguments) == (2, "", message)


def live(server: Served) -> Any:
    """A client that leaves the endpoint's name as it is."""
    config = Config(inject_host_prefix=False, read_timeout=30, retries={"max_attempts": 0})
    return boto3.client(
        "logs", endpoint_url=server.url, region_name=REGION, config=config, aws_access_key_id="test",
        aws_secret_access_key="test",
    )  # fmt: skip


@pytest.mark.promise(292)
def test_a_functions_log_is_tailed(server: Served, api: Any, group: str) -> None:
    arn = f"arn:aws:logs:{REGION}:000000000000:log-group:{group}"
    client = live(server)

    def left() -> bool:
        """One that is left makes room for others, once its next update finds nobody."""
        try:
            client.start_live_tail(logGroupIdentifiers=[arn])["responseStream"].close()
        except client.exceptions.LimitExceededException:
            return False
        return True

    for _ in range(20):
        until(left)
    stream = client.start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="{ $.order.id = 77 }")[
        "responseStream"
    ]
    events = iter(stream)
    assert next(events)["sessionStart"]["logGroupIdentifiers"] == [arn]
    for n in (76, 77, 78):
        api.invoke(FunctionName=group.rpartition("/")[2], Payload=str(n))
    results = next(found for each in events if (found := each["sessionUpdate"]["sessionResults"]))
    assert [json.loads(each["message"])["order"]["id"] for each in results] == [77]
    stream.close()
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.start_live_tail(logGroupIdentifiers=[arn + "-none"])


TAILING = """
import boto3
def handler(group, context):
    arn = f"arn:aws:logs:{context.invoked_function_arn.split(':')[3]}:000000000000:log-group:{group}"
    stream = boto3.client("logs").start_live_tail(logGroupIdentifiers=[arn])["responseStream"]
    return list(next(iter(stream)))
"""


@pytest.mark.promise(292)
def test_a_function_tails_with_no_configuration(deploy: Callable[..., str], api: Any, logs: Any) -> None:
    logs.create_log_group(logGroupName="/tailed")
    response = api.invoke(FunctionName=deploy(TAILING), Payload='"/tailed"')
    assert json.load(response["Payload"]) == ["sessionStart"]


@needs_aws_cli
@pytest.mark.slow
@pytest.mark.promise(292)
def test_the_aws_cli(server: Served, api: Any, group: str) -> None:
    environment = {
        **os.environ, "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DISABLE_HOST_PREFIX_INJECTION": "true", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    now = int(time.time())

    def aws(*arguments: str) -> dict[str, Any]:
        out = subprocess.run(
            [AWS_CLI, "logs", *arguments], env=environment, capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(out.stdout)
        return found

    started = aws(
        "start-query", "--log-group-name", group, "--start-time", str(now - 600), "--end-time", str(now + 60),
        "--query-string", "filter level = 'ERROR' | stats count(*) as errors",
    )  # fmt: skip
    found: Any = until(lambda: ended(aws("get-query-results", "--query-id", started["queryId"])))
    assert found["results"] == [[{"field": "errors", "value": "3"}]]
    arn = f"arn:aws:logs:{REGION}:000000000000:log-group:{group}"
    command = [
        AWS_CLI,
        "logs",
        "start-live-tail",
        "--log-group-identifiers",
        arn,
        "--log-event-filter-pattern",
        "level",
    ]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        os.set_blocking(tail.stdout.fileno(), False)
        numbers, seen = iter(range(100, 10_000)), b""

        def spoken() -> bool:
            nonlocal seen
            api.invoke(FunctionName=group.rpartition("/")[2], Payload=str(next(numbers)))
            with contextlib.suppress(BlockingIOError):
                seen += os.read(tail.stdout.fileno(), 1 << 16)  # type: ignore[union-attr]
            return b"\n" in seen

        until(spoken, 60, "a line of the tail")
        tail.send_signal(signal.SIGKILL)
    assert json.loads(seen.splitlines()[0])["order"]["id"] >= 100
