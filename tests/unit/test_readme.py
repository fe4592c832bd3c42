"""README.md: its code runs as it stands, and what it points at exists."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import ROLE, RUNTIME, Served

import engine
from engine.hosting.archives import pack

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_there_is_code() -> None:
    assert len(BLOCKS) >= 2


ENDPOINT = "http://127.0.0.1:9001"  # where README has its server


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """A server with the function that README deploys to it."""
    served = Served(tmp_path / "state")
    code = {"ZipFile": pack(ROOT / "handlers" / "echo")}
    served.client().create_function(
        FunctionName="echo", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code
    )
    yield served.url
    assert served.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_code_runs_as_it_stands(tmp_path: Path, request: pytest.FixtureRequest, number: int) -> None:
    script = tmp_path / "block.py"
    text = BLOCKS[number]
    if ENDPOINT in text:
        text = text.replace(ENDPOINT, request.getfixturevalue("endpoint"))
    text = text.replace('state="state"', f"state={str(tmp_path / 'kept')!r}")
    script.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(engine.__path__[0])}
    command = [sys.executable, str(script)]
    if "def test_" in text:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(ROOT),
            str(script),
        ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if (
        "def test_" in text and "the run is void" in done.stdout
    ):  # as it says, where this machine is too busy to measure anything
        return
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_every_sample_is_in_the_table() -> None:
    samples = {path.parent.name for path in (ROOT / "handlers").glob("*/README.md")}
    assert samples == set(re.findall(r"^\| \[[a-z-]+\]\(handlers/([a-z-]+)\)", README, re.MULTILINE))


def test_every_make_target_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)`", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
