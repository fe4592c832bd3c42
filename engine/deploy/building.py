"""Requirements installed beside a function's code: by uv when it is there, else by pip, once for each set of them."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import EngineError


class NotBuilt(EngineError):
    """The installer failed; its own last words are in the message."""


def installed(requirements: Path, runtime: str, under: str, say: Callable[[str], None]) -> Path | None:
    """A folder with what a requirements.txt names, for a runtime ("python3.12"), in its folder `under`; None if it
    names nothing. It is made once and kept, in $XDG_CACHE_HOME/stoker. Raises NotBuilt, OSError."""
    text = requirements.read_text()
    lines = [line.strip() for line in text.splitlines()]
    if not any(line and not line.startswith("#") for line in lines):
        return None
    version = runtime.removeprefix("python")
    key = "\n".join([text, version, under, platform.machine()])
    target = _cache() / hashlib.sha256(key.encode()).hexdigest()[:32]
    if target.is_dir():
        return target
    say(f"installing {requirements}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as folder:
        made = Path(folder, "tree")
        _install(requirements, version, made / under)
        for cached in list(made.rglob("__pycache__")):
            shutil.rmtree(cached)
        try:
            made.rename(target)
        except OSError:  # another deployment was first
            if not target.is_dir():
                raise
    return target


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stoker" / "requirements"


def _install(requirements: Path, version: str, target: Path) -> None:
    target.mkdir(parents=True)
    own = version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--quiet", "--target", str(target), "-r", str(requirements)]
        command += ["--python", sys.executable] if own else ["--python-version", version]
    else:
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
            "--target", str(target), "-r", str(requirements),
        ]  # fmt: skip
        if not own:  # what is not built for it here has to come as a wheel
            command += ["--python-version", version, "--implementation", "cp", "--only-binary", ":all:"]
    done = subprocess.run(
        command,
        cwd=requirements.parent,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in words if line.startswith("ERROR")] or words[-3:]
        raise NotBuilt(f"{requirements} could not be installed: {' '.join(errors)}")
