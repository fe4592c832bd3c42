"""Every request but Invoke: which service it is for, and the Lambda API's operations, each in the control thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from .. import limits, wire
from ..aws import eventstream
from ..aws.faults import Fault
from ..aws.model import Model, Operation
from ..aws.service import Request
from ..aws.service import Response as Rendered
from ..aws.sigv4 import Verifier
from ..durable.state import State
from ..durable.store import StoreError
from ..errors import EngineError
from ..hosting.invoker import Invoker, Result
from ..hosting.packages import Packages
from ..services import urls
from ..services.lambda_ import malformed
from ..services.logs.process import LogsProcess
from ..services.sts import Sts
from .invoke import extras_of, log_result
from .passthrough import Passthrough, service_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
StrHeaders = list[tuple[str, str]]
Response = tuple[int, Sequence[tuple[bytes, bytes]], bytes] | Rendered
Run = Callable[[dict[str, Any]], dict[str, Any]]

BODY_BYTES = 70_167_211  # CreateFunction's limit: AWS's
LAMBDA_URL = "/lambda-url/"
HEALTH = "/_stoker/health"
_LOGS = "Logs_20140328."
_STREAMING = "InvokeWithResponseStream"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application works with."""

    service: Model
    operations: Mapping[str, Run]
    settle: Callable[[], None]  # moves on what an operation left pending, in the control thread
    control: Executor  # the one thread that changes the state
    state: State
    packages: Packages
    invoker: Invoker
    accept: Callable[..., None]  # Events.accept
    logs: LogsProcess
    sts: Sts
    passthrough: Passthrough
    verifier: Verifier | None


_log = logging.getLogger("stoker.http")


class ClientGone(Exception):
    """There is nobody left to answer."""


class TooLarge(Exception):
    """A body beyond its limit."""


