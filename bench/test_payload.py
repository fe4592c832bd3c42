"""Payload size: raw and JSON echoes from 100 bytes to 6 MiB."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from bench.comparisons.scale import SIZES
from bench.subject import Stoker


@pytest.mark.benchmark(group="raw echo")
@pytest.mark.parametrize("size", SIZES)
def test_raw(benchmark: Any, stoker: Callable[..., Stoker], size: int) -> None:
    invoke_raw = stoker("raw_echo:handler", codec="raw").function.invoke_raw
    payload = os.urandom(size)
    assert bytes(benchmark(lambda: invoke_raw(payload).payload)) == payload


@pytest.mark.benchmark(group="JSON echo")
@pytest.mark.parametrize("size", SIZES)
def test_json(benchmark: Any, stoker: Callable[..., Stoker], size: int) -> None:
    """One string that with its quotes and key is about this large."""
    event = {"text": "x" * (size - 20)}
    assert benchmark(stoker().function.invoke, event) == event
