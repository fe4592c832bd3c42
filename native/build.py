"""Builds engine/_native, the native code as Python sees it: cffi's API mode, limited ABI (one wheel, any CPython)."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
SOURCES = [
    "shared/doorbell.c",
    "engine/stats.c",
    "worker/worker.c",
    "worker/call.c",
    "worker/place.c",
    "worker/process.c",
    "worker/namespace.c",
    "worker/rehearsal.c",
    "worker/collapse.c",
    "engine/calls.c",
    "engine/nested.c",
    "engine/line.c",
    "engine/functions.c",
    "engine/lane_memory.c",
    "engine/lanes.c",
    "engine/lane_end.c",
    "engine/lane_state.c",
    "engine/queue.c",
    "engine/wait.c",
    "engine/aside.c",
    "engine/box.c",
    "engine/round_trip.c",
    "engine/quota.c",
]
INCLUDES = "".join(
    f'#include "{name}"\n'
    for name in (
        "engine/queue.h",
        "engine/round_trip.h",
        "engine/quota.h",
        "worker/worker.h",
        "worker/process.h",
        "worker/namespace.h",
        "shared/doorbell.h",
    )
)
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
    depends=[f"native/{path.relative_to(HERE)}" for path in HERE.rglob("*.h")],
    define_macros=[("Py_LIMITED_API", "0x030b0000")],
    extra_compile_args=WARNINGS,
    libraries=["pthread"],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffi.compile(tmpdir=str(HERE.parent), verbose=True)
