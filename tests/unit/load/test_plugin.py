"""The pytest fixture at work in a pytest of its own: what passes, what fails and with which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import engine

HANDLER = """\
def handler(event, context):
    return event
def fails(event, context):
    raise ValueError("no such thing")
"""
TESTS = """\
import asyncio

QUICK = {"code": "src", "noise": False, "allow_void": True}

def test_it_keeps_up(stoker_load):
    result = stoker_load("app:handler", rate=100, duration="500ms", expect="echo", **QUICK)
    assert result.ended == {"ok": result.offered}
    assert 0 < result.latency.p50 <= result.latency.most
    stoker_load.check(result, "errors<=0", "goodput>10/s", "max<60s")

def test_a_scenarios_file(stoker_load):
    result = stoker_load("steady.toml", duration=0.5, allow_void=True, limits={"throttles": 0})
    assert result.name == "steady"

def test_a_loop_runs_already(stoker_load):
    async def main():
        return stoker_load("app:handler", closed=1, duration=0.3, **QUICK)
    assert asyncio.run(main()).loop == "closed"

def test_broken(stoker_load):
    result = stoker_load("app:handler", rate=100, duration=0.5, name="slow one", **QUICK)
    stoker_load.check(result, "errors<1%", "p50<1ns", "goodput>1000000")

def test_broken_in_the_file(stoker_load):
    stoker_load("steady.toml", duration=0.5, allow_void=True, limits={"p50": "1ns"})

def test_void(stoker_load, monkeypatch):
    import engine.load.run as start
    import msgspec
    run = start.run_now
    monkeypatch.setattr(start, "run_now", lambda *a: msgspec.structs.replace(run(*a), void=["it slipped"]))
    stoker_load("app:handler", code="src", rate=100, duration=0.3, noise=False)

def test_wrong_answers(stoker_load):
    result = stoker_load("app:fails", rate=50, duration=0.5, **QUICK)
    assert result.reasons == {"error": {"ValueError: no such thing": result.offered}}

def test_no_sense(stoker_load):
    stoker_load("app:handler", rat=5)
"""
TOML = """\
noise = false
target = { function = "app:handler", code = "src" }
arrivals = { rate = 100 }
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.dirname(engine.__path__[0]), "PYTEST_ADDOPTS": ""}


@pytest.mark.slow
def test_it_is_at_work_in_a_users_tests(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(HANDLER)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_load.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "steady.toml").write_text(TOML)
    plugins = ["-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-rA"],
        cwd=tmp_path / "tests", env=ENVIRONMENT, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    out = done.stdout
    ended = {
        line.split("::")[1].split(" ")[0]: line.split(" ")[0]
        for line in out.splitlines()
        if line.startswith(("PASSED", "FAILED", "ERROR"))
    }
    assert ended == {
        "test_it_keeps_up": "PASSED", "test_a_scenarios_file": "PASSED", "test_a_loop_runs_already": "PASSED",
        "test_wrong_answers": "PASSED", "test_broken": "FAILED", "test_broken_in_the_file": "FAILED",
        "test_void": "FAILED", "test_no_sense": "FAILED",
    }, out + done.stderr  # fmt: skip
    assert "\np50 is " in out
    assert ", not less than 1 ns\n" in out
    assert "goodput is " in out
    assert "errors is" not in out
    assert "the run is void, its figures mean nothing:\nit slipped\n" in out
    assert "ScenarioError: rat: there is no such setting. Did you mean rate?" in out
    assert "- stoker load: slow one -" in out  # what a failed test's runs found goes with its report
    assert out.count("- stoker load: ") == 3


def test_every_pytest_loads_it_and_nothing_else_of_ours() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import engine.load.plugin; new = set(sys.modules) - before; "
        "print(*(name for name in new if name.partition('.')[0] not in ('engine', '__future__'))); "
        "print(*(name for name in new if name.startswith('engine')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    others, ours = done.stdout.splitlines()
    assert others == ""
    assert set(ours.split()) == {"engine", "engine.errors", "engine.load", "engine.load.plugin"}


def test_it_is_there_without_being_asked_for(pytestconfig: pytest.Config) -> None:
    """Its entry point."""
    from importlib.metadata import entry_points

    found = {it.name: it.value for it in entry_points(group="pytest11")}
    if "stoker" not in found:
        pytest.skip("installed before there was one: install it anew")
    assert found["stoker"] == "engine.load.plugin"
