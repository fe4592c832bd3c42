"""Overload: 1.5 times as many calls as the engine can serve, from an open loop."""

from __future__ import annotations

from typing import Any

import pytest

from bench.comparisons.overload import overload
from bench.harness import QUICK


def test_overload(benchmark: Any) -> None:
    pytest.importorskip("engine")
    outcome = benchmark.pedantic(overload, (QUICK,), rounds=1)
    for figure in outcome.figures:
        benchmark.extra_info[figure.name] = figure.measured
    missed = [figure for figure in outcome.figures if not figure.passed]
    assert not missed, missed
