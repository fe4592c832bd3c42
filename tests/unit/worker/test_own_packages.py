"""A function's own packages win over the engine's of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SOURCE = """
import engine, engine.part, msgspec, cffi, _cffi_backend
def handler(event, context):
    import engine.later
    return [engine.MINE, engine.part.MINE, engine.later.MINE, msgspec.MINE, cffi.MINE, _cffi_backend.MINE,
            context.function_name, context.get_remaining_time_in_millis() > 0]
def fails(event, context):
    raise ValueError(event)
"""


@pytest.mark.promise(183)
@pytest.mark.parametrize("init", ["snapshot", "fresh"])
def test_they_are_imported(engine: Any, tmp_path: Path, init: str) -> None:
    (tmp_path / "engine").mkdir()
    for name in ("engine/__init__", "engine/part", "engine/later", "msgspec", "cffi", "_cffi_backend"):
        (tmp_path / f"{name}.py").write_text(f"MINE = {name!r}\n")
    (tmp_path / "packages.py").write_text(SOURCE)
    function = engine.function("packages:handler", code=tmp_path, init=init)
    expected = ["engine/__init__", "engine/part", "engine/later", "msgspec", "cffi", "_cffi_backend"]
    for _ in range(3):
        assert function.invoke() == [*expected, "packages", True]
    with pytest.raises(Exception, match="ValueError: text") as caught:
        engine.function("packages:fails", code=tmp_path, init=init).invoke("text")
    assert "in fails" in str(caught.value.__cause__)


@pytest.mark.promise(183)
def test_one_file_is_enough(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("MINE = 'one file'\n")
    (tmp_path / "single.py").write_text(
        "import engine, msgspec\ndef handler(e, c): return [engine.MINE, msgspec.__name__]\n"
    )
    assert engine.function("single:handler", code=tmp_path).invoke() == ["one file", "msgspec"]


def test_the_engine_is_there_for_functions_that_have_none(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "uses.py").write_text("import engine\ndef handler(e, c): return engine.Context.__name__\n")
    assert engine.function("uses:handler", code=tmp_path).invoke() == "Context"


def test_a_folder_of_that_name_is_no_package(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "notes.txt").write_text("")
    (tmp_path / "folder.py").write_text("import engine\ndef handler(e, c): return engine.Context.__name__\n")
    assert engine.function("folder:handler", code=tmp_path).invoke() == "Context"
