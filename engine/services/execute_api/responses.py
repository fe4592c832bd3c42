"""Responses of APIs: what a function's reply means, and what API Gateway says itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import wire
from ...aws.messages import Response
from ..urls.payload import BODILESS, JSON, TOKEN, body_of, headers_of, status_of, whole
from .functions import NotInvoked, Reason

Pairs = list[tuple[str, str]]
Reply = tuple[int, Pairs, bytes]
TEXT = ("content-type", "text/plain;charset=UTF-8")
# The kinds of refusals, as gateway responses name them, and what HTTP APIs say of each.
HTTP: Mapping[str, tuple[int, str]] = {
    "RESOURCE_NOT_FOUND": (404, "Not Found"),
    "UNAUTHORIZED": (401, "Unauthorized"),
    "ACCESS_DENIED": (403, "Forbidden"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Forbidden"),
    "REQUEST_TOO_LARGE": (413, "Request Entity Too Large"),
    "INTEGRATION_TIMEOUT": (503, "Service Unavailable"),
    "THROTTLED": (503, "Service Unavailable"),
}
_FAILED = (500, "Internal Server Error")


class Refused(Exception):
    """API Gateway's own response. kind: one of its gateway responses, or BAD_REPLY; message: where it is another than
    usual."""

    def __init__(self, kind: str, headers: Pairs | None = None, message: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.message = message
        self.headers = headers or []


def refused(error: NotInvoked) -> Refused:
    """An integration whose function was not invoked."""
    kinds = {
        Reason.THROTTLED: "THROTTLED",
        Reason.LATE: "INTEGRATION_TIMEOUT",
        Reason.LARGE: "REQUEST_TOO_LARGE",
    }
    return Refused(kinds.get(error.reason, "API_CONFIGURATION_ERROR"))


def of_http_api(refusal: Refused) -> Reply:
    status, message = HTTP.get(refusal.kind, _FAILED)
    return status, [JSON, *refusal.headers], wire.encode({"message": message})


def format_2(payload: bytes, failed: bool) -> Reply:
    """A function's reply in payload format 2.0. Raises Refused."""
    try:
        reply = wire.decode(payload)
        if failed:
            raise Refused("BAD_REPLY")
        if isinstance(reply, dict) and "statusCode" in reply:
            return whole(reply, TEXT)
    except (ValueError, RecursionError, TypeError):
        raise Refused("BAD_REPLY") from None
    return 200, [JSON], reply.encode("utf-8", "replace") if isinstance(reply, str) else payload


def format_1(payload: bytes, failed: bool, untyped: tuple[str, str] = TEXT) -> tuple[Reply, bool]:
    """A function's reply in payload format 1.0, its body as it was written, and whether that is Base64. Raises
    Refused."""
    try:
        reply = None if failed else wire.decode(payload)
        if not isinstance(reply, dict):
            raise ValueError("a reply is an object")
        return _format_1(reply, untyped)
    except (ValueError, RecursionError, TypeError):
        raise Refused("BAD_REPLY") from None


def _format_1(reply: Mapping[str, Any], untyped: tuple[str, str]) -> tuple[Reply, bool]:
    status = status_of(reply["statusCode"]) if "statusCode" in reply else 0
    given, many = reply.get("headers") or {}, reply.get("multiValueHeaders") or {}
    body, encoded = reply.get("body"), reply.get("isBase64Encoded") is True
    if (
        not status
        or not isinstance(given, dict)
        or not isinstance(many, dict)
        or not isinstance(body, str | None)
    ):
        raise ValueError("headers are objects, and a body is text")
    listed = {name.lower() for name in many}
    pairs = [(name, value) for name, value in given.items() if name.lower() not in listed]
    headers = headers_of([*pairs, *((name, each) for name, values in many.items() for each in values)])
    if all(name != "content-type" for name, _ in headers):
        headers.append(untyped)
    return (status, headers, b"" if status in BODILESS else body_of(body, False)), encoded


def response(reply: Reply, *more: tuple[str, str]) -> Response:
    """Whatever configured them, headers have names and are one line each."""
    status, headers, body = reply
    pairs = [
        (name.lower().encode("latin-1"), _line(value).encode("latin-1", "replace"))
        for name, value in (*headers, *more)
        if TOKEN.fullmatch(name) and name.lower() != "content-length"
    ]
    return Response(status, pairs, body)


def _line(value: str) -> str:
    return (
        value if value.isprintable() else "".join(each for each in value if each == "\t" or ord(each) >= 32)
    )
