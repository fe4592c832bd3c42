"""The sample ledger: entries of a table's changes."""

import re
from collections import Counter
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from sample_functions import event, invoke


def change(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """The event of one change; whole numbers are N, texts S."""

    def image(item: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {"N": str(value)} if isinstance(value, int) else {"S": value}
            for name, value in item.items()
        }

    record = event("ledger", "batch")["Records"][0]
    images = {"OldImage": old, "NewImage": new}
    described = {name: image(item) for name, item in images.items() if item is not None}
    keys = {"account": {"S": "ada"}}
    return {"Records": [{**record, "dynamodb": {"Keys": keys, "SequenceNumber": "111", **described}}]}


def account(balance: int, version: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "account": "ada",
        "currency": "EUR",
        "balance": balance,
        "version": version,
        "overdraft": 500,
        **more,
    }


def test_ledger_enters_what_keeps_to_the_rules_and_reports_the_rest() -> None:
    response = invoke("ledger", "batch")
    records = event("ledger", "batch")["Records"]
    sequences = [record["dynamodb"]["SequenceNumber"] for record in records]
    failed = [item["itemIdentifier"] for item in response["batchItemFailures"]]
    assert failed == [sequences[place] for place in (18, 19, 21)]
    entries = response["entries"]
    assert [entry["sequence"] for entry in entries] == [
        number
        for number, record in zip(sequences, records, strict=True)
        if "transfer" in record["dynamodb"].get("NewImage", {}) and number not in failed
        and record["dynamodb"]["OldImage"]["balance"] != record["dynamodb"]["NewImage"]["balance"]
    ]  # fmt: skip
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[entry["account"]] += entry["amount"]
    # Worked out by hand; the shop's balance is 500 more, which came without a transfer.
    assert sums == {"bank": -431071, "ada": 241060, "grace": 181250, "old-savings": 0, "shop": 201261}
    assert response["uneven"] == {"t-1006": 190000, "t-1007": 2500}  # the other parts of which failed


def test_ledger_fails_as_a_whole_when_every_change_does() -> None:
    with pytest.raises(BatchProcessingError, match="shop changed from EUR to USD"):
        invoke("ledger", "bad-all")


@pytest.mark.parametrize(
    ("old", "new", "amount"),
    [
        (None, account(700, transfer="t"), 700),
        (account(700), account(-500, 2, transfer="t"), -1200),
        (account(-900, transfer="s"), account(-800, 2, transfer="t"), 100),  # still overdrawn, but less
        (account(700), account(700, 2, owner="Ada"), None),
        (account(0), None, None),
    ],
)
def test_ledger_enters_a_change(old: Any, new: Any, amount: int | None) -> None:
    entries = invoke("ledger", change(old, new))["entries"]
    assert [entry["amount"] for entry in entries] == ([] if amount is None else [amount])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (account(1), None, "ada was closed with 1 in it"),
        (account(1), account(2, 3, transfer="t"), "ada has version 3 after 1"),
        (account(1), account(2, 2), "ada changed by 1 without a transfer"),
        (account(1, transfer="t"), account(2, 2, transfer="t"), "ada changed by 1 without a transfer"),
        (None, account(1), "ada changed by 1 without a transfer"),
        (account(1), account(-501, 2, transfer="t"), "ada is overdrawn: -501"),
        (account(1), account(1, 2, currency="USD"), "ada changed from EUR to USD"),
        (None, None, "the stream has no images"),
    ],
)
def test_ledger_says_what_is_wrong_with_a_change(old: Any, new: Any, message: str) -> None:
    with pytest.raises(BatchProcessingError, match=re.escape(message)):
        invoke("ledger", change(old, new))
