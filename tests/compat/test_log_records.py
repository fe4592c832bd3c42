"""A log record is one event of CloudWatch Logs, as AWS's runtime frames them; what is printed is an event per line."""

from __future__ import annotations

import base64
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from served import Served, url_id
from support import until

SOURCE = """
import logging
import os
import sys

logging.getLogger().setLevel("INFO")
logging.info("of the init\\nwith a second line")

def handler(event, context):
    print("printed", end="")
    logging.info("first\\nsecond")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("caught")
    logging.info("after the traceback")
    print("two\\nlines")
    os.write(2, b"of a child\\n")
    if event == "fail":
        raise ValueError("one\\ntwo")
    return event
"""
_HEAD = r"^\[[A-Z]+\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t[0-9a-f-]*\t"


@pytest.fixture
def logged(server: Served, api: Any, deploy: Callable[..., str]) -> Callable[..., list[str]]:
    """A function's events, without their times and ids, once it was invoked on that event."""

    def events(event: bytes, **more: Any) -> list[str]:
        name, logs = deploy(SOURCE, **more), server.client("logs")
        api.invoke(FunctionName=name, Payload=event)

        def all_events() -> list[str]:
            try:
                page = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
            except logs.exceptions.ResourceNotFoundException:
                return []
            return [found["message"] for found in page["events"]]

        found = until(
            lambda: (it := all_events()) and ("REPORT" in it[-1] or "platform.report" in it[-1]) and it
        )
        return [re.sub(_HEAD, "", message) for message in found]

    return events


@pytest.mark.promise(174)
def test_each_record_is_one_event(logged: Callable[..., list[str]]) -> None:
    events = logged(b"1")
    assert "of the init\nwith a second line\n" in events
    begin = next(i for i, message in enumerate(events) if message.startswith("START"))
    own = [m for m in events[begin + 1 :] if not m.startswith(("END", "REPORT"))]
    assert own[:2] == ["printed", "first\nsecond\n"]
    assert own[2].startswith("caught\nTraceback (most recent call last):\n  File ")
    assert own[2].endswith("\nZeroDivisionError: division by zero")
    assert own[3:6] == ["after the traceback\n", "two\n", "lines\n"]
    assert "of a child\n" in own


@pytest.mark.promise(174)
def test_an_unhandled_error_is_one_event_of_lines(logged: Callable[..., list[str]]) -> None:
    (error,) = [message for message in logged(b'"fail"') if message.startswith("[ERROR]")]
    assert "\r" not in error
    lines = error.split("\n")
    assert lines[:3] == ["[ERROR] ValueError: one", "two", "Traceback (most recent call last):"]
    assert re.fullmatch(r'\u00a0\u00a0File "/[^"]+/app.py", line \d+, in handler', lines[3])
    assert lines[4] == '\u00a0\u00a0\u00a0\u00a0raise ValueError("one\\ntwo")'


@pytest.mark.promise(174)
def test_the_tail_has_the_same(api: Any, deploy: Callable[..., str]) -> None:
    result = api.invoke(FunctionName=deploy(SOURCE), LogType="Tail", Payload=b'"fail"')
    tail = base64.b64decode(result["LogResult"]).decode()
    assert not re.search("[\r\ufdd0-\ufdd2]", tail)
    assert "\nprinted\n[INFO]\t" in tail
    assert "\nZeroDivisionError: division by zero\n[INFO]\t" in tail


@pytest.mark.promise(174)
def test_json_records_are_one_event_each(logged: Callable[..., list[str]]) -> None:
    events = logged(b'"fail"', LoggingConfig={"LogFormat": "JSON"})
    assert sum('"message": "caught"' in message for message in events) == 1
    assert sum('"errorType": "ValueError"' in message for message in events) == 1
    (first,) = [message for message in events if '"message": "first' in message]
    assert first.endswith("}") and '"first\\nsecond"' in first


@pytest.mark.promise(189)
def test_why_a_function_url_s_response_is_a_502(server: Served, api: Any, deploy: Callable[..., str]) -> None:
    name, logs = (
        deploy('def handler(event, context):\n    return {"statusCode": "x"}\n'),
        server.client("logs"),
    )
    url = api.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    with pytest.raises(urllib.error.HTTPError, match="502"):
        urllib.request.urlopen(f"{server.url}/lambda-url/{url_id(url)}/")

    def reasons() -> list[str]:
        try:
            page = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in page["events"] if "statusCode" in event["message"]]

    assert "a statusCode is a number" in until(reasons)[0]
