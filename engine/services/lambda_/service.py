"""AWS Lambda as a service of the endpoint: every operation but Invoke, which http/invoke.py has."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ... import limits, wire
from ...aws import eventstream, traces
from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Caller, ModelService
from ...durable.folder import StoreError
from ...errors import EngineError
from ...hosting.packages import Package
from ...hosting.placements import Hosting, Placement
from ...routing import recursion
from ...routing.event import AcceptedEvent
from ...routing.events import Events
from . import catalog, malformed
from .code import NotUnpacked, Upload
from .control import Control, Operation
from .invocation import check_size, extras_of, log_result

_UPLOADS = 64  # at a time; threads, most of which wait


class ControlPlane(NamedTuple):
    """The operations on one account's functions in one region, and what moves on what they have left pending."""

    operations: dict[str, Operation]
    settle: Callable[[], None]


class Lambda(ModelService):
    """Lambda of every region and account. Operations of the control plane run one after the other in `executor`."""

    unsigned_paths = re.compile(r"/\d{4}-\d\d-\d\d/")

    def __init__(
        self,
        model: Model,
        hosting: Hosting,
        events: Events,
        executor: Executor,
        control: Callable[[Placement], Control],
    ) -> None:
        """control: what the operations of one place work with."""
        super().__init__(model, {})
        self._hosting = hosting
        self._events = events
        self._executor = executor
        self._control = control
        self._planes: dict[Place, ControlPlane] = {}
        self._uploads = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="stoker-upload")

    def plane(self, place: Place) -> ControlPlane:
        """A place's control plane, made when it is first asked for. In the executor's thread, or before it has one."""
        found = self._planes.get(place)
        if found is None:
            found = self._planes[place] = ControlPlane(
                *catalog.assemble(self._control(self._hosting.of(place)))
            )
        return found

    def settle(self) -> None:
        """At the server's start: what an earlier one left pending moves on."""
        for placement in self._hosting.all():
            self.plane(placement.place).settle()

    def settle_soon(self, place: Place) -> None:
        """What is pending there may be done: from any thread."""
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._executor.submit(lambda: self.plane(place).settle())

    async def call(self, request: Request, caller: Caller) -> Response:
        operation, labels = self.model.match(request)
        members = self.model.parse(operation, labels, request)
        self.model.validate(operation, members)
        id = uuid.uuid4()
        if operation.name == "InvokeWithResponseStream":
            return await self._stream(members, request, caller, id)
        if operation.name == "InvokeAsync":
            await self._invoke_async(members, caller, id)
            return self.model.render(operation, {"Status": 202}, str(id))
        result = await self._run(caller.place, operation.name, members)
        return self.model.render(operation, result, str(id))

    async def _run(self, place: Place, name: str, members: dict[str, Any]) -> dict[str, Any]:
        """An operation in the control thread; what it waits for, in another, while that does others."""
        try:
            return await self._in_control(place, name, members)
        except NotUnpacked as error:
            upload = error.upload
        making = self._uploads.submit(upload.make)
        try:
            package = await asyncio.wrap_future(making)
            return await self._in_control(place, name, upload.with_package(package))
        except OSError as error:
            raise _not_stored(error) from error
        finally:  # whatever became of it, and of whoever asked
            making.add_done_callback(functools.partial(self._release, upload))

    async def _in_control(self, place: Place, name: str, members: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._operate, place, name, members)

    def _release(self, upload: Upload, making: Future[Package]) -> None:
        """Once its package is made and the operation on it, which may be under way, is over."""
        if not making.cancelled() and making.exception() is None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                self._executor.submit(upload.packages.release, (making.result().digest,))

    def _operate(self, place: Place, name: str, members: dict[str, Any]) -> dict[str, Any]:
        plane = self.plane(place)
        run: Operation | None = plane.operations.get(name)
        if run is None:
            raise self.not_implemented(name)
        try:
            return run(members)
        except (StoreError, OSError) as error:
            raise _not_stored(error) from error
        finally:
            self._executor.submit(plane.settle)

    def not_implemented(self, operation: str) -> Fault:
        message = f"{operation} is not implemented: see docs/lambda-api.md for what is"
        return Fault("NotImplementedException", message, Type="User")

    async def _stream(
        self, members: dict[str, Any], request: Request, caller: Caller, id: uuid.UUID
    ) -> Response:
        """InvokeWithResponseStream: one chunk, since a Python handler returns its response whole."""
        placement = self._hosting.of(caller.place)
        name = placement.place.parse(members["FunctionName"], members.get("Qualifier"))
        if members.get("InvocationType") == "DryRun":
            placement.invoker.route(name.name, name.qualifier)
            return Response(204, [(b"x-amzn-requestid", str(id).encode())], b"")
        payload = members.get("Payload") or b"{}"
        check_size(len(payload), limits.EVENT_BYTES, "InvokeWithResponseStream")
        extras = extras_of(
            members.get("ClientContext", "").encode(),
            request.header("x-amzn-trace-id"),
            members.get("TenantId", ""),
        )
        sampled = placement.invoker.sampled(name.name, name.qualifier)
        if sampled and (extras is None or not extras.trace):
            extras = extras or wire.Extras()
            extras.trace = traces.own(id.bytes, time.time(), placement.place.function(name.name))
        elif extras is not None and extras.trace:
            extras.trace = traces.completed(extras.trace, id.bytes, time.time(), sampled)
            recursion.check(placement, name.name, extras)
        result = await placement.invoker.result(name.name, name.qualifier, payload, id.bytes, extras)
        if isinstance(result, Fault):
            raise malformed.explained(result, payload)
        tail = log_result(result) if members.get("LogType") == "Tail" else b""
        headers = [
            (b"content-type", b"application/vnd.amazon.eventstream"),
            (b"x-amzn-requestid", str(id).encode()),
            (b"x-amz-executed-version", result.version.encode()),
        ]
        return Response(200, headers, eventstream.response(result.payload, result.failed, tail))

    async def _invoke_async(self, members: dict[str, Any], caller: Caller, id: uuid.UUID) -> None:
        placement = self._hosting.of(caller.place)
        name = placement.place.parse(members["FunctionName"])
        payload = members.get("InvokeArgs") or b"{}"
        check_size(len(payload), limits.INVOKE_ASYNC_BYTES, "InvokeAsync")
        malformed.check(payload)
        placement.invoker.route(name.name, name.qualifier)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_stored(error: BaseException | None) -> None:
            if not stored.done():
                stored.set_exception(error) if error else stored.set_result(None)

        event = AcceptedEvent(name.name, name.qualifier, placement.place.partition, id.bytes, time.time())
        self._events.accept(event, payload, on_stored)
        try:
            await stored
        except EngineError as error:
            text = f"The event could not be stored: {error}"
            raise Fault("ServiceException", text, Type="Service") from error


def _not_stored(error: Exception) -> Fault:
    return Fault("ServiceException", f"The change could not be stored: {error}", Type="Service")
