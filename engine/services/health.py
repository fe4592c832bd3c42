"""Is the server up, and what has it done: for probes, which need no signature."""

from __future__ import annotations

import re
from collections.abc import Callable

from .. import wire
from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.service import Access, Caller, Service
from ..observe.counters import Counters
from ..observe.losses import Losses
from ..observe.mappings import MappingCounters

_JSON = [(b"content-type", b"application/json")]


class Health(Service):
    """GET /_stoker/health: with what the outcomes of all functions add up to."""

    name = "health"
    paths = re.compile(r"[A-Z]+ /_stoker/health\Z")
    body_bytes = 64 * 1024

    def __init__(
        self,
        counters: Counters,
        mappings: MappingCounters,
        losses: Losses,
        transport: Callable[[], dict[str, int]],
    ) -> None:
        """transport: figures of the server's connections."""
        self._counters = counters
        self._mappings = mappings
        self._losses = losses
        self._transport = transport

    def access(self, request: Request) -> Access:
        return Access.OPEN

    async def call(self, request: Request, caller: Caller) -> Response:
        counted = self._counters.totals()
        totals = {
            "invocations": counted["invocations"],
            "errors": sum(counted["errors"].values()),
            "throttles": sum(counted["throttles"].values()),
            "events": dict(counted["events"]),
            "mappings": self._mappings.totals(),
            "dropped": self._losses.read(),
        }
        return Response(200, list(_JSON), wire.encode({"status": "running", **totals, **self._transport()}))

    def error(self, request: Request, fault: Fault) -> Response:
        return Response(400, list(_JSON), wire.encode({"message": fault.message}))
