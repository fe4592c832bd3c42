"""The metrics of topics, namespace AWS/SNS: messages published, filtered out, delivered, given up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ... import wire
from ...observe.tally import Subject, Tally
from .filters import ATTRIBUTES
from .notifications import Published

NAMESPACE = "AWS/SNS"
_FILTERED = "NumberOfNotificationsFilteredOut"


class TopicMetrics:
    """Belongs to the event loop."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.wanted = tally.wanted

    def published(self, message: Published) -> None:
        texts = [message.text, *message.structure.values()]
        size = sum(len(text.encode("utf-8", "replace")) for text in texts)
        self._add(message.topic, NumberOfMessagesPublished=1, PublishSize=size)

    def filtered(self, message: Published, subscription: Mapping[str, Any]) -> None:
        """A subscription's filter policy does not take it; or the subscription is not confirmed, which is no metric."""
        if not self.wanted or subscription.get("_token"):
            return
        found = {_FILTERED: 1}
        if subscription["Attributes"].get("FilterPolicyScope", ATTRIBUTES) == ATTRIBUTES:
            found[f"{_FILTERED}-MessageAttributes"] = 1
            if not message.attributes:
                found[f"{_FILTERED}-NoMessageAttributes"] = 1
            elif any(not _readable(kind, value) for kind, value in message.attributes.values()):
                found[f"{_FILTERED}-InvalidAttributes"] = 1
        else:
            found[f"{_FILTERED}-MessageBody"] = 1
            if not _is_object(message.body(subscription["Protocol"])):
                found[f"{_FILTERED}-InvalidMessageBody"] = 1
        self._add(message.topic, **found)

    def attempted(self, topic: str, failed: bool) -> None:
        """To deliver. failed: it counts as a failure, as an attempt over HTTP does, or the last one of others."""
        self._add(topic, **{"NumberOfNotificationsFailed" if failed else "NumberOfNotificationsDelivered": 1})

    def redriven(self, topic: str, failed: bool) -> None:
        """To the subscription's dead-letter queue."""
        name = "NumberOfNotificationsFailedToRedriveToDlq" if failed else "NumberOfNotificationsRedrivenToDlq"
        self._add(topic, **{name: 1})

    def _add(self, topic: str, **values: float) -> None:
        self._tally.add(_subject(topic), values)


@lru_cache(1000)
def _subject(arn: str) -> Subject:
    _, _, _, region, account, name = arn.split(":")
    return Subject(region, account, NAMESPACE, (("TopicName", name),))


def _readable(kind: str, value: str) -> bool:
    if kind != "String.Array":
        return True
    try:
        return isinstance(wire.decode(value.encode()), list)
    except (ValueError, RecursionError):
        return False


def _is_object(body: str) -> bool:
    try:
        return isinstance(wire.decode(body.encode()), dict)
    except (ValueError, RecursionError):
        return False
