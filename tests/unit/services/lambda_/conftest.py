"""A control plane for each test; a file that needs functions in it overrides the fixture with one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from control_plane import Plane


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """An empty one."""
    made = Plane(tmp_path)
    yield made
    made.close()
