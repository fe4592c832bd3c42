"""The C sources of bench/native as shared libraries, each compiled when it is first needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from bench.peers.base import Unavailable

HERE = Path(__file__).resolve().parent
ENGINE = HERE.parent / "native"
BUILD = HERE / "results" / "build"
FLAGS = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]


def library(name: str) -> Path:
    """Of bench/native/NAME.c, which may include the engine's headers. Its name has a digest of all sources, so that
    it is built anew after a change."""
    source = HERE / "native" / f"{name}.c"
    digest = hashlib.sha256()
    for path in (source, *sorted(ENGINE.rglob("*.h"))):
        digest.update(path.read_bytes())
    made = BUILD / f"{name}-{digest.hexdigest()[:16]}.so"
    if not made.exists():
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            raise Unavailable("needs a C compiler")
        BUILD.mkdir(parents=True, exist_ok=True)
        command = [*compiler.split(), *FLAGS, f"-I{ENGINE}", str(source), "-o", str(made)]
        subprocess.run(command, check=True)
    return made
