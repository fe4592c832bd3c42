"""Memory: what one more warm worker of a heavy handler keeps to itself."""

from __future__ import annotations

from typing import Any

import pytest

from bench.comparisons.cold import memory
from bench.harness import QUICK


def test_private_memory_of_further_workers(benchmark: Any) -> None:
    pytest.importorskip("engine")
    pytest.importorskip("boto3")
    outcome = benchmark.pedantic(memory, (QUICK,), rounds=1)
    (figure,) = outcome.figures
    benchmark.extra_info["private"] = figure.measured
    assert figure.passed, figure.measured
