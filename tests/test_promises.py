"""PROMISES.md: every promise names what keeps it, and that exists; every fault of the list has its test."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed
from bench.gate import GATES

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "PROMISES.md").read_text(encoding="utf-8")
ROWS = [*range(1, 11), *range(13, 38), 39, 40]  # of the list of faults: those of this engine


def promises(text: str) -> dict[int, str]:
    """The numbered items, each with the lines indented below it."""
    items = re.findall(r"^(\d+)\. (.*(?:\n +\S.*)*)", text, re.MULTILINE)
    return {int(number): item for number, item in items}


def keepers(item: str) -> list[str]:
    """The tests and gates it names; other things in backquotes are none."""
    return [name for name in re.findall(r"`([^`]+)`", item) if "::" in name or name.startswith("bench gate:")]


def collected(source: str) -> set[str]:
    """What pytest would collect, parametrised or not, without importing it."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            if node.name.startswith("Test"):
                found |= {
                    f"{node.name}::{each.name}"
                    for each in node.body
                    if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                    and each.name.startswith("test_")
                }
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).endswith(".TestCase"):
            found |= {ast.unparse(target) for target in node.targets}  # of a state machine of Hypothesis
    return found


def exists(keeper: str) -> bool:
    if keeper.startswith("bench gate:"):
        return keeper.removeprefix("bench gate:").strip() in {gate.__name__ for gate in GATES}
    file, _, name = keeper.partition("::")
    path = ROOT / file
    # As pytest finds them: in tests/, in a file that is named so.
    return (
        file.startswith("tests/")
        and path.name.startswith("test_")
        and path.is_file()
        and name in collected(path.read_text(encoding="utf-8"))
    )


PROMISES = promises(TEXT)


def test_they_are_numbered_from_one_without_a_gap() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", TEXT, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 50


@pytest.mark.parametrize("number", PROMISES)
def test_what_keeps_it_exists(number: int) -> None:
    named = keepers(PROMISES[number])
    assert named, f"promise {number} names no test and no gate"
    assert [name for name in named if not exists(name)] == []


def test_every_name_is_in_a_promise() -> None:
    """None is lost because of how an item is laid out."""
    assert sorted(keepers(TEXT)) == sorted(name for item in PROMISES.values() for name in keepers(item))


def test_every_gate_keeps_a_promise() -> None:
    named = {name.removeprefix("bench gate:").strip() for name in keepers(TEXT) if "::" not in name}
    assert named == {gate.__name__ for gate in GATES}


@pytest.mark.parametrize("row", ROWS)
def test_every_fault_has_a_test_named_after_it(row: int) -> None:
    """By the function's name, in a file whose name has the row or a range with it."""
    found = []
    for path in (ROOT / "tests" / "faults").glob("test_row*.py"):
        first, last = re.findall(r"\d+", path.stem)[0], re.findall(r"\d+", path.stem)[-1]
        named = [
            name
            for name in collected(path.read_text(encoding="utf-8"))
            if name.startswith(f"test_row_{row:02}_")
        ]
        assert not named or int(first) <= row <= int(last), f"{path.name} has {named}"
        found += named
    assert found, f"row {row}"


@pytest.mark.parametrize(
    "keeper",
    [
        "tests/unit/control/test_scale.py::test_that_nobody_wrote",
        "tests/unit/control/test_scale.py::TestFirstComeFirstServed::test_that_nobody_wrote",
        "tests/unit/control/test_scale.py::test_one_worker",  # in a class
        "tests/unit/test_nothing.py::test_one_worker",
        "tests/support.py::script",
        "bench/test_ring.py::test_one_thread",
        "bench gate: ray",
    ],
)
def test_this_notices_what_is_not_there(keeper: str) -> None:
    assert keepers(f"A promise. `{keeper}`") == [keeper]
    assert not exists(keeper)


def test_this_reads_items() -> None:
    read = promises("text\n\n1. One `a`.\n   `tests/x.py::test_y`,\n   more\n2. Two.\n\n- 3. no\n")
    assert read == {1: "One `a`.\n   `tests/x.py::test_y`,\n   more", 2: "Two."}
    assert (keepers(read[1]), keepers(read[2])) == (["tests/x.py::test_y"], [])
