"""CPython's own tests of ProcessPoolExecutor pass against Executor; what is left out is listed, with why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PARTS = 3
PROGRAM = Path(__file__).with_name("cpython.py")
INTERNALS = "looks into ProcessPoolExecutor's own attributes"
NAMED = "runs a program that imports the executor from concurrent.futures by its name: test_executor.py has the like"
ALONE = "wants the whole pool to be broken: here the call fails alone, with what went wrong"
LATER = "wants some tasks to have begun at once: workers may start later than the shutdown here, then all are cancelled"
LEFT_OUT = {
    "ProcessPoolShutdownTest.test_interpreter_shutdown": NAMED,
    "ProcessPoolShutdownTest.test_submit_after_interpreter_shutdown": NAMED,
    "ProcessPoolShutdownTest.test_hang_gh83386": NAMED,
    "ProcessPoolShutdownTest.test_hang_gh94440": NAMED,
    "ProcessPoolShutdownTest.test_processes_terminate": INTERNALS,
    "ProcessPoolShutdownTest.test_context_manager_shutdown": INTERNALS,
    "ProcessPoolShutdownTest.test_del_shutdown": INTERNALS,
    "ProcessPoolShutdownTest.test_shutdown_no_wait": INTERNALS,
    "ProcessPoolShutdownTest.test_cancel_futures": LATER,
    "ProcessPoolExecutorTest.test_killed_child": ALONE,
    "ProcessPoolExecutorTest.test_saturation": INTERNALS,
    "ProcessPoolExecutorTest.test_idle_process_reuse_one": INTERNALS,
    "ProcessPoolExecutorTest.test_idle_process_reuse_multiple": INTERNALS,
    "ProcessPoolExecutorTest.test_max_tasks_per_child": INTERNALS,
    "ProcessPoolExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context": INTERNALS,
    "ProcessPoolExecutorTest.test_python_finalization_error": INTERNALS,
    "ProcessPoolExecutorTest.test_max_workers_too_large": "of Windows",
    "ExecutorDeadlockTest.test_exit_at_task_unpickle": ALONE,
    "ExecutorDeadlockTest.test_error_at_task_unpickle": ALONE,
    "ExecutorDeadlockTest.test_error_during_result_unpickle_in_result_handler": ALONE,
    "ExecutorDeadlockTest.test_exit_during_result_unpickle_in_result_handler": ALONE,
    "ExecutorDeadlockTest.test_shutdown_deadlock_pickle": INTERNALS,
    "ExecutorDeadlockTest.test_gh105829_should_not_deadlock_if_wakeup_pipe_full": INTERNALS,
}


@pytest.mark.slow
@pytest.mark.promise(112)
@pytest.mark.timeout(600)
def test_cpythons_tests_of_process_pools() -> None:
    """A few at a time: they sleep more than they compute."""

    def run(part: int) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, PROGRAM, "--without", *LEFT_OUT], env={**os.environ, "CPYTHON_PART": f"{part}/{PARTS}"},
            capture_output=True, text=True, timeout=580, check=True,
        )  # fmt: skip
        return dict(json.loads(done.stdout.splitlines()[-1]))

    with ThreadPoolExecutor(PARTS) as pool:
        outcomes = {name: outcome for part in pool.map(run, range(PARTS)) for name, outcome in part.items()}
    if not outcomes:
        pytest.skip("this Python has no tests: install Debian's libpython3-testsuite, or CPython from source")
    failed = {name: outcome for name, outcome in outcomes.items() if outcome != "passed"}
    assert not failed
    assert len(outcomes) > 30
