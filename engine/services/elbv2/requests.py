"""Requests to load balancers, at hosts called NAME-ID.REGION.elb.…: by a listener's rules to a function."""

from __future__ import annotations

import base64
import fnmatch
import ipaddress
import random
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from ... import wire
from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.names import Place
from ...aws.service import Access, Caller, Service
from ...aws.traces import of_request
from ...durable.state import Record
from ...hosting.placements import Hosting
from ..execute_api.functions import Function, Functions, NotInvoked, Reason, function_of
from ..execute_api.responses import format_1, response
from ..urls.payload import body_of, text_of, trace_id
from .catalog import BALANCERS, GROUPS, LISTENERS, MULTI, RULES, key

BYTES = 1 << 20  # of a request's body, and of a function's response: AWS's
SECONDS = 900.0  # that a function has, who has its own timeout
PRINCIPAL = "elasticloadbalancing.amazonaws.com"
PATH = "/_aws/elb/"
_TEXT = ("content-type", "application/octet-stream")
_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n"
    "<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)
_PHRASES = {
    400: "400 Bad Request", 403: "403 Forbidden", 413: "413 Request Entity Too Large", 502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out",
}  # fmt: skip


class LoadBalancers(Service):
    """Served at the load balancers' hosts and under /_aws/elb/NAME-ID/PORT/…, as the listener and path."""

    name = "load balancers"
    hosts = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+\.elb\.")
    paths = re.compile(rf"[A-Z]+ {PATH}")
    body_bytes = BYTES
    copies = 4
    cross_site = True  # a function says by its headers who may

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting
        self._functions = Functions(hosting, PRINCIPAL)

    def access(self, request: Request) -> Access:
        return Access.OPEN

    async def call(self, request: Request, caller: Caller) -> Response:
        if request.header("upgrade"):
            return page(400)
        name, port, path = _target(request)
        found = self._find(name, port)
        if found is None:
            return page(503)
        place, listener = found
        for rule in _rules(listener):
            if all(_holds(each, request, path) for each in rule["Conditions"]):
                return await self._done(rule["Actions"], request, place, path)
        return await self._done(listener["DefaultActions"], request, place, path)

    def error(self, request: Request, fault: Fault) -> Response:
        return page(403)

    def too_large(self, request: Request) -> Response:
        return page(413)

    def _find(self, name: str, port: int | None) -> tuple[Place, Record] | None:
        """The listener of a port, or the first one."""
        for placement in self._hosting.all():
            record = placement.state.get(BALANCERS, name.rpartition("-")[2])
            whole = record and f"{record['LoadBalancerName']}-{key(record['LoadBalancerArn'])}".lower()
            if record is None or whole != name:
                continue
            listeners = sorted(record[LISTENERS].values(), key=lambda each: int(each["Port"]))
            found = next((each for each in listeners if port in (None, each["Port"])), None)
            return (placement.place, found) if found else None
        return None

    async def _done(self, actions: list[Record], request: Request, place: Place, path: str) -> Response:
        action = actions[-1]
        if action["Type"] == "fixed-response":
            fixed = action.get("FixedResponseConfig") or {}
            kind = (fixed.get("ContentType") or "text/plain").encode()
            body = str(fixed.get("MessageBody") or "").encode()
            return Response(int(fixed["StatusCode"]), [(b"content-type", kind)], body)
        if action["Type"] == "redirect":
            return _redirected(action["RedirectConfig"], request, path)
        group = self._hosting.of(place).state.get(GROUPS, key(_group(action)))
        if group is None or not group["_targets"]:
            return page(503)
        function = function_of({"target": group["_targets"][0]}, "target", "role", {})
        return await self._invoked(function, group, request, place, path)

    async def _invoked(
        self, function: Function | None, group: Record, request: Request, place: Place, path: str
    ) -> Response:
        id, multi = uuid.uuid4(), group["_attributes"].get(MULTI) == "true"
        made = wire.encode(event(request, group["TargetGroupArn"], path, multi, str(id)))
        arn, account = group["TargetGroupArn"], place.account
        try:
            given = of_request(request.header("x-amzn-trace-id"), request.header("traceparent"))
            trace = given or trace_id(time.time(), str(id))
            result = await self._functions.invoke(function, arn, account, made, id.bytes, SECONDS, trace)
            if result.failed or len(result.payload) > BYTES:
                return page(502)
            return reply(result.payload, multi)
        except NotInvoked as error:
            return page({Reason.LATE: 504, Reason.THROTTLED: 503}.get(error.reason, 502))
        except ValueError:
            return page(502)


