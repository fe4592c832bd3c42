"""Asynchronous invocation: how often an event is run, and when that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import ROLE, RUNTIME, Served, zipped
from support import until

FAILS = """
def handler(event, context):
    with open(event["note"], "a") as file:
        file.write(context.aws_request_id + "\\n")
    with open(event["note"]) as file:
        if len(file.readlines()) <= event["fails"]:
            raise ValueError("not yet")
"""


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that tries again soon, with a function f."""
    served = Served(tmp_path_factory.mktemp("state"), "--retry-delays", "0.05,0.1")
    served.client().create_function(
        FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": zipped(**{"app.py": FAILS})},
    )  # fmt: skip
    yield served
    assert served.stop() == 0


def lines(note: Path) -> list[str]:
    return note.read_text().split() if note.exists() else []


@pytest.mark.parametrize(("fails", "runs"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_an_event_that_fails_is_run_twice_more(quick: Served, tmp_path: Path, fails: int, runs: int) -> None:
    note, mark = tmp_path / "note", tmp_path / "mark"
    api = quick.client()
    event = json.dumps({"note": str(note), "fails": fails})
    id = api.invoke(FunctionName="f", InvocationType="Event", Payload=event)["ResponseMetadata"]["RequestId"]
    until(lambda: len(lines(note)) == runs)
    # As long as any further attempt would have to wait: an event that fails three times itself.
    event = json.dumps({"note": str(mark), "fails": 9})
    api.invoke(FunctionName="f", InvocationType="Event", Payload=event)
    until(lambda: len(lines(mark)) == 3)
    assert lines(note) == [id] * runs, "each attempt has the first one's id"


def test_the_functions_own_number_of_retries(quick: Served, tmp_path: Path) -> None:
    note, mark = tmp_path / "note", tmp_path / "mark"
    api = quick.client()
    api.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
    event = json.dumps({"note": str(note), "fails": 9})
    api.invoke(FunctionName="f", InvocationType="Event", Payload=event)
    until(lambda: lines(note))
    api.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=2)
    event = json.dumps({"note": str(mark), "fails": 9})
    api.invoke(FunctionName="f", InvocationType="Event", Payload=event)
    until(lambda: len(lines(mark)) == 3)
    assert len(lines(note)) == 1


def test_an_event_for_a_function_without_concurrency_is_given_up(quick: Served, tmp_path: Path) -> None:
    """As on AWS: it is accepted, and goes to where failures go; it does not run when there is concurrency again."""
    note = tmp_path / "note"
    api = quick.client()
    api.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    event = json.dumps({"note": str(note), "fails": 0})
    response = api.invoke(FunctionName="f", InvocationType="Event", Payload=event)
    assert response["StatusCode"] == 202
    with pytest.raises(api.exceptions.TooManyRequestsException):
        api.invoke(FunctionName="f", Payload=event)
    logs = quick.client("logs")

    def given_up() -> list[str]:
        try:
            found = logs.filter_log_events(
                logGroupName="/aws/lambda/f", filterPattern="ZeroReservedConcurrency"
            )
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in found["events"]]

    (line,) = until(given_up)
    assert "given up: ZeroReservedConcurrency after 0 invocations" in line
    assert response["ResponseMetadata"]["RequestId"] in line
    api.delete_function_concurrency(FunctionName="f")
    later = api.invoke(FunctionName="f", InvocationType="Event", Payload=event)["ResponseMetadata"][
        "RequestId"
    ]
    until(lambda: lines(note))
    assert lines(note) == [later]
