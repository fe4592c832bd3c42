"""Amazon EventBridge as a service of the endpoint: its operations, and what runs beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import wire
from ...aws.clients import named_endpoint
from ...aws.faults import Fault
from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Handler, ModelService
from ...durable.changes import Changes
from ...durable.queue import Queues
from ...durable.state import States
from ...durable.store import Store
from ...observe.records import FunctionOutput
from ...observe.tally import Tally
from ...routing.targets import Targets
from .archived import ArchivedEvents
from .archives import Archives
from .buses import Buses
from .catalog import Catalog
from .connections import Connections
from .delivery import Delivery, Job, Refused
from .elsewhere import refused
from .http_targets import HttpTargets
from .measuring import RuleMetrics
from .putting import Putting
from .rules import RuleOperations
from .scheduled import Scheduled


class EventBridge(ModelService):
    """Every region and account's. Belongs to one event loop; call `start` in it, and `close`."""

    def __init__(
        self,
        store: Store,
        states: States,
        queues: Queues,
        targets: Targets,
        log: Callable[[FunctionOutput], object],
        tally: Tally,
    ) -> None:
        """store: opened with ArchivedRows. Raises StoreError."""
        changes = Changes("events")
        self._changes = changes
        catalog = Catalog(states, changes)
        buses = Buses(catalog)
        archives = Archives(catalog, ArchivedEvents(store))
        putting = Putting(catalog, buses, archives, queues, targets.spans)
        archives.putting = putting
        putting.metrics = RuleMetrics(tally)
        self._archives = archives
        self._scheduled = Scheduled(catalog, putting)
        rules = RuleOperations(catalog, self._scheduled.changed)
        connections = Connections(catalog)
        self.http = HttpTargets(catalog)
        self._delivery = Delivery(queues, targets, log, putting.metrics)
        self._catalog, self._putting, self._buses = catalog, putting, buses
        if not named_endpoint("events"):
            self._delivery.own["event-bus"] = self._to_bus
        self._delivery.own["api-destination"] = self.http.send
        model = Model.load("events")
        found: dict[str, Handler] = {}
        for owner in (buses, rules, putting, archives, connections):
            found |= {
                name: handler for name, handler in operations(owner).items() if name in model.operations
            }
        super().__init__(model, {**found, **refused(found)})

    def start(self) -> None:
        """Go on with what the last run left."""
        self._delivery.start()
        self._scheduled.start()
        self._archives.start()

    async def aclose(self) -> None:
        self._scheduled.close()
        self._archives.close()
        self._delivery.close()
        await self.http.aclose()
        self._changes.close()

    async def publish(self, place: Place, event: Mapping[str, Any]) -> None:
        """An event of an AWS service's, on the default bus: done once it is durable. Raises QueueFull, StoreError."""
        await self._putting.put(self._catalog.any_bus(None, place), event)

    async def _to_bus(self, job: Job, target: Mapping[str, Any], body: bytes) -> None:
        """Another bus of this server gets the event as it is."""
        try:
            place = Place(*job.rule.split(":")[3:5])
            bus = self._catalog.any_bus(target["Arn"], place)
            event = wire.decode(body)
            if not isinstance(event, dict) or not self._buses.allows(bus, place):
                raise Refused(
                    "NO_PERMISSIONS", f"{target['Arn']} does not let {place.account} in", retriable=False
                )
            await self._putting.put(bus, event, hops=job.hops + 1, trace=job.trace)
        except Fault as fault:
            code = "NO_RESOURCE" if fault.code == "ResourceNotFoundException" else "SDK_CLIENT_ERROR"
            raise Refused(code, fault.message or fault.code, retriable=False) from fault


def operations(owner: object) -> dict[str, Handler]:
    """The methods of an object that are the model's operations by their names: put_rule is PutRule."""
    names = [name for name in vars(type(owner)) if not name.startswith("_")]
    return {name.title().replace("_", ""): getattr(owner, name) for name in names}
