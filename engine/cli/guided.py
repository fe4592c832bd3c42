"""A stack's name and parameters, asked for, and kept beside the template: in stoker.toml."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .status import UsageError
from .texts import pair

FILE = "stoker.toml"


def recall(options: argparse.Namespace) -> None:
    """What was kept, where the command line has nothing else. Raises UsageError."""
    path = _file(options)
    try:
        kept = tomllib.loads(path.read_text())["deploy"]
        parameters = kept.get("parameters", {})
        stack = kept.get("stack")
        if not isinstance(parameters, dict) or not isinstance(stack, str | None):
            raise TypeError
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise UsageError(f'{path}: write [deploy] with stack = "NAME", and [deploy.parameters]') from None
    options.stack = options.stack or stack
    given = {name for name, _ in _given(options)}
    options.parameter = options.parameter + [
        f"{name}={value}" for name, value in parameters.items() if name not in given
    ]


def ask(options: argparse.Namespace, stack: str, declared: Mapping[str, Any], before: Iterable[Any]) -> None:
    """Ask for the stack's name, and for each parameter of a template; keep the choice, if that is wanted. declared: the
    template's Parameters; before: those of the stack as it is. Raises UsageError."""
    if not sys.stdin.isatty():
        raise UsageError("--guided asks questions: it needs a terminal")
    known = {each["ParameterKey"]: each.get("ParameterValue", "") for each in before} | dict(_given(options))
    options.stack = _asked("Stack name", stack)
    values, secret = {}, set()
    for name, about in declared.items():
        hidden = str(about.get("NoEcho", "")).lower() == "true"
        default = known.get(name, about.get("Default"))
        if hidden:
            secret.add(name)
            typed = getpass.getpass(f"{name}{' [kept]' if default is not None else ''}: ")
            if typed or default is None:
                values[name] = typed
            continue
        allowed = about.get("AllowedValues")
        kind = f"one of {', '.join(map(str, allowed))}" if allowed else str(about.get("Type", "String"))
        values[name] = _asked(f"{name} ({kind})", None if default is None else str(default))
    options.parameter = [f"{name}={value}" for name, value in values.items()]
    path = _file(options)
    if _asked(f"Keep this in {path} (y or n)", "y").lower() in ("y", "yes"):
        shown = {name: value for name, value in values.items() if name not in secret}
        path.write_text(_text(options.stack, shown))


def _asked(question: str, default: str | None) -> str:
    while True:
        try:
            text = input(f"{question}{'' if default is None else f' [{default}]'}: ").strip()
        except EOFError:
            raise UsageError("nothing was done: the questions were not answered") from None
        if text or default is not None:
            return text or str(default)


def _given(options: argparse.Namespace) -> list[tuple[str, str]]:
    return [pair("--parameter", text) for text in options.parameter]


def _file(options: argparse.Namespace) -> Path:
    return Path(options.source).parent / FILE


def _text(stack: str, parameters: Mapping[str, str]) -> str:
    """JSON's strings are TOML's, too."""
    lines = ["# What `stoker deploy --guided` was told.", "[deploy]", f"stack = {json.dumps(stack)}"]
    lines += ["", "[deploy.parameters]"] if parameters else []
    lines += [f"{name} = {json.dumps(value)}" for name, value in parameters.items()]
    return "\n".join(lines) + "\n"