class App:
    """The ASGI application."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with contextlib.suppress(ClientGone):
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        url = _url_id(path, headers)
        if url is not None:
            await self._url(scope, url, query, headers, receive, send)
            return
        if path == HEALTH:
            await _send(send, (200, [(b"content-type", b"application/json")], b'{"status":"running"}'))
            return
        service = service_of(headers, query)
        target = dict(headers).get("x-amz-target", "")
        if service not in (None, "lambda", "logs", "sts") or (
            service is None and not _is_lambda(path) and not target and path != "/"
        ):
            await self._pass_on(scope, service, query, headers, receive, send)
            return
        request_id = str(uuid.uuid4())
        try:
            body = await _body(receive, BODY_BYTES)
            if self._parts.verifier is not None and "/code-archive/" not in path:
                self._parts.verifier.verify(
                    scope["method"], path, query, headers, body, service=service or "lambda"
                )
            if target.startswith(_LOGS):
                said = await self._parts.logs.ask(target, body)
                answer: Response = said.status, _bytes(said.headers.items()), said.body
            elif service == "sts" or (service is None and path == "/"):
                status, some, content = self._parts.sts.call(body, query)
                answer = status, _bytes(some), content
            else:
                answer = await self._lambda(scope["method"], path, query, headers, body, request_id)
        except TooLarge:
            answer = self._parts.service.error(self._too_large(scope["method"], path, query), request_id)
        except Fault as fault:
            answer = self._parts.service.error(fault, request_id)
        except ClientGone:
            raise
        except Exception:
            _log.exception("%s %s failed", scope["method"], path)
            answer = self._parts.service.error(
                Fault("ServiceException", "Internal error", Type="Service"), request_id
            )
        await _send(send, answer)

    def _too_large(self, method: str, path: str, query: str) -> Fault:
        told = f"Request must be smaller than {BODY_BYTES} bytes"
        with contextlib.suppress(Fault):  # of another service
            told += (
                f" for the {self._parts.service.match(Request(method, path, query, []))[0].name} operation"
            )
        return Fault("RequestEntityTooLargeException", told, Type="User")

    async def _pass_on(
        self, scope: Scope, service: str | None, query: str, headers: StrHeaders, receive: Receive, send: Send
    ) -> None:
        verifier = self._parts.verifier
        if verifier is not None:
            try:
                path = scope["raw_path"].decode("latin-1")
                body: bytes | None = None
                if service != "s3":
                    body = await _body(receive, BODY_BYTES)
                    receive = _again(body, receive)
                verifier.verify(scope["method"], path, query, headers, body, service=service or "")
            except Fault as fault:
                await _send(send, self._parts.service.error(fault, str(uuid.uuid4())))
                return
        await self._parts.passthrough.forward(scope, receive, send)

    async def _lambda(
        self, method: str, path: str, query: str, headers: StrHeaders, body: bytes, request_id: str
    ) -> Response:
        parts = self._parts
        if "/code-archive/" in path and method == "GET":
            return await self._archive(path.rsplit("/", 1)[1])
        message = Request(method, path, query, headers, body)
        operation, labels = parts.service.match(message)
        request = parts.service.parse(operation, labels, message)
        parts.service.validate(operation, request)
        if operation.name == _STREAMING:
            return await self._stream(request, request_id, dict(headers).get("x-amzn-trace-id", ""))
        if operation.name == "InvokeAsync":
            return await self._invoke_async(operation, request, request_id)
        run = parts.operations.get(operation.name)
        if run is None:
            raise Fault(
                "NotImplementedException",
                f"{operation.name} is not implemented: see docs/lambda-api.md for what is",
                Type="User",
            )
        try:
            result = await asyncio.get_running_loop().run_in_executor(parts.control, run, request)
        except (StoreError, OSError) as error:
            raise Fault(
                "ServiceException", f"The change could not be stored: {error}", Type="Service"
            ) from error
        finally:
            parts.control.submit(parts.settle)
        return parts.service.render(operation, result, request_id)

    async def _archive(self, digest: str) -> Response:
        """A package, from the link that GetFunction answers with: knowing its digest is what entitles to it."""
        path = self._parts.packages.archive(digest)
        if not digest.isalnum() or not path.exists():
            raise Fault("ResourceNotFoundException", "There is no such package", Type="User")
        data = await asyncio.get_running_loop().run_in_executor(None, path.read_bytes)
        return 200, [(b"content-type", b"application/zip")], data

    async def _result(
        self, name: str, qualifier: str | None, event: bytes, id: bytes, extras: wire.Extras | None = None
    ) -> Result:
        """An invocation's result. Raises Fault."""
        future: asyncio.Future[Result | Fault] = asyncio.get_running_loop().create_future()

        def answered(result: Result | Fault) -> None:
            if not future.done():
                future.set_result(result)

        route = self._parts.invoker.route(name, qualifier)
        self._parts.invoker.invoke(route, event, answered, extras, id)
        result = await future
        if isinstance(result, Fault):
            raise malformed.explained(result, event)
        return result

    async def _stream(self, request: dict[str, Any], request_id: str, trace: str) -> Response:
        """InvokeWithResponseStream: one chunk, since a Python handler returns its response whole."""
        named = self._parts.invoker.place.parse(request["FunctionName"], request.get("Qualifier"))
        if request.get("InvocationType") == "DryRun":
            self._parts.invoker.route(named.name, named.qualifier)
            return 204, [(b"x-amzn-requestid", request_id.encode())], b""
        body = request.get("Payload") or b"{}"
        _check_size(body, limits.EVENT_BYTES, "InvokeWithResponseStream")
        extras = extras_of(request.get("ClientContext", "").encode(), trace, request.get("TenantId", ""))
        id = uuid.uuid4()
        result = await self._result(named.name, named.qualifier, body, id.bytes, extras)
        tail = log_result(result) if request.get("LogType") == "Tail" else b""
        headers = [
            (b"content-type", b"application/vnd.amazon.eventstream"),
            (b"x-amzn-requestid", str(id).encode()),
            (b"x-amz-executed-version", result.version.encode()),
        ]
        return 200, headers, eventstream.response(result.payload, result.failed, tail)

    async def _invoke_async(self, operation: Operation, request: dict[str, Any], request_id: str) -> Response:
        named = self._parts.invoker.place.parse(request["FunctionName"])
        body = request.get("InvokeArgs") or b"{}"
        _check_size(body, limits.INVOKE_ASYNC_BYTES, "InvokeAsync")
        malformed.check(body)
        self._parts.invoker.route(named.name, named.qualifier)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def durable(error: Exception | None) -> None:
            if not future.done():
                future.set_exception(error) if error else future.set_result(None)

        self._parts.accept(named.name, named.qualifier, body, uuid.uuid4().bytes, None, durable)
        try:
            await future
        except EngineError as error:
            raise Fault(
                "ServiceException", f"The event could not be stored: {error}", Type="Service"
            ) from error
        return self._parts.service.render(operation, {"Status": 202}, request_id)

    async def _url(
        self,
        scope: Scope,
        url: tuple[str, str],
        query: str,
        headers: StrHeaders,
        receive: Receive,
        send: Send,
    ) -> None:
        """A request to a function URL."""
        url_id, path = url
        parts = self._parts
        known = parts.state.get("url-id", url_id)
        record = parts.state.get("url", known["name"], known["qualifier"]) if known else None
        if known is None or record is None:
            await _send_url(send, urls.unknown())
            return
        cors = record.get("Cors")
        answer = urls.preflight(cors, scope["method"], headers)
        if answer is None:
            try:
                body = await _body(receive, limits.EVENT_BYTES)
                caller = self._caller(record, scope, query, headers, body)
                answer = await self._asked(scope, known, url_id, path, query, headers, body, caller)
            except TooLarge:
                answer = urls.too_large()
            except Fault as fault:
                answer = _url_fault(fault)
            status, some, content = answer
            answer = status, some + urls.cors_headers(cors, headers), content
        await _send_url(send, answer)

    def _caller(
        self, record: Mapping[str, Any], scope: Scope, query: str, headers: StrHeaders, body: bytes
    ) -> Mapping[str, Any] | None:
        if record.get("AuthType") != "AWS_IAM":
            return None
        verifier = self._parts.verifier
        if verifier is None:
            if not any(name == "authorization" for name, _ in headers):
                raise Fault("AccessDeniedException", "Forbidden")
            key = "unverified"
        else:
            path = scope["raw_path"].decode("latin-1")
            key = verifier.verify(scope["method"], path, query, headers, body, service="lambda")
        account = self._parts.state.account
        return {
            "accessKey": key,
            "accountId": account,
            "callerId": account,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": f"arn:aws:iam::{account}:root",
            "userId": account,
        }

    async def _asked(
        self,
        scope: Scope,
        known: Mapping[str, Any],
        url_id: str,
        path: str,
        query: str,
        headers: StrHeaders,
        body: bytes,
        caller: Mapping[str, Any] | None,
    ) -> urls.Response:
        id = uuid.uuid4()
        event = urls.event(
            scope["method"], path, query, headers, body, url_id=url_id, region=self._parts.state.region,
            source_ip=(scope.get("client") or ("127.0.0.1", 0))[0], now=time.time(), request_id=str(id),
            scheme=scope.get("scheme", "http"), port=(scope.get("server") or ("", 80))[1] or 80, caller=caller,
        )  # fmt: skip
        if len(event) > limits.EVENT_BYTES:
            return urls.too_large()
        result = await self._result(known["name"], known["qualifier"] or None, event, id.bytes)
        status, some, content = urls.response(result.payload, result.failed)
        return status, [*some, ("x-amzn-requestid", str(id))], content


