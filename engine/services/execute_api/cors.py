"""An HTTP API's CORS configuration: it responds to preflights itself, and its headers replace those of a backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...aws.messages import Request

Pairs = list[tuple[str, str]]


def is_preflight(request: Request) -> bool:
    asked = request.header("origin") and request.header("access-control-request-method")
    return request.method == "OPTIONS" and bool(asked)


def preflight(cors: Mapping[str, Any], request: Request) -> Pairs:
    """The headers of the response to a preflight; none for an origin that is not allowed."""
    headers = _origin(cors, request)
    if not headers:
        return []
    for name, member in (("methods", "AllowMethods"), ("headers", "AllowHeaders")):
        if values := cors.get(member):
            headers.append((f"access-control-allow-{name}", ",".join(values)))
    if cors.get("MaxAge") is not None:
        headers.append(("access-control-max-age", str(cors["MaxAge"])))
    return headers


def applied(cors: Mapping[str, Any] | None, request: Request, headers: Pairs) -> Pairs:
    """A response's headers as the configuration has them."""
    if not cors:
        return headers
    kept = [pair for pair in headers if not pair[0].lower().startswith("access-control-")]
    if not request.header("origin"):
        return kept
    return kept + _origin(cors, request)


def _origin(cors: Mapping[str, Any], request: Request) -> Pairs:
    origin = request.header("origin")
    allowed = cors.get("AllowOrigins") or []
    schemes = tuple(each[:-1] for each in allowed if each.endswith("://*"))
    if "*" in allowed:
        origin = "*"
    elif origin not in allowed and not (schemes and origin.startswith(schemes)):
        return []
    headers = [("access-control-allow-origin", origin)]
    if cors.get("AllowCredentials"):
        headers.append(("access-control-allow-credentials", "true"))
    if cors.get("ExposeHeaders"):
        headers.append(("access-control-expose-headers", ",".join(cors["ExposeHeaders"])))
    return headers
