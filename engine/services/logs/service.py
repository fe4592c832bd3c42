"""CloudWatch Logs as a service of the endpoint: each operation is carried out in the log's own process, and what
subscription filters match is delivered from here."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from ... import wire
from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.names import Place
from ...aws.protocols.base import STATUS
from ...aws.service import Caller, Service
from .live import HEADERS, session, started
from .process import LogsProcess
from .subscriptions import Subscriptions


class Logs(Service):
    """CloudWatch Logs of every region and account."""

    name = "logs"
    signing_name = "logs"
    target_prefixes = ("Logs_20140328",)

    def __init__(self, process: LogsProcess, subscriptions: Subscriptions) -> None:
        self._process = process
        self._subscriptions = subscriptions
        self._ended = asyncio.Event()

    def drain(self) -> None:
        self._ended.set()

    async def call(self, request: Request, caller: Caller) -> Response:
        place, target = caller.place, request.header("x-amz-target")
        operation = self.operation(request)
        members = _members(request.body, _WATCHED[operation]) if operation in _WATCHED else None
        if members is not None and operation == "PutSubscriptionFilter":
            group, name, arn = (members[each] for each in _WATCHED[operation])
            await self._subscriptions.check(group, name, arn, members.get("roleArn"), place)
        response = await self._process.request(place.account, place.region, target, request.body)
        if operation == "StartLiveTail" and response.status == 200:
            start = started(response.body)
            pieces = session(self._process, place, request, start, self._ended)
            return Response(200, HEADERS, b"", pieces=pieces)
        if members is not None and response.status == 200:
            await self._changed(operation, members, place)
        return Response(response.status, _encoded(response.headers), response.body)

    async def _changed(self, operation: str, members: dict[str, Any], place: Place) -> None:
        group = members["logGroupName"]
        if operation == "PutSubscriptionFilter":
            await self._subscriptions.made(group, members["filterName"], members["destinationArn"], place)
        else:
            await self._subscriptions.gone(place, group, members.get("filterName"))

    def error(self, request: Request, fault: Fault) -> Response:
        headers = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": str(uuid.uuid4())}
        body = {"__type": fault.code, **({"message": fault.message} if fault.message else {})}
        status = getattr(fault, "status", None) or STATUS.get(fault.code, 400)
        return Response(status, _encoded(headers), wire.encode(body))

    def operation(self, request: Request) -> str:
        return request.header("x-amz-target").partition(".")[2]


# Operations that change subscription filters, and what each needs of a request.
_WATCHED = {
    "PutSubscriptionFilter": ("logGroupName", "filterName", "destinationArn"),
    "DeleteSubscriptionFilter": ("logGroupName", "filterName"),
    "DeleteLogGroup": ("logGroupName",),
}


def _members(body: bytes, needed: tuple[str, ...]) -> dict[str, Any] | None:
    """None: the log's process says what is wrong."""
    try:
        members = wire.decode(body)
    except (ValueError, RecursionError):
        return None
    texts = isinstance(members, dict) and all(isinstance(members.get(name), str) for name in needed)
    return members if texts else None


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
