"""A scenario from a TOML file. Its relative paths start from the file's directory."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .reading import ScenarioError, Source, build
from .scenario import Scenario


def read(path: Path, anew: Mapping[str, Any] = {}, called: Mapping[str, str] = {}) -> Scenario:
    """anew: settings by their full names that count instead of the file's; called: what errors call those. Raises
    ScenarioError, which names the file; OSError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        for name, value in anew.items():
            table, _, key = name.rpartition(".")
            inner = document.setdefault(table, {}) if table else document
            if isinstance(inner, dict):  # if not, that is what is wrong
                inner[key] = value
        names = {name: called.get(name, name) for name in anew}
        source = Source(path.absolute().parent, names=lambda name: names.get(name, name))
        return build(Scenario, {"name": path.stem, **document}, source)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path} is not TOML: {error}") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None
