"""A table's changes: entries of those that keep to the rules."""

import json
from pathlib import Path
from typing import Any

import pytest
from app import handler
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

EVENTS = Path(__file__).resolve().parents[1] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_changes_become_entries() -> None:
    response = handler(event("batch"), None)
    assert response["entries"]
    assert len(response["batchItemFailures"]) == 3


def test_a_batch_without_a_right_change_fails() -> None:
    with pytest.raises(BatchProcessingError):
        handler(event("bad-all"), None)
