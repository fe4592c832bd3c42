"""What counts outcomes under sanitizers, within an interpreter of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sanitized import HERE, built, run

SEEDS = (1, 2)


@pytest.mark.slow
@pytest.mark.promise(328)
def test_counting_under_sanitizers(tmp_path: Path) -> None:
    built(tmp_path, "_observe")
    for seed in SEEDS:
        done = run(HERE / "outcome_records.py", tmp_path, seed)
        assert done.returncode == 0, done.stderr[-4000:]
