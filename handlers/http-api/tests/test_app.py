"""The bookshop's routes."""

import json
from pathlib import Path
from typing import Any

from app import handler

EVENTS = Path(__file__).resolve().parents[1] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def call(name: str) -> tuple[int, Any]:
    response = handler(event(name), None)
    return response["statusCode"], json.loads(response["body"])


def test_a_book_is_found_by_its_number() -> None:
    status, book = call("book")
    assert status == 200
    asked = (
        event("book")["rawPath"].rpartition("/")[2].replace("-", "")
    )  # ten digits, of which the last is a check
    assert book["isbn"].startswith(f"978{asked[:9]}")


def test_a_basket_is_priced() -> None:
    status, basket = call("basket")
    assert status == 201
    assert float(basket["total"]) > 0


def test_what_is_wrong_is_refused() -> None:
    assert call("bad-isbn")[0] == 400
    assert call("bad-route")[0] == 404
