"""The metrics of schedules, namespace AWS/Scheduler: by their groups, and of all."""

from __future__ import annotations

from functools import lru_cache

from ...aws.retries import THROTTLED
from ...observe.tally import Subject, Tally

NAMESPACE = "AWS/Scheduler"
_LETTERS = ("InvocationsSentToDeadLetterCount", "InvocationsFailedToBeSentToDeadLetterCount")


class ScheduleMetrics:
    """Belongs to the event loop."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.wanted = tally.wanted

    def attempted(self, schedule: str, error: str | None, dropped: bool) -> None:
        """To invoke a target. error: its code; dropped: it is not tried again."""
        found: dict[str, float] = {"InvocationAttemptCount": 1}
        if error is not None:
            found["TargetErrorThrottledCount" if error in THROTTLED else "TargetErrorCount"] = 1
        if dropped:
            found["InvocationDroppedCount"] = 1
        self._tally.add(_subject(schedule), found)

    def late(self, schedule: str) -> None:
        """It was too old to be attempted at all."""
        self._tally.add(_subject(schedule), {"InvocationDroppedCount": 1})

    def letter(self, schedule: str, error: str | None, truncated: bool) -> None:
        """A dead letter's way to its queue has ended."""
        name = _LETTERS[error is not None]
        found: dict[str, float] = {name: 1}
        if error is not None:
            found[f"{name}_{error}"] = 1
        elif truncated:
            found[f"{name}_Truncated_MessageSizeExceeded"] = 1
        self._tally.add(_subject(schedule), found)


@lru_cache(1000)
def _subject(arn: str) -> Subject:
    _, _, _, region, account, resource = arn.split(":", 5)
    return Subject(region, account, NAMESPACE, (), (("ScheduleGroup", resource.split("/")[1]),))
