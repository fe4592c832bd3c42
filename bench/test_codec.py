"""Codec: encoding and decoding an event, with msgspec and with the json module it falls back to."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from bench.harness import make_events

SMALL = make_events(1)[0]
BATCH = {"Records": make_events(100)}
# A lone surrogate: msgspec refuses it both ways, Python's json and so Lambda take it.
AWKWARD = {**SMALL, "key": "photos/\ud83d.jpg"}


@pytest.mark.parametrize("value", [SMALL, BATCH], ids=["100 B", "10 kB"])
def test_msgspec_encode(benchmark: Any, value: dict[str, Any]) -> None:
    encode = msgspec.json.Encoder().encode
    assert json.loads(benchmark(encode, value)) == value


@pytest.mark.parametrize("value", [SMALL, BATCH], ids=["100 B", "10 kB"])
def test_msgspec_decode(benchmark: Any, value: dict[str, Any]) -> None:
    """From a memoryview, as from a lane."""
    data = memoryview(json.dumps(value).encode())
    assert benchmark(msgspec.json.Decoder().decode, data) == value


@pytest.mark.parametrize("value", [SMALL, BATCH, AWKWARD], ids=["100 B", "10 kB", "awkward"])
def test_json_encode(benchmark: Any, value: dict[str, Any]) -> None:
    assert json.loads(benchmark(lambda: json.dumps(value).encode())) == value


@pytest.mark.parametrize("value", [SMALL, BATCH, AWKWARD], ids=["100 B", "10 kB", "awkward"])
def test_json_decode(benchmark: Any, value: dict[str, Any]) -> None:
    assert benchmark(json.loads, json.dumps(value).encode()) == value


@pytest.mark.parametrize("value", [SMALL, AWKWARD], ids=["100 B", "awkward"])
def test_engine_encode(benchmark: Any, value: dict[str, Any]) -> None:
    """The engine's own: the awkward event is refused by msgspec and falls back to json."""
    wire = pytest.importorskip("engine.wire")
    assert json.loads(benchmark(wire.encode, value)) == value


@pytest.mark.parametrize("value", [SMALL, AWKWARD], ids=["100 B", "awkward"])
def test_engine_decode(benchmark: Any, value: dict[str, Any]) -> None:
    wire = pytest.importorskip("engine.wire")
    assert benchmark(wire.decode, memoryview(json.dumps(value).encode())) == value
