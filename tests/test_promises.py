"""PROMISES.md: every promise has what keeps it, as the tests' marks say; every fault of the list has its test."""

from __future__ import annotations

import re

import pytest
from promises import FILE, ROOT, collected, keepers, marked, promises, rendered, sources, unread

from bench.gate import GATES

TEXT = FILE.read_text(encoding="utf-8")
PROMISES = promises(TEXT)
KEEPERS = keepers()
FAULT_TESTS = {
    path.stem: [*collected(path.read_text(encoding="utf-8"))]
    for room in ("faults", "security")
    for path in (ROOT / "tests" / room).glob("test_row*.py")
}
ROWS = [*range(1, 12), *range(13, 38), 39, 40, 41, 49]  # of the list of faults: those of this engine


def gates(text: str) -> list[str]:
    """The gates that it names."""
    return re.findall(r"`bench gate: *([^`]+)`", text)


def test_they_are_numbered_from_one_without_a_gap() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", TEXT, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 50


@pytest.mark.parametrize("number", PROMISES)
def test_each_has_what_keeps_it(number: int) -> None:
    assert KEEPERS.get(number) or gates(PROMISES[number]), f"promise {number} has no test and no gate"


def test_the_tests_listed_are_those_with_the_mark() -> None:
    assert rendered(TEXT, KEEPERS) == TEXT, "`make promises` writes what is missing"


def test_no_test_is_listed_elsewhere() -> None:
    """By hand, or outside of a promise: none is lost because of how an item is laid out."""
    listed = re.findall(r"`([^`]+::[^`]+)`", TEXT)
    assert sorted(listed) == sorted(name for names in KEEPERS.values() for name in names)


def test_every_mark_names_promises_that_exist() -> None:
    assert set(KEEPERS) <= set(PROMISES)


def test_every_mark_is_on_a_test_and_has_numbers() -> None:
    assert {file: lines for file, source in sources().items() if (lines := unread(source))} == {}


def test_every_gate_keeps_a_promise() -> None:
    assert set(gates(TEXT)) == {gate.__name__ for gate in GATES}
    assert sorted(gates(TEXT)) == sorted(name for item in PROMISES.values() for name in gates(item))


@pytest.mark.parametrize("row", ROWS)
def test_every_fault_has_a_test_named_after_it(row: int) -> None:
    """By the function's name, in a file whose name has the row or a range with it."""
    found = []
    for file, names in FAULT_TESTS.items():
        first, last = re.findall(r"\d+", file)[0], re.findall(r"\d+", file)[-1]
        named = [name for name in names if name.startswith(f"test_row_{row:02}_")]
        assert not named or int(first) <= row <= int(last), f"{file} has {named}"
        found += named
    assert found, f"row {row}"


SOURCE = """
@pytest.mark.promise(1, 2)
@pytest.mark.parametrize("n", [1])
def test_one(n): ...

@pytest.mark.promise(3)
class TestClass:
    @pytest.mark.promise(1)
    async def test_two(self): ...

TestMachine = pytest.mark.promise(4)(Machine.TestCase)
"""


def test_this_reads_marks() -> None:
    assert [*marked(SOURCE)] == [
        ("test_one", 1), ("test_one", 2), ("TestClass", 3), ("TestClass::test_two", 1), ("TestMachine", 4),
    ]  # fmt: skip
    assert unread(SOURCE) == []


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.promise(1)\ndef helper(): ...",
        "@pytest.mark.promise(1)\nclass Helper:\n    def test_it(self): ...",
        "@pytest.mark.promise(1)\nclass TestNothing:\n    def helper(self): ...",
        "class TestIt:\n    @pytest.mark.promise(1)\n    def helper(self): ...\n    def test_it(self): ...",
        "def test_it():\n    @pytest.mark.promise(1)\n    def test_inner(): ...",
        "@pytest.mark.promise\ndef test_it(): ...",
        "@pytest.mark.promise()\ndef test_it(): ...",
        "@pytest.mark.promise(NUMBER)\ndef test_it(): ...",
        "pytestmark = pytest.mark.promise(1)\ndef test_it(): ...",
        "PARAMETERS = [pytest.param(1, marks=pytest.mark.promise(1))]",
    ],
)
def test_this_notices_a_mark_that_keeps_nothing(source: str) -> None:
    assert [*marked(source)] == []
    assert len(unread(source)) == 1


def test_this_reads_and_writes_items() -> None:
    text = "text\n\n1. One.\n   - `tests/old.py::test_gone`\n2. Two `tests/`,\n   more. `bench gate: b`\n\n- 3. no\n"
    assert promises(text) == {
        1: "One.\n   - `tests/old.py::test_gone`",
        2: "Two `tests/`,\n   more. `bench gate: b`",
    }
    new = rendered(text, {2: ["tests/a.py::test_x", "tests/a.py::test_y"]})
    assert new == (
        "text\n\n1. One.\n2. Two `tests/`,\n   more. `bench gate: b`\n"
        "   - `tests/a.py::test_x`\n   - `tests/a.py::test_y`\n\n- 3. no\n"
    )
    assert rendered(new, {2: ["tests/a.py::test_x", "tests/a.py::test_y"]}) == new
    assert gates(promises(new)[2]) == ["b"]
