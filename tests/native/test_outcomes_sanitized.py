"""What counts outcomes under sanitizers, within an interpreter of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_json_encoder import SEEDS, built, run

SOURCE = Path(__file__).resolve().parents[2] / "native" / "observe" / "outcomes.c"


@pytest.mark.slow
@pytest.mark.promise(335)
def test_counting_under_sanitizers(tmp_path: Path) -> None:
    folder = built(tmp_path, SOURCE, "_observe")
    for seed in SEEDS:
        done = run(folder, seed, "outcome_records.py")
        assert done.returncode == 0, done.stderr[-4000:]
