"""Function URLs: an HTTP request as the event that AWS makes of it (payload format 2.0), and a reply as HTTP again."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ... import limits, wire
from ...aws.messages import Headers, Request

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


def event(
    request: Request,
    url_id: str,
    path: str,
    region: str,
    now: float,
    request_id: str,
    caller: Mapping[str, Any] | None = None,
) -> bytes:
    """The event (JSON) of a request for `path` of the function URL `url_id`. A longer one than limits.EVENT_BYTES is
    to be answered with `too_large`. `now` is in epoch seconds. `caller` is the "iam" object of a request that was
    signed (AuthType AWS_IAM), with accountId among its members; None for AuthType NONE.
    """
    merged: dict[str, str] = {}
    for name, value in request.headers:
        lower = name.lower()
        if lower not in HOP_BY_HOP:
            joint = "; " if lower == "cookie" else ","
            merged[lower] = f"{merged[lower]}{joint}{value}" if lower in merged else value
    merged.setdefault("x-amzn-trace-id", trace_id(now, request_id))
    merged |= {"x-forwarded-for": request.client, "x-forwarded-proto": request.scheme}
    merged["x-forwarded-port"] = str(request.port)
    merged |= {"x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256", "x-amzn-tls-version": "TLSv1.3"}
    http = {"method": request.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": request.client}
    if "user-agent" in merged:
        http["userAgent"] = merged["user-agent"]
    context: dict[str, Any] = {
        "accountId": caller["accountId"] if caller else "anonymous",
        "apiId": url_id,
        **({"authorizer": {"iam": dict(caller)}} if caller else {}),
        "domainName": _domain(merged.get("host", ""), url_id, region),
        "domainPrefix": url_id,
        "http": http,
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }
    whole: dict[str, Any] = {"version": "2.0", "routeKey": "$default"}
    whole |= {"rawPath": path, "rawQueryString": request.query}
    cookies = [cookie.strip() for cookie in merged.get("cookie", "").split(";") if cookie.strip()]
    if cookies:  # they are in the headers as well
        whole["cookies"] = cookies
    whole["headers"] = merged
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True, errors="replace"):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    if parameters:
        whole["queryStringParameters"] = parameters
    whole["requestContext"] = context
    text = _text(merged.get("content-type", ""), request.body)
    if request.body:
        whole["body"] = base64.b64encode(request.body).decode() if text is None else text
    whole["isBase64Encoded"] = bool(request.body) and text is None
    return wire.encode(whole)


def _domain(host: str, url_id: str, region: str) -> str:
    """The request's own host, where it is the URL's; else what AWS would have."""
    own = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return own if own.startswith(f"{url_id}.lambda-url.") else f"{url_id}.lambda-url.{region}.on.aws"


def trace_id(now: float, request_id: str) -> str:
    """An X-Ray trace header for a request that brought none."""
    return f"Root=1-{int(now):08x}-{request_id.replace('-', '')[:24]}"


def response(payload: bytes, function_error: bool = False) -> Response:
    """The response to a request whose function returned this JSON, or failed. An object with a statusCode is a whole
    response, though what it says may be none: then it is a failure. Anything else is the body of a 200."""
    if function_error:
        return failed()
    try:
        reply = wire.decode(payload)
        if isinstance(reply, dict) and "statusCode" in reply:
            return _whole(reply)
    except (ValueError, RecursionError, TypeError):
        return failed()
    if isinstance(reply, str):
        return 200, [JSON], reply.encode("utf-8", "replace")
    return 200, [JSON], wire.encode(reply)


def why_failed(payload: bytes) -> str:
    """What is wrong with a reply that is no response; "" where nothing is."""
    try:
        reply = wire.decode(payload)
        if isinstance(reply, dict) and "statusCode" in reply:
            _whole(reply)
    except (ValueError, RecursionError, TypeError) as error:
        return str(error) or type(error).__name__
    return ""


def failed() -> Response:
    """The function failed, or answered what is no HTTP response."""
    return 502, [JSON], b"Internal Server Error"


def unknown() -> Response:
    """There is no such function URL, or it may not be used."""
    return 403, [JSON, ("x-amzn-errortype", "AccessDeniedException")], b'{"Message":null}'


def too_large() -> Response:
    """The event would be larger than Lambda takes."""
    message = f"Request must be smaller than {limits.EVENT_BYTES} bytes for the InvokeFunction operation"
    headers = [JSON, ("x-amzn-errortype", "RequestEntityTooLargeException")]
    return 413, headers, wire.encode({"Message": message})


def preflight(cors: Mapping[str, Any] | None, method: str, headers: Headers) -> Response | None:
    """The service's own response to a CORS preflight; None for another request. `cors`: the URL's Cors record."""
    asked = _first(headers, "access-control-request-method")
    if not cors or method != "OPTIONS" or asked is None or _first(headers, "origin") is None:
        return None
    allowed = cors_headers(cors, headers)
    if any(name == "access-control-allow-origin" for name, _ in allowed):
        allowed = [pair for pair in allowed if pair[0] != "access-control-expose-headers"]
        wanted = _first(headers, "access-control-request-headers")
        for name, member, request in (
            ("access-control-allow-methods", "AllowMethods", asked),
            ("access-control-allow-headers", "AllowHeaders", wanted),
        ):
            values = cors.get(member) or []
            # With credentials a browser takes "*" literally, so what it asked for is named instead.
            if values == ["*"] and cors.get("AllowCredentials") and request:
                values = [request]
            if values:
                allowed.append((name, ",".join(values)))
        if cors.get("MaxAge") is not None:
            allowed.append(("access-control-max-age", str(cors["MaxAge"])))
    return 200, allowed, b""


def cors_headers(cors: Mapping[str, Any] | None, headers: Headers) -> list[tuple[str, str]]:
    """What the URL's Cors configuration adds to the answer of any other request. As on AWS it stands beside the
    headers that the function itself sets, not in their place."""
    origin = _first(headers, "origin")
    if not cors or origin is None:
        return []
    added = [("vary", "Origin")]
    if any(_allows(pattern, origin) for pattern in cors.get("AllowOrigins") or []):
        added.append(("access-control-allow-origin", origin))
        if cors.get("ExposeHeaders"):
            added.append(("access-control-expose-headers", ",".join(cors["ExposeHeaders"])))
        if cors.get("AllowCredentials"):
            added.append(("access-control-allow-credentials", "true"))
    return added


def _whole(reply: dict[str, Any]) -> Response:
    """A response that the function wrote out. Raises ValueError or TypeError when it is none."""
    status = _status(reply["statusCode"])
    given, cookies, content = reply.get("headers") or {}, reply.get("cookies") or [], reply.get("body")
    if not isinstance(given, dict) or not isinstance(cookies, list):
        raise ValueError("headers are an object, and cookies a list")
    if content is not None and not isinstance(content, str):
        content = wire.encode(content).decode()
    headers = []
    for name, value in given.items():
        lower = name.lower()
        if not TOKEN.fullmatch(name):
            raise ValueError(f"no header is named {name!r}")
        if lower not in HOP_BY_HOP and lower != "content-length" and value is not None:
            headers.append((lower, _value(value)))
    headers += [("set-cookie", _value(cookie)) for cookie in cookies]
    if all(name != "content-type" for name, _ in headers):
        headers.append(JSON)
    body = (content or "").encode("utf-8", "replace")
    if reply.get("isBase64Encoded") is True:
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise ValueError("the body is not Base64") from error
    return status, headers, b"" if status in BODILESS else body


def _status(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) != 3:
        raise ValueError("a statusCode is a number")
    status = int(value)
    if not 200 <= status <= 599:
        raise ValueError("a statusCode is from 200 to 599")
    return status


def _value(value: Any) -> str:
    """A header's value as it may stand on the wire: no line ends in it."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError("a header's value is text")
    text = str(value).encode("utf-8").decode("latin-1")
    if not VALUE.fullmatch(text):
        raise ValueError("a header's value is one line")
    return text


def _text(content_type: str, body: bytes) -> str | None:
    """The body as text where its type says that it is text, and it can be; None: it goes as Base64."""
    if not TEXT.fullmatch(content_type.partition(";")[0].strip()):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _allows(pattern: str, origin: str) -> bool:
    """Origins match as they are, but for one "*", which stands for any run of characters."""
    start, star, end = pattern.lower().partition("*")
    origin = origin.lower()
    if not star:
        return origin == start
    return len(origin) > len(start) + len(end) and origin.startswith(start) and origin.endswith(end)


def _first(headers: Headers, wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)
