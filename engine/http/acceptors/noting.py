"""What an acceptor did, by its journal: handed on to the first process's outcomes, tally and whoever takes output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...observe.journal import Counted, Described, Entry, Forgotten, Throttled
from ...observe.outcomes import Outcomes, Publisher, Throttle
from ...observe.records import DeploymentInfo, FunctionOutput, InvocationRecord, Quiet
from ...observe.tally import Subject, Tally

_PUBLISHERS = 1000  # that are remembered


class Noting:
    """Of one acceptor, and those in its place after it."""

    def __init__(
        self, outcomes: Outcomes, tally: Tally, printed: Sequence[Callable[[FunctionOutput], object]]
    ) -> None:
        self._outcomes, self._tally, self._printed = outcomes, tally, printed
        self._publishers: dict[DeploymentInfo, Publisher] = {}
        self._described: dict[int, Publisher] = {}  # by the journal's numbers

    def forget(self) -> None:
        """Numbers mean nothing any more: what follows is another journal."""
        self._described.clear()

    def note(self, entries: Iterable[Entry]) -> None:
        described = self._described
        quiet: dict[int, list[Quiet]] = {}  # by deployment
        for entry in entries:
            if isinstance(entry, Quiet):
                quiet.setdefault(entry.deployment, []).append(entry)
            elif isinstance(entry, InvocationRecord):
                if (publisher := described.get(entry.deployment)) is not None:
                    publisher.ended(entry)
            elif isinstance(entry, Described):
                described[entry.number] = self._publisher(entry.deployment)
            elif isinstance(entry, Forgotten):
                self._note_quiet(quiet)
                described.clear()
            elif isinstance(entry, Throttled):
                if (publisher := described.get(entry.number)) is not None:
                    publisher.throttled(Throttle(entry.at, entry.reason, entry.alias))
            elif isinstance(entry, Counted):
                subject = Subject(entry.region, entry.account, entry.namespace, *entry.dimensions)
                self._tally.add(subject, entry.values)
            elif isinstance(entry, FunctionOutput):
                for take in self._printed:
                    take(entry)
        self._note_quiet(quiet)

    def _note_quiet(self, ended: dict[int, list[Quiet]]) -> None:
        for number, some in ended.items():
            if (publisher := self._described.get(number)) is not None:
                publisher.quiet_ones(some)
        ended.clear()

    def _publisher(self, info: DeploymentInfo) -> Publisher:
        found = self._publishers.get(info)
        if found is None:
            if len(self._publishers) >= _PUBLISHERS:
                self._publishers.clear()
            found = self._publishers[info] = Publisher(self._outcomes, info)
        return found
