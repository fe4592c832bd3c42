"""Many functions: calling one, when it is alone and when 255 others are registered and warm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.comparisons.scale import FUNCTIONS
from bench.subject import Stoker, options


@pytest.mark.parametrize("count", [1, FUNCTIONS])
def test_one_of(benchmark: Any, stoker: Callable[..., Stoker], event: dict[str, Any], count: int) -> None:
    subject = stoker(name=f"echo-of-{count}")
    for number in range(1, count):
        subject.engine.function("echo:handler", **options(name=f"echo-{number}")).invoke(event)

    def call() -> None:
        assert subject.call(event) == event

    benchmark(call)
