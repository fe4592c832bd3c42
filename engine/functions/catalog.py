"""The whole control plane: every family's operations together."""

from __future__ import annotations

from collections.abc import Callable

from .control import Control, Operation
from .functions import Functions
from .layers import Layers
from .state import State
from .tags import Tags
from .versions import Versions


def assemble(control: Control) -> tuple[dict[str, Operation], Callable[[], None]]:
    """The operations by name, and what moves on whatever they left pending."""
    functions = Functions(control)
    operations = {
        **functions.operations(),
        **Versions(control).operations(),
        **Layers(control).operations(),
        **Tags(control).operations(),
    }

    def settle() -> None:
        functions.settle()

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
