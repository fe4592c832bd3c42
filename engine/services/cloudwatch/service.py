"""Amazon CloudWatch as a service of the endpoint, in each of its model's protocols: metrics, and alarms on them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.model import Model
from ...aws.service import Caller, Handler, ModelService, operations_of
from ...durable.changes import Changes
from ...durable.queue import Queues
from ...durable.state import States
from ...hosting.placements import Hosting
from ...observe.records import FunctionOutput
from ...routing.targets import Targets
from .actions import Actions, Publish
from .alarms import Alarms
from .catalog import Catalog
from .elsewhere import refused
from .keeper import Keeper
from .putting import Putting
from .reading import Reading
from .watching import Watching

NAME = "cloudwatch"
BODY_BYTES = 1 << 20  # AWS's limit of a request, as it was before it was compressed
_RPC = re.compile(r"/service/GraniteServiceVersion20100801/operation/", re.ASCII)


class CloudWatch(ModelService):
    """Every region and account's. Belongs to one event loop; call `start` in it, and `aclose`."""

    unsigned_paths = _RPC
    body_bytes = BODY_BYTES

    def __init__(
        self,
        keeper: Keeper,
        states: States,
        queues: Queues,
        targets: Targets,
        hosting: Hosting,
        publish: Publish,
        log: Callable[[FunctionOutput], object],
    ) -> None:
        """publish: puts an event on a place's default bus; log: what becomes of actions that fail."""
        self._changes = Changes("cloudwatch")
        catalog, reading = Catalog(states, self._changes), Reading(keeper)
        self._actions = Actions(queues, targets, hosting, publish, log)
        self._watching = Watching(catalog, reading, self._actions)
        cbor, self._json, self._query = (
            Model.load(NAME, protocol=each) for each in ("smithy-rpc-v2-cbor", "json", "query")
        )
        operations: dict[str, Handler] = {}
        for owner in (Putting(keeper), reading, Alarms(catalog, self._watching)):
            operations |= operations_of(owner)
        found = {name: handler for name, handler in operations.items() if name in cbor.operations}
        super().__init__(cbor, {**found, **refused(cbor.names, found)})

    def start(self) -> None:
        """Go on with what the last run left."""
        self._actions.start()
        self._watching.start()

    def close(self) -> None:
        self._watching.close()
        self._actions.close()
        self._changes.close()

    def model_of(self, request: Request) -> Model:
        """botocore chooses among the three."""
        if _RPC.match(request.path):
            return self.model
        return self._json if request.header("x-amz-target") else self._query

    async def call(self, request: Request, caller: Caller) -> Response:
        if request.header("content-encoding") == "gzip":
            request.body = _inflated(request.body)
        return await super().call(request, caller)


def _inflated(body: bytes) -> bytes:
    """Raises Fault: not gzip, or more than a request may have."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, BODY_BYTES + 1)
    except zlib.error:
        raise Fault("SerializationException", "The body is not compressed by gzip") from None
    if len(plain) > BODY_BYTES or inflater.unconsumed_tail:
        text = f"Request must be smaller than {BODY_BYTES} bytes for the PutMetricData operation"
        raise Fault("RequestEntityTooLargeException", text)
    if not inflater.eof:
        raise Fault("SerializationException", "The body is not compressed by gzip")
    return plain
