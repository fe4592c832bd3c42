"""Calls under sanitizers: the extension modules that one goes through, in a caller's and a worker's interpreter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sanitized import HERE, NATIVE, SMALL, built, built_native, run

SEED = 1


def package(folder: Path) -> Path:
    """The package, with sanitized modules in the place of its own."""
    shutil.copytree(
        HERE.parents[1] / "engine", folder / "engine", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for name in SMALL:
        built(folder / "engine", name)
    built_native(folder / "engine")
    return folder


@pytest.mark.slow
@pytest.mark.promise(343)
def test_calls_under_sanitizers(tmp_path: Path) -> None:
    done = run(HERE / "sanitized_calls.py", package(tmp_path), SEED)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "source", "right", "wrong"),
    [
        ("_call", "call/invoke.c", "data = PyBytes_FromStringAndSize((const char *)cell->cell->data, (Py_ssize_t)n)",
         "data = PyBytes_FromStringAndSize((const char *)cell->cell->data, (Py_ssize_t)n + 4096)"),
        ("_call", "call/mailbox.c", "of->who = NULL;", ";"),
        ("_turn", "turn/turn.c", "if (!value) return ", "if (!value) return Py_DECREF(error), "),
        ("_print", "print/write.c", "(uint64_t)len)", "(uint64_t)len + 9)"),
    ],
    ids=["reads behind a cell", "who waits is let go twice", "an error is let go twice", "reads behind a text"],
)  # fmt: skip
def test_a_mistake_is_found(tmp_path: Path, name: str, source: str, right: str, wrong: str) -> None:
    """The harness itself, in the caller and in a worker."""
    text = (NATIVE / source).read_text()
    assert text.count(right) == 1
    made = tmp_path / "wrong.c"
    made.write_text(text.replace(right, wrong))
    folder = package(tmp_path)
    built(folder / "engine", name, made, *(NATIVE / other for other in SMALL[name] if other != source))
    done = run(HERE / "sanitized_calls.py", folder, SEED)
    assert done.returncode
    assert any(it in done.stderr for it in ("overflow", "use-after-free", "FunctionCrashed")), done.stderr[
        -4000:
    ]
