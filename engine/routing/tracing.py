"""Deliveries that go on with a trace: what is sent within one has its segment as the parent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..aws import traces
from ..aws.names import Place
from ..observe.spans import Delivery, Spans, new_id


@contextmanager
def delivering(
    spans: Spans | None, trace: str, place: Place, name: str, kind: str, target: str, waited: float = 0.0
) -> Iterator[str]:
    """The header to hand on. trace: that of what caused it, "" for none; name, kind: what delivers ("AWS::Events");
    waited: seconds that it did."""
    found = traces.sampled(trace) if spans is not None and trace else None
    if found is None or spans is None:
        yield trace
        return
    (root, parent), own, now = found, new_id(), time.time()
    span = Delivery(
        place.region,
        place.account,
        root,
        parent,
        own,
        name,
        kind,
        target,
        now - waited if waited else 0.0,
        now,
    )
    with spans.delivering(span):
        yield traces.within(trace, own)


def beginning(spans: Spans | None) -> str:
    """The header of what nothing has caused, where everything is traced; "" elsewhere."""
    if spans is None or not spans.every:
        return ""
    now, id = time.time(), f"{new_id()}{new_id()}"[:24]
    return f"Root=1-{int(now):08x}-{id};{traces.SAMPLED}"
