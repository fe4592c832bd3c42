"""The sample orders: a batch with partial failures."""

import hashlib
import json
import re
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from sample_functions import Context, event, invoke, load


def test_orders_sends_back_only_the_messages_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    response = invoke("orders", "batch")
    ids = [record["messageId"] for record in event("orders", "batch")["Records"]]
    assert response == {"batchItemFailures": [{"itemIdentifier": ids[place]} for place in (3, 4, 5, 6)]}
    priced = {line["orderId"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert [line["messageId"] for line in priced.values()] == [ids[place] for place in (0, 1, 2, 7, 8, 9)]
    # Worked out by hand: net, tax, shipping, total.
    assert {order: (p["net"], p["tax"], p["shipping"], p["total"]) for order, p in priced.items()} == {
        "A-1001": ("17.80", "1.25", "5.90", "24.95"),
        "A-1002": ("64.00", "12.16", "0.00", "76.16"),
        "A-1003": ("87.08", "14.61", "0.00", "101.69"),
        "A-1008": ("213.75", "44.89", "0.00", "258.64"),
        "A-1009": ("2249.22", "157.44", "0.00", "2406.66"),
        "A-1010": ("24.30", "2.19", "5.90", "32.39"),
    }


def test_orders_fails_as_a_whole_when_every_message_does() -> None:
    with pytest.raises(BatchProcessingError, match="unknown article: 'MUG-STONE-05'"):
        invoke("orders", "bad-all")


def test_orders_keeps_nothing_from_the_batch_before(capsys: pytest.CaptureFixture[str]) -> None:
    orders = load("orders")
    good = event("orders", "batch")
    good["Records"] = good["Records"][:3]
    assert len(orders.handler(event("orders", "batch"), Context("orders"))["batchItemFailures"]) == 4
    assert orders.handler(good, Context("orders")) == {"batchItemFailures": []}
    assert len(capsys.readouterr().out.splitlines()) == 6 + 3


def order(**changes: Any) -> dict[str, Any]:
    return {
        "orderId": "A-1",
        "country": "DE",
        "lines": [{"sku": "POT-CAST-09", "quantity": 1}],
        "total": "76.16",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"country": "XX"}, "unknown country: 'XX'"),
        ({"coupon": "FREE100"}, "unknown coupon: 'FREE100'"),
        ({"lines": []}, "at least one line"),
        ({"lines": [{"sku": "POT-CAST-09", "quantity": True}]}, "quantity out of range: True"),
        ({"lines": [{"sku": "POT-CAST-09", "quantity": 1001}]}, "quantity out of range: 1001"),
        ({"lines": [{"sku": ["POT-CAST-09"], "quantity": 1}]}, "unknown article"),
        ({"total": "76.15"}, "the buyer was shown '76.15', the order comes to 76.16"),
        ({"total": 76.16}, "the buyer was shown 76.16"),
    ],
)
def test_orders_says_what_is_wrong_with_an_order(changes: dict[str, Any], message: str) -> None:
    orders = load("orders")
    assert orders.price(order())["total"] == "76.16"
    with pytest.raises(orders.InvalidOrderError, match=re.escape(message)):
        orders.price(order(**changes))


@pytest.mark.parametrize("file", ["batch", "bad-all"])
def test_orders_events_carry_the_digest_of_each_body(file: str) -> None:
    for record in event("orders", file)["Records"]:
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
