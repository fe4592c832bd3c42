"""The metrics of pipes, namespace AWS/EventBridge/Pipes: runs, how they ended, and what was in them."""

from __future__ import annotations

import time

from ...observe.tally import Subject, Tally
from ...services.pipes.catalog import Key
from ..function import How, Invoked

NAMESPACE = "AWS/EventBridge/Pipes"


class PipeMetrics:
    """Of one pipe. Belongs to the event loop."""

    def __init__(self, tally: Tally, key: Key) -> None:
        self._tally = tally
        region, account = key.place.region, key.place.account
        own, of_account = (("PipeName", key.name),), (("AwsAccountId", account),)
        self._pipe = Subject(region, account, NAMESPACE, own)
        self._both = Subject(region, account, NAMESPACE, own, of_account)

    def ended(self, began: float, size: int, records: int, done: Invoked, late: bool) -> None:
        """A run. began: by time.perf_counter; size: its event's bytes; late: it took too long. Failures are 0 or 1, so
        that their average is a rate."""
        if not self._tally.wanted:
            return
        refused = done.how is How.REFUSED
        failed = done.how is not How.DONE and not refused and not late
        self._tally.add(self._both, {"Invocations": 1, "ExecutionThrottled": int(refused)})
        self._tally.add(self._pipe, {
            "EventCount": records, "EventSize": size, "Duration": (time.perf_counter() - began) * 1e3,
            "ExecutionFailed": int(failed), "ExecutionTimeout": int(late),
            "ExecutionPartiallyFailed": int(done.how is How.DONE and b"batchItemFailures" in done.payload),
        })  # fmt: skip
