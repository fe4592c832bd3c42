"""The metrics of rules, namespace AWS/Events: events that matched, targets that were invoked, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache

from ...observe.tally import Subject, Tally
from .catalog import DEFAULT, Bus

NAMESPACE = "AWS/Events"


class RuleMetrics:
    """Belongs to the event loop."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.wanted = tally.wanted

    def matched(self, bus: Bus, rules: Sequence[str], targets: int) -> None:
        """An event matched rules, or one is due, and so many invocations come of that."""
        if self.wanted and rules:
            self._tally.add(
                _everything(bus.place.region, bus.place.account),
                {"MatchedEvents": 1, "InvocationsCreated": targets},
            )
            for name in rules:
                rule = bus.rule(name)
                self._tally.add(_alone(rule), {"MatchedEvents": 1})
                self._tally.add(_rule(rule), {"TriggeredRules": 1})

    def attempted(
        self, rule: str, attempts: int, ingested: float, began: float, failed: bool, final: bool, looped: bool
    ) -> None:
        """To invoke a target. attempts: before; ingested, began: epoch seconds; final: it is not tried again; looped:
        it would have gone from bus to bus for ever."""
        found: dict[str, float] = {"InvocationAttempts": 1}
        if attempts:
            found["RetryInvocationAttempts"] = 1
        else:
            found["IngestionToInvocationStartLatency"] = max(0.0, began - ingested) * 1e3
            found["IngestionToInvocationCompleteLatency"] = max(0.0, time.time() - ingested) * 1e3
        if not failed:
            found |= {"Invocations": 1, "SuccessfulInvocationAttempts": 1}
        elif final:
            found |= {"DeadLetterInvocations": 1} if looped else {"Invocations": 1, "FailedInvocations": 1}
        self._tally.add(_rule(rule), found)

    def letter(self, rule: str, failed: bool) -> None:
        """A dead letter's way to its queue has ended."""
        name = "InvocationsFailedToBeSentToDlq" if failed else "InvocationsSentToDlq"
        self._tally.add(_rule(rule), {name: 1})


@lru_cache(100)
def _everything(region: str, account: str) -> Subject:
    return Subject(region, account, NAMESPACE, ())


@lru_cache(1000)
def _alone(arn: str) -> Subject:
    """A rule, and nothing that it is a part of."""
    _, _, _, region, account, resource = arn.split(":", 5)
    bus, _, name = resource.removeprefix("rule/").rpartition("/")
    own = ("RuleName", name)
    return Subject(
        region, account, NAMESPACE, (("EventBusName", bus), own) if bus not in ("", DEFAULT) else (own,)
    )


@lru_cache(1000)
def _rule(arn: str) -> Subject:
    alone = _alone(arn)
    return Subject(alone.region, alone.account, NAMESPACE, (), *alone.dimensions)
