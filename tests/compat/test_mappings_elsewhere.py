"""A mapping whose source is another endpoint, which refuses its credentials, is not there, and is there again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delivered import queue
from endpoint_door import Door
from mapped import Fed, send
from served import Served
from support import until


@pytest.fixture
def door(server: Served) -> Iterator[Door]:
    made = Door(server.url)
    yield made
    made.close()


@pytest.mark.promise(161)
def test_credentials_that_expire_and_an_endpoint_that_is_away(
    server: Served, door: Door, sqs: Any, tmp_path: Path, name: str
) -> None:
    url, arn = queue(sqs, name, VisibilityTimeout="2", ReceiveMessageWaitTimeSeconds="0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", door.url)
        served = Served(tmp_path / "state")
    try:
        fed = Fed(served, tmp_path)
        uuid = fed.map(arn)
        send(sqs, url, "1")
        fed.wait(1)
        for mood, text, body in (
            ("refuses", f"PROBLEM: Cannot access queue {arn}.", "2"),
            ("away", "PROBLEM: Connection error.", "3"),
        ):
            door.mood = mood
            send(sqs, url, body)  # ends the poll that is under way
            until(lambda text=text: fed.result(uuid).startswith(text), 60, text)
            assert fed.get(uuid)["State"] == "Enabled"
            door.mood = "open"
            until(lambda body=body: body in fed.bodies(), 60, body)
            until(lambda: fed.result(uuid) == "", 60, "no problem")
    finally:
        assert served.stop() == 0
