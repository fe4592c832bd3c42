"""A function's configuration: what a user writes, checked and completed."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Literal

import msgspec

from . import limits
from .errors import InvalidConfiguration
from .wire import fast_encode

_NAME = re.compile(r"[a-zA-Z0-9-_]+")
MP_MAIN = "__mp_main__"  # the main module's other name, where it is a worker's
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")


class Reference(msgspec.Struct, frozen=True):
    """Where a handler is."""

    module: str
    attribute: str
    main_file: str = ""  # the embedder's own script, when the handler is defined in it
    main_name: str = ""  # the module as which that was run (`python -m`)


class FunctionConfig(msgspec.Struct, frozen=True):
    """One function, complete. memory in MB; timeout, init_timeout and keep_alive in seconds."""

    reference: Reference
    name: str
    code: str
    memory: int
    timeout: float
    concurrency: int
    warm: int
    snapshot: bool
    environment: dict[str, str]
    raw: bool
    waiting: int
    keep_alive: float
    init_timeout: float


def parse_reference(handler: str | Callable[..., Any]) -> Reference:
    """Of "module:attr", Lambda's "module.attr", or an importable callable. Raises InvalidConfiguration."""
    if callable(handler):
        return _reference_of(handler)
    if not isinstance(handler, str):
        raise InvalidConfiguration(
            f'a handler is "module:attr", "module.attr" or an importable callable, not {type(handler).__name__}'
        )
    module, found, attribute = handler.partition(":")
    if not found:
        module, found, attribute = handler.rpartition(".")
    if module.endswith(".py") or (found == "." and attribute == "py"):
        right = module.removesuffix(".py").strip("./").replace("/", ".")
        name = attribute if found == ":" else "handler"
        raise InvalidConfiguration(
            f"bad handler {handler!r}: name the module, not its file: {right}:{name} (code= is its directory)"
        )
    if module == "__main__":
        return _in_main(attribute)
    if not found or not module or not attribute or len(handler) > 128 or any(c.isspace() for c in handler):
        raise InvalidConfiguration(
            f"bad handler {handler!r}: write module:function, for example app:handler for handler() in app.py"
        )
    return Reference(module, attribute)


def _reference_of(function: Callable[..., Any]) -> Reference:
    if isinstance(function, functools.partial):
        raise InvalidConfiguration(
            "a functools.partial cannot be imported by a worker: define a function for it"
        )
    module = getattr(function, "__module__", None)
    attribute = getattr(function, "__qualname__", None)
    if not module or not attribute or "<locals>" in attribute or "<lambda>" in attribute:
        raise InvalidConfiguration(
            f"{attribute or function!r} cannot be imported by a worker: define the handler at the top level of a module"
        )
    _leads_back(function, module, attribute)
    return _in_main(attribute) if module in ("__main__", MP_MAIN) else Reference(module, attribute)


def _leads_back(function: Callable[..., Any], module: str, attribute: str) -> None:
    """A worker finds the handler by its name: it must find this one, bound to the same object. Raises
    InvalidConfiguration."""
    if module not in sys.modules:
        return
    found: Any = sys.modules[module]
    for part in attribute.split("."):
        found = getattr(found, part, None)
    owner = getattr(function, "__self__", None)
    if found is function or (found == function and getattr(found, "__self__", None) is owner):
        return
    if owner is not None and not isinstance(owner, ModuleType):
        hint = "a worker has no such object: write a function at the top level of a module, which makes one"
    elif found is None:
        hint = "define it at the top level of a module, under its own name"
    else:
        hint = "that name is another object's (a decorator may have taken it): give the handler a name of its own"
    raise InvalidConfiguration(f"{function!r} is not what {module}.{attribute} names in a worker: {hint}")


def _in_main(attribute: str) -> Reference:
    main = main_module()
    if main is None:
        raise InvalidConfiguration(
            f"{attribute} is defined in an interactive session, which a worker cannot import: put it into a file"
        )
    stem = os.path.splitext(os.path.basename(main[1]))[0]
    return Reference(stem, attribute, main[1], main[0])


