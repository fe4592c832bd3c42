"""A scenario: what a load test is to do, whole and checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from ..generate.arrivals import Schedule
from ..generate.payloads import Durations, Payloads, PerFunction
from ..generate.replies import Check
from ..generate.trace import Trace
from .arrival_kinds import Arrivals, Closed, Ramp, Replay, Synthetic, arrivals_of, durations
from .criteria import Criterion, limits_of
from .payload_kinds import Payload, payload_of
from .reading import ScenarioError, duration, flag, number, text
from .target_kinds import Target, Url, target_of
from .units import plain

__all__ = ["Scenario", "ScenarioError"]
_UNSAID = Payload()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is to be done. drain: seconds that are waited for answers at the end; noise: whether two runs of the same
    are compared first; poll: whether the generator keeps a core busy rather than sleep between requests, so that none
    is late because a core had to wake; limits: what the run must keep."""

    name: Annotated[str, text]
    seed: Annotated[int, number(0, 2**63 - 1, whole=True)] = 1
    target: Annotated[Target, target_of]
    arrivals: Annotated[Arrivals, arrivals_of]
    payload: Annotated[Payload, payload_of] = _UNSAID
    drain: Annotated[float, duration(most=3600.0)] = 30.0
    noise: Annotated[bool, flag] = True
    poll: Annotated[bool, flag] = False
    limits: Annotated[Sequence[Criterion], limits_of] = ()

    def __post_init__(self) -> None:
        """Raises ScenarioError for parts that do not go together."""
        if self.closed is not None and self.functions > 1:
            raise ScenarioError(f"a closed loop asks one function, not {self.functions}")
        replay = isinstance(self.arrivals, Replay)
        if replay and self.weights is not None:
            raise ScenarioError("a trace says itself which function is asked: leave the weights out")
        if not replay and any(each.lasting for each in self._each_payload):
            raise ScenarioError(
                "{{duration}} is of a trace's invocations: it needs arrivals of the kind trace"
            )
        if not replay and not isinstance(self.arrivals, Ramp):
            self._check_warmup(self.arrivals.duration)  # type: ignore[attr-defined]

    def _check_warmup(self, whole: float) -> None:
        if self.warmup and self.warmup >= whole:
            raise ScenarioError(
                f"a warm-up of {plain(self.warmup)} s leaves nothing of {plain(whole)} s: make it shorter"
            )

    @property
    def closed(self) -> Closed | None:
        """The arrivals of a closed loop; None of an open one."""
        return self.arrivals if isinstance(self.arrivals, Closed) else None

    @property
    def functions(self) -> int:
        return len(self.target.functions)

    @property
    def weights(self) -> list[float] | None:
        """Of the functions; None where they are all the same."""
        weights = [each.weight for each in self.target.functions]
        return weights if len(set(weights)) > 1 else None

    @property
    def warmup(self) -> float:
        """Seconds."""
        said = self.arrivals.warmup
        return self.arrivals.usual_warmup if said is None else said

    @cached_property
    def schedule(self) -> Schedule:
        """Of an open loop. Raises OSError and ValueError for a trace that is none."""
        made = self.arrivals.schedule(self.seed, self.weights, self.functions)
        self._check_warmup(made.duration)
        return made

    def payloads(self) -> Payloads:
        """From the first. Raises OSError and ValueError for a file that cannot be drawn from."""
        each = self._each_payload
        if len(each) == 1:
            return each[0].made(self.seed, self._usual, self._durations(each[0]))
        return PerFunction(
            [it.made(f"{self.seed} {n}", self._usual, self._durations(it)) for n, it in enumerate(each)]
        )

    def checks(self) -> list[Check]:
        """Of replies: one, or one for each function."""
        usual = "any" if isinstance(self.target, Url) else "json"
        return [each.check(usual) for each in self._each_payload]

    @property
    def target_words(self) -> str:
        return self.target.words

    @property
    def arrivals_words(self) -> str:
        return self.arrivals.words

    @property
    def payload_words(self) -> str:
        each = {it.words(self._usual): None for it in self._each_payload}
        return "; ".join(each) if len(each) <= 3 else f"{len(each)} kinds"

    @property
    def _each_payload(self) -> list[Payload]:
        """One for each function, or one for all."""
        own: list[Any] = [each.payload for each in self.target.functions]
        return [each or self.payload for each in own] if any(own) else [self.payload]

    @property
    def _usual(self) -> bytes:
        return b"" if isinstance(self.target, Url) and self.target.method == "GET" else b"{}"

    def _durations(self, of: Payload) -> Durations | None:
        if not of.lasting:
            return None
        schedule = self.schedule
        assert isinstance(schedule, Trace | Synthetic)
        return durations(schedule)
