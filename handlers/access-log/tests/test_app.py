"""A stream's log lines, added up."""

import json
from pathlib import Path
from typing import Any

from app import handler

EVENTS = Path(__file__).resolve().parents[1] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_lines_are_added_up() -> None:
    response = handler(event("batch"), None)
    assert response["requests"] == 300
    assert sum(response["statuses"].values()) == 300


def test_broken_lines_are_told_of() -> None:
    assert len(handler(event("bad-lines"), None)["rejected"]) == 2
