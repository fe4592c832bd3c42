"""The whole control plane: every family's operations together."""

from __future__ import annotations

from collections.abc import Callable

from ...durable.state import State
from .async_config import AsyncConfig
from .code_signing import CodeSigning
from .concurrency import Concurrency
from .control import Control, Operation
from .event_sources import EventSources
from .function_urls import FunctionUrls
from .functions import Functions
from .layers import Layers
from .policies import Policies
from .runtime_config import RuntimeConfig
from .tags import Tags
from .versions import Versions


def assemble(control: Control) -> tuple[dict[str, Operation], Callable[[], None]]:
    """The operations by name, and what moves on whatever they left pending."""
    functions, concurrency, sources = (
        Functions(control),
        Concurrency(control, control.warmed),
        EventSources(control),
    )
    operations = {
        **functions.operations(),
        **Versions(control).operations(),
        **Layers(control).operations(),
        **Tags(control).operations(),
        **Policies(control).operations(),
        **FunctionUrls(control).operations(),
        **AsyncConfig(control).operations(),
        **concurrency.operations(),
        **RuntimeConfig(control).operations(),
        **CodeSigning(control).operations(),
        **sources.operations(),
    }

    def settle() -> None:
        functions.settle()
        concurrency.settle()
        sources.settle()

    return operations, settle


def digests(state: State) -> set[str]:
    """The packages that something needs."""
    needed: set[str] = set()
    for table in ("function", "layer"):
        for owner in state.owners(table):
            for record in state.owned(table, owner).values():
                needed.add(record["_digest"])
                needed.update(record.get("_layers", ()))
    return needed


__all__ = ["Control", "assemble", "digests"]
