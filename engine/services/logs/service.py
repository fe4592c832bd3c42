"""CloudWatch Logs as a service of the endpoint: each operation is carried out in the log's own process."""

from __future__ import annotations

import uuid

from ... import wire
from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.protocols.base import STATUS
from ...aws.service import Caller, Service
from .process import LogsProcess


class Logs(Service):
    """CloudWatch Logs of every region and account."""

    name = "logs"
    signing_name = "logs"
    target_prefixes = ("Logs_20140328",)

    def __init__(self, process: LogsProcess) -> None:
        self._process = process

    async def call(self, request: Request, caller: Caller) -> Response:
        place = caller.place
        target = request.header("x-amz-target")
        response = await self._process.request(place.account, place.region, target, request.body)
        return Response(response.status, _encoded(response.headers), response.body)

    def error(self, request: Request, fault: Fault) -> Response:
        headers = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": str(uuid.uuid4())}
        body = {"__type": fault.code, **({"message": fault.message} if fault.message else {})}
        status = getattr(fault, "status", None) or STATUS.get(fault.code, 400)
        return Response(status, _encoded(headers), wire.encode(body))

    def operation(self, request: Request) -> str:
        return request.header("x-amz-target").partition(".")[2]


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
