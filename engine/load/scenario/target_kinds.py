"""What is put under load, as a scenario says it: functions of an engine in this process, functions on a Lambda endpoint
by their names, a plain URL."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from ... import limits
from ...config import configure, parse_reference
from .payload_kinds import Payload, payload_of
from .reading import Source, build, choice, flag, folder, number, settings, table, text, variables

_WEIGHT = number(0, 1_000_000, above=True)
_NAME = re.compile(r"[a-zA-Z0-9\-_:/.$]{1,170}")
_ADDRESS = re.compile(r"[\w.\-]+:\d+(/.*)?")
_FUNCTION_KEYS = ("function", "functions")


@dataclass(frozen=True, kw_only=True)
class Function:
    """One that an engine is to run, with what Engine.function takes. warm: None for as many as may run at once; weight:
    its share of the requests, against the others'; payload: its own, if it has one."""

    reference: Annotated[str, text]
    code: Annotated[Path, folder] = Path()
    memory: Annotated[int, number(limits.MEMORY_MIN, limits.MEMORY_MAX, "MB", whole=True)] = (
        limits.MEMORY_DEFAULT
    )
    timeout: Annotated[float, number(limits.TIMEOUT_MIN, limits.TIMEOUT_MAX, "seconds")] = (
        limits.EMBEDDED_TIMEOUT
    )
    concurrency: Annotated[int, number(1, limits.CONCURRENCY_MAX, "workers", whole=True)] = 1
    warm: Annotated[int | None, number(0, limits.CONCURRENCY_MAX, "workers", whole=True)] = None
    waiting: Annotated[int, number(0, 10_000_000, "invocations", whole=True)] = limits.WAITING
    init: Annotated[Literal["snapshot", "fresh"], choice("snapshot", "fresh")] = "snapshot"
    environment: Annotated[dict[str, str] | None, variables] = None
    weight: Annotated[float, _WEIGHT] = 1.0
    payload: Annotated[Payload | None, payload_of] = None

    def __post_init__(self) -> None:
        _is_reference(self.reference)
        configure(self.reference, **self.options)

    @property
    def options(self) -> dict[str, Any]:
        """What Engine.function takes besides the reference and the name."""
        names = ("code", "memory", "timeout", "concurrency", "waiting", "init", "environment")
        warm = self.concurrency if self.warm is None else self.warm
        return {"warm": warm, **{name: getattr(self, name) for name in names}}

    @property
    def label(self) -> str:
        return self.reference


@dataclass(frozen=True, kw_only=True)
class Named:
    """A function on an endpoint."""

    name: Annotated[str, text]
    weight: Annotated[float, _WEIGHT] = 1.0
    payload: Annotated[Payload | None, payload_of] = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no function's name: letters, digits, - and _, or an ARN")

    @property
    def label(self) -> str:
        return self.name


@dataclass(frozen=True)
class Embedded:
    """Functions that an engine in this process is to run."""

    functions: Sequence[Function]

    @property
    def words(self) -> str:
        workers = sum(each.concurrency for each in self.functions)
        where = ""
        if len(self.functions) == 1:
            where = f" in {_short(self.functions[0].code)}"
        return f"{_mix(self.functions)}{where}, embedded, {workers} worker{'s' * (workers > 1)}"


def _url(value: Any, source: Source) -> str:
    url = text(value, source)
    try:
        parts = urlsplit(url)
        ok = parts.scheme == "http" and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        ok = False
    if not ok or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError("use an http:// URL, as in http://127.0.0.1:9001")
    return url


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Functions on an endpoint that speaks Lambda's Invoke. sign: with the credentials that botocore finds."""

    endpoint: Annotated[str, _url]
    sign: Annotated[bool, flag] = False
    functions: Sequence[Named] = ()

    @property
    def words(self) -> str:
        return f"{_mix(self.functions)} on {self.endpoint}{', signed' * self.sign}"


@dataclass(frozen=True, kw_only=True)
class Url:
    """A URL that is sent each payload."""

    url: Annotated[str, _url]
    method: Annotated[Literal["GET", "POST", "PUT"], choice("POST", "GET", "PUT")] = "POST"

    @property
    def functions(self) -> Sequence[Named]:
        return (Named(name="url"),)

    @property
    def words(self) -> str:
        return f"{self.method} {self.url}"


Target = Embedded | Endpoint | Url


def target_of(value: Any, source: Source) -> Target:
    """A scenario's `target`. Raises ScenarioError, ValueError."""
    given = table(value)
    if "url" in given:
        return build(Url, given, source)
    rest = {key: it for key, it in given.items() if key not in _FUNCTION_KEYS}
    found = [key for key in _FUNCTION_KEYS if key in given]
    if len(found) != 1:
        raise ValueError(
            "it takes one of function, functions or url; with an endpoint, function or functions by their names"
        )
    which = given[found[0]]
    # Several are a list: of texts, or of tables as [[target.function]] makes them.
    several = which if isinstance(which, list) else [which]
    if not several or not all(isinstance(each, str | dict) for each in several):
        raise source.wrong(found[0], which, "use a text, a list of them, or [[target.function]] tables")
    if "endpoint" in rest:
        made = build(Endpoint, rest, source)
        named = [_one(Named, "name", {}, each, source, found[0], n) for n, each in enumerate(several)]
        return Endpoint(endpoint=made.endpoint, sign=made.sign, functions=tuple(named))
    allowed = [name for name in settings(Function) if name not in ("reference", "weight", "payload")]
    for key in rest:
        if key not in allowed:
            raise source.unknown(key, [*_FUNCTION_KEYS, *allowed, "endpoint", "sign", "url", "method"])
    base = {"code": ".", **rest}  # of the scenario's own directory, not of whoever reads it
    return Embedded(
        tuple(_one(Function, "reference", base, each, source, found[0], n) for n, each in enumerate(several))
    )


def _one(kind: Any, name: str, shared: dict[str, Any], each: Any, source: Source, key: str, n: int) -> Any:
    """One function, of its name or its table, and of the settings that all share."""
    if isinstance(each, str):
        return build(kind, {**shared, name: each}, source)
    return build(kind, {**shared, **each}, source.within(f"{key}[{n}]"))


def _is_reference(reference: str) -> None:
    if _ADDRESS.fullmatch(reference):
        raise ValueError(f"{reference} is no function: write http://{reference} for a URL")
    found = parse_reference(reference)
    if not all(part.isidentifier() for part in found.attribute.split(".")):
        raise ValueError(f"bad handler {reference!r}: {found.attribute} is no name of a function")


def _mix(functions: Sequence[Function | Named], shown: int = 4) -> str:
    if len(functions) == 1:
        return functions[0].label
    total = sum(each.weight for each in functions)
    said = [f"{each.label} {each.weight / total * 100:.3g} %" for each in functions[:shown]]
    more = len(functions) - shown
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def _short(folder: Path) -> str:
    """As it is seen from here, where it is below here."""
    relative = os.path.relpath(folder)
    return str(folder.resolve()) if relative.startswith("..") else relative
