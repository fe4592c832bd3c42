"""Pictures made small."""

import json
from pathlib import Path
from typing import Any

from app import handler

EVENTS = Path(__file__).resolve().parents[1] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_a_picture_keeps_its_proportions() -> None:
    [made] = handler(event("cat"), None)["thumbnails"]
    assert (made["source"]["width"], made["source"]["height"]) == (451, 300)
    assert (made["thumbnail"]["width"], made["thumbnail"]["height"]) == (128, 85)
