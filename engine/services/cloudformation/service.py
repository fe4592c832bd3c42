"""AWS CloudFormation as a service of the endpoint: its operations, and the stacks that they run."""

from __future__ import annotations

import json
import re
import time

from ...aws.clients import Clients
from ...aws.model import Model
from ...aws.service import Handler, ModelService, operations_of
from ...aws.validate import Wording
from ...durable.changes import Changes, Step
from ...durable.state import States
from ...routing.targets import Targets
from .artifacts import Artifacts
from .catalog import CHANGE_SETS, DELETED, EVENTS, RESOURCES, STACKS, Catalog, key
from .change_sets import ChangeSets
from .describing import Describing
from .preparing import Preparing
from .responses import Responses
from .stacks import Stacks
from .swaps import Swaps

KEPT = 90 * 86_400  # seconds that a deleted stack is listed, as on AWS
BODY_BYTES = 4 << 20  # a megabyte of template, as a form has it
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


class CloudFormation(ModelService):
    """Every region and account's. Belongs to one event loop; call `start` in it, and `aclose`."""

    body_bytes = BODY_BYTES

    def __init__(
        self, states: States, clients: Clients, artifacts: Artifacts, responses: Responses, targets: Targets
    ) -> None:
        self._states = states
        self._changes = Changes("cloudformation")
        self._artifacts = artifacts
        self._catalog = Catalog(states, self._changes)
        preparing = self._preparing = Preparing(self._catalog, clients, artifacts, responses, targets)
        self._stacks = Stacks(self._catalog, preparing)
        model = Model.load("cloudformation", Wording(code="ValidationError"))
        operations: dict[str, Handler] = {}
        change_sets = ChangeSets(self._catalog, preparing, self._stacks)
        for owner in (self._stacks, change_sets, Describing(self._catalog, preparing)):
            operations |= operations_of(owner)
        operations = {name: handler for name, handler in operations.items() if name in model.operations}
        super().__init__(model, operations)
        self.swaps = Swaps(self._catalog, self._stacks, artifacts, self._named)

    async def start(self) -> None:
        """Go on with what the last run left; what nobody needs any more goes."""
        await self._prune()
        self._artifacts.collect(self._named())
        self._stacks.recover()

    def _named(self) -> set[str]:
        """The digests that stacks name."""
        return {
            digest
            for state in self._states.all()
            for table in (STACKS, RESOURCES, CHANGE_SETS)
            for owner in state.owners(table)
            for digest in _DIGEST.findall(json.dumps(state.owned(table, owner)))
        }

    def drain(self) -> None:
        self._stacks.drain()

    async def aclose(self) -> None:
        self.swaps.close()
        await self._stacks.aclose()
        await self._preparing.aclose()
        self._changes.close()

    async def _prune(self) -> None:
        oldest = time.time() - KEPT
        for place, record in list(self._catalog.all()):
            if record["StackStatus"] == DELETED and record.get("DeletionTime", 0) < oldest:
                state, owner = self._catalog.state(place), key(record)
                tables = STACKS, RESOURCES, EVENTS, CHANGE_SETS
                steps: list[Step] = [(t, owner, id, None) for t in tables for id in state.owned(t, owner)]
                await self._catalog.write(place, *steps)
