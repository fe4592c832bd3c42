"""One request to an API: where it goes, and what events say of it."""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...aws.messages import Request
from ...aws.names import Place
from ...aws.service import Caller
from ...aws.traces import traceparent
from ..urls.payload import joined_query, merged


def short_id() -> str:
    """An extended request id."""
    return base64.b64encode(secrets.token_bytes(11)).decode()


@dataclass(slots=True)
class Exchange:
    """path: decoded, with the stage where the request has it; rest: what routes see of it, not decoded."""

    request: Request
    caller: Caller
    place: Place
    api_id: str
    stage: str
    variables: Mapping[str, str]
    path: str
    rest: str
    route: str = ""  # a route's key, a resource's path
    parameters: dict[str, str] = field(default_factory=dict)
    authorizer: dict[str, Any] | None = None  # the request context's member
    identity: dict[str, Any] = field(default_factory=dict)  # beyond the address and agent
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    short: str = field(default_factory=short_id)
    now: float = field(default_factory=time.time)
    target: str = ""  # its integration's: a function's ARN, or a URL
    called: float = 0.0  # when that was called, epoch seconds
    integration: float | None = None  # seconds that its integration took, once it has
    headers: dict[str, str] = field(init=False)  # as events have them, in lower case

    def __post_init__(self) -> None:
        self.headers = merged(self.request, self.now, str(self.id))

    @property
    def trace(self) -> str:
        """The X-Amzn-Trace-Id that the request goes on with."""
        return self.headers["x-amzn-trace-id"]

    @property
    def trace_headers(self) -> list[tuple[str, str]]:
        """What a backend and the client have of its trace; W3C's, if it came so."""
        found = [("x-amzn-trace-id", self.trace)]
        if given := self.headers.get("traceparent"):
            found.append(("traceparent", traceparent(self.trace) or given))
        return found

    @property
    def domain(self) -> str:
        return f"{self.api_id}.execute-api.{self.place.region}.amazonaws.com"

    def arn(self, path: str) -> str:
        """Of what is at a path of the API: a stage's route, an authorizer."""
        place = self.place
        return f"arn:aws:execute-api:{place.region}:{place.account}:{self.api_id}/{path}"

    @property
    def method_arn(self) -> str:
        """Of the request itself, which authorizers' policies are about."""
        return self.arn(f"{self.stage}/{self.request.method}/{self.rest.removeprefix('/')}")

    def value(self, expression: str) -> str | None:
        """What an expression such as $request.header.Authorization means; None: there is none."""
        source, _, name = expression.removeprefix("$").removeprefix("method.").rpartition(".")
        if source in ("request.header", "header"):
            return self.headers.get(name.lower()) or None
        if source in ("request.querystring", "querystring"):
            return joined_query(self.request.query).get(name) or None
        if source == "stageVariables":
            return self.variables.get(name) or None
        if source in ("request.path", "path"):
            return self.parameters.get(name) or None
        if source.startswith("context"):
            return self._context(expression.partition("context.")[2])
        return None

    def _context(self, name: str) -> str | None:
        known = {
            "accountId": self.place.account, "apiId": self.api_id, "domainName": self.domain,
            "domainPrefix": self.api_id, "httpMethod": self.request.method, "identity.sourceIp": self.request.client,
            "identity.userAgent": self.headers.get("user-agent", ""), "path": self.path, "protocol": "HTTP/1.1",
            "requestId": str(self.id), "routeKey": self.route, "stage": self.stage, "resourcePath": self.route,
            "extendedRequestId": self.short,
        }  # fmt: skip
        return known.get(name) or None
