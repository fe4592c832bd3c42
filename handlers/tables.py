"""The sample ledger, initiated by a DynamoDB table: money goes between its accounts, and entries come to the ledger."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import Any

from run import HERE
from server import Connect, create_mapping, create_queue, deploy, percentiles, until

SAMPLE = "ledger"
FUNCTION = f"{SAMPLE}-of-accounts"
ACCOUNTS, LEDGER = "accounts", "ledger"
BANK, OWNERS = "bank", ["ada", "grace", "katherine", "margaret", "shop"]
OPENING = 100_000  # cents
TRANSFERS, PACE_S = 100, 0.02
BY_HAND = 500  # cents that an account gets without a transfer


def run(connect: Connect) -> str:
    """Deploy the function, transfer, and print how long it took. What was wrong, or an empty string."""
    api, dynamodb, sqs = connect("lambda"), connect("dynamodb"), connect("sqs")
    _create_table(dynamodb, LEDGER, ["account", "sequence"])
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    arn = _create_table(dynamodb, ACCOUNTS, ["account"], StreamSpecification=stream)["LatestStreamArn"]
    failed, failed_arn = create_queue(sqs, "changes-refused")
    deploy(api, HERE / SAMPLE, FUNCTION, Environment={"Variables": {"LEDGER": LEDGER}})
    _open_accounts(dynamodb)
    create_mapping(
        api, FUNCTION, arn,
        StartingPosition="TRIM_HORIZON", BatchSize=50, MaximumRetryAttempts=1, BisectBatchOnFunctionError=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": failed_arn}},
    )  # fmt: skip
    entries: list[dict[str, Any]] = []

    def entered(count: int) -> None:
        def there() -> bool:
            entries[:] = _scan(dynamodb, LEDGER)
            return len(entries) >= count

        until(there, f"{count} entries")

    entered(2 * len(OWNERS))  # the function's cold start is over
    chance = random.Random(1)
    times: dict[str, float] = {}
    for n in range(TRANSFERS):
        source, target = chance.sample(OWNERS, 2)
        begin = times[f"t-{n}"] = time.time()
        _transfer(dynamodb, f"t-{n}", chance.randint(1, 500), source, target)
        time.sleep(max(0.0, begin + PACE_S - time.time()))
    _raise_by_hand(dynamodb, OWNERS[0])
    _transfer(dynamodb, "t-last", 1, OWNERS[0], OWNERS[1])  # what comes after it is entered all the same
    entered(2 * (len(OWNERS) + TRANSFERS + 1))
    took = [
        float(each["received"]) - times[each["transfer"]] for each in entries if each["transfer"] in times
    ]
    print(f"{SAMPLE}  (event source mapping of {arn})")
    print(f"  from write to handler {percentiles(took)} changes of {TRANSFERS} transfers")
    response = sqs.receive_message(QueueUrl=failed, WaitTimeSeconds=20).get("Messages", ())
    refused = sum(json.loads(message["Body"])["DDBStreamBatchInfo"]["batchSize"] for message in response)
    if fault := _uneven(entries, _scan(dynamodb, ACCOUNTS)):
        return fault
    print(
        f"  {len(entries)} entries, debits and credits even; "
        f"{refused} change without a transfer is in the queue of failures"
    )
    return "" if refused == 1 else f"{refused} changes were refused, not 1"


def _create_table(dynamodb: Any, name: str, key: list[str], **more: Any) -> dict[str, Any]:
    """Its description, once it is there."""
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": each, "KeyType": "RANGE" if n else "HASH"} for n, each in enumerate(key)
        ],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in key],
        **more,
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return dict(dynamodb.describe_table(TableName=name)["Table"])


def _open_accounts(dynamodb: Any) -> None:
    for account in [BANK, *OWNERS]:
        overdraft = OPENING * len(OWNERS) if account == BANK else 0
        texts, numbers = (
            {"account": account, "currency": "EUR"},
            {"balance": 0, "version": 1, "overdraft": overdraft},
        )
        item = {name: {"S": text} for name, text in texts.items()}
        item |= {name: {"N": str(number)} for name, number in numbers.items()}
        dynamodb.put_item(TableName=ACCOUNTS, Item=item)
    for account in OWNERS:
        _transfer(dynamodb, f"opening-{account}", OPENING, BANK, account)


def _transfer(dynamodb: Any, id: str, amount: int, source: str, target: str) -> None:
    def part(account: str, amount: int) -> dict[str, Any]:
        return {
            "TableName": ACCOUNTS,
            "Key": {"account": {"S": account}},
            "UpdateExpression": "SET balance = balance + :amount, version = version + :one, transfer = :transfer",
            "ExpressionAttributeValues": {
                ":amount": {"N": f"{amount}"},
                ":one": {"N": "1"},
                ":transfer": {"S": id},
            },
        }

    parts = [{"Update": part(source, -amount)}, {"Update": part(target, amount)}]
    dynamodb.transact_write_items(TransactItems=parts)


def _raise_by_hand(dynamodb: Any, account: str) -> None:
    dynamodb.update_item(
        TableName=ACCOUNTS, Key={"account": {"S": account}},
        UpdateExpression="SET balance = balance + :amount, version = version + :one",
        ExpressionAttributeValues={":amount": {"N": f"{BY_HAND}"}, ":one": {"N": "1"}},
    )  # fmt: skip


def _scan(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    """Its items, each member a text."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table)
    items = [item for page in pages for item in page["Items"]]
    return [{name: next(iter(value.values())) for name, value in item.items()} for item in items]


def _uneven(entries: list[dict[str, Any]], accounts: list[dict[str, Any]]) -> str:
    """What is wrong with the ledger, or an empty string."""
    by_transfer: Counter[str] = Counter()
    by_account: Counter[str] = Counter({OWNERS[0]: BY_HAND})
    for each in entries:
        by_transfer[each["transfer"]] += int(each["amount"])
        by_account[each["account"]] += int(each["amount"])
    if uneven := [transfer for transfer, amount in by_transfer.items() if amount]:
        return f"these transfers are uneven: {', '.join(uneven)}"
    wrong = [each["account"] for each in accounts if int(each["balance"]) != by_account[each["account"]]]
    return f"the entries of {', '.join(wrong)} do not come to the balance" if wrong else ""