def main_module() -> tuple[str, str] | None:
    """What workers import as this process's main module: the name as which it was run (`python -m`) or "", and its
    file. None: it has none that could be imported."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or not os.path.exists(path):
        return None
    spec = getattr(main, "__spec__", None)
    name = "" if spec is None or spec.name == "__main__" else spec.name
    return name, os.path.abspath(path)


def configure(
    handler: str | Callable[..., Any],
    *,
    code: str | os.PathLike[str] | None = None,
    name: str | None = None,
    memory: int = limits.MEMORY_DEFAULT,
    timeout: float = limits.EMBEDDED_TIMEOUT,
    concurrency: int = 1,
    warm: int = 1,
    init: Literal["snapshot", "fresh"] = "snapshot",
    environment: Mapping[str, str] | None = None,
    codec: Literal["json", "raw"] = "json",
    waiting: int = limits.WAITING,
    keep_alive: float = limits.KEEP_ALIVE,
    init_timeout: float = limits.INIT_TIMEOUT,
) -> FunctionConfig:
    """Check what a user wrote. Raises InvalidConfiguration, which says what is wrong and what would be right."""
    reference = parse_reference(handler)
    directory = os.path.abspath(code) if code is not None else os.getcwd()
    if not os.path.isdir(directory):
        raise InvalidConfiguration(f"code={os.fspath(code or '')!r} is not a directory")
    chosen = name if name is not None else _default_name(reference)
    if not isinstance(chosen, str) or not _NAME.fullmatch(chosen) or len(chosen) > limits.NAME_CHARS:
        raise InvalidConfiguration(
            f"bad name {chosen!r}: use 1 to {limits.NAME_CHARS} letters, digits, hyphens and underscores"
        )
    _number("memory", memory, limits.MEMORY_MIN, limits.MEMORY_MAX, "MB", whole=True)
    _number("timeout", timeout, limits.TIMEOUT_MIN, limits.TIMEOUT_MAX, "seconds")
    _number("concurrency", concurrency, 1, limits.CONCURRENCY_MAX, "workers", whole=True)
    _number("warm", warm, 0, concurrency, "workers (at most the concurrency)", whole=True)
    _number("waiting", waiting, 0, 10_000_000, "invocations", whole=True)
    _number("keep_alive", keep_alive, 0, 86_400, "seconds")
    _number("init_timeout", init_timeout, limits.TIMEOUT_MIN, limits.TIMEOUT_MAX, "seconds")
    if init not in ("snapshot", "fresh"):
        raise InvalidConfiguration(f'init={init!r}: use "snapshot" (init once, fork after it) or "fresh"')
    if codec not in ("json", "raw"):
        raise InvalidConfiguration(f'codec={codec!r}: use "json" or "raw" (bytes in, bytes out)')
    return FunctionConfig(
        reference=reference,
        name=chosen,
        code=directory,
        memory=int(memory),
        timeout=float(timeout),
        concurrency=int(concurrency),
        warm=int(warm),
        snapshot=init == "snapshot",
        environment=_environment(environment or {}),
        raw=codec == "raw",
        waiting=int(waiting),
        keep_alive=float(keep_alive),
        init_timeout=float(init_timeout),
    )


def _default_name(reference: Reference) -> str:
    text = reference.module
    if reference.attribute != "handler":
        text += f"-{reference.attribute}"
    return re.sub(r"[^a-zA-Z0-9-_]", "-", text)[-limits.NAME_CHARS :]


def _number(what: str, value: Any, low: float, high: float, unit: str, whole: bool = False) -> None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not ok or (whole and int(value) != value):
        kind = "a whole number" if whole else "a number"
        raise InvalidConfiguration(f"{what}={value!r}: use {kind} from {low:g} to {high:g} {unit}")


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    for key, value in variables.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidConfiguration(f"environment: {key!r}={value!r}: names and values are strings")
        if not _VARIABLE.fullmatch(key):
            raise InvalidConfiguration(
                f"environment: bad name {key!r}: use a letter, then letters, digits or underscores, two or more in all"
            )
        if key in limits.RESERVED_VARIABLES:
            raise InvalidConfiguration(f"environment: {key} is reserved: Lambda sets it itself")
        if "\0" in value:
            raise InvalidConfiguration(f"environment: the value of {key} holds a NUL character")
    size = len(fast_encode(dict(variables)))
    if size > limits.ENVIRONMENT_BYTES:
        raise InvalidConfiguration(
            f"environment: {size} bytes as JSON exceed the {limits.ENVIRONMENT_BYTES // 1024}KB limit"
        )
    return dict(variables)
