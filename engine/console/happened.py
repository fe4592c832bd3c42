"""What happened since the last look, by function: a second of the stream of outcomes, for who watches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..aws.names import Place
from ..observe.outcomes import OutcomeBatch


@dataclass(slots=True)
class Happened:
    """took: nanoseconds in the handler, of each invocation that ended, in no order."""

    place: Place
    name: str
    took: list[int] = field(default_factory=list)
    errors: int = 0
    throttles: int = 0
    cold: int = 0


class Recent:
    """A subscriber to outcomes."""

    def __init__(self) -> None:
        self._by_deployment: dict[int, Happened] = {}
        self._by_function: dict[tuple[str, str, str], Happened] = {}
        self._kept: list[object] = []  # deployments: while they are here, their identities are theirs

    def __call__(self, batch: OutcomeBatch) -> None:
        found = self._by_deployment.get(id(batch.deployment))
        if found is None:
            found = self._add(batch)
        took = found.took
        for record in batch.records:
            took.append(record.took)
            if record.status != "success":
                found.errors += 1
            if record.cold:
                found.cold += 1
        if batch.throttles:
            found.throttles += len(batch.throttles)

    def _add(self, batch: OutcomeBatch) -> Happened:
        info = batch.deployment
        self._kept.append(info)
        key = info.region, info.account, info.function_name
        found = self._by_function.get(key)
        if found is None:
            made = Happened(Place(info.region, info.account), info.function_name)
            found = self._by_function[key] = made
        self._by_deployment[id(info)] = found
        return found

    def taken(self) -> list[Happened]:
        """Of each function of which there was something; then it begins anew."""
        found = list(self._by_function.values())
        self._by_function, self._by_deployment, self._kept = {}, {}, []
        return found


def percentiles(took: Sequence[int]) -> tuple[int, int]:
    """p50 and p99 in microseconds, of one or more that are in order."""
    last = len(took) - 1
    return took[last // 2] // 1000, took[-(-last * 99 // 100)] // 1000
