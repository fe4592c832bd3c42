"""What is noted of invocations whose trace is kept: a span for each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import wire
from ..aws import traces
from ..aws.faults import Fault
from ..aws.names import Place
from ..calls.dispatch import Outcome, uuid_text
from ..errors import EngineError
from ..observe.spans import Arrival, Invocation, Spans, new_id
from .deployments import CLOCK, Deployment

if TYPE_CHECKING:
    from .results import Result


class Tracing:
    """Of a place. Belongs to the event loop."""

    def __init__(self, spans: Spans, place: Place) -> None:
        self._spans = spans
        self._place = place

    def begin(
        self, deployment: Deployment, arn: str, extras: wire.Extras, id: bytes, arrival: Arrival | None
    ) -> Invocation | None:
        """None: it is not kept. What the function causes is its segment's, so that is the parent in the header that it
        gets. arn: as invoked, where that is not the version's own."""
        found = traces.sampled(extras.trace)
        if found is None:
            return None
        (root, parent), text = found, id.hex()
        function = text[16:]
        if parent == function:  # as it is made up where there was none
            parent = ""
        if arrival is not None and arrival.attempt > 1:
            function = new_id()
        extras.trace = traces.within(extras.trace, function)
        info, place = deployment.info, self._place
        return Invocation(
            place.region, place.account, root, parent, text[:16], function, info.function_name,
            arn or info.function_arn, info.version, uuid_text(id), time.time(), arrival,
        )  # fmt: skip

    def throttled(self, deployment: Deployment, arn: str, extras: wire.Extras, id: bytes) -> None:
        """One that somebody waited for."""
        span = self.begin(deployment, arn, extras, id, None)
        if span is not None:
            span.status, span.ended = "throttle", span.submitted
            self._spans.add(span)

    def ended(self, span: Invocation, outcome: Outcome | EngineError, result: Result | Fault) -> None:
        span.ended = time.time()
        if isinstance(result, Fault):
            span.status = "throttle" if result.code == "TooManyRequestsException" else "refused"
        else:
            if result.record is not None:
                record = result.record
                span.status, span.error_type = record.status, record.error_type
                record.trace = f"{span.root} {span.function}"  # which the log has, too
                if record.cold:
                    span.init_seconds, span.init_at = record.init_ms / 1e3, record.init_at / 1e3
            if result.failed:
                span.payload = result.payload
                span.status = "error" if span.status == "success" else span.status
            span.began, span.handled = span.submitted, span.ended
        if isinstance(outcome, Outcome) and outcome.started:
            span.began = (outcome.started + CLOCK) / 1e9
            span.handled = ((outcome.ended or outcome.done) + CLOCK) / 1e9
        self._spans.add(span)
