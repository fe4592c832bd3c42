"""Runs the C tests under each sanitizer, and the model checks with every order weakened in turn."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from bench import hotpath

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NATIVE = ROOT / "native"
MODEL = NATIVE / "model"
OURS = [path for path in NATIVE.rglob("*.[ch]") if path.parent != MODEL]
CHECKS = sorted(path.stem for path in HERE.glob("*.c"))
STRICT = ["-Wall", "-Wextra", "-Werror"]
VARIANTS = {
    "plain": ["-O2"],
    "asan": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    # A standalone fence means nothing to this sanitizer; the model checks are there for those.
    "tsan": ["-O1", "-g", "-fsanitize=thread", "-Wno-tsan"],
}
SKIPPED = 77  # an exit code
ROOMS = {
    "shared": {"shared", "model_atomics.h"},  # the model checker brings its own atomics
    "engine": {"engine", "shared"},
    "worker": {"worker", "shared"},
}
# Exported for tests alone: tests/queue_machine.py plays workers, and handlers/misbehave stops within a reply.
FOR_TESTS = {
    "stk_worker_open",
    "stk_worker_reserve",
    "stk_worker_commit",
    "stk_worker_doorbell",
    "stk_engine_lost",
    "stk_functions_live",
    "STK_DEPTH",
    "STK_INVOKE",
    "STK_SHUTDOWN",
}

# Scenario, what is weakened, and how the checker must find out.
RACE, STUCK, WRONG = "DATA RACE", "DEADLOCK", "USER ASSERT FAILED"
SLEEPERS = ["event", "thread", "loop", "space", "trip", "death"]
ORDERS = ["PUBLISH", "PEEK", "FREE", "SPACE"]
FENCES = ["WAKE", "SLEEP", "WAKE:acq_rel", "SLEEP:acq_rel"]
MODELS = {
    "ring_model": ["ring", "large", "text"],
    "sleep_model": SLEEPERS,
    "start_model": ["start", "skipped"],
}
MUTANTS = [
    *(("ring_model", scenario, order, RACE) for scenario in ["ring", "large"] for order in ORDERS),
    *(("ring_model", "text", order, RACE) for order in ["PUBLISH", "PEEK", "WRITTEN", "LEFT"]),
    ("ring_model", "text", "LATE", WRONG),
    *(("sleep_model", scenario, fence, STUCK) for scenario in SLEEPERS for fence in FENCES),
    *(("sleep_model", scenario, "LOOK", STUCK) for scenario in SLEEPERS if scenario != "death"),
    *(("sleep_model", scenario, "BELL", STUCK) for scenario in ["event", "thread", "space", "trip"]),
    *(
        ("start_model", "start", fence, WRONG)
        for fence in ["START", "REVOKE", "START:acq_rel", "REVOKE:acq_rel"]
    ),
    *(("start_model", "skipped", fence, WRONG) for fence in ["START", "START:acq_rel"]),
    *(("start_model", "skipped", fence, STUCK) for fence in ["REVOKE", "REVOKE:acq_rel", "FLAG"]),
]


def run(*command: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(command), capture_output=True, text=True, timeout=timeout, check=False)


def build(*command: str | Path) -> None:
    done = run(*command, timeout=300)
    assert done.returncode == 0, done.stderr


def at_once(jobs: list[tuple[str | Path, ...]]) -> None:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda job: build(*job), jobs))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Builds something in a directory of its own, once, however many test processes there are."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        directory = base / f"native-{name}"
        with (base / f"native-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (directory / "made").exists():
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                make(directory)
                (directory / "made").touch()
        return directory

    return made


def make_checks(variant: str, directory: Path) -> None:
    flags = ["-std=c11", *VARIANTS[variant], *STRICT]
    sources = sorted(path for path in NATIVE.rglob("*.c") if path.parent.name not in hotpath.IN_PYTHON)
    objects = [directory / f"{source.stem}.o" for source in sources]
    native = [*flags, "-Wno-unused-parameter", f"-I{NATIVE}", "-c"]
    at_once([("gcc", *native, source, "-o", out) for source, out in zip(sources, objects, strict=True)])
    at_once(
        [
            ("gcc", *flags, f"-I{NATIVE}", HERE / f"{name}.c", *objects, "-lpthread", "-o", directory / name)
            for name in CHECKS
        ]
    )


def make_models(directory: Path) -> None:
    preprocess = ["g++", "-xc++", "-E", "-include", "relacy/relacy.hpp", "/dev/null"]
    if shutil.which("g++") is None or run(*preprocess).returncode:
        pytest.fail("the model checks need a C++ compiler and Relacy: apt-get install g++ relacy-dev")
    flags = ["-std=c++17", "-O1", "-DSTK_MODEL", *STRICT, "-Wno-unused-function", f"-I{MODEL}", f"-I{NATIVE}"]
    at_once([("g++", *flags, MODEL / f"{name}.cpp", "-o", directory / name) for name in MODELS])


@pytest.mark.promise(13)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CHECKS)
def test_c(name: str, variant: str, once: Callable[[str, Callable[[Path], None]], Path]) -> None:
    binary = once(variant, lambda directory: make_checks(variant, directory)) / name
    done = run(binary)
    if "unexpected memory mapping" in done.stderr:  # a sanitizer older than the kernel's address layout
        done = run("setarch", "-R", binary)
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def verdicts(directory: Path, model: str, *arguments: str) -> list[str]:
    done = run(directory / model, *arguments)
    assert done.returncode in (0, 1), done.stderr
    return re.findall(r"^\S+ \S+ ([A-Z ]+) \d+$", done.stdout, re.MULTILINE)


@pytest.mark.promise(5)
@pytest.mark.parametrize(
    ("model", "scenario"), [(m, s) for m, scenarios in MODELS.items() for s in scenarios]
)
def test_model(model: str, scenario: str, once: Callable[[str, Callable[[Path], None]], Path]) -> None:
    found = verdicts(once("models", make_models), model, scenario)
    assert found
    assert set(found) == {"SUCCESS"}


@pytest.mark.promise(5)
@pytest.mark.parametrize(("model", "scenario", "weakened", "verdict"), MUTANTS)
def test_weakened_order_is_caught(
    model: str,
    scenario: str,
    weakened: str,
    verdict: str,
    once: Callable[[str, Callable[[Path], None]], Path],
) -> None:
    assert verdicts(once("models", make_models), model, scenario, weakened)[-1] == verdict


def test_every_order_of_the_vocabulary_has_a_mutant() -> None:
    named = re.findall(r"#define STK_(?:ORD|FENCE)_([A-Z]+)", (NATIVE / "shared/barrier.h").read_text())
    assert set(named) <= {weakened for _, _, weakened, _ in MUTANTS}


def test_orders_and_atomics_are_named_in_one_file_only() -> None:
    words = re.compile(r"\batomic_\w+|\bmemory_order\w*|\b_Atomic\b|\b__atomic_\w+|\b__sync_\w+|\bvolatile\b")
    for path in sorted([*OURS, *HERE.glob("*.[ch]")]):
        found = set(words.findall(path.read_text()))
        assert not found if path.name != "barrier.h" else "volatile" not in found, path.name


def test_each_file_says_first_what_it_is_for() -> None:
    for path in [*OURS, *MODEL.iterdir(), *HERE.glob("*.[ch]")]:
        assert re.match(r"/\* \S+ \S+", path.read_text()), path.name


def included(path: Path) -> set[str]:
    """The headers of ours that a file includes, as it writes them."""
    return set(re.findall(r'^#include "(.+)"', path.read_text(), re.MULTILINE))


@pytest.mark.parametrize(("room", "may_include"), ROOMS.items())
def test_a_room_includes_only_what_it_may(room: str, may_include: set[str]) -> None:
    files = [path for path in OURS if path.parent.name == room]
    assert files
    for path in files:
        strangers = {name for name in included(path) if name.partition("/")[0] not in may_include}
        assert not strangers, path.name


def test_no_header_includes_itself_by_way_of_others() -> None:
    graph = {str(path.relative_to(NATIVE)): included(path) for path in OURS if path.suffix == ".h"}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def names_in(*rooms: Path) -> set[str]:
    """What of the extension module the Python files there name."""
    files = [path for room in rooms for path in room.rglob("*.py") if path != Path(__file__)]
    return set(
        re.findall(r"\blib(?:\.|, \")((?:stk|STK|LANE)_\w+)", "\n".join(path.read_text() for path in files))
    )


def test_python_uses_each_name_that_is_exported() -> None:
    cdef = re.sub(r"/\*.*?\*/", "", (NATIVE / "cdef.h").read_text(), flags=re.DOTALL)
    exported = set(re.findall(r"\b(stk_\w+)\(|\b((?:STK|LANE)_\w+)", cdef))
    names = {function or constant for function, constant in exported}
    assert names - names_in(ROOT / "engine") == FOR_TESTS
    assert names_in(ROOT / "tests", ROOT / "handlers") >= FOR_TESTS


@pytest.mark.promise(58)
def test_hot_path_instructions_are_as_in_the_baseline() -> None:
    verdict = hotpath.check()
    if verdict.kept is None:
        pytest.skip(verdict.lines[0])
    assert verdict.kept, "\n".join(verdict.lines)


@pytest.mark.promise(58)
def test_a_slowed_hot_path_is_noticed(tmp_path: Path) -> None:
    slowed = shutil.copytree(NATIVE, tmp_path / "native")
    calls = slowed / "engine/calls.c"
    code = calls.read_text()
    assert "c->t_done = now;" in code
    calls.write_text(code.replace("c->t_done = now;", "for (int i = 0; i < 9; i++) c->t_done = stk_now();"))
    verdict = hotpath.check(sources=slowed)
    if verdict.kept is None:
        pytest.skip(verdict.lines[0])
    assert not verdict.kept, "\n".join(verdict.lines)
