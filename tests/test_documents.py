"""Documents speak of what is there: each file that they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_NAMED = re.compile(
    r"`((?:engine|native|tests|bench|handlers|docs)/[\w./-]+\.(?:py|c|h|md|toml|json))(?:::\w+)*`"
)
DOCUMENTS = ["docs/walkthrough.md", "docs/design.md", "CONTRIBUTING.md", "README.md"]


def named(text: str) -> set[str]:
    return {path for path in _NAMED.findall(text) if "*" not in path}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_file_it_names_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert sorted(path for path in named(text) if not (ROOT / path).exists()) == []


def test_the_walkthrough_names_the_steps() -> None:
    text = (ROOT / "docs/walkthrough.md").read_text(encoding="utf-8")
    for part in text.split("\n## ")[1:]:
        assert len(named(part)) >= 3, part.splitlines()[0]


def test_this_reads_names() -> None:
    assert named("`engine/a.py`, `engine/b/c.py::f` and `engine/`, engine/d.py") == {
        "engine/a.py",
        "engine/b/c.py",
    }
