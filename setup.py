"""Names the native builds and their ABI for setuptools; everything else is in pyproject.toml."""

import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

if not sys.platform.startswith("linux"):
    sys.exit("stoker runs on Linux only for now: it needs futexes, memfds, pidfds and eventfds")


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
            name,
            [source],
            py_limited_api=True,
            extra_compile_args=["-std=c11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"],
        )
        for name, source in (
            ("engine._json", "native/json/encode.c"),
            ("engine._http", "native/http/request.c"),
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for CPython 3.11 and later
)
