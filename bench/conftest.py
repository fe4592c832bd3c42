"""Fixtures of the pytest-benchmark suites: engines to call, and no garbage collection while timing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bench.harness import make_events, quiet_gc
from bench.subject import Stoker

EVENT = make_events(1)[0]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gc():
        yield


@pytest.fixture
def event() -> dict[str, Any]:
    return dict(EVENT)


@pytest.fixture(scope="module")
def stoker() -> Iterator[Callable[..., Stoker]]:
    """A function in an engine of its own, kept for the module: stoker("echo:handler", …)."""
    pytest.importorskip("engine")
    kept: dict[str, Stoker] = {}
    with ExitStack() as stack:

        def started(reference: str = "echo:handler", **settings: Any) -> Stoker:
            key = repr((reference, sorted(settings.items())))
            if key not in kept:
                subject = Stoker(reference, **settings)
                stack.enter_context(subject)
                kept[key] = subject
            return kept[key]

        yield started
