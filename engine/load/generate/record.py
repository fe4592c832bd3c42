"""What a run's requests came to: latencies, outcomes and the generator's own lag, in all and second by second."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .arrivals import Stage
from .tally import Tally

# ok; error: the function's own, or a wrong reply; throttle: refused for want of capacity; timeout: the function's, or
# no answer at all; failure: what came was no answer (a connection that broke, say).
Ending = Literal["ok", "error", "throttle", "timeout", "failure"]
ENDINGS: tuple[Ending, ...] = ("ok", "error", "throttle", "timeout", "failure")
_SECOND = 1_000_000_000
_REASONS = 20  # of each kind are kept


@dataclass(slots=True)
class Answer:
    """What a target says of one request. ns where it is a time; None where the target does not say."""

    ending: Ending
    payload: bytes = b""
    why: str = ""
    cold: bool | None = None
    parts: Mapping[str, int] | None = (
        None  # where its time went: queue, dispatch, execute, reply, or some of them
    )


@dataclass(slots=True)
class Interval:
    """A second or a stage of a run, by the intended time of its requests."""

    offered: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    latency: Tally = field(default_factory=Tally)
    cold: int = 0
    most_in_flight: int = 0


class Record:
    """Everything that is known of a run. Latencies of what was answered in any way are counted from the time at which
    the request was to be sent; what was never answered is a timeout and has none.

    `warmup` seconds at the start are seen in the intervals and stages and nowhere else.
    """

    def __init__(self, warmup: float = 0.0, stages: Sequence[Stage] = ()) -> None:
        self.warmup = int(warmup * _SECOND)
        self.latency = Tally()  # all but what was refused
        self.cold = Tally()
        self.warm = Tally()
        self.refused = Tally()
        self.lag = Tally()
        self.parts: dict[str, Tally] = {}
        self.ended: Counter[str] = Counter()
        self.reasons: dict[str, Counter[str]] = {}
        self.offered = 0
        self.sent = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.intervals: list[Interval] = []
        self.stages = [Interval() for _ in stages]
        self._ends = [round(stage.end * _SECOND) for stage in stages[:-1]]

    def interval(self, offset: int) -> Interval:
        """That of an offset, in ns, from the start."""
        number = max(0, offset) // _SECOND
        while number >= len(self.intervals):
            self.intervals.append(Interval())
        return self.intervals[number]

    def _stage(self, offset: int) -> Interval | None:
        return self.stages[bisect_right(self._ends, offset)] if self.stages else None

    def send(self, offset: int, lag: int) -> None:
        """A request that was intended for `offset` is sent, `lag` late."""
        self.sent += 1
        self.in_flight += 1
        for interval in (self.interval(offset), self._stage(offset)):
            if interval is not None:
                interval.offered += 1
                interval.most_in_flight = max(interval.most_in_flight, self.in_flight)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if offset >= self.warmup:
            self.offered += 1
            self.lag.add(lag)

    def answer(self, offset: int, latency: int, answer: Answer) -> None:
        self.in_flight -= 1
        ending = answer.ending
        for interval in (self.interval(offset), self._stage(offset)):
            if interval is not None:
                interval.ended[ending] += 1
                interval.cold += answer.cold is True
                if ending != "throttle":
                    interval.latency.add(latency)
        if offset < self.warmup:
            return
        self.ended[ending] += 1
        if ending == "throttle":
            self.refused.add(latency)
        else:
            self.latency.add(latency)
            if answer.cold is not None:
                (self.cold if answer.cold else self.warm).add(latency)
        if answer.parts is not None:
            for name, value in answer.parts.items():
                self.parts.setdefault(name, Tally()).add(value)
        if ending != "ok":
            self._because(ending, answer.why)

    def unanswered(self, offset: int) -> None:
        """The run is over and this one is not."""
        self.in_flight -= 1
        for interval in (self.interval(offset), self._stage(offset)):
            if interval is not None:
                interval.ended["timeout"] += 1
        if offset >= self.warmup:
            self.ended["timeout"] += 1
            self._because("timeout", "no answer before the end of the run")

    def _because(self, ending: str, why: str) -> None:
        reasons = self.reasons.setdefault(ending, Counter())
        if why in reasons or len(reasons) < _REASONS:
            reasons[why] += 1
        else:
            reasons["(others)"] += 1
