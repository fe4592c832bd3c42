"""The pytest fixture `stoker_load`: a test puts a function under load and asserts on the result.

    def test_it_keeps_up(stoker_load):
        result = stoker_load("app:handler", code="src", rate=500, duration=5)
        stoker_load.check(result, "p99<5ms", "errors<0.1%")

Every pytest run where Stoker is installed loads this: all else is imported when a test asks for a run.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .result import Result

_RUNS = pytest.StashKey[list["Result"]]()


class Loads:
    """Runs load tests for one test. Relative paths start from pytest's root directory."""

    def __init__(self, base: Path, runs: list[Result]) -> None:
        self._base = base
        self._runs = runs

    def __call__(
        self, target: str | os.PathLike[str], *, allow_void: bool = False, **settings: Any
    ) -> Result:
        """The result of a scenario's file, or of a target with these settings: the options of `stoker load`, with
        underscores: rate=500, duration="5s", ramp="100:1000:100", expect="echo", warm=2; and environment={...},
        noise=False, limits={"p99": "5ms"}. The test fails when the run is void, unless allow_void, and when it does not
        keep its limits. Raises ScenarioError for settings that make no sense, EngineError and OSError for a target that
        cannot be started or reached."""
        from .scenario.criteria import broken
        from .scenario.scenario import scenario

        try:
            from .run import run_now
        except ImportError as error:
            pytest.fail(f'{error.name} is missing: pip install "stoker[load]"', pytrace=False)
        made = scenario(os.fspath(target), settings, self._base)
        result = run_now(made)
        self._runs.append(result)
        if result.void and not allow_void:
            _fail(["the run is void, its figures mean nothing:", *result.void])
        _fail(broken(made.limits, result))
        return result

    def check(self, result: Result, *criteria: str) -> None:
        """Fail the test with a line for each that the result does not keep: "p99<5ms", "max<=50ms", "errors<1%",
        "throttles<=10", "goodput>900/s". Raises ValueError for what is no criterion."""
        from .scenario.criteria import broken, criterion

        _fail(broken([criterion(each) for each in criteria], result))


def _fail(lines: list[str]) -> None:
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.fixture
def stoker_load(request: pytest.FixtureRequest) -> Loads:
    """Runs load tests: stoker_load("app:handler", code="src", rate=500, duration=5), or of a scenario's file. What it
    returns is a Result; stoker_load.check(result, "p99<5ms", "errors<1%") fails the test if it is not so."""
    return Loads(request.config.rootpath, request.node.stash.setdefault(_RUNS, []))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The report of a test that failed has the results of its runs."""
    report = yield
    if report.failed and (runs := item.stash.get(_RUNS, [])):
        from .report.summary import text

        report.sections += [(f"stoker load: {run.name}", text(run)) for run in runs]
        runs.clear()
    return report
