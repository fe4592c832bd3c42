"""The control plane of one region and account: every family's operations together."""

from __future__ import annotations

from collections.abc import Callable

from .async_config import AsyncConfig
from .code_signing import CodeSigning
from .concurrency import Concurrency
from .control import Control, Operation, Operations
from .event_sources import EventSources
from .function_urls import FunctionUrls
from .functions import Functions
from .layers import Layers
from .policies import Policies
from .runtime_config import RuntimeConfig
from .tags import Tags
from .versions import Versions

FAMILIES: tuple[type[Operations], ...] = (
    Functions, Versions, Layers, Tags, Policies, FunctionUrls, AsyncConfig, Concurrency, RuntimeConfig, CodeSigning,
    EventSources,
)  # fmt: skip


def assemble(control: Control) -> tuple[dict[str, Operation], Callable[[], None]]:
    """The operations by name, and what moves on whatever they left pending: also what is pending in the records at
    the time of this call, which may be any."""
    families = [family(control) for family in FAMILIES]

    def settle() -> None:
        for family in families:
            family.settle()

    return {name: run for family in families for name, run in family.operations().items()}, settle


__all__ = ["Control", "assemble"]
