"""The encoder of deployed functions' responses under sanitizers, within an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "native" / "json" / "encode.c"
SANITIZED = [
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
]
SEEDS = (1, 2)


def built(folder: Path, source: Path = SOURCE, name: str = "_json") -> Path:
    """An extension, with sanitizers."""
    include = sysconfig.get_path("include")
    command = [
        "gcc",
        "-std=c11",
        *SANITIZED,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        f"-I{include}",
    ]
    done = subprocess.run(
        [*command, source, "-o", folder / f"{name}.so"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(folder: Path, seed: int, script: str = "json_documents.py") -> subprocess.CompletedProcess[str]:
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    # The interpreter itself leaks at its end; with malloc in place of Python's arenas each object has its own bounds.
    variables = {
        **os.environ, "LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-I", "-S", HERE / script, folder, str(seed)],
        env=variables, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.promise(319)
def test_the_encoder_under_sanitizers(tmp_path: Path) -> None:
    folder = built(tmp_path)
    for seed in SEEDS:
        done = run(folder, seed)
        assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_a_byte_too_many_is_found(tmp_path: Path) -> None:
    """The harness itself: an encoder that makes room for one byte less than it writes does not get through."""
    text = SOURCE.read_text()
    assert text.count(">= more ? 1") == 1
    wrong = tmp_path / "encode.c"
    wrong.write_text(text.replace(">= more ? 1", "+ 1 >= more ? 1"))
    done = run(built(tmp_path, wrong), SEEDS[0])
    assert "heap-buffer-overflow" in done.stderr, done.stderr[-2000:]
