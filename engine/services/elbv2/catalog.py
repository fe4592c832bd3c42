"""Load balancers with their listeners and rules, and target groups, of every place, as records."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.changes import Changes
from ...durable.state import Record, State, States

BALANCERS, GROUPS = "elb-load-balancers", "elb-target-groups"
LISTENERS, RULES = "_listeners", "_rules"  # of a load balancer, and of a listener: by ARN
MULTI = "lambda.multi_value_headers.enabled"
Members = dict[str, Any]
_ABSENT = {
    BALANCERS: ("LoadBalancerNotFound", "One or more load balancers not found"),
    GROUPS: ("TargetGroupNotFound", "One or more target groups not found"),
    LISTENERS: ("ListenerNotFound", "One or more listeners not found"),
    RULES: ("RuleNotFound", "One or more rules not found"),
}


def not_found(table: str) -> Fault:
    return Fault(*_ABSENT[table])


def new_id() -> str:
    return secrets.token_hex(8)


def arn(place: Place, path: str) -> str:
    return f"arn:aws:elasticloadbalancing:{place.region}:{place.account}:{path}"


def key(arn: str) -> str:
    """Of a load balancer or a target group, and of the load balancer that a listener or a rule is of."""
    parts = arn.split("/")
    return parts[3] if len(parts) > 4 else parts[-1]


def public(record: Mapping[str, Any]) -> Members:
    return {name: value for name, value in record.items() if not name.startswith("_")}


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self._states = states
        self._changes = changes

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    def all(self, place: Place, table: str) -> Iterator[Record]:
        state = self.state(place)
        return (record for owner in state.owners(table) if (record := state.get(table, owner)) is not None)

    def found(self, place: Place, table: str, arn: str) -> Record:
        """A load balancer or a target group by its ARN. Raises Fault."""
        record = self.state(place).get(table, key(arn))
        if record is None:
            raise not_found(table)
        return record

    def listener(self, place: Place, arn: str) -> tuple[Record, Record]:
        """And its load balancer; by its ARN, or that of a rule. Raises Fault."""
        record = self.state(place).get(BALANCERS, key(arn))
        own = arn.replace(":listener-rule/", ":listener/")
        for name, listener in (record or {}).get(LISTENERS, {}).items():
            if own == name or own.startswith(f"{name}/"):
                assert record is not None
                return record, listener
        raise not_found(LISTENERS)

    async def write(self, place: Place, table: str, arn: str, record: Record | None) -> None:
        """Raises StoreError."""
        await self._changes.write(self.state(place), (table, key(arn), "", record))
