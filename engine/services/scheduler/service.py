"""Amazon EventBridge Scheduler as a service of the endpoint: its operations, and what runs beside them."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...aws.clients import Clients
from ...aws.model import Model
from ...aws.service import Handler, ModelService
from ...durable.changes import Changes
from ...durable.queue import Queues
from ...durable.state import States
from ...observe.records import FunctionOutput
from ...observe.tally import Tally
from ...routing.targets import Targets
from .catalog import Catalog
from .delivery import Delivery
from .groups import GroupOperations
from .invoking import Invoking
from .measuring import ScheduleMetrics
from .operations import ScheduleOperations


class Scheduler(ModelService):
    """Every region and account's. Belongs to one event loop; call `start` in it, and `aclose`."""

    unsigned_paths = re.compile(r"/(?:schedules|schedule-groups)(?:/|\Z)|/tags/", re.ASCII)

    def __init__(
        self,
        states: States,
        queues: Queues,
        targets: Targets,
        clients: Clients,
        log: Callable[[FunctionOutput], object],
        tally: Tally,
    ) -> None:
        self._changes = Changes("scheduler")
        catalog = Catalog(states, self._changes)
        self._invoking = Invoking(catalog, queues)
        self._delivery = Delivery(queues, targets, clients, log, ScheduleMetrics(tally))
        schedules = ScheduleOperations(catalog, self._invoking.changed)
        groups = GroupOperations(catalog, self._invoking.changed)
        model = Model.load("scheduler")
        operations: dict[str, Handler] = {}
        for owner in (schedules, groups):
            names = (name for name in vars(type(owner)) if not name.startswith("_"))
            operations |= {name.title().replace("_", ""): getattr(owner, name) for name in names}
        super().__init__(model, operations)

    def start(self) -> None:
        """Go on with what the last run left."""
        self._delivery.start()
        self._invoking.start()

    async def aclose(self) -> None:
        self._invoking.close()
        self._delivery.close()
        self._changes.close()
