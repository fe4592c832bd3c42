"""Payload format 2.0, which function URLs and HTTP APIs have: a request as an event, and a reply as HTTP again."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ...aws.messages import Request
from ...aws.traces import of_traceparent

Response = tuple[int, list[tuple[str, str]], bytes]
JSON = ("content-type", "application/json")
# Between client and server only: no business of a function's.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
HOP_BY_HOP |= {"proxy-authenticate", "proxy-authorization", "proxy-connection"}
BODILESS = frozenset({204, 205, 304})
TEXT = re.compile(
    r"text/.*|application/(json|xml|javascript|x-javascript|ecmascript|.+\+(json|xml))", re.IGNORECASE
)
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def merged(request: Request, now: float, request_id: str) -> dict[str, str]:
    """A request's headers as an event has them, and those that AWS adds. now: in epoch seconds."""
    merged: dict[str, str] = {}
    for name, value in request.headers:
        lower = name.lower()
        if lower not in HOP_BY_HOP:
            joint = "; " if lower == "cookie" else ","
            merged[lower] = f"{merged[lower]}{joint}{value}" if lower in merged else value
    if "x-amzn-trace-id" not in merged:
        merged["x-amzn-trace-id"] = of_traceparent(merged.get("traceparent", "")) or trace_id(now, request_id)
    merged |= {"x-forwarded-for": request.client, "x-forwarded-proto": request.scheme}
    merged["x-forwarded-port"] = str(request.port)
    return merged


def cookies_of(headers: Mapping[str, str]) -> list[str]:
    return [cookie.strip() for cookie in headers.get("cookie", "").split(";") if cookie.strip()]


def http_of(request: Request, path: str, headers: Mapping[str, str]) -> dict[str, str]:
    """What a request context says of HTTP."""
    http = {"method": request.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": request.client}
    if "user-agent" in headers:
        http["userAgent"] = headers["user-agent"]
    return http


def time_of(now: float) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))


def joined_query(query: str) -> dict[str, str]:
    """A query's parameters, several of a name as one."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters


def head(
    request: Request, path: str, route_key: str, cookies: list[str], headers: Mapping[str, str]
) -> dict[str, Any]:
    """An event's members that come before its request context."""
    whole: dict[str, Any] = {"version": "2.0", "routeKey": route_key}
    whole |= {"rawPath": path, "rawQueryString": request.query}
    if cookies:
        whole["cookies"] = cookies
    whole["headers"] = headers
    if parameters := joined_query(request.query):
        whole["queryStringParameters"] = parameters
    return whole


def body_members(request: Request, content_type: str) -> dict[str, Any]:
    """What an event has of the body: nothing but isBase64Encoded, of none."""
    text = text_of(content_type, request.body)
    out: dict[str, Any] = {}
    if request.body:
        out["body"] = base64.b64encode(request.body).decode() if text is None else text
    out["isBase64Encoded"] = bool(request.body) and text is None
    return out


def trace_id(now: float, request_id: str) -> str:
    """An X-Ray trace header for a request that brought none."""
    return f"Root=1-{int(now):08x}-{request_id.replace('-', '')[:24]}"


def whole(reply: Mapping[str, Any], untyped: tuple[str, str] = JSON) -> Response:
    """A response that the function wrote out; untyped: its content type, if it names none. Raises ValueError or
    TypeError when it is none."""
    status = status_of(reply["statusCode"])
    given, cookies, content = reply.get("headers") or {}, reply.get("cookies") or [], reply.get("body")
    if not isinstance(given, dict) or not isinstance(cookies, list) or not isinstance(content, str | None):
        raise ValueError("headers are an object, cookies a list, and a body is text")
    headers = headers_of(given.items())
    headers += [("set-cookie", header_value(cookie)) for cookie in cookies]
    if all(name != "content-type" for name, _ in headers):
        headers.append(untyped)
    body = body_of(content, reply.get("isBase64Encoded") is True)
    return status, headers, b"" if status in BODILESS else body


def headers_of(given: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    """A response's headers, in lower case, without those that are not a function's to say. Raises ValueError."""
    headers = []
    for name, value in given:
        lower = name.lower()
        if not TOKEN.fullmatch(name):
            raise ValueError(f"no header is named {name!r}")
        if lower not in HOP_BY_HOP and lower != "content-length" and value is not None:
            headers.append((lower, header_value(value)))
    return headers


def body_of(content: str | None, encoded: bool) -> bytes:
    """A response's body. Raises ValueError."""
    body = (content or "").encode("utf-8", "replace")
    if encoded:
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise ValueError("the body is not Base64") from error
    return body


def status_of(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) != 3:
        raise ValueError("a statusCode is a number")
    status = int(value)
    if not 200 <= status <= 599:
        raise ValueError("a statusCode is from 200 to 599")
    return status


def header_value(value: Any) -> str:
    """A header's value as it may stand on the wire: no line ends in it."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError("a header's value is text")
    text = str(value).encode("utf-8").decode("latin-1")
    if not VALUE.fullmatch(text):
        raise ValueError("a header's value is one line")
    return text


def text_of(content_type: str, body: bytes) -> str | None:
    """The body as text where its type says that it is text, and it can be; None: it goes as Base64."""
    if not TEXT.fullmatch(content_type.partition(";")[0].strip()):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
