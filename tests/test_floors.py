"""Imports inside engine/ point down only: floor by floor, each responsibility on its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import engine

PACKAGE = Path(engine.__file__).resolve().parent
# The most specific entry counts.
FLOORS = {
    "errors": 0, "limits": 0, "clock": 0, "version": 0,
    "wire": 1, "_native": 1,
    "core": 2,
    "functions": 3,
    "observe": 4,
    "runtime": 5, "sync": 5, "aio": 5,
    "hosting": 6, "load": 6,
    "http": 7,
    "cli": 8,
}  # fmt: skip
# What may import a neighbour on its own floor. Modules of one package may, where loading them makes no circle.
SIBLINGS = {("sync", "runtime"), ("aio", "runtime")}
# The face names what it shows and loads it when asked; it also has the version.
FACE = {"", "cli"}
IN_WORKERS = ["worker", "zygote", "handler", "context", "output", "environment", "marshal", "spare"]
NEVER_IN_WORKERS = {"asyncio", "uvloop", "concurrent", "multiprocessing"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def runtime_nodes(tree: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    """Everything but what stands under `if TYPE_CHECKING`; with `lazy`, function bodies too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from runtime_nodes(other, lazy)
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from runtime_nodes(node, lazy)


def imported(module: str, lazy: bool = True) -> Iterator[str]:
    """The modules of the package that it imports, named from the package."""
    is_package = MODULES[module].name == "__init__.py"
    for node in runtime_nodes(ast.parse(MODULES[module].read_text()), lazy):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (
                name.removeprefix("engine").lstrip(".") for name in names if name.split(".")[0] == "engine"
            )
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".") if module else []
            if node.level:
                above = node.level - is_package
                base = base[: len(base) - above] if above else base
                target = [*base, *(node.module.split(".") if node.module else [])]
            elif node.module and node.module.split(".")[0] == "engine":
                target = node.module.split(".")[1:]
            else:
                continue
            for alias in node.names:
                whole = ".".join([*target, alias.name])
                yield whole if whole in MODULES or whole == "_native" else ".".join(target)


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def test_every_module_has_a_floor() -> None:
    assert {room(module) for module in MODULES} - {""} <= set(FLOORS)
    assert set(FLOORS) - {room(module) for module in MODULES} == {"_native"}


def test_imports_point_down() -> None:
    wrong = []
    for module in MODULES:
        if module == "":
            continue
        for target in imported(module):
            if target == "":
                if room(module) not in FACE:
                    wrong.append(f"{module} imports the face")
                continue
            above, below = FLOORS[room(module)], FLOORS[room(target)]
            same_room = room(module) == room(target)
            if below > above or (below == above and not same_room and (module, target) not in SIBLINGS):
                wrong.append(f"{module} (floor {above}) imports {target} (floor {below})")
    assert wrong == []


def test_loading_goes_in_no_circle() -> None:
    graph = {module: set(imported(module, lazy=False)) & set(MODULES) for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for target in graph[module] - {""}:
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_table_of_neighbours_is_no_longer_than_it_must_be() -> None:
    used = {(module, target) for module in MODULES if module for target in imported(module)}
    assert used >= SIBLINGS


def test_this_reads_imports() -> None:
    """The reader itself: it sees what is known to be there."""
    assert {"core.dispatch", "_native", "runtime", "wire", "core.batch"} <= set(imported("aio"))
    assert "core.handler" in set(imported("core.zygote"))


def test_workers_import_no_event_loop_even_indirectly() -> None:
    names = ", ".join(f"engine.core.{name}" for name in IN_WORKERS)
    code = f"import sys; before = set(sys.modules); import {names}; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "engine" in loaded
    assert loaded & NEVER_IN_WORKERS == set()


def test_workers_name_no_threads() -> None:
    """`logging` brings threading with it; nothing of ours in a worker asks for a thread."""
    for name in IN_WORKERS:
        tree = ast.parse(MODULES[f"core.{name}"].read_text())
        roots = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add((node.module or "").split(".")[0])
        assert roots & (NEVER_IN_WORKERS | {"threading", "_thread", "subprocess"}) == set(), name


def test_pure_parts_do_no_input_or_output() -> None:
    allowed = {"__future__", "dataclasses", "typing"}
    for name in ("core.pool", "core.scaling"):
        tree = ast.parse(MODULES[name].read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom):
                assert node.module in allowed
