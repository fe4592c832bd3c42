"""Names the native builds and their ABI for setuptools; everything else is in pyproject.toml."""

import sys

from setuptools import Extension, setup

if not sys.platform.startswith("linux"):
    sys.exit("stoker runs on Linux only for now: it needs futexes, memfds, pidfds and eventfds")

setup(
    cffi_modules=["native/build.py:ffi"],
    ext_modules=[
        Extension(
            "engine._json",
            ["native/json/encode.c"],
            py_limited_api=True,
            extra_compile_args=["-std=c11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"],
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for CPython 3.11 and later
)
