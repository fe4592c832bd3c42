"""The sample http-api: routes over books and baskets."""

import json
from typing import Any

import pytest
from sample_functions import event, invoke


def call(payload: Any) -> tuple[int, Any]:
    response = invoke("http-api", payload)
    assert response["isBase64Encoded"] is False
    assert response["headers"]["Content-Type"] == "application/json"
    return response["statusCode"], json.loads(response["body"])


def test_http_api_finds_books_by_author() -> None:
    status, body = call("list")
    assert status == 200
    assert (body["count"], [book["title"] for book in body["books"]]) == (1, ["The Pragmatic Programmer"])


def test_http_api_without_a_query_lists_all_books_by_title() -> None:
    payload = event("http-api", "list")
    del payload["queryStringParameters"]
    payload["rawQueryString"] = ""
    titles = [book["title"] for book in call(payload)[1]["books"]]
    assert len(titles) == 5
    assert titles == sorted(titles)


def test_http_api_answers_an_old_isbn_with_the_same_book() -> None:
    assert call("book") == (
        200,
        {
            "isbn": "9780131103627",
            "title": "The C Programming Language",
            "author": "Kernighan, Ritchie",
            "price": "59.90",
        },
    )


@pytest.mark.parametrize("file", ["basket", "basket-base64"])
def test_http_api_prices_a_basket_with_its_discount(file: str) -> None:
    status, body = call(file)
    assert status == 201
    assert [(line["title"], line["copies"], line["amount"]) for line in body["lines"]] == [
        ("Design Patterns", 2, "109.90"),
        ("Designing Data-Intensive Applications", 1, "47.99"),
    ]
    assert (body["discount"], body["total"]) == ("7.89", "150.00")
    assert invoke("http-api", file)["headers"]["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "the body is not JSON"),
        ("[]", "a basket needs items"),
        ('{"items": [{"isbn": "9780201633610", "copies": 0}]}', "copies: 1 to 99"),
        ('{"items": [{"isbn": "020163361X"}]}', "not an ISBN: 020163361X"),
    ],
)
def test_http_api_says_what_is_wrong_with_a_basket(body: str, message: str) -> None:
    assert call({**event("http-api", "basket"), "body": body}) == (
        400,
        {"statusCode": 400, "message": message},
    )


def test_http_api_health_and_refusals() -> None:
    health = event("http-api", "list")
    health["rawPath"] = health["requestContext"]["http"]["path"] = "/health"
    assert call(health) == (200, {"status": "ok", "books": 5})
    assert call("bad-isbn") == (400, {"statusCode": 400, "message": "not an ISBN: 9780131103628"})
    assert call("bad-route") == (404, {"statusCode": 404, "message": "Not found"})
    unknown = event("http-api", "book")
    unknown["rawPath"] = unknown["requestContext"]["http"]["path"] = "/books/9780306406157"
    assert call(unknown) == (404, {"statusCode": 404, "message": "no book has ISBN 9780306406157"})
