"""Checks and prices the orders in an SQS batch; only the messages that fail go back to the queue."""

import json
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

CENT = Decimal("0.01")
MAX_QUANTITY = 1000


class Article(NamedTuple):
    price: Decimal  # net, in euro
    category: str


CATALOGUE = {
    "TEA-EARL-250": Article(Decimal("8.90"), "food"),
    "COFFEE-SID-1K": Article(Decimal("21.50"), "food"),
    "POT-CAST-09": Article(Decimal("64.00"), "goods"),
    "MUG-STONE-04": Article(Decimal("11.25"), "goods"),
    "BOOK-BREW-1": Article(Decimal("24.30"), "books"),
}
# Per cent of value added tax by country and category.
TAX = {
    "DE": {"goods": Decimal(19), "food": Decimal(7), "books": Decimal(7)},
    "FR": {"goods": Decimal(20), "food": Decimal("5.5"), "books": Decimal("5.5")},
    "NL": {"goods": Decimal(21), "food": Decimal(9), "books": Decimal(9)},
}
# (from this many of one article, per cent off), the largest first
VOLUME = ((100, Decimal(12)), (20, Decimal(5)))
COUPONS = {"WELCOME10": Decimal(10), "SPRING5": Decimal(5)}
FREE_SHIPPING_FROM = Decimal("75.00")
SHIPPING = Decimal("5.90")

processor = BatchProcessor(event_type=EventType.SQS)


class InvalidOrderError(ValueError):
    """An order that no retry will make right: the redrive policy takes it to the dead-letter queue."""


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def one_of(table: Iterable[str], key: Any, what: str) -> str:
    if not isinstance(key, str) or key not in table:
        raise InvalidOrderError(f"unknown {what}: {key!r}")
    return key


def price(order: Any) -> dict[str, Any]:
    """An order's amounts by the catalogue, checked against what the shop showed the buyer."""
    if not isinstance(order, dict) or not isinstance(order.get("lines"), list) or not order["lines"]:
        raise InvalidOrderError("an order is an object with at least one line")
    rates = TAX[one_of(TAX, order.get("country"), "country")]
    coupon = order.get("coupon")
    off = COUPONS[one_of(COUPONS, coupon, "coupon")] if coupon is not None else Decimal(0)

    net_by_category: dict[str, Decimal] = {}
    for line in order["lines"]:
        if not isinstance(line, dict):
            raise InvalidOrderError("a line is an object")
        article = CATALOGUE[one_of(CATALOGUE, line.get("sku"), "article")]
        quantity = line.get("quantity")
        if not isinstance(quantity, int) or isinstance(quantity, bool) or not 1 <= quantity <= MAX_QUANTITY:
            raise InvalidOrderError(f"quantity out of range: {quantity!r}")
        volume = next((percent for least, percent in VOLUME if quantity >= least), Decimal(0))
        net = article.price * quantity * (100 - volume) / 100 * (100 - off) / 100
        net_by_category[article.category] = net_by_category.get(article.category, Decimal(0)) + cents(net)

    # Tax is rounded once a rate, not once a line: that is what the invoice shows.
    net = sum(net_by_category.values(), Decimal(0))
    tax = sum(
        (cents(amount * rates[category] / 100) for category, amount in net_by_category.items()), Decimal(0)
    )
    shipping = Decimal("0.00") if net + tax >= FREE_SHIPPING_FROM else SHIPPING
    total = net + tax + shipping
    displayed = order.get("total")
    if not isinstance(displayed, str) or displayed != str(total):
        raise InvalidOrderError(f"the buyer was shown {displayed!r}, the order comes to {total}")
    return {
        "orderId": order.get("orderId"),
        "net": str(net),
        "tax": str(tax),
        "shipping": str(shipping),
        "total": str(total),
    }


def take(record: SQSRecord) -> None:
    # Standard output is the function's log, where the next stage (here: the reader) finds the priced order.
    print(json.dumps({"messageId": record.message_id, **price(json.loads(record.body))}))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    # When every message fails this raises, as an SQS consumer should: the whole batch is to be tried again.
    return dict(
        process_partial_response(event=event, record_handler=take, processor=processor, context=context)
    )
