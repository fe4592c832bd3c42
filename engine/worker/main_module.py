"""The embedder's own script in workers, as multiprocessing has it: a module named __mp_main__, and __main__, too."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from types import CodeType, ModuleType
from typing import Any

NAME = "__mp_main__"  # so its `if __name__ == "__main__"` stays shut
IMPORTING = "__stoker_importing__"  # an attribute of it while it is imported


class _Lazy(ModuleType):
    """Imported when something of it is asked for first: most tasks need nothing of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        load(self)
        return getattr(self, name)


def install(name: str, path: str) -> ModuleType:
    """Make it sys.modules' main module, unless it is there already; to be loaded. name: of the module that was run by
    `python -m`, else ""; path: its file."""
    module = sys.modules.get(NAME)
    if module is None or getattr(module, "__file__", None) != path:
        module = _Lazy(NAME)
        module.__dict__.update(
            __file__=path, __loader__=None, __package__="", __spec__=None, _module_name=name
        )
        sys.modules[NAME] = sys.modules["__main__"] = module
    return module


def load(module: ModuleType) -> None:
    """Run its code, unless that is done. Raises what it raises."""
    if not isinstance(module, _Lazy):
        return
    module.__class__ = ModuleType  # type: ignore[assignment]  # now: what it imports may ask for it
    name = module.__dict__.pop("_module_name")
    setattr(module, IMPORTING, True)
    try:
        exec(_code(module, name), module.__dict__)
    except BaseException:
        module.__dict__["_module_name"] = name
        module.__class__ = _Lazy
        raise
    finally:
        delattr(module, IMPORTING)


def _code(module: ModuleType, name: str) -> CodeType:
    if name:
        spec = importlib.util.find_spec(name)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            raise ImportError(f"No module named {name!r}", name=name)
        module.__dict__.update(__package__=spec.parent, __spec__=spec, __loader__=spec.loader)
        code = spec.loader.get_code(name)
    else:
        path = module.__dict__["__file__"]
        loader = module.__loader__ = importlib.machinery.SourceFileLoader(NAME, path)
        code = loader.get_code(NAME)
    assert code is not None
    return code
