"""Cold start: the first call for which a worker has to be forked; and starting an engine at all."""

from __future__ import annotations

from typing import Any

import pytest

from bench.comparisons.cold import cold_starts
from bench.harness import QUICK
from bench.subject import Stoker


@pytest.mark.parametrize("reference", ["work:handler", "numpy_boto3:handler"])
def test_cold_starts(benchmark: Any, reference: str) -> None:
    """Twelve cold starts; the figure of one is in extra_info, for the round holds other work too."""
    pytest.importorskip("engine")
    if reference.startswith("numpy"):
        pytest.importorskip("boto3")
    series = benchmark.pedantic(cold_starts, (reference, QUICK.cold_starts), rounds=1)
    benchmark.extra_info["p50_ns"] = series.value("p50")
    assert series.count == QUICK.cold_starts


def test_engine_start(benchmark: Any, event: dict[str, Any]) -> None:
    """Engine, zygote, template, worker and first reply, and all of it closed again."""
    pytest.importorskip("engine")

    def whole() -> Any:
        with Stoker() as stoker:
            return stoker.call(event)

    assert benchmark.pedantic(whole, rounds=5) == event
