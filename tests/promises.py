"""The tests that keep each promise, read from their marks; run as a program, it writes them into PROMISES.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "PROMISES.md"
MARK = "pytest.mark.promise"
ITEM = re.compile(r"^(\d+)\. (.*(?:\n +\S.*)*)", re.MULTILINE)
GENERATED = re.compile(r"\n +- `tests/.*")


def promises(text: str) -> dict[int, str]:
    """The numbered items, each with the lines indented below it."""
    return {int(number): item for number, item in ITEM.findall(text)}


def collected(source: str) -> dict[str, list[ast.expr]]:
    """What pytest collects from a file, without importing it: names as in node ids, each with its decorators."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.startswith("test_"):
                found[node.name] = node.decorator_list
            case ast.ClassDef() if node.name.startswith("Test"):
                methods = [
                    each
                    for each in node.body
                    if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                    and each.name.startswith("test_")
                ]
                if methods:
                    found[node.name] = node.decorator_list
                    found |= {f"{node.name}::{each.name}": each.decorator_list for each in methods}
            # A state machine of Hypothesis, as it is or in a mark: `TestQueue = mark(Machine.TestCase)`.
            case ast.Assign(targets=[ast.Name(name)], value=ast.Attribute(attr="TestCase")):
                found[name] = []
            case ast.Assign(
                targets=[ast.Name(name)], value=ast.Call(func, args=[ast.Attribute(attr="TestCase")])
            ):
                found[name] = [func]
    return found


def is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "promise" and ast.unparse(node) == MARK


def numbers(decorator: ast.expr) -> list[int]:
    """The promises that a decorator names; none if it is another one."""
    if isinstance(decorator, ast.Call) and is_mark(decorator.func):
        return [each.value for each in decorator.args if isinstance(each, ast.Constant)]
    return []


def marked(source: str) -> Iterator[tuple[str, int]]:
    """The tests of a file that have the mark, with each promise that it names."""
    for name, decorators in collected(source).items():
        for decorator in decorators:
            for number in numbers(decorator):
                yield name, number


def unread(source: str) -> list[int]:
    """The lines of marks that keep nothing: on no test, or without plain numbers."""
    read = {
        decorator.func.end_lineno
        for decorators in collected(source).values()
        for decorator in decorators
        if isinstance(decorator, ast.Call)
        and decorator.args
        and len(numbers(decorator)) == len(decorator.args)
    }
    return [node.lineno for node in ast.walk(ast.parse(source)) if is_mark(node) and node.lineno not in read]


def sources() -> dict[str, str]:
    """The test files that use the mark, by their paths from the root."""
    files = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    return {str(path.relative_to(ROOT)): text for path, text in files.items() if MARK in text}


def keepers() -> dict[int, list[str]]:
    """The node ids of the tests that keep each promise, in the order of their files and lines."""
    found: dict[int, list[str]] = {}
    for file, source in sources().items():
        for name, number in marked(source):
            found.setdefault(number, []).append(f"{file}::{name}")
    return found


def rendered(text: str, keepers: dict[int, list[str]]) -> str:
    """The text with the tests that keep each promise in lines below it, in place of those that are there."""

    def item(match: re.Match[str]) -> str:
        indent = " " * (len(match[1]) + 2)
        lines = [f"\n{indent}- `{name}`" for name in keepers.get(int(match[1]), [])]
        return GENERATED.sub("", match[0]) + "".join(lines)

    return ITEM.sub(item, text)


if __name__ == "__main__":
    FILE.write_text(rendered(FILE.read_text(encoding="utf-8"), keepers()), encoding="utf-8")
