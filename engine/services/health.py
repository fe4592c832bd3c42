"""Is the server up, and what has it done: for probes, which need no signature."""

from __future__ import annotations

import re
from collections import Counter

from .. import wire
from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.service import Access, Caller, Service
from ..observe.counters import Counters

_JSON = [(b"content-type", b"application/json")]


class Health(Service):
    """GET /_stoker/health: with what the outcomes of all functions add up to."""

    name = "health"
    paths = re.compile(r"[A-Z]+ /_stoker/health\Z")
    body_bytes = 64 * 1024

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def access(self, request: Request) -> Access:
        return Access.OPEN

    async def call(self, request: Request, caller: Caller) -> Response:
        functions = list(self._counters.read().values())
        totals = {
            "invocations": sum(each["invocations"] for each in functions),
            "errors": sum(sum(each["errors"].values()) for each in functions),
            "throttles": sum(sum(each["throttles"].values()) for each in functions),
            "events": dict(sum((Counter(each["events"]) for each in functions), Counter())),
        }
        return Response(200, list(_JSON), wire.encode({"status": "running", **totals}))

    def error(self, request: Request, fault: Fault) -> Response:
        return Response(400, list(_JSON), wire.encode({"message": fault.message}))
