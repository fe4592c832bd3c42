"""Amazon EventBridge Pipes as a service of the endpoint: its operations. What runs pipes is told of each change."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...aws.model import Model
from ...aws.service import ModelService, operations_of
from ...durable.changes import Changes
from ...durable.state import States
from .catalog import Catalog, Key
from .operations import PipeOperations


class Pipes(ModelService):
    """Every region and account's. Belongs to one event loop; call `close`."""

    unsigned_paths = re.compile(r"/v1/pipes(?:/|\Z)", re.ASCII)

    def __init__(self, states: States) -> None:
        self._writer = Changes("pipes")
        self.catalog = Catalog(states, self._writer)
        self.changed: Callable[[Key], object] | None = None  # what runs pipes sets both
        self.reason: Callable[[Key], str] | None = None
        operations = PipeOperations(self.catalog, self._changed, self._reason)
        super().__init__(Model.load("pipes"), operations_of(operations))

    def close(self) -> None:
        self._writer.close()

    def _changed(self, key: Key) -> None:
        if self.changed is not None:
            self.changed(key)

    def _reason(self, key: Key) -> str:
        return self.reason(key) if self.reason is not None else ""