def event(request: Request, group: str, path: str, multi: bool, id: str) -> dict[str, Any]:
    """What a function gets. multi: the target group's attribute. Values of the query are as they were sent."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(name, []).append(value)
    headers.setdefault("x-amzn-trace-id", [trace_id(time.time(), id)])
    headers |= {"x-forwarded-for": [request.client], "x-forwarded-port": [str(request.port)],
                "x-forwarded-proto": [request.scheme]}  # fmt: skip
    query: dict[str, list[str]] = {}
    for pair in request.query.split("&") if request.query else ():
        name, _, value = pair.partition("=")
        query.setdefault(name, []).append(value)
    text = "" if not request.body else _text(request)
    encoded = text is None
    body = base64.b64encode(request.body).decode() if text is None else text
    found: dict[str, Any] = {"requestContext": {"elb": {"targetGroupArn": group}}, "httpMethod": request.method,
                             "path": path}  # fmt: skip
    if multi:
        found |= {
            "multiValueQueryStringParameters": query,
            "multiValueHeaders": dict(sorted(headers.items())),
        }
    else:
        found["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
        found["headers"] = {name: values[-1] for name, values in sorted(headers.items())}
    return found | {"body": body, "isBase64Encoded": encoded}


def _text(request: Request) -> str | None:
    """None: it goes as Base64."""
    if request.header("content-encoding"):
        return None
    kind = request.header("content-type")
    if not kind:
        try:
            return request.body.decode()
        except UnicodeDecodeError:
            return None
    return text_of(kind, request.body)


def reply(payload: bytes, multi: bool) -> Response:
    """What a function's reply means. Raises ValueError for one that is none."""
    decoded = wire.decode(payload)
    if not isinstance(decoded, dict) or "statusCode" not in decoded:
        raise ValueError("a reply is an object with a statusCode")
    # A target group takes headers of the one form or of the other.
    kept = {
        name: value
        for name, value in decoded.items()
        if name != ("headers" if multi else "multiValueHeaders")
    }
    try:
        (status, headers, body), encoded = format_1(wire.encode(kept), False, _TEXT)
    except Exception:
        raise ValueError("it is no reply") from None
    return response((status, headers, body_of(body.decode("latin-1"), True) if encoded else body))


def page(status: int) -> Response:
    """A load balancer's own."""
    body = _PAGE.format(_PHRASES[status]).encode()
    return Response(status, [(b"content-type", b"text/html"), (b"server", b"awselb/2.0")], body)


def _target(request: Request) -> tuple[str, int | None, str]:
    """A load balancer's name and id, the listener's port where the request names it, and the path."""
    if request.path.startswith(PATH):
        name, _, rest = request.path[len(PATH) :].partition("/")
        port, _, path = rest.partition("/")
        return name.lower(), int(port) if port.isdecimal() and port.isascii() else 0, f"/{path}"
    return request.header("host").partition(".")[0].lower(), None, request.path


def _rules(listener: Record) -> Iterator[Record]:
    return iter(sorted(listener[RULES].values(), key=lambda each: int(each["Priority"])))


def _group(action: Mapping[str, Any]) -> str:
    """The ARN of the target group that this request goes to, by the weights of several."""
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    if not groups:
        return str(action.get("TargetGroupArn") or "")
    weights = [int(each.get("Weight", 1)) for each in groups]
    chosen = random.choices(groups, weights)[0] if any(weights) else groups[0]
    return str(chosen["TargetGroupArn"])


def _holds(condition: Mapping[str, Any], request: Request, path: str) -> bool:
    field = condition["Field"]
    config: Mapping[str, Any] = next((condition[name] for name in condition if name.endswith("Config")), {})
    values = condition.get("Values") or config.get("Values") or []
    if field == "path-pattern":
        return any(_like(each, path) for each in values)
    if field == "host-header":
        return any(_like(each.lower(), request.header("host").partition(":")[0].lower()) for each in values)
    if field == "http-request-method":
        return request.method in values
    if field == "http-header":
        sent = request.header(str(config.get("HttpHeaderName", "")).lower())
        return any(_like(each.lower(), sent.lower()) for each in values)
    if field == "source-ip":
        return any(
            ipaddress.ip_address(request.client) in ipaddress.ip_network(each, False) for each in values
        )
    pairs = [tuple(map(unquote, pair.partition("=")[::2])) for pair in request.query.split("&")]
    return any(
        _like(each.get("Value", ""), value) and ("Key" not in each or _like(each["Key"], name))
        for each in values for name, value in pairs
    )  # fmt: skip


def _like(pattern: str, text: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _redirected(config: Mapping[str, Any], request: Request, path: str) -> Response:
    host, _, port = request.header("host").partition(":")
    known = {"protocol": request.scheme, "host": host, "port": port or "80", "path": path.removeprefix("/"),
             "query": request.query}  # fmt: skip

    def part(name: str, default: str) -> str:
        given = str(config.get(name) or default)
        return re.sub(r"#\{(\w+)\}", lambda found: known.get(found[1], ""), given)

    protocol, query = part("Protocol", "#{protocol}").lower(), part("Query", "#{query}")
    address = f"{protocol}://{part('Host', '#{host}')}:{part('Port', '#{port}')}{part('Path', '/#{path}')}"
    location = f"{address}?{query}" if query else address
    status = 301 if config.get("StatusCode") == "HTTP_301" else 302
    return Response(status, [(b"location", location.encode("latin-1", "replace"))], b"")
