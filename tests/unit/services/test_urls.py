"""Function URLs: requests as events, replies as HTTP, CORS."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import LambdaFunctionUrlEvent
from hypothesis import given
from hypothesis import strategies as st

from engine import limits
from engine.aws.messages import Headers, Request
from engine.services.urls import conversion as urls

REQUEST_ID = "7a2b1a6e-8c4b-4f0e-9b7e-0a1b2c3d4e5f"
CORS = {"AllowOrigins": ["https://www.example.com", "http://localhost:*"], "AllowMethods": ["GET", "PUT"]}
ASKS = [("Origin", "https://www.example.com"), ("Access-Control-Request-Method", "PUT")]


def event(
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: Headers = (),
    body: bytes = b"",
    port: int = 80,
    caller: dict[str, Any] | None = None,
) -> dict[str, Any]:
    request = Request(method, path, query, headers, body, port=port)
    made = urls.event(request, "abc123", path, "eu-west-1", 1584039838.25, REQUEST_ID, caller)
    value = json.loads(made)
    assert isinstance(value, dict)
    return value


def test_the_whole_event() -> None:
    headers = [
        ("Host", "localhost:9001"), ("User-Agent", "curl/8"), ("X-Many", "a"), ("x-many", "b"),
        ("Content-Type", "text/plain; charset=utf-8"), ("Connection", "keep-alive"), ("Cookie", "c1=1; c2=2"),
    ]  # fmt: skip
    made = event("POST", "/my/p%20th", "a=1&a=2&b=x%2By+z&empty", headers, b"Hello \xc3\xbc", port=9001)
    assert made == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/p%20th",
        "rawQueryString": "a=1&a=2&b=x%2By+z&empty",
        "cookies": ["c1=1", "c2=2"],
        "headers": {
            "host": "localhost:9001",
            "user-agent": "curl/8",
            "x-many": "a,b",
            "content-type": "text/plain; charset=utf-8",
            "cookie": "c1=1; c2=2",
            "x-amzn-trace-id": "Root=1-5e6a879e-7a2b1a6e8c4b4f0e9b7e0a1b",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-port": "9001",
            "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
            "x-amzn-tls-version": "TLSv1.3",
        },
        "queryStringParameters": {"a": "1,2", "b": "x+y z", "empty": ""},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc123",
            "domainName": "abc123.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "abc123",
            "http": {
                "method": "POST",
                "path": "/my/p%20th",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "curl/8",
            },
            "requestId": REQUEST_ID,
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1584039838250,
        },
        "body": "Hello ü",
        "isBase64Encoded": False,
    }
    parsed = LambdaFunctionUrlEvent(made)
    assert parsed.request_context.http.method == "POST" and parsed.cookies == ["c1=1", "c2=2"]


def test_what_is_not_there_is_left_out() -> None:
    made = event()
    assert {"body", "cookies", "queryStringParameters"} & set(made) == set()
    assert made["isBase64Encoded"] is False
    assert "userAgent" not in made["requestContext"]["http"]


def test_a_client_cannot_say_where_it_comes_from() -> None:
    made = event(headers=[("X-Forwarded-For", "1.2.3.4"), ("X-Amzn-Trace-Id", "Root=mine")])
    assert made["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert made["headers"]["x-amzn-trace-id"] == "Root=mine"


def test_a_signed_request_says_who_signed() -> None:
    caller = {"accountId": "123456789012", "accessKey": "AKIA", "userArn": "arn:aws:iam::123456789012:root"}
    context = event(caller=caller)["requestContext"]
    assert context["accountId"] == "123456789012" and context["authorizer"] == {"iam": caller}


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("text/html", True), ("application/json", True), ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True), ("image/svg+xml", False), ("application/xml", True),
        ("application/javascript", True), ("application/x-www-form-urlencoded", False),
        ("application/octet-stream", False), ("image/png", False), ("multipart/form-data; boundary=x", False),
        (None, False),
    ],
)  # fmt: skip
def test_the_content_type_decides_on_base64(content_type: str | None, text: bool) -> None:
    headers = [("content-type", content_type)] if content_type else []
    made = event("POST", headers=headers, body=b"a=1")
    assert (made["body"], made["isBase64Encoded"]) == (("a=1", False) if text else ("YT0x", True))


@given(st.binary(min_size=1), st.sampled_from(["text/plain", "application/json", "image/png", ""]))
def test_no_byte_of_a_body_is_lost(body: bytes, content_type: str) -> None:
    made = event("POST", headers=[("Content-Type", content_type)], body=body)
    sent = made["body"]
    assert (base64.b64decode(sent) if made["isBase64Encoded"] else sent.encode()) == body


@given(st.text(), st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_every_request_makes_an_event(path: str, query: str, headers: list[tuple[str, str]]) -> None:
    assert event("GET", path, query, headers)["version"] == "2.0"


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (b'["hello", 3, true]', b'["hello",3,true]'), (b'"hello"', b"hello"), (b"3", b"3"), (b"3.1", b"3.1"),
        (b"true", b"true"), (b"null", b"null"), (b'{"hello": "world"}', b'{"hello":"world"}'),
        (b'"\\u00fc"', "ü".encode()), (b'{"statusCode": 200, "body": "body123"}', b"body123"),
    ],
)  # fmt: skip
def test_what_is_inferred_from_a_return_value(payload: bytes, body: bytes) -> None:
    assert urls.response(payload) == (200, [("content-type", "application/json")], body)


def test_a_whole_response() -> None:
    reply = {
        "statusCode": "418", "headers": {"Content-Type": "text/plain", "X-Number": 3, "X-Yes": True, "Connection": "x"},
        "cookies": ["a=1; Secure", "b=2"], "body": "short and stout",
    }  # fmt: skip
    status, headers, body = urls.response(json.dumps(reply).encode())
    assert (status, body) == (418, b"short and stout")
    assert headers == [
        ("content-type", "text/plain"), ("x-number", "3"), ("x-yes", "true"),
        ("set-cookie", "a=1; Secure"), ("set-cookie", "b=2"),
    ]  # fmt: skip


@pytest.mark.parametrize("reply", [{"statusCode": 502}, {"a": 1}, "text", None])
def test_what_is_right_needs_no_reason(reply: Any) -> None:
    assert urls.why_failed(json.dumps(reply).encode()) == ""


def test_bodies() -> None:
    def body(**reply: Any) -> bytes:
        return urls.response(json.dumps({"statusCode": 200, **reply}).encode())[2]

    assert body() == b"" and body(body=None) == b""
    assert body(body="AP8=", isBase64Encoded=True) == b"\x00\xff"
    assert body(body="AP8=") == b"AP8="
    assert body(body={"a": [1, "ü"]}) == '{"a":[1,"ü"]}'.encode()
    assert body(body=[1]) == b"[1]"
    assert body(statusCode=204, body="x") == b""


@pytest.mark.parametrize(
    "reply",
    [
        {"statusCode": "x"}, {"statusCode": 99}, {"statusCode": 100}, {"statusCode": 600}, {"statusCode": None},
        {"statusCode": True}, {"statusCode": [200]}, {"statusCode": 200.5}, {"statusCode": "9" * 5000},
        {"statusCode": 200, "headers": ["x"]}, {"statusCode": 200, "headers": {"a b": "x"}},
        {"statusCode": 200, "headers": {"": "x"}}, {"statusCode": 200, "headers": {"a": "x\r\nSet-Cookie: y"}},
        {"statusCode": 200, "headers": {"a\r\nb": "x"}}, {"statusCode": 200, "headers": {"a": ["x"]}},
        {"statusCode": 200, "headers": {"a": "\x00"}}, {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": [1, None]}, {"statusCode": 200, "cookies": ["a\nb"]},
        {"statusCode": 200, "body": "%%%", "isBase64Encoded": True},
    ],
)  # fmt: skip
def test_a_malformed_response_is_a_failure(reply: Any) -> None:
    payload = json.dumps(reply).encode()
    assert urls.response(payload) == urls.failed()
    assert urls.why_failed(payload)


def test_failures() -> None:
    assert urls.response(b'{"errorType": "X"}', True)[::2] == (502, b"Internal Server Error")
    assert urls.response(b"not JSON") == urls.failed()
    assert urls.response(b"[" * 100_000)[0] in (200, 502)
    status, headers, body = urls.unknown()
    assert (status, dict(headers)["x-amzn-errortype"], body) == (
        403,
        "AccessDeniedException",
        b'{"Message":null}',
    )
    status, _, body = urls.too_large()
    assert status == 413 and str(limits.EVENT_BYTES) in json.loads(body)["Message"]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"statusCode": json_values | st.integers(190, 610)},
        optional={
            "headers": json_values,
            "cookies": json_values,
            "body": json_values,
            "isBase64Encoded": json_values,
        },
    )
)
def test_whatever_is_returned_makes_a_response_that_can_be_sent(reply: dict[str, Any]) -> None:
    status, headers, body = urls.response(json.dumps(reply).encode())
    assert 200 <= status <= 599 and isinstance(body, bytes)
    for name, value in headers:
        (name + value).encode("latin-1")
        assert not set("\r\n\0") & set(name + value)


def test_a_preflight_is_answered_by_the_service() -> None:
    cors = {
        **CORS,
        "AllowHeaders": ["X-A", "X-B"],
        "MaxAge": 0,
        "ExposeHeaders": ["X-C"],
        "AllowCredentials": True,
    }
    assert urls.preflight(cors, "OPTIONS", ASKS) == (
        200,
        [
            ("vary", "Origin"),
            ("access-control-allow-origin", "https://www.example.com"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET,PUT"),
            ("access-control-allow-headers", "X-A,X-B"),
            ("access-control-max-age", "0"),
        ],
        b"",
    )


def test_a_preflight_from_elsewhere_is_told_nothing() -> None:
    asks = [("origin", "https://evil.example.com"), ASKS[1]]
    assert urls.preflight(CORS, "OPTIONS", asks) == (200, [("vary", "Origin")], b"")


def test_what_is_no_preflight_goes_to_the_function() -> None:
    assert urls.preflight(None, "OPTIONS", ASKS) is None
    assert urls.preflight(CORS, "GET", ASKS) is None
    assert urls.preflight(CORS, "OPTIONS", ASKS[:1]) is None
    assert urls.preflight(CORS, "OPTIONS", ASKS[1:]) is None


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("*", "https://a.example", True), ("https://a.example", "HTTPS://A.EXAMPLE", True),
        ("https://*", "http://a.example", False), ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://.example.com", False), ("https://a.b", "https://a.b.c", False),
        ("http://localhost:*", "http://localhost:3000", True), ("*a*a*a*", "a" * 5000, False),
    ],
)  # fmt: skip
def test_origins(pattern: str, origin: str, allowed: bool) -> None:
    added = urls.cors_headers({"AllowOrigins": [pattern]}, [("Origin", origin)])
    assert (("access-control-allow-origin", origin) in added) is allowed


def test_what_cors_adds_to_other_answers() -> None:
    assert urls.cors_headers({**CORS, "ExposeHeaders": ["X-C", "Date"]}, ASKS) == [
        ("vary", "Origin"),
        ("access-control-allow-origin", "https://www.example.com"),
        ("access-control-expose-headers", "X-C,Date"),
    ]
    assert urls.cors_headers(CORS, []) == [] and urls.cors_headers(None, ASKS) == []


def test_wildcards_with_credentials_are_spelt_out() -> None:
    cors = {"AllowOrigins": ["*"], "AllowMethods": ["*"], "AllowHeaders": ["*"], "AllowCredentials": True}
    answer = urls.preflight(cors, "OPTIONS", [*ASKS, ("Access-Control-Request-Headers", "x-a,x-b")])
    assert answer is not None
    assert dict(answer[1])["access-control-allow-methods"] == "PUT"
    assert dict(answer[1])["access-control-allow-headers"] == "x-a,x-b"


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("abc123.lambda-url.eu-west-1.localhost:9001", "abc123.lambda-url.eu-west-1.localhost"),
        ("abc123.lambda-url.eu-west-1.localhost", "abc123.lambda-url.eu-west-1.localhost"),
        ("127.0.0.1:9001", "abc123.lambda-url.eu-west-1.on.aws"),
        ("", "abc123.lambda-url.eu-west-1.on.aws"),
    ],
)
def test_the_domain_is_the_host_s(host: str, domain: str) -> None:
    assert event("GET", headers=[("Host", host)])["requestContext"]["domainName"] == domain
