"""Requests of pipes: to API destinations, and to this server's APIs of API Gateway."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from ... import wire
from ...aws.clients import CallFailed
from ...aws.names import Place
from ...aws.upstream import Upstream
from ...services.events.delivery import Job
from ...services.events.http_targets import HttpTargets
from .templates import dynamic, seen

_BODILESS = ("GET", "HEAD", "OPTIONS", "DELETE")


class Posts:
    """Belongs to the event loop."""

    def __init__(
        self,
        http: HttpTargets,
        upstream: Upstream,
        own: Callable[[], str],
        api_url: Callable[[Place, str], str],
    ) -> None:
        """own: this server's URL; api_url: an API's, whose host leads to it."""
        self._http = http
        self._upstream = upstream
        self._own, self._api_url = own, api_url

    async def post(self, arn: str, given: Mapping[str, Any], record: Any, body: bytes) -> bytes:
        """The response's body. given: HttpParameters, whose paths read the record. Raises CallFailed."""
        if ":execute-api:" in arn:
            return await self._to_api(arn, given, record, body)
        job = Job(arn, b"", wire.encode(seen(record)), time.time())
        return await self._http.send(job, {"Arn": arn, "HttpParameters": given}, body)

    async def _to_api(self, arn: str, given: Mapping[str, Any], record: Any, body: bytes) -> bytes:
        place, named = Place(*arn.split(":")[3:5]), arn.split(":", 5)[5]
        api, stage, method, path = (*named.split("/", 3), "", "", "", "")[:4]
        for value in given.get("PathParameterValues") or ():
            path = path.replace("*", quote(dynamic(value, record), safe=""), 1)
        query = {
            name: dynamic(value, record) for name, value in (given.get("QueryStringParameters") or {}).items()
        }
        headers = {
            name: dynamic(value, record) for name, value in (given.get("HeaderParameters") or {}).items()
        }
        host = urlsplit(self._api_url(place, api)).netloc
        target = (
            ("" if stage == "$default" else f"/{stage}")
            + f"/{path}"
            + (f"?{urlencode(query)}" if query else "")
        )
        method = "POST" if method in ("", "*") else method
        content = b"" if method in _BODILESS else body
        request = AWSRequest(
            method, f"http://{host}{target}", data=content,
            headers={"Content-Type": "application/json", "User-Agent": "Amazon/EventBridge/Pipes", **headers},
        )  # fmt: skip
        SigV4Auth(await self._upstream.credentials(place), "execute-api", place.region).add_auth(request)
        sent = {**{name: str(value) for name, value in request.headers.items()}, "Host": host}
        response, content = await self._http.response(method, f"{self._own()}{target}", sent, content)
        if response.status >= 300:
            text = f"{arn} responded with status {response.status}"
            raise CallFailed(
                "TooManyRequestsException" if response.status == 429 else "HttpStatus", text,
                retriable=response.status == 429 or response.status >= 500,
            )  # fmt: skip
        return content
