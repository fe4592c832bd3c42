"""The rule that AWS makes of each archive, and shows among a bus's own; only the archive changes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ...durable.state import Record
from .catalog import Bus, Catalog, arn
from .faults import no_rule

BY = "prod.vhs.events.aws.internal"


def shown_rules(catalog: Catalog, bus: Bus) -> Mapping[str, Record]:
    """By their names, the bus's own and the managed ones."""
    return {**_managed(bus, catalog.archives(bus)), **catalog.rules(bus)}


def shown_rule(catalog: Catalog, bus: Bus, name: str) -> Record:
    """Raises Fault."""
    record = shown_rules(catalog, bus).get(name)
    if record is None:
        raise no_rule(name, bus.name)
    return record


def _managed(bus: Bus, archives: Iterable[Record]) -> dict[str, Record]:
    return {record["Name"]: record for record in (_rule(bus, archive) for archive in archives)}


def _rule(bus: Bus, archive: Record) -> Record:
    name = f"Events-Archive-{archive['ArchiveName']}"
    pattern = {**json.loads(archive.get("EventPattern") or "{}"), "replay-name": [{"exists": False}]}
    kept = arn(bus.place, f"archive/{archive['ArchiveName']}")
    template = (
        f'{{"archive-arn": "{kept}", "event": <aws.events.event.json>, '
        '"ingestion-time": <aws.events.event.ingestion-time>}'
    )
    target = {
        "Id": name, "Arn": f"arn:aws:events:{bus.place.region}:::",
        "InputTransformer": {"InputPathsMap": {}, "InputTemplate": template},
    }  # fmt: skip
    return {
        "Name": name, "EventPattern": json.dumps(pattern), "State": "ENABLED", "ManagedBy": BY,
        "CreatedBy": bus.place.account, "Targets": {name: target},
    }  # fmt: skip
