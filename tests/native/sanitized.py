"""Extension modules built with sanitizers of addresses and of undefined behaviour, and interpreters that load them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[1] / "native"
FLAGS = [
    "-std=c11",
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-shared",
    "-fPIC",
]
SMALL = {
    "_json": ["json/encode.c", "json/decode.c"],
    "_http": ["http/module.c", "http/request.c", "http/respond.c"],
    "_call": ["call/invoke.c", "call/mailbox.c"],
    "_observe": ["observe/outcomes.c"],
    "_print": ["print/write.c"],
    "_turn": ["turn/turn.c"],
}


def built(folder: Path, name: str, *sources: Path) -> None:
    """One extension module, of other sources than its own if there are some."""
    include = sysconfig.get_path("include")
    command = ["gcc", *FLAGS, f"-I{include}", f"-I{NATIVE}"]
    done = subprocess.run(
        [*command, *(sources or (NATIVE / source for source in SMALL[name])), "-o", folder / f"{name}.so", "-lpthread"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def built_native(folder: Path) -> None:
    """The engine's own, as native/build.py makes it."""
    spec = importlib.util.spec_from_file_location("native_build", NATIVE / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    made = folder / "_native.c"
    build.ffi.emit_c_code(str(made))
    made.write_text("#define Py_LIMITED_API 0x030b0000\n" + made.read_text())
    built(folder, "_native", made, *(NATIVE / source for source in build.SOURCES))


def run(*arguments: object, timeout: float = 150) -> subprocess.CompletedProcess[str]:
    """A script in an interpreter of its own, by the script's path and its arguments."""
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    # The interpreter itself leaks at its end; with malloc in place of Python's arenas each object has its own bounds
    # (so no -I, which would not read that).
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-s", "-P", *map(str, arguments)],
        env=variables, capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip
