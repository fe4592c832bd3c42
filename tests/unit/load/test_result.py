"""Results as they are written down: what is read is what was written, and other files are refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.load.generate.record import Tally
from engine.load.result import Distribution, NotAResult, Result, read, write


@pytest.mark.slow
@given(st.lists(st.integers(0, 10**13), max_size=50))
def test_a_distribution_keeps_its_counts(values: list[int]) -> None:
    tally = Tally(values)
    distribution = Distribution.of(tally)
    assert distribution.count == len(values)
    again = distribution.tally()
    assert len(again) == len(values)
    assert again.quantiles(0.5, 0.99) == [distribution.p50, distribution.p99]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    result = Result(
        stoker="1", name="n", target="t", arrivals="a", payload="p", seed=1, started="2026-01-01T00:00:00Z",
        duration=3.0, warmup=1.0, offered=2, rate=1.0, goodput=0.5, ended={"ok": 1, "error": 1},
        latency=Distribution.of(Tally([1000, 5000])),
    )  # fmt: skip
    write(tmp_path / "run.json", result)
    assert read(tmp_path / "run.json") == result
    assert result.wrong == 1


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"", b"\xff"])
def test_what_is_no_result_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(NotAResult, match="is not what stoker load --json writes"):
        read(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    made = Result(
        stoker="1", name="n", target="t", arrivals="a", payload="p", seed=1, started="", duration=3.0, warmup=1.0,
        offered=0, rate=1.0, goodput=0.5, ended={}, latency=Distribution(),
    )  # fmt: skip
    path = tmp_path / "run.json"
    write(path, msgspec.structs.replace(made, format=99))
    with pytest.raises(NotAResult, match="format 99"):
        read(path)
