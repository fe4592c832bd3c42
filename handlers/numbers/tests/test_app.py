"""Regressions."""

import json
from pathlib import Path
from typing import Any

import pytest
from app import handler

EVENTS = Path(__file__).resolve().parents[1] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_the_waist_tells_of_the_fat() -> None:
    response = handler(event("one-predictor"), None)
    assert response["observations"] == 252
    assert response["r_squared"] == pytest.approx(0.6617, abs=1e-4)


def test_an_unknown_measurement_is_refused() -> None:
    with pytest.raises(ValueError, match="no such measurement"):
        handler(event("bad-name"), None)