def _url_id(path: str, headers: StrHeaders) -> tuple[str, str] | None:
    """A function URL's id and the path behind it, of a path or host that names one."""
    if path.startswith(LAMBDA_URL):
        url_id, slash, rest = path[len(LAMBDA_URL) :].partition("/")
        return url_id, slash + rest or "/"
    for name, value in headers:
        if name == "host" and ".lambda-url." in value:
            return value.split(".", 1)[0], path
    return None


def _url_fault(fault: Fault) -> urls.Response:
    if fault.code == "TooManyRequestsException":
        return 429, [urls.JSON], b'{"Message":"Rate Exceeded."}'
    if fault.code == "ServiceException":
        return urls.failed()
    return 403, [urls.JSON, ("x-amzn-ErrorType", "AccessDeniedException")], b'{"Message":"Forbidden"}'


def _is_lambda(path: str) -> bool:
    return len(path) > 11 and path[1:5].isdigit() and path[5] == path[8] == "-" and path[11] == "/"


def _check_size(body: bytes, limit: int, operation: str) -> None:
    if len(body) > limit:
        message = f"Request must be smaller than {limit} bytes for the {operation} operation"
        raise Fault("RequestTooLargeException", message, Type="User")


async def _body(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise TooLarge
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


def _again(body: bytes, receive: Receive) -> Receive:
    """A receive that gives a body that was read already."""
    given = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _bytes(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _send(send: Send, answer: Response) -> None:
    status, headers, body = (
        (answer.status, answer.headers, answer.body) if isinstance(answer, Rendered) else answer
    )
    some = list(headers)
    if status != 204:
        some.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": some})
    await send({"type": "http.response.body", "body": body})


async def _send_url(send: Send, answer: urls.Response) -> None:
    status, headers, body = answer
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    await _send(send, (status, _bytes(kept), body))
