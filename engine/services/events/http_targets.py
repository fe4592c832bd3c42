"""Events to API destinations: one HTTP request each, authorized by the destination's connection, at its rate."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import gzip
import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from ... import wire
from ...aws.names import Place
from ...aws.outbound import Outbound
from ...durable.state import Record
from ...routing.inputs import text_at
from .catalog import CONNECTIONS, DESTINATIONS, Catalog
from .connections import named
from .delivery import Job, Refused

if TYPE_CHECKING:
    import httpcore

TIMEOUT = 5.0  # seconds, AWS's
CONNECTIONS_MOST = 50
_EXTENSIONS = {"timeout": {"connect": TIMEOUT, "read": TIMEOUT, "write": TIMEOUT, "pool": 30.0}}
_HEADERS = {
    "User-Agent": "Amazon/EventBridge/ApiDestinations",
    "Content-Type": "application/json; charset=utf-8",
    "Range": "bytes=0-1048575",
    "Accept-Encoding": "gzip,deflate",
    "Connection": "close",
}
_BY_CODE = {
    401: "NO_PERMISSIONS",
    403: "NO_PERMISSIONS",
    404: "NO_RESOURCE",
    410: "NO_RESOURCE",
    429: "THROTTLING",
}
_Parts = tuple[dict[str, str], dict[str, str], dict[str, str]]  # headers, query, body


class HttpTargets:
    """Belongs to the event loop."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._outbound = Outbound(CONNECTIONS_MOST)
        self._tokens: dict[str, tuple[str, str]] = {}  # of connections, by their ids: type and token
        self._next: dict[str, float] = {}  # by destination: when the next request may go, monotonic

    async def aclose(self) -> None:
        await self._outbound.aclose()

    async def send(self, job: Job, target: Mapping[str, Any], body: bytes) -> bytes:
        """Done once the destination took it: its response. Raises Refused."""
        arn = target["Arn"]
        place = Place(*arn.split(":")[3:5])
        destination = self._catalog.state(place).get(DESTINATIONS, named(arn))
        if destination is None:
            raise Refused("NO_RESOURCE", f"{arn} does not exist", retriable=False)
        connection = self._catalog.state(place).get(CONNECTIONS, named(destination["ConnectionArn"]))
        if connection is None or connection["ConnectionState"] != "AUTHORIZED":
            raise Refused(
                "NO_PERMISSIONS", f"{destination['ConnectionArn']} is not authorized", retriable=False
            )
        await self._pace(destination)
        status, headers, content = await self._request(job, target, destination, connection, body)
        if status in (401, 407) and self._tokens.pop(connection["_id"], None) is not None:
            status, headers, content = await self._request(
                job, target, destination, connection, body
            )  # the token was old
        if 200 <= status < 300:
            return _plain(content, headers.get("content-encoding", ""))
        retriable = status == 429 or status >= 500
        after = _retry_after(headers.get("retry-after", ""))
        code = _BY_CODE.get(status, "SDK_CLIENT_ERROR" if status < 500 else "INTERNAL_ERROR")
        text = f"{destination['InvocationEndpoint']} responded with status {status}"
        raise Refused(code, text, retriable=retriable and after >= 0, after=max(0.0, after))

    async def _pace(self, destination: Record) -> None:
        """What is above the limit waits its turn."""
        now, id = time.monotonic(), destination["_id"]
        turn = max(now, self._next.get(id, 0.0))
        self._next[id] = turn + 1.0 / destination["InvocationRateLimitPerSecond"]
        if turn > now:
            await asyncio.sleep(turn - now)

    async def _request(
        self, job: Job, target: Mapping[str, Any], destination: Record, connection: Record, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        given = target.get("HttpParameters") or {}
        event = wire.decode(job.event)
        headers, query, fields = await self._authorized(connection)
        headers |= {
            name: _dynamic(event, value) for name, value in (given.get("HeaderParameters") or {}).items()
        }
        query |= {
            name: _dynamic(event, value) for name, value in (given.get("QueryStringParameters") or {}).items()
        }
        url = destination["InvocationEndpoint"]
        if "://" not in url:
            url = f"https://{url}"
        for value in given.get("PathParameterValues") or ():
            url = url.replace("*", quote(_dynamic(event, value), safe=""), 1)
        if fields and isinstance(document := wire.decode(body), dict):
            body = wire.encode({**document, **fields})
        return await self._sent(
            destination["HttpMethod"], _with_query(url, query), {**_HEADERS, **headers}, body
        )

    async def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Raises Refused when there is no response."""
        response, content = await self.response(method, url, headers, body)
        return response.status, _named(response), content

    async def response(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[httpcore.Response, bytes]:
        """Raises Refused when there is none."""
        content = b"" if method in ("GET", "HEAD", "OPTIONS", "DELETE") else body
        pool = await self._outbound.pool()
        import httpcore

        try:
            async with asyncio.timeout(2 * TIMEOUT):
                response = await pool.request(
                    method, url, headers=list(headers.items()), content=content, extensions=_EXTENSIONS
                )
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise Refused("TIMEOUT", f"{url}: no response within {TIMEOUT:g} s", retriable=True) from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            raise Refused("SDK_CLIENT_ERROR", f"{url}: {error}", retriable=True) from error
        return response, response.content

    async def _authorized(self, connection: Record) -> _Parts:
        """What a connection adds to a request."""
        auth = connection["_auth"]
        headers, query, fields = _parameters(auth.get("InvocationHttpParameters"))
        kind = connection["AuthorizationType"]
        if kind == "BASIC":
            basic = auth["BasicAuthParameters"]
            text = base64.b64encode(f"{basic['Username']}:{basic['Password']}".encode()).decode()
            headers["Authorization"] = f"Basic {text}"
        elif kind == "API_KEY":
            key = auth["ApiKeyAuthParameters"]
            headers[key["ApiKeyName"]] = key["ApiKeyValue"]
        else:
            kind, token = self._tokens.get(connection["_id"]) or await self._token(connection)
            headers["Authorization"] = f"{kind} {token}"
        return headers, query, fields

    async def _token(self, connection: Record) -> tuple[str, str]:
        oauth = connection["_auth"]["OAuthParameters"]
        headers, query, fields = _parameters(oauth.get("OAuthHttpParameters"))
        client = oauth["ClientParameters"]
        form = {
            "grant_type": "client_credentials", "client_id": client["ClientID"],
            "client_secret": client.get("ClientSecret", ""), **fields,
        }  # fmt: skip
        url = oauth["AuthorizationEndpoint"]
        if oauth["HttpMethod"] == "GET":
            query |= form
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            **headers,
        }
        response, body = await self.response(
            oauth["HttpMethod"], _with_query(url, query), headers, urlencode(form).encode()
        )
        try:
            found = wire.decode(body)
            token = str(found.get("token_type") or "Bearer"), str(found["access_token"])
        except (ValueError, KeyError, AttributeError, TypeError):
            text = f"{url} gave no access token: status {response.status}"
            retriable = response.status == 429 or response.status >= 500
            raise Refused("NO_PERMISSIONS", text, retriable=retriable) from None
        self._tokens[connection["_id"]] = token
        return token


def _plain(content: bytes, encoding: str) -> bytes:
    """A body that was sent compressed; what cannot be read so is none."""
    if encoding not in ("gzip", "deflate"):
        return content
    try:
        return gzip.decompress(content) if encoding == "gzip" else zlib.decompress(content)
    except (OSError, EOFError, zlib.error):
        return b""


def _parameters(given: Mapping[str, Any] | None) -> _Parts:
    kinds = ("HeaderParameters", "QueryStringParameters", "BodyParameters")
    headers, query, fields = (
        {each["Key"]: each.get("Value", "") for each in (given or {}).get(kind) or ()} for kind in kinds
    )
    return headers, query, fields


def _dynamic(event: Any, value: str) -> str:
    """A path reads the original event."""
    return text_at(event, value) if value.startswith("$.") else value


def _with_query(url: str, query: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    both = "&".join(part for part in (parts.query, urlencode(query)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", both, ""))


def _named(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def _retry_after(text: str) -> float:
    """Seconds; negative: it is not to be tried again."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
