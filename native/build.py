"""Builds engine/_native, the native code as Python sees it: cffi's API mode, limited ABI (one wheel, any CPython)."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
SOURCES = [
    "doorbell.c",
    "stats.c",
    "proc.c",
    "worker.c",
    "born.c",
    "rehearsal.c",
    "collapse.c",
    "calls.c",
    "line.c",
    "lane_memory.c",
    "lanes.c",
    "lane_end.c",
    "lane_look.c",
    "queue.c",
    "wait.c",
]
INCLUDES = '#include "queue.h"\n#include "worker.h"\n#include "proc.h"\n#include "doorbell.h"\n'
WARNINGS = [
    "-std=c11",
    "-O3",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
]

ffi = FFI()
ffi.cdef((HERE / "cdef.h").read_text())
ffi.set_source(
    "engine._native",
    INCLUDES,
    sources=[f"native/{name}" for name in SOURCES],
    include_dirs=["native"],
    depends=[f"native/{path.name}" for path in HERE.glob("*.h")],
    define_macros=[("Py_LIMITED_API", "0x030b0000")],
    extra_compile_args=WARNINGS,
    libraries=["pthread"],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffi.compile(tmpdir=str(HERE.parent), verbose=True)
