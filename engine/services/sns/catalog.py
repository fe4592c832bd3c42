"""Topics and their subscriptions, of every place, as records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.changes import Changes, Step
from ...durable.state import Record, State, States
from ..sqs.permissions import allows
from .faults import invalid, no_subscription, no_topic

TOPICS, SUBSCRIPTIONS = "sns-topics", "sns-subscriptions"
PAGE = 100  # topics or subscriptions of one response
PENDING = "PendingConfirmation"
_ARN = re.compile(
    r"arn:aws[\w-]*:sns:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_-]+(?:\.fifo)?)(?::(?P<id>[0-9a-f-]+))?"
)
_ELEMENTS = 6  # of an ARN


@dataclass(frozen=True, slots=True)
class Topic:
    place: Place
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:sns:{self.place.region}:{self.place.account}:{self.name}"

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")

    def subscription(self, id: str) -> str:
        """A subscription's ARN."""
        return f"{self.arn}:{id}"


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self.changes = changes
        self._states = states

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    async def write(self, place: Place, *steps: Step) -> None:
        """Under `changes.lock`. Raises StoreError."""
        await self.changes.write(self.state(place), *steps)

    def record(self, topic: Topic) -> Record | None:
        if not self._states.known(topic.place.partition):
            return None
        return self.state(topic.place).get(TOPICS, topic.name)

    def topic(
        self, arn: str, caller: Caller, action: str, parameter: str = "TopicArn"
    ) -> tuple[Topic, Record]:
        """Raises Fault: no ARN of this region's, no topic, or another account's that does not let this one."""
        found = _parsed(arn, parameter)
        if found["id"] or found["region"] != caller.place.region:
            raise invalid(parameter)
        topic = Topic(Place(found["region"], found["account"]), found["name"])
        record = self.record(topic)
        if record is None:
            raise no_topic()
        policy = record["Attributes"].get("Policy")
        if topic.place != caller.place and not allows(policy, caller.place.account, action, arn, "sns"):
            raise Fault(
                "AuthorizationErrorException",
                f"User: arn:aws:iam::{caller.place.account}:root is not authorized to perform: SNS:{action} on "
                f"resource: {arn} because no resource-based policy allows the SNS:{action} action",
            )
        return topic, record

    def subscription(self, arn: str, caller: Caller) -> tuple[Topic, str, Record]:
        """Its topic, its id and its record. Raises Fault: it is no ARN, or there is none that is the caller's."""
        found = _parsed(arn, "SubscriptionArn")
        topic = Topic(Place(found["region"], found["account"]), found["name"])
        record = self.subscriptions(topic).get(found["id"] or "")
        if record is None or caller.place.account not in (topic.place.account, record["Owner"]):
            raise no_subscription()
        return topic, found["id"], record

    def subscriptions(self, topic: Topic) -> Mapping[str, Record]:
        """By their ids."""
        if not self._states.known(topic.place.partition):
            return {}
        return self.state(topic.place).owned(SUBSCRIPTIONS, topic.name)

    def topics(self, place: Place) -> list[Topic]:
        return [Topic(place, name) for name in self.state(place).owners(TOPICS)]

    def all_subscriptions(self, place: Place) -> Iterator[tuple[Topic, str, Record]]:
        for name in self.state(place).owners(SUBSCRIPTIONS):
            topic = Topic(place, name)
            for id, record in self.subscriptions(topic).items():
                yield topic, id, record


def place_of(arn: str) -> Place:
    """Of a topic's ARN. Raises Fault."""
    found = _parsed(arn, "TopicArn")
    return Place(found["region"], found["account"])


def _parsed(arn: str, parameter: str) -> re.Match[str]:
    found = _ARN.fullmatch(arn)
    if found is None:
        elements = arn.count(":") + 1
        short = f"An ARN must have at least {_ELEMENTS} elements, not {elements}"
        raise invalid(parameter, short if elements < _ELEMENTS else "")
    return found


def page(names: list[str], members: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """Names in order, those behind NextToken; and the next token."""
    start = members.get("NextToken") or ""
    found = sorted(name for name in names if name > start)
    return found[:PAGE], (found[PAGE - 1] if len(found) > PAGE else None)
