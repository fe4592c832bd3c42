"""What happened since the last look, by function: a second of the stream of outcomes, for who watches it."""

from __future__ import annotations

from collections.abc import Sequence

from ..aws.names import Place
from ..observe.outcomes import OutcomeBatch
from ..observe.records import DeploymentInfo


class Happened:
    """Of one function. took: nanoseconds in the handler, of each invocation that ended, in no order."""

    __slots__ = ("cold", "errors", "name", "of", "place", "throttles", "took")

    def __init__(self, info: DeploymentInfo) -> None:
        self.name = info.function_name
        self.place = Place(info.region, info.account)
        self.of = [info]  # its deployments: as long as they are here, their identities are theirs
        self.took: list[int] = []
        self.errors = self.throttles = self.cold = 0


class Recent:
    """A subscriber to outcomes."""

    def __init__(self) -> None:
        self._by_deployment: dict[int, Happened] = {}
        self._quiet: dict[int, Happened] = {}  # those of the second before: most are seen again
        self._found: list[Happened] = []

    def __call__(self, batch: OutcomeBatch) -> None:
        found = self._by_deployment.get(id(batch.deployment))
        if found is None:
            found = self._add(batch.deployment)
        found.took += batch.took
        for record in batch.ended:
            if record.status != "success":
                found.errors += 1
            if record.cold:
                found.cold += 1
        if batch.throttles:
            found.throttles += len(batch.throttles)

    def _add(self, info: DeploymentInfo) -> Happened:
        found = self._quiet.get(id(info))
        if found is None:
            found = Happened(info)
        if found.took or found.errors or found.throttles:  # it was taken: this is another second
            found.took = []
            found.errors = found.throttles = found.cold = 0
        self._by_deployment[id(info)] = found
        self._found.append(found)
        return found

    def taken(self) -> dict[Place, list[Happened]]:
        """By place, each deployment of which there was something, until it is next; then it begins anew."""
        found, self._found = self._found, []
        self._quiet, self._by_deployment = self._by_deployment, {}
        places: dict[Place, list[Happened]] = {}
        for each in found:
            places.setdefault(each.place, []).append(each)
        return places


def percentiles(took: Sequence[int]) -> tuple[int, int]:
    """p50 and p99 in microseconds, of one or more that are in order."""
    last = len(took) - 1
    return took[last // 2] // 1000, took[-(-last * 99 // 100)] // 1000
