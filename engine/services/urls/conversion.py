"""Function URLs: an HTTP request as the event that AWS makes of it (payload format 2.0), and a reply as HTTP again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import limits, wire
from ...aws.messages import Headers, Request
from .payload import JSON, Response, body_members, cookies_of, head, http_of, merged, time_of, whole


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
    headers = merged(request, now, request_id)
    headers |= {"x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256", "x-amzn-tls-version": "TLSv1.3"}
    context: dict[str, Any] = {
        "accountId": caller["accountId"] if caller else "anonymous",
        "apiId": url_id,
        **({"authorizer": {"iam": dict(caller)}} if caller else {}),
        "domainName": _domain(headers.get("host", ""), url_id, region),
        "domainPrefix": url_id,
        "http": http_of(request, path, headers),
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": time_of(now),
        "timeEpoch": int(now * 1000),
    }
    cookies = cookies_of(headers)  # they are in the headers as well
    members = head(request, path, "$default", cookies, headers) | {"requestContext": context}
    return wire.encode(members | body_members(request, headers.get("content-type", "")))


def _domain(host: str, url_id: str, region: str) -> str:
    """The request's own host, where it is the URL's; else what AWS would have."""
    own = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return own if own.startswith(f"{url_id}.lambda-url.") else f"{url_id}.lambda-url.{region}.on.aws"


def response(payload: bytes, function_error: bool = False) -> Response:
    """The response to a request whose function returned this JSON, or failed. An object with a statusCode is a whole
    response, though what it says may be none: then it is a failure. Anything else is the body of a 200."""
    if function_error:
        return failed()
    try:
        reply = wire.decode(payload)
        if isinstance(reply, dict) and "statusCode" in reply:
            return _written_out(reply)
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
            _written_out(reply)
    except (ValueError, RecursionError, TypeError) as error:
        return str(error) or type(error).__name__
    return ""


def _written_out(reply: dict[str, Any]) -> Response:
    """As whole(); a body that is no text is sent as JSON."""
    body = reply.get("body")
    return whole(
        reply if body is None or isinstance(body, str) else {**reply, "body": wire.encode(body).decode()}
    )


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


def _allows(pattern: str, origin: str) -> bool:
    """Origins match as they are, but for one "*", which stands for any run of characters."""
    start, star, end = pattern.lower().partition("*")
    origin = origin.lower()
    if not star:
        return origin == start
    return len(origin) > len(start) + len(end) and origin.startswith(start) and origin.endswith(end)


def _first(headers: Headers, wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)
