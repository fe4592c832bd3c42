"""Which interpreters run functions: the server's own, and others of this machine that have what the engine needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidConfiguration

OWN = f"python{sys.version_info[0]}.{sys.version_info[1]}"
NEEDS = ("msgspec>=0.19,<1", "cffi>=1.17,<3")  # what the engine needs in an interpreter that runs functions
RUNTIMES = tuple(f"python3.{minor}" for minor in range(11, 15))
_STANDS_IN = re.compile(r"python3\.\d+=", re.ASCII)
_PROBE_SECONDS = 20.0
_PIP_SECONDS = 300.0
_VERSION = """
import sys
if sys.version_info < (3, 11) or sys.implementation.name != "cpython":
    sys.exit(f"it is {sys.implementation.name} {sys.version.split()[0]}, not CPython 3.11 or later")
"""
_NEEDS = """
try:
    import msgspec, _cffi_backend
except ImportError as error:
    sys.exit(f"it has no {error.name}")
"""
_NAME = """
print(f"python{sys.version_info[0]}.{sys.version_info[1]}", flush=True)
"""


class Interpreter(NamedTuple):
    """One of this machine. state: "own", "ready" (it has what the engine needs), "prepared" (in a directory of ours),
    or why it cannot run functions."""

    runtime: str
    path: str
    state: str


def interpreters(configured: Iterable[str] = ()) -> dict[str, str]:
    """By runtime ("python3.12"), the interpreter ("": this one). Configured ones come before those that were prepared,
    and these before those on the PATH; of these one that cannot run functions is left out. A configured one is a path,
    a version ("3.12"), which is prepared if it is not, or RUNTIME=PATH: it stands in for a runtime that is another
    version. Raises InvalidConfiguration for one that cannot run functions."""
    own: list[str] = []  # each once
    stands_in: dict[str, list[str]] = {}
    for each in configured:
        alias, _, path = each.partition("=") if _STANDS_IN.match(each) else ("", "", each)
        if path[:1].isdigit():
            path = prepare(path).path
        if alias:
            stands_in.setdefault(path, []).append(alias)
        if path not in own:
            own.append(path)
    foreign = [runtime for runtime in RUNTIMES if runtime != OWN]
    others = [there for find in (prepared, shutil.which) for runtime in foreign if (there := find(runtime))]
    found = {OWN: ""}
    for python, probe in [(python, _probe(python)) for python in (*own, *others)]:  # all of them at once
        runtime, why = _runtime(probe)
        if not why:
            for name in stands_in.get(python, [runtime]):
                found.setdefault(name, python)
        elif python in own:
            raise InvalidConfiguration(
                f"--python {python} cannot run functions: {why}. It must be a CPython 3.11 or later; "
                f"`stoker python add {python}` gives it what the engine needs, in a directory of its own"
            )
    return found


def folder() -> Path:
    """Where interpreters are prepared."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data, "stoker", "pythons")


def prepared(runtime: str) -> str:
    """The interpreter that was prepared for a runtime; "": none."""
    python = folder() / runtime / "bin" / "python"
    return str(python) if (folder() / runtime / "prepared").exists() and os.access(python, os.X_OK) else ""


def listed() -> list[Interpreter]:
    """One of each runtime, the one that functions run on or would run on, by version."""
    found = {OWN: Interpreter(OWN, sys.executable, "own")}
    for runtime in RUNTIMES:
        if python := prepared(runtime):
            found.setdefault(runtime, Interpreter(runtime, python, "prepared"))
    lacking: dict[str, Interpreter] = {}
    for path, probe in [(path, _probe(path)) for runtime in RUNTIMES for path in _places(runtime)]:
        runtime, why = _runtime(probe)
        if not why:
            found.setdefault(runtime, Interpreter(runtime, path, "ready"))
        elif runtime:
            lacking.setdefault(runtime, Interpreter(runtime, path, why))
    found = lacking | found
    return [found[runtime] for runtime in sorted(found, key=lambda name: int(name.partition(".")[2]))]


def prepare(wanted: str) -> Interpreter:
    """Give a Python of this machine what the engine needs, in an environment of its own below folder(): nothing is
    installed into the Python itself. wanted: a version ("3.12"), looked for on the PATH and where pyenv and uv have
    theirs, or a path. What is prepared already is left as it is. Raises InvalidConfiguration."""
    if wanted[:1].isdigit():
        runtime = f"python{'.'.join(wanted.split('.')[:2])}"
        if runtime not in RUNTIMES:
            raise InvalidConfiguration(f"{wanted}: functions run on Python 3.11 to 3.14")
        if runtime == OWN:
            return Interpreter(OWN, sys.executable, "own")
        base, why = _base(runtime)
        if not base and not prepared(runtime):
            raise InvalidConfiguration(
                f"there is no {runtime} here{why}: looked on the PATH, in {_pyenv()} and in {_uv()}. Install it "
                f"(`pyenv install {runtime[6:]}`, `uv python install {runtime[6:]}`), or name one: "
                "stoker python add PATH"
            )
    else:
        base = shutil.which(wanted) or wanted
        runtime, why = _runtime(_probe(base, _VERSION + _NAME))
        if why:
            raise InvalidConfiguration(f"{wanted}: {why}")
    if (python := prepared(runtime)) and not _runtime(_probe(python))[1]:
        return Interpreter(runtime, python, "prepared")
    return Interpreter(runtime, _install(base, runtime), "prepared")


def _install(base: str, runtime: str) -> str:
    """An environment with what the engine needs; the interpreter in it."""
    where = folder() / runtime
    shutil.rmtree(where, ignore_errors=True)
    where.parent.mkdir(parents=True, exist_ok=True)
    python = str(where / "bin" / "python")
    _run([base, "-m", "venv", "--without-pip", str(where)], f"{base} has no module venv")
    for installer in _installers(base, python):
        if _runs(installer):
            _run([*installer, *NEEDS], f"{', '.join(NEEDS)} could not be installed")
            break
    else:
        raise InvalidConfiguration(f"neither pip nor uv is here, to give {runtime} {', '.join(NEEDS)}")
    _, why = _runtime(_probe(python))
    if why:
        raise InvalidConfiguration(f"{python} cannot run functions: {why}")
    (where / "prepared").touch()
    return python


def _installers(base: str, python: str) -> Iterator[list[str]]:
    for pip in (sys.executable, base):
        yield [pip, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "-q"]
    if uv := shutil.which("uv"):
        yield [uv, "pip", "install", "-q", "--python", python]


def _runs(installer: list[str]) -> bool:
    if installer[1] != "-m":
        return True
    done = subprocess.run([*installer[:3], "--version"], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def _run(command: list[str], fault: str) -> None:
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_PIP_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise InvalidConfiguration(f"{fault}: {lines[-1] if lines else error}") from None


def _base(runtime: str) -> tuple[str, str]:
    """A CPython of a runtime that an environment can be made of, or why there is none."""
    why = ""
    for path in _places(runtime):
        found, problem = _runtime(_probe(path, _VERSION + _NAME))
        if found == runtime and not problem:
            return path, ""
        if problem:
            why = f" ({path}: {problem})"
    return "", why


def _pyenv() -> str:
    return os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")


def _uv() -> str:
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python")


def _places(runtime: str) -> list[str]:
    """Where a Python of a runtime may be, the newest of each place first."""
    version = runtime.removeprefix("python")
    on_path = [path for name in (runtime, "python3") if (path := shutil.which(name))]
    pyenvs = glob(f"{_pyenv()}/versions/{version}.*/bin/{runtime}")
    uvs = glob(f"{_uv()}/cpython-{version}.*/bin/{runtime}")
    return [*on_path, *sorted(pyenvs, key=_patch, reverse=True), *sorted(uvs, key=_patch, reverse=True)]


def _patch(path: str) -> int:
    digits = Path(path).parents[1].name.split("-")[1 if "cpython" in path else 0].split(".")[2:3]
    return int(digits[0]) if digits and digits[0].isdigit() else -1


def _probe(python: str, code: str = _VERSION + _NAME + _NEEDS) -> subprocess.Popen[str] | OSError:
    try:
        return subprocess.Popen(
            [python, "-P", "-c", code],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    except OSError as error:
        return error


def _runtime(probe: subprocess.Popen[str] | OSError) -> tuple[str, str]:
    """The runtime, "" if that is not known, and why it does not run functions, "" if it does."""
    if isinstance(probe, OSError):
        return "", probe.strerror or str(probe)
    with probe:
        try:
            output, complaint = probe.communicate(timeout=_PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            probe.kill()
            return "", f"it did not answer within {_PROBE_SECONDS:.0f} s"
    lines = complaint.strip().splitlines()
    runtime = output.strip() if output.startswith("python3.") else ""
    if probe.returncode:
        return runtime, lines[-1] if lines else f"it ended with status {probe.returncode}"
    return runtime, "" if runtime else "it is no Python"
