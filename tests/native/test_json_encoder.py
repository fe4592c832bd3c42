"""The encoder of deployed functions' responses and the decoder of large events under sanitizers, within an interpreter
of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sanitized import HERE, NATIVE, built, run

SOURCE = NATIVE / "json" / "encode.c"
SEEDS = (1, 2)


@pytest.mark.slow
@pytest.mark.promise(320)
def test_the_encoder_under_sanitizers(tmp_path: Path) -> None:
    built(tmp_path, "_json")
    for seed in SEEDS:
        done = run(HERE / "json_documents.py", tmp_path, seed)
        assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_a_byte_read_too_far_is_found(tmp_path: Path) -> None:
    """The harness itself: a decoder that reads a byte behind the document does not get through."""
    text = (NATIVE / "json" / "decode.c").read_text()
    assert text.count("if (at == s->end || *at < 0x20)") == 1
    wrong = tmp_path / "decode.c"
    wrong.write_text(text.replace("if (at == s->end || *at < 0x20)", "if (*at < 0x20)"))
    built(tmp_path, "_json", SOURCE, wrong)
    done = run(HERE / "json_documents.py", tmp_path, SEEDS[0])
    assert "buffer-overflow" in done.stderr, done.stderr[-2000:]


@pytest.mark.slow
def test_a_byte_too_many_is_found(tmp_path: Path) -> None:
    """The harness itself: an encoder that makes room for one byte less than it writes does not get through."""
    text = SOURCE.read_text()
    assert text.count(">= more ? 1") == 1
    wrong = tmp_path / "encode.c"
    wrong.write_text(text.replace(">= more ? 1", "+ 1 >= more ? 1"))
    built(tmp_path, "_json", wrong, NATIVE / "json" / "decode.c")
    done = run(HERE / "json_documents.py", tmp_path, SEEDS[0])
    assert "heap-buffer-overflow" in done.stderr, done.stderr[-2000:]
