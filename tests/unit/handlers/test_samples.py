"""What every sample is, and echo, which gives its event back."""

import os
import re
import subprocess
import sys

import pytest
from sample_functions import HANDLERS, SAMPLES, event, invoke


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_has_a_readme_of_three_lines_whose_command_names_a_real_event(name: str) -> None:
    lines = (HANDLERS / name / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    command = re.fullmatch(r"Run: `stoker invoke app:handler @(\S+) --code (\S+)`", lines[2])
    assert command is not None
    assert command[2] == f"handlers/{name}"
    assert (HANDLERS.parent / command[1]).parent == HANDLERS / name / "events"
    assert (HANDLERS.parent / command[1]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_sample_is_a_plain_lambda_function_that_starts_no_thread_and_keeps_no_socket(name: str) -> None:
    # In a process of its own: what this one has open says nothing about the sample.
    code = (
        "import sys, os, app\n"
        "assert 'engine' not in sys.modules, 'a sample knows nothing of what runs it'\n"
        "paths = [f'/proc/self/fd/{fd}' for fd in range(3, 64)]\n"
        "links = [os.readlink(path) for path in paths if os.path.islink(path)]\n"
        "print(len(os.listdir('/proc/self/task')), sum(link.startswith('socket:') for link in links))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        check=False,
        cwd=HANDLERS / name,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["1", "0"]), done.stderr


@pytest.mark.parametrize("file", ["hello", "text"])
def test_echo_gives_its_event_back(file: str) -> None:
    assert invoke("echo", file) == event("echo", file)
