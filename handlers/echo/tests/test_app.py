"""The echo: what comes in goes out."""

import json
from pathlib import Path
from typing import Any

from app import handler

EVENTS = Path(__file__).resolve().parents[1] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_it_gives_its_event_back() -> None:
    assert handler(event("hello"), None) == event("hello")
