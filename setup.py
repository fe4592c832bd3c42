"""Names the native build for setuptools; everything else is in pyproject.toml."""

import sys

from setuptools import setup

if not sys.platform.startswith("linux"):
    sys.exit("stoker runs on Linux only for now: it needs futexes, memfds, pidfds and eventfds")

setup(cffi_modules=["native/build.py:ffi"])
