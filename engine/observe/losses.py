"""What was dropped because who takes it was behind, by kind: counted where it happens, shown by health and metrics."""

from __future__ import annotations

from collections.abc import Callable

KINDS = ("logs", "spans", "exports")


class Losses:
    """logs: invocations and lines of logs, and of metrics with several accepting processes; spans: of traces; exports:
    spans, and series of metrics, that an OpenTelemetry receiver did not take."""

    def __init__(self) -> None:
        self._counts: dict[str, list[Callable[[], int]]] = {kind: [] for kind in KINDS}

    def watch(self, kind: str, count: Callable[[], int]) -> None:
        """count: how many, since the start; called in any thread."""
        self._counts[kind].append(count)

    def read(self) -> dict[str, int]:
        """By kind, since the server's start."""
        return {kind: sum(count() for count in counts) for kind, counts in self._counts.items()}
