"""The short cuts of requests and of responses under sanitizers, within an interpreter of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sanitized import HERE, NATIVE, built, run

SOURCES = [NATIVE / "http" / name for name in ("module.c", "request.c", "respond.c")]
SEEDS = (1, 2)


@pytest.mark.slow
@pytest.mark.promise(343)
def test_the_short_cut_under_sanitizers(tmp_path: Path) -> None:
    built(tmp_path, "_http")
    for seed in SEEDS:
        done = run(HERE / "http_requests.py", tmp_path, seed)
        assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("if (t->end - line < 2 ||", "if (t->end - line < 1 ||"),
        ("if (c == 0 || f->n == NAME)", "if (c == 0 || f->n == NAME + 8)"),
        ("r->n == FIELDS ||", "r->n > FIELDS ||"),
        ("*left -= r->body.end - r->body.at;", "*left -= r->body.end - r->body.at - 1;"),
        ("sizes[0] + sizes[1] + sizes[2] > KEY", "sizes[0] + sizes[1] > KEY"),
        ("return o->len > STK_CELL_BYTES;", "return o->len > STK_CELL_BYTES + 1;"),
        ("fine && k.n == CHUNK", "fine && k.n > CHUNK"),
    ],
    ids=[
        "reads a byte behind the end",
        "writes behind a name",
        "takes one header more",
        "expects a byte more of a body",
        "has no room for a key",
        "takes a payload a byte larger",
        "makes a response more than it has room for",
    ],
)
def test_a_mistake_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    """The harness itself."""
    (spoiled,) = (each for each in SOURCES if right in each.read_text())
    text = spoiled.read_text()
    assert text.count(right) == 1
    source = tmp_path / spoiled.name
    source.write_text(text.replace(right, wrong))
    built(tmp_path, "_http", source, *(each for each in SOURCES if each != spoiled))
    done = run(HERE / "http_requests.py", tmp_path, SEEDS[0])
    assert done.returncode, "nothing was found"
