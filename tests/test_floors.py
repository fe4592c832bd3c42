"""Imports inside engine/ point down only, and each room imports what the table says."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import engine
from engine.cli.main import COMMANDS

PACKAGE = Path(engine.__file__).resolve().parent
# What each room may import, ground first; no room is named before it has its own line, so nothing points up.
ARROWS = {
    "errors": "", "limits": "", "version": "", "_native": "", "_json": "", "_call": "", "_http": "", "_observe": "",
    "_print": "", "_turn": "",
    "launch": "errors",
    "wire": "", "frames": "",
    "config": "errors limits wire",
    "calls": "errors wire _native _call",
    "worker": "errors limits wire frames _native _json _print _turn calls",
    "control": "errors limits launch wire _native calls worker",
    "observe": "errors limits wire frames _native _observe calls",
    "runtime": "errors limits launch wire _native config calls control observe",
    "pool": "errors _native config calls runtime worker",
    "durable": "errors",
    "queues": "errors wire calls durable",
    "aws": "errors wire",
    "hosting": "errors limits wire frames _native config calls observe runtime durable aws",
    "deploy": "errors aws hosting",
    "routing": "wire calls observe durable aws hosting",
    "bus_routing": "errors wire calls runtime durable queues routing",
    "bus": "limits calls runtime queues bus_routing",
    "services": "errors limits wire frames observe durable aws hosting deploy routing",
    "sources": "limits wire observe durable aws hosting routing services",
    "consume": "errors limits wire calls observe runtime durable queues aws hosting routing services sources",
    "function": "_native calls observe runtime",
    "sync": "limits launch config calls runtime queues routing bus_routing bus consume function",
    "aio": "errors limits wire _native config calls observe runtime queues routing bus_routing bus consume",
    "load": "errors limits version _native config calls aio",
    "console": "errors limits wire observe durable aws hosting services sources",
    "http": (
        "errors limits wire _native _http control calls observe runtime durable aws hosting routing services sources "
        "console"
    ),
    "cli": "errors limits wire _native control observe runtime function sync aws hosting deploy load http",
}  # fmt: skip
# The face names what it shows and loads it when asked; it also has the version.
FACE = {"", "cli"}
NATIVE = {"_native", "_json", "_call", "_http", "_observe", "_print", "_turn"}
NEVER_IN_WORKERS = {"asyncio", "uvloop", "concurrent", "multiprocessing"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}
IN_WORKERS = sorted(module for module in MODULES if module.startswith("worker."))


# Where a statement may stand: expressions, which are most of a tree, have none.
STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement but what stands under `if TYPE_CHECKING`; function bodies too."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, STATEMENTS):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from runtime_nodes(other)
        else:
            yield node
            yield from runtime_nodes(node)


@functools.cache
def imported(module: str) -> tuple[str, ...]:
    """The modules of the package that it imports, named from the package."""
    return tuple(imports(module))


def imports(module: str) -> Iterator[str]:
    is_package = MODULES[module].name == "__init__.py"
    for node in runtime_nodes(ast.parse(MODULES[module].read_text())):
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
                yield whole if whole in MODULES or whole in NATIVE else ".".join(target)


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def test_every_room_has_its_line_and_names_none_below_it() -> None:
    assert set(ARROWS) - NATIVE == {room(module) for module in MODULES} - {""}
    lower: set[str] = set()
    for above, below in ARROWS.items():
        assert set(below.split()) <= lower, above
        lower.add(above)


def test_imports_are_the_tables() -> None:
    """None that it does not have, and none that it has in vain."""
    found: dict[str, set[str]] = {name: set() for name in ARROWS}
    for module in MODULES:
        if module == "":
            continue
        for target in imported(module):
            if target == "":
                assert room(module) in FACE, f"{module} imports the face"
            elif room(target) != room(module):
                found[room(module)].add(room(target))
    assert {name: sorted(rooms) for name, rooms in found.items()} == {
        name: sorted(rooms.split()) for name, rooms in ARROWS.items()
    }


def test_imports_go_in_no_circle() -> None:
    """Not even those inside functions."""
    graph = {module: set(imported(module)) & set(MODULES) for module in MODULES}
    graph["cli.main"] |= {f"cli.{name}" for name in COMMANDS}  # imported by name
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for target in graph[module] - {""}:
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_this_reads_imports() -> None:
    """The reader itself: it sees what is there."""
    assert {"calls.dispatch", "_native", "runtime", "wire", "calls.batch"} <= set(imported("aio"))
    assert "worker.handler" in set(imported("worker.template"))


def test_workers_import_no_event_loop_even_indirectly() -> None:
    names = ", ".join(f"engine.{module}" for module in IN_WORKERS)
    code = f"import sys; before = set(sys.modules); import {names}; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "engine" in loaded
    assert loaded & NEVER_IN_WORKERS == set()


def test_workers_name_no_threads() -> None:
    """`logging` brings threading with it; nothing of ours in a worker asks for a thread, nor for an event loop but for
    what runs async handlers."""
    for name in IN_WORKERS:
        tree = ast.parse(MODULES[name].read_text())
        roots = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add((node.module or "").split(".")[0])
        assert roots & (NEVER_IN_WORKERS | {"threading", "_thread", "subprocess"}) == (
            {"asyncio"} if name == "worker.coroutines" else set()
        ), name


def test_pure_parts_do_no_input_or_output() -> None:
    allowed = {"__future__", "dataclasses", "typing"}
    for name in ("control.scaling", "control.backoff"):
        tree = ast.parse(MODULES[name].read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom):
                assert node.module in allowed


def test_one_kind_of_environments_knows_zygotes() -> None:
    """The rest of the control loop asks environments: another kind may start workers in its own way."""
    naming = {
        name for name in MODULES if room(name) == "control" and "zygote" in MODULES[name].read_text().lower()
    }
    assert naming == {"control.forked", "control.zygote_process"}
