"""A small bookshop behind an HTTP API: several routes in one function, by Powertools' resolver."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, NotFoundError

CATALOGUE = {
    isbn: {"isbn": isbn, "title": title, "author": author, "price": price}
    for isbn, title, author, price in (
        ("9780131103627", "The C Programming Language", "Kernighan, Ritchie", "59.90"),
        ("9780201633610", "Design Patterns", "Gamma, Helm, Johnson, Vlissides", "54.95"),
        ("9780201616224", "The Pragmatic Programmer", "Hunt, Thomas", "42.00"),
        ("9781449373320", "Designing Data-Intensive Applications", "Kleppmann", "47.99"),
        ("9780262033848", "Introduction to Algorithms", "Cormen, Leiserson, Rivest, Stein", "89.00"),
    )
}
MAX_COPIES = 99

app = APIGatewayHttpResolver()


def isbn13(text: Any) -> str:
    """A checked ISBN-13, hyphens and spaces removed. An old ISBN-10 is turned into its ISBN-13."""
    digits = str(text).replace("-", "").replace(" ", "").upper()
    if (
        len(digits) == 10
        and digits.isascii()
        and digits[:9].isdigit()
        and (digits[9].isdigit() or digits[9] == "X")
    ):
        values = [10 if digit == "X" else int(digit) for digit in digits]
        if sum(weight * value for weight, value in zip(range(10, 0, -1), values, strict=True)) % 11 == 0:
            body = "978" + digits[:9]
            return body + str(-weighted(body) % 10)
    elif len(digits) == 13 and digits.isascii() and digits.isdigit() and weighted(digits) % 10 == 0:
        return digits
    raise BadRequestError(f"not an ISBN: {text}")


def weighted(digits: str) -> int:
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))


def find(isbn: Any) -> dict[str, str]:
    book = CATALOGUE.get(isbn13(isbn))
    if book is None:
        raise NotFoundError(f"no book has ISBN {isbn13(isbn)}")
    return book


@app.get("/health")
def health() -> dict[str, Any]:
    return {"status": "ok", "books": len(CATALOGUE)}


@app.get("/books")
def books() -> dict[str, Any]:
    author = app.current_event.query_string_parameters.get("author", "").casefold()
    found = [book for book in CATALOGUE.values() if author in book["author"].casefold()]
    return {"count": len(found), "books": sorted(found, key=lambda book: book["title"])}


@app.get("/books/<isbn>")
def book(isbn: str) -> dict[str, str]:
    return find(isbn)


@app.post("/baskets")
def basket() -> Response[Any]:
    try:
        body = app.current_event.json_body
    except ValueError as error:
        raise BadRequestError("the body is not JSON") from error
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        raise BadRequestError("a basket needs items")
    lines = []
    total = Decimal(0)
    copies_in_all = 0
    for item in items:
        copies = item.get("copies", 1) if isinstance(item, dict) else None
        if not isinstance(copies, int) or isinstance(copies, bool) or not 1 <= copies <= MAX_COPIES:
            raise BadRequestError(f"copies: 1 to {MAX_COPIES}")
        found = find(item.get("isbn"))
        amount = Decimal(found["price"]) * copies
        total += amount
        copies_in_all += copies
        lines.append(
            {"isbn": found["isbn"], "title": found["title"], "copies": copies, "amount": str(amount)}
        )
    # Three books or more: one twentieth off the whole.
    discount = (
        (total / 20).quantize(Decimal("0.01"), ROUND_HALF_UP) if copies_in_all >= 3 else Decimal("0.00")
    )
    return Response(
        status_code=201,
        content_type=content_types.APPLICATION_JSON,
        headers={"Cache-Control": "no-store"},
        body={"lines": lines, "discount": str(discount), "total": str(total - discount)},
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return app.resolve(event, context)
