"""Requests to function URLs: each is an invocation of the function that the URL belongs to."""

from __future__ import annotations

import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ... import limits, wire
from ...aws import traces
from ...aws.faults import Fault
from ...aws.messages import Headers, Request, Response
from ...aws.service import Access, Caller, Service
from ...hosting.placements import Hosting, Placement
from ...hosting.results import Result
from ...observe.records import FunctionOutput
from ...observe.tally import Tally
from ..lambda_ import malformed, policies
from . import conversion, payload
from .measuring import UrlMetrics

PATH = "/lambda-url/"
Json = Mapping[str, Any]


class FunctionUrlRequests(Service):
    """Served under /lambda-url/ID/… and at hosts called ID.lambda-url.…"""

    name = "function URLs"
    signing_name = ""
    paths = re.compile(rf"[A-Z]+ {PATH}")
    hosts = re.compile(r"[a-z0-9]+\.lambda-url\.")
    signed_for = "lambda"
    body_bytes = limits.EVENT_BYTES
    copies = 4  # the event has it once more, as Base64
    cross_site = True  # a URL's Cors configuration says who may

    def __init__(
        self,
        hosting: Hosting,
        guarded: bool,
        log: Callable[[FunctionOutput], object] = lambda output: None,
        strict: bool = False,
        tally: Tally | None = None,
    ) -> None:
        """guarded: the server verifies signatures; else one that is there is believed. log: takes what is to be in a
        function's log. strict: a URL that anybody may call needs a policy that says so, as on AWS."""
        self._metrics = UrlMetrics(tally or Tally())
        self._log = log
        self._strict = strict
        self._warned: set[str] = set()  # functions whose URL has no such policy
        self._hosting = hosting
        self._guarded = guarded

    def access(self, request: Request) -> Access:
        _, _, record = self._find(request)
        if record is None or conversion.preflight(record.get("Cors"), request.method, request.headers):
            return Access.OPEN
        return Access.SIGNED if record.get("AuthType") == "AWS_IAM" else Access.OPEN

    async def call(self, request: Request, caller: Caller) -> Response:
        began = time.perf_counter()
        placement, owner, record = self._find(request)
        if placement is None or owner is None or record is None:
            return _response(conversion.unknown())
        response = await self._respond(placement, owner, record, request, caller)
        self._metrics.responded(placement.place, owner["name"], owner["qualifier"], response.status, began)
        return response

    async def _respond(
        self, placement: Placement, owner: Json, record: Json, request: Request, caller: Caller
    ) -> Response:
        preflight = conversion.preflight(record.get("Cors"), request.method, request.headers)
        if preflight is not None:
            return _response(preflight)
        identity = None
        if record.get("AuthType") == "NONE":
            self._check_policy(placement, owner)
        if record.get("AuthType") == "AWS_IAM":
            if not self._guarded and not request.header("authorization"):
                raise Fault("AccessDeniedException", "Forbidden")
            identity = identity_of(placement.place.account, caller.key if self._guarded else "unverified")
        response = await self._invoke(placement, owner, request, identity)
        return _response(response, conversion.cors_headers(record.get("Cors"), request.headers))

    async def _invoke(
        self, placement: Placement, owner: Json, request: Request, identity: Json | None
    ) -> payload.Response:
        id, now = uuid.uuid4(), time.time()
        url_id, path = _target(request)
        event = conversion.event(request, url_id, path, placement.place.region, now, str(id), caller=identity)
        if len(event) > limits.EVENT_BYTES:
            return conversion.too_large()
        qualifier = owner["qualifier"] or None
        given = traces.of_request(request.header("x-amzn-trace-id"), request.header("traceparent"))
        sampled = placement.invoker.sampled(owner["name"], qualifier)
        trace = traces.completed(given or payload.trace_id(now, str(id)), id.bytes, now, sampled)
        extras = wire.Extras(trace=trace)
        result = await placement.invoker.result(owner["name"], qualifier, event, id.bytes, extras)
        if isinstance(result, Fault):
            raise malformed.explained(result, event)
        status, headers, body = conversion.response(result.payload, result.failed)
        if status == 502 and not result.failed and (why := conversion.why_failed(result.payload)):
            self._explain(result, why)
        own = [
            ("x-amzn-requestid", str(id)),
            ("x-amzn-trace-id", traces.response_header(trace).decode("latin-1")),
        ]
        if request.header("traceparent"):
            own.append(("traceparent", traces.traceparent(extras.trace)))
        names = {name.lower() for name, _ in headers}
        return status, [*headers, *(each for each in own if each[0] not in names)], body

    def _check_policy(self, placement: Placement, owner: Json) -> None:
        """Raises Fault where that is strict; else it is said, once."""
        name, qualifier = owner["name"], owner["qualifier"]
        arn = placement.place.function(name, qualifier or None)
        if arn in self._warned or policies.opens_url(placement.state.get("policy", name, qualifier)):
            return
        if self._strict:
            raise Fault("AccessDeniedException", "Forbidden")
        self._warned.add(arn)
        print(
            f"stoker: {arn} has no policy that lets anybody call its URL: on AWS, and with --strict, that is a 403. "
            "Add one by AddPermission: Action lambda:InvokeFunctionUrl, Principal *, FunctionUrlAuthType NONE",
            file=sys.stderr,
            flush=True,
        )

    def _explain(self, result: Result, why: str) -> None:
        """Into the function's log: its caller sees a 502 and no more."""
        info, born = result.deployment.info, result.record.born if result.record else 0
        stream = wire.log_stream(info.log_stream, born)
        text = f"[stoker] RequestId: {result.request_id}: what it returned is no HTTP response, so it is a 502: {why}\n"
        self._log(
            FunctionOutput(info.region, info.account, info.log_group, stream, int(result.at * 1000), text)
        )

    def _find(self, request: Request) -> tuple[Placement | None, Json | None, Json | None]:
        """Where the URL's function is, whose URL it is, and its configuration."""
        url_id, _ = _target(request)
        for placement in self._hosting.all():
            owner = placement.state.get("url-id", url_id)
            if owner is not None:
                return placement, owner, placement.state.get("url", owner["name"], owner["qualifier"])
        return None, None, None

    def error(self, request: Request, fault: Fault) -> Response:
        return self._refusal(request, _refused(fault))

    def too_large(self, request: Request) -> Response:
        return self._refusal(request, conversion.too_large())

    def _refusal(self, request: Request, refusal: payload.Response) -> Response:
        placement, owner, record = self._find(request)
        if placement is not None and owner is not None:
            self._metrics.responded(placement.place, owner["name"], owner["qualifier"], refusal[0])
        return _response(refusal, conversion.cors_headers((record or {}).get("Cors"), request.headers))


