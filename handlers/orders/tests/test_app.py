"""A queue's orders: those that fail go back alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from app import handler
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

EVENTS = Path(__file__).resolve().parents[1] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_only_what_failed_goes_back() -> None:
    failed = handler(event("batch"), None)["batchItemFailures"]
    ids = [record["messageId"] for record in event("batch")["Records"]]
    assert [item["itemIdentifier"] for item in failed] == ids[3:7]


def test_a_batch_without_a_right_order_fails() -> None:
    with pytest.raises(BatchProcessingError):
        handler(event("bad-all"), None)
