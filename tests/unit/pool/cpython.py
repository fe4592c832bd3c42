"""CPython's own tests of ProcessPoolExecutor, run against Executor: one JSON object with what each came to.

python tests/unit/pool/cpython.py [NAME…]: all of them, or those whose id ends with one of these names;
--without NAME…: all but those. CPYTHON_PART=1/3: the second third of them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import unittest
from pathlib import Path
from types import ModuleType
from typing import Any

from engine import Executor

# Where Debian keeps the tests that some Pythons are installed without.
DEBIAN = Path(f"/usr/lib/python3.{sys.version_info[1]}/test")
PARTS = ("shutdown", "wait", "as_completed", "process_pool", "init", "deadlock")


def modules() -> list[ModuleType]:
    """The running Python's, or the same version's of Debian."""
    try:
        names = [f"test.test_concurrent_futures.test_{part}" for part in PARTS]
        return [importlib.import_module(name) for name in names]
    except ImportError:
        pass
    if not (DEBIAN / "test_concurrent_futures.py").exists():
        return []
    sys.path.append(str(DEBIAN))  # workers have the same path
    return [importlib.import_module("test_concurrent_futures")]


def cases(module: ModuleType) -> list[type[unittest.TestCase]]:
    """Those of the spawn context: its workers import what they run, as ours do."""
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, unittest.TestCase)
        and getattr(kind, "ctx", "") == "spawn"
    ]


class Outcomes(unittest.TestResult):
    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:
        self.of.setdefault(_name(test), "passed")

    def addError(self, test: Any, error: Any) -> None:
        self.of[_name(test)] = self._exc_info_to_string(error, test)  # type: ignore[attr-defined]

    addFailure = addError

    def addSkip(self, test: Any, reason: str) -> None:
        self.of[_name(test)] = f"skipped: {reason}"

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
        if error is not None:
            self.addError(test, error)


def _name(test: Any) -> str:
    return ".".join(test.id().split(".")[-2:])


def main(names: list[str]) -> None:
    outcomes, without = Outcomes(), names[:1] == ["--without"]
    part, parts = map(int, os.environ.get("CPYTHON_PART", "0/1").split("/"))
    number = 0
    for module in modules():
        for kind in cases(module):
            kind.executor_type = Executor  # type: ignore[attr-defined]
            for test in unittest.defaultTestLoader.loadTestsFromTestCase(kind):
                if not names or any(test.id().endswith(name) for name in names) != without:
                    number += 1
                    if number % parts != part:
                        continue
                    test.run(outcomes)
                    print(_name(test), outcomes.of.get(_name(test)), file=sys.stderr, flush=True)
    print("\n" + json.dumps(outcomes.of))  # after what unittest prints


if __name__ == "__main__":
    main(sys.argv[1:])
