"""Keeps the ledger of a table of accounts: an entry for each change of a balance. A change that is against the rules
has none: it is reported as failed."""

import os
import time
from collections import Counter
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

# Set: the table that entries are put into, by account and sequence.
LEDGER = os.environ.get("LEDGER", "")
if LEDGER:
    import boto3

    ledger = boto3.resource("dynamodb").Table(LEDGER)

processor = BatchProcessor(event_type=EventType.DynamoDBStreams)


class InvalidChangeError(ValueError):
    """A change that no retry will make right: the mapping's destination on failure gets it."""


def entry_of(record: DynamoDBRecord) -> dict[str, Any] | None:
    """The entry of a change, amounts in cents; None: it left the balance as it was."""
    change = record.dynamodb
    if change is None or not (change.old_image or change.new_image):
        raise InvalidChangeError("the stream has no images: its view type is to be NEW_AND_OLD_IMAGES")
    old, new = change.old_image, change.new_image
    account = change.keys["account"]
    before, after = int(old.get("balance", 0)), int(new.get("balance", 0))
    if not new and before:
        raise InvalidChangeError(f"{account} was closed with {before} in it")
    if old and new and new["currency"] != old["currency"]:
        raise InvalidChangeError(f"{account} changed from {old['currency']} to {new['currency']}")
    if old and new and new["version"] != old["version"] + 1:
        raise InvalidChangeError(f"{account} has version {new['version']} after {old['version']}")
    if after == before:
        return None
    if new.get("transfer") in (None, old.get("transfer")):
        raise InvalidChangeError(f"{account} changed by {after - before} without a transfer")
    if after < min(before, -int(new.get("overdraft", 0))):
        raise InvalidChangeError(f"{account} is overdrawn: {after}")
    return {
        "account": account,
        "sequence": change.sequence_number,
        "transfer": new["transfer"],
        "amount": after - before,
        "balance": after,
    }


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    received = f"{time.time():.6f}"
    # When every change fails this raises: the whole batch is to be tried again.
    with processor(records=event["Records"], handler=entry_of):
        done = processor.process()
    entries = [result for status, result, *_ in done if status == "success" and result]
    if LEDGER:
        # A batch may come twice; its entries have the same keys then.
        with ledger.batch_writer() as batch:
            for entry in entries:
                batch.put_item(Item={**entry, "received": received})
    # Debits and credits of a transfer are even, unless a part of it is in another batch.
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[entry["transfer"]] += entry["amount"]
    return {
        **processor.response(),
        "entries": entries,
        "turnover": sum(entry["amount"] for entry in entries if entry["amount"] > 0),
        "uneven": {transfer: amount for transfer, amount in sorted(sums.items()) if amount},
    }
