"""Names the native builds and their ABI for setuptools; everything else is in pyproject.toml."""

import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

if not sys.platform.startswith("linux"):
    sys.exit("stoker runs on Linux only for now: it needs futexes, memfds, pidfds and eventfds")


STRICT = ["-std=c11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
LANE_HEADERS = ["native/shared/lane.h", "native/shared/ring.h", "native/shared/barrier.h"]
ENGINE_HEADERS = ["native/engine/queue.h", "native/engine/stats.h", *LANE_HEADERS]


class BuildWithSamples(build_py):
    """The package, with what `stoker new` makes projects of."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # it finds them where they are
            return
        for template in Path("handlers").glob("*/template.yaml"):
            target = Path(self.build_lib, "engine", "samples", template.parent.name)
            shutil.rmtree(target, ignore_errors=True)
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(template.parent, target, ignore=ignored)


setup(
    cmdclass={"build_py": BuildWithSamples},
    cffi_modules=["native/build.py:ffi"],
    ext_modules=[
        Extension(
            f"engine.{name}",
            sources,
            include_dirs=["native"],
            depends=headers,
            py_limited_api=True,
            extra_compile_args=STRICT,
        )
        for name, sources, headers in (
            (
                "_json",
                ["native/json/encode.c", "native/json/decode.c"],
                ["native/json/decode.h", "native/json/plain.h"],
            ),
            (
                "_http",
                ["native/http/module.c", "native/http/request.c", "native/http/respond.c"],
                ["native/http/http.h", *ENGINE_HEADERS],
            ),
            (
                "_call",
                ["native/call/invoke.c", "native/call/mailbox.c"],
                ["native/call/call.h", "native/shared/raised.h", *ENGINE_HEADERS],
            ),
            ("_print", ["native/print/write.c"], ["native/worker/worker.h", *LANE_HEADERS]),
            (
                "_turn",
                ["native/turn/turn.c"],
                ["native/shared/raised.h", "native/worker/worker.h", *LANE_HEADERS],
            ),
            ("_observe", ["native/observe/outcomes.c"], []),
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for CPython 3.11 and later
)
