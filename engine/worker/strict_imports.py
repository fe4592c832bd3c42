"""Imports as on AWS: what neither a function's package, its layers, AWS's runtime nor the standard library has is not
there, though this machine has it."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# What AWS's Python runtimes have: boto3 with what it needs, and their own.
_RUNTIME = frozenset(
    {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"}
    | {"bootstrap", "snapshot_restore_py", "__main__", "__mp_main__"}
)
_STANDARD = sys.stdlib_module_names
_ENGINE = __name__.partition(".")[0]


def install(behind: Iterable[str], own: Iterable[str]) -> None:
    """Before a function is loaded. behind: what this interpreter has on its path; own: the folders of the function."""
    library = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    library |= {os.path.join(place, "lib-dynload") for place in library}
    hidden = {os.path.realpath(place) for place in behind if place} - set(map(os.path.realpath, library))
    # Not those of editable installations, whose modules lie anywhere.
    finders = [each for each in sys.meta_path if _module(each) in _STANDARD or _module(each) == _ENGINE]
    sys.meta_path[:] = [_Finder(finders, hidden, {os.path.realpath(place) for place in own if place})]
    for name in list(sys.modules):  # the engine's own, and what came with the interpreter's start
        if name.partition(".")[0] not in _STANDARD | _RUNTIME:
            del sys.modules[name]


class _Finder:
    """In place of the others, which it asks."""

    def __init__(self, finders: list[Any], hidden: set[str], own: set[str]) -> None:
        self._finders = finders
        self._hidden = hidden
        self._own = own

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for finder in self._finders:
            spec: ModuleSpec | None = getattr(finder, "find_spec", _nothing)(name, path, target)
            if spec is not None and (path is not None or name in _STANDARD | _RUNTIME or self._is_open(spec)):
                return spec
        return None

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """For importlib.metadata."""
        for finder in self._finders:
            for each in getattr(finder, "find_distributions", _none)(context):
                place = os.path.realpath(str(getattr(each, "_path", "")))
                name = os.path.basename(place).partition("-")[0].removeprefix("python_")
                if name in _RUNTIME or _is_below(place, self._own) or not _is_below(place, self._hidden):
                    yield each

    def _is_open(self, spec: ModuleSpec) -> bool:
        places = list(spec.submodule_search_locations or ())
        if spec.has_location and spec.origin:
            places.append(spec.origin)
        folders = [os.path.realpath(place) for place in places]
        return any(_is_below(each, self._own) for each in folders) or not any(
            _is_below(each, self._hidden) for each in folders
        )

    def invalidate_caches(self) -> None:
        for finder in self._finders:
            if hasattr(finder, "invalidate_caches"):
                finder.invalidate_caches()


def _module(finder: Any) -> str:
    """The first name of the module that a finder, a class or an instance, is of."""
    return str(finder.__module__).partition(".")[0]


def _is_below(path: str, folders: set[str]) -> bool:
    return any(path.startswith(f"{folder}{os.sep}") for folder in folders)


def _none(_context: Any) -> tuple[()]:
    return ()


def _nothing(_name: str, _path: Sequence[str] | None, _target: ModuleType | None) -> None:
    """Of a finder of the old kind."""