def _target(request: Request) -> tuple[str, str]:
    """A URL's id, and the path behind it."""
    if request.path.startswith(PATH):
        url_id, slash, rest = request.path[len(PATH) :].partition("/")
        return url_id, slash + rest or "/"
    return request.header("host").split(".", 1)[0], request.path


def identity_of(account: str, key: str) -> dict[str, Any]:
    """The "iam" object of a signed request's event: everybody is the account's root here."""
    return {
        "accessKey": key,
        "accountId": account,
        "callerId": account,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{account}:root",
        "userId": account,
    }


def _refused(fault: Fault) -> payload.Response:
    if fault.code == "TooManyRequestsException":
        return 429, [payload.JSON], b'{"Message":"Rate Exceeded."}'
    if fault.code == "ServiceException":
        return conversion.failed()
    if fault.code == "ServiceUnavailableException":
        return 503, [payload.JSON], b'{"Message":"Service Unavailable"}'
    denied = [payload.JSON, ("x-amzn-ErrorType", "AccessDeniedException")]
    return 403, denied, b'{"Message":"Forbidden"}'


def _response(response: payload.Response, cors: Headers = ()) -> Response:
    status, headers, body = response
    lower = ((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (*headers, *cors))
    return Response(status, [pair for pair in lower if pair[0] != b"content-length"], body)
