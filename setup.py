"""Names the native build and its ABI for setuptools; everything else is in pyproject.toml."""

import sys

from setuptools import setup

if not sys.platform.startswith("linux"):
    sys.exit("stoker runs on Linux only for now: it needs futexes, memfds, pidfds and eventfds")

setup(
    cffi_modules=["native/build.py:ffi"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for CPython 3.11 and later
)
