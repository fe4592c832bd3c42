"""Functions of another Python than the server's own, side by side with those of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, ROOT, RUNTIME, Served, zipped
from support import until

from engine.worker.process_tree import children

PYTHONS = sorted((ROOT / "build/pythons").glob("python3.*/bin/python"))
PROCESS = """
import json, os, sys, time
import from_a_layer
where = [os.path.realpath(place) for place in sys.path]
def handler(event, context):
    if event.get("exit"):
        os._exit(3)
    if event.get("sleep"):
        time.sleep(60)
    print("says", event)
    return {
        "version": "python%d.%d" % sys.version_info[:2], "environment": os.environ["AWS_EXECUTION_ENV"],
        "path": where, "layer": from_a_layer.NAME,
        "parent": os.getppid(), "pid": os.getpid(), "name": context.function_name,
    }
"""

pytestmark = pytest.mark.skipif(
    not PYTHONS, reason="there is no second CPython here (make test looks for one)"
)


def create(api: Any, name: str, runtime: str, timeout: int = 10) -> None:
    layer = api.publish_layer_version(
        LayerName=name,
        Content={
            "ZipFile": zipped(
                **{f"python/lib/{runtime}/site-packages/from_a_layer.py": f"NAME = {runtime!r}\n"}
            )
        },
    )
    api.create_function(
        FunctionName=name, Runtime=runtime, Role=ROLE, Handler="app.handler", Timeout=timeout,
        Code={"ZipFile": zipped(**{"app.py": PROCESS})}, Layers=[layer["LayerVersionArn"]],
    )  # fmt: skip
    api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})


def invoke(api: Any, name: str, event: Any = None) -> tuple[str | None, Any]:
    response = api.invoke(FunctionName=name, Payload=json.dumps(event or {}))
    return response.get("FunctionError"), json.loads(response["Payload"].read())


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def stoker(*arguments: str) -> list[str]:
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def other() -> str:
    """The runtime that another interpreter than ours runs."""
    return PYTHONS[0].parent.parent.name


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, other: str) -> Iterator[Served]:
    """A server of both, with a function of each."""
    served = Served(tmp_path_factory.mktemp("state"), "--python", str(PYTHONS[0]))
    create(served.client(), "other", other)
    create(served.client(), "own", RUNTIME)
    yield served
    assert served.stop() == 0


def test_each_function_runs_on_its_own_python(both: Served, other: str) -> None:
    api = both.client()
    for name, runtime in (("other", other), ("own", RUNTIME), ("other", other)):
        error, result = invoke(api, name)
        assert error is None, result
        assert (result["version"], result["environment"]) == (runtime, f"AWS_Lambda_{runtime}")
        assert (result["layer"], result["name"]) == (runtime, name)


@pytest.mark.promise(78)
def test_nothing_of_the_servers_python_is_on_the_others_path(both: Served) -> None:
    ours = [place for place in map(os.path.realpath, sys.path) if place.endswith("site-packages")]
    _, result = invoke(both.client(), "other")
    assert ours
    assert not set(ours) & set(result["path"])


def test_its_errors_are_those_of_any_function(both: Served) -> None:
    api = both.client()
    error, result = invoke(api, "other", {"exit": True})
    assert error == "Unhandled"
    assert result["errorType"] == "Runtime.ExitError"
    api.update_function_configuration(FunctionName="other", Timeout=1)
    api.get_waiter("function_updated_v2").wait(FunctionName="other", WaiterConfig={"Delay": 0})
    error, result = invoke(api, "other", {"sleep": True})
    assert error == "Unhandled"
    assert result["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert invoke(api, "other")[0] is None


def test_its_zygote_is_killed(both: Served, other: str) -> None:
    """There is a new one; the other Python's functions never notice."""
    api = both.client()
    worker = invoke(api, "other")[1]["pid"]
    beneath = {pid: Path(f"/proc/{pid}/exe").resolve().name for pid in children(both.process.pid)}
    [zygote] = [pid for pid, name in beneath.items() if name == other]
    own = invoke(api, "own")[1]["parent"]
    os.kill(zygote, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{worker}"), 20)  # a call that it still takes dies with it
    assert invoke(api, "other")[1]["version"] == other
    assert invoke(api, "own")[1]["parent"] == own


def test_a_python_that_is_gone_after_a_restart(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(tmp_path / "state", "--python", str(PYTHONS[0]))
    create(served.client(), "other", other)
    assert served.stop() == 0
    monkeypatch.setenv("PATH", "/nowhere")
    served = Served(tmp_path / "state")
    try:
        error, result = invoke(served.client(), "other")
        assert (error, result["errorType"]) == ("Unhandled", "Runtime.InvalidRuntime")
        assert result["errorMessage"].startswith(
            f"The runtime {other} cannot be run here: this server runs {RUNTIME}"
        )
        assert f"`stoker python add {other.removeprefix('python')}`" in result["errorMessage"]
        assert "stoker serve --python PATH" in result["errorMessage"]
        served.client().update_function_configuration(FunctionName="other", Runtime=other)
    finally:
        assert served.stop() == 0


def test_a_python_on_the_path_is_found(tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{PYTHONS[0].parent}:/nowhere")
    served = Served(tmp_path / "state")
    try:
        create(served.client(), "other", other)
        assert invoke(served.client(), "other")[1]["version"] == other
    finally:
        assert served.stop() == 0


@pytest.mark.promise(190)
def test_a_python_is_prepared_for_a_server_that_runs(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the Python itself nothing is changed, and nothing had to be installed by hand."""
    version = other.removeprefix("python")
    base = Path(os.path.realpath(PYTHONS[0]))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", f"{base.parent}:/usr/bin:/bin")
    before = subprocess.run([base, "-m", "pip", "list"], capture_output=True, check=False).stdout
    assert [line.split()[:2] for line in stoker("python", "ls") if line.startswith(other)] == [[other, "add"]]
    served = Served(tmp_path / "state")
    try:
        create(served.client(), "other", other)
        assert invoke(served.client(), "other")[1]["errorType"] == "Runtime.InvalidRuntime"
        [line] = stoker("python", "add", version)
        prepared = tmp_path / "data/stoker/pythons" / other / "bin/python"
        assert line == f"{other} runs functions: {prepared}"
        assert invoke(served.client(), "other")[1]["version"] == other
        assert stoker("python", "add", version) == [line]  # and it is not done twice
        assert [other, "prepared", str(prepared)] in [line.split() for line in stoker("python", "ls")]
    finally:
        assert served.stop() == 0
    assert subprocess.run([base, "-m", "pip", "list"], capture_output=True, check=False).stdout == before
    monkeypatch.setenv("PATH", "/nowhere")
    served = Served(tmp_path / "state")
    try:
        assert invoke(served.client(), "other")[1]["version"] == other
    finally:
        assert served.stop() == 0


@pytest.mark.promise(190)
def test_pyenvs_and_uvs_pythons_are_found(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = other.removeprefix("python")
    base = os.path.realpath(PYTHONS[0])
    monkeypatch.setenv("PATH", "/nowhere")
    for variable, place in (
        ("PYENV_ROOT", f"versions/{version}.%s"),
        ("UV_PYTHON_INSTALL_DIR", f"cpython-{version}.%s-linux"),
    ):
        root = tmp_path / variable
        for patch in ("2", "10"):
            (root / (place % patch) / "bin").mkdir(parents=True)
            (root / (place % patch) / "bin" / other).symlink_to(base)
        with monkeypatch.context() as changed:
            changed.setenv("PYENV_ROOT", str(tmp_path / "none"))
            changed.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "none"))
            assert not [line for line in stoker("python", "ls") if line.startswith(other)]
            changed.setenv(variable, str(root))
            [line] = [line for line in stoker("python", "ls") if line.startswith(other)]
            assert line.endswith(str(root / (place % "10") / "bin" / other))


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("3.10", "functions run on Python 3.11 to 3.14"),
        ("/nowhere/python", "No such file or directory"),
        ("/bin/true", "it is no Python"),
        ("", "add which?"),
    ],
)
def test_what_cannot_be_prepared(wanted: str, why: str) -> None:
    done = command("python", "add", *[wanted] * bool(wanted))
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("python", "why"),
    [
        ("/nowhere/python3.12", "No such file or directory"),
        ("/bin/true", "it is no Python"),
        ("/bin/false", "status 1"),
    ],
)
def test_a_python_that_cannot_run_functions(python: str, why: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", tmp_path, "--python", python],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"--python {python} cannot run functions: " in done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr
