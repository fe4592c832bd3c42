"""What a function's code needs, installed by uv when it is there, else by pip: once for each set of it and runtime."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError
from ..hosting.archives import pack

REQUIREMENTS = ("requirements.txt", "uv.lock", "pyproject.toml")  # what is looked for, in this order
_LAYER = "python"  # where a layer has its modules
_COMPILED = (
    120_000_000  # bytes: of more no bytecode is kept, for a function and its layers have 250 MB together
)


class NotBuilt(EngineError):
    """The installer failed; its own last words are in the message."""


@dataclass(frozen=True)
class Requirements:
    """What to install beside code. origin: the file that says it; text: what makes one set of them another;
    arguments: those of the installer."""

    origin: Path
    text: str
    arguments: tuple[str, ...]


def requirements(code: Path) -> Requirements | None:
    """Those of a folder of code: of its requirements.txt, else of its uv.lock (where uv is), else of its
    pyproject.toml. None: it needs nothing. Raises NotBuilt, OSError."""
    listed, lock, project = (code / name for name in REQUIREMENTS)
    if listed.exists():
        return _of(listed, listed.read_text(), "-r", str(listed))
    if not project.exists():
        return None
    if lock.exists() and (uv := uv_program()):
        command = [uv, "export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", "--no-header"]
        text = _run([*command, "--no-annotate"], lock)
        return _of(lock, text, "-r", "-")
    try:
        declared = tomllib.loads(project.read_text()).get("project", {}).get("dependencies", [])
    except tomllib.TOMLDecodeError as error:
        raise NotBuilt(f"{project} is not TOML: {error}") from None
    return _of(project, "\n".join(map(str, declared)), "--", *map(str, declared))


def uv_program() -> str | None:
    """On the PATH, or beside the interpreter that runs this."""
    beside = Path(sys.executable).parent / "uv"
    return shutil.which("uv") or (str(beside) if beside.exists() else None)


def _of(origin: Path, text: str, *arguments: str) -> Requirements | None:
    lines = [line.strip() for line in text.splitlines()]
    named = any(line and not line.startswith("#") for line in lines)
    return Requirements(origin, text, arguments) if named else None


@dataclass(frozen=True)
class Built:
    """Requirements installed for one runtime, in $XDG_CACHE_HOME/stoker. key: 32 hex digits, of nothing else."""

    key: str
    tree: Path

    def layer(self) -> bytes:
        """As a layer's archive, made once."""
        kept = self.tree.with_suffix(".zip")
        if not kept.exists():
            made = kept.with_suffix(f".{os.getpid()}.new")
            made.write_bytes(pack(self.tree, under=f"{_LAYER}/", bytecode=True))
            made.rename(kept)
        return kept.read_bytes()


def installed(wanted: Requirements, runtime: str, say: Callable[[str], None]) -> Built:
    """Raises NotBuilt, OSError. runtime: "python3.12"."""
    version = runtime.removeprefix("python")
    text = "\n".join(["2", wanted.text, version, platform.machine()])  # 2: with bytecode
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    target = _cache() / key
    if target.is_dir():
        return Built(key, target)
    say(f"installing {wanted.origin}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{key}.", dir=target.parent) as folder:
        made = Path(folder, "tree")
        _install(wanted, version, made)
        (made / ".lock").unlink(missing_ok=True)  # uv's
        for cached in list(made.rglob("__pycache__")):
            shutil.rmtree(cached)
        _compile(made, version)
        try:
            made.rename(target)
        except OSError:  # another deployment was first
            if not target.is_dir():
                raise
    return Built(key, target)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stoker" / "requirements"


def _install(wanted: Requirements, version: str, target: Path) -> None:
    target.mkdir(parents=True)
    own = version == _own()
    if uv := uv_program():
        command = [uv, "pip", "install", "--quiet", "--target", str(target)]
        command += ["--python", sys.executable] if own else ["--python-version", version]
    else:
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
            "--target", str(target),
        ]  # fmt: skip
        if not own:  # what is not built for it here has to come as a wheel
            command += ["--python-version", version, "--implementation", "cp", "--only-binary", ":all:"]
    _run([*command, *wanted.arguments], wanted.origin, wanted.text)


def _run(command: list[str], origin: Path, text: str = "") -> str:
    """Its output. text: its input. Raises NotBuilt."""
    done = subprocess.run(
        command, cwd=origin.parent, capture_output=True, text=True, check=False, input=text
    )  # fmt: skip
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in words if line.startswith("ERROR")] or words[-3:]
        raise NotBuilt(f"{origin} could not be installed: {' '.join(errors)}")
    return done.stdout


def _compile(tree: Path, version: str) -> None:
    """Bytecode, which a function cannot write itself: else each of its starts compiles what it imports. Whatever cannot
    be compiled stays as it is."""
    python = sys.executable if version == _own() else shutil.which(f"python{version}")
    if python is None or _bytes_in(tree) > _COMPILED:
        return
    command = [python, "-I", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(tree), "-p", f"/opt/{_LAYER}", str(tree)]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _bytes_in(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


def _own() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
