"""The engine's own modules make way for a function's of the same name: in a worker its packages win.

What the engine has imported stays with those of its parts that use it; only the names are free again. So nothing of
the engine may import another part of it later, in a function's body say, or by a name.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Iterable
from types import ModuleType


def make_way(folders: Iterable[str]) -> None:
    """For what these, a function's own, have at their top level. Before its code is loaded."""
    names = (
        {name.partition(".")[0] for name in sys.modules}
        - sys.stdlib_module_names
        - {"__main__", "__mp_main__"}
    )
    places = [folder for folder in folders if os.path.isdir(folder)]
    for name in names:
        if any(_has_another(folder, name, sys.modules.get(name)) for folder in places):
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[module]


def _has_another(folder: str, name: str, ours: ModuleType | None) -> bool:
    place = os.path.join(folder, name)
    suffixes = importlib.machinery.all_suffixes()
    candidates = [os.path.join(place, f"__init__{suffix}") for suffix in suffixes]
    candidates += [place + suffix for suffix in suffixes]
    file = getattr(ours, "__file__", None)
    return any(
        os.path.exists(each) and not (file and os.path.exists(file) and os.path.samefile(each, file))
        for each in candidates
    )
