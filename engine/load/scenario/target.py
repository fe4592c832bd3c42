"""What is put under load: functions of an engine in this process, functions on a Lambda endpoint, or a plain URL; and
what each is sent and has to reply."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from ... import limits
from ...config import configure, parse_reference
from ..generate.payloads import Check, Durations, Fixed, Payloads, Sampled, Template, expectation
from ..words import plain
from .reading import Settings, Source, Text, build, content, file, folder, settings, table, text

_NAME = re.compile(r"[a-zA-Z0-9\-_:/.$]{1,170}")
_ADDRESS = re.compile(r"[\w.\-]+:\d+(/.*)?")
_FUNCTION_KEYS = ("function", "functions")
_PAYLOADS = ("fixed", "template", "sample")
Weight = Annotated[float, Meta(gt=0, le=1_000_000)]
Memory = Annotated[int, Meta(ge=limits.MEMORY_MIN, le=limits.MEMORY_MAX, description="MB")]
Timeout = Annotated[float, Meta(ge=limits.TIMEOUT_MIN, le=limits.TIMEOUT_MAX, description="seconds")]


def _template(value: Any, source: Source) -> str:
    try:
        written = content(value, source).decode()
    except UnicodeDecodeError:
        raise ValueError("a template is a text in UTF-8") from None
    Template(written, durations=lambda number: 0.0)
    return written


def _expect(value: Any, source: Source) -> str | dict[str, Any]:
    if not isinstance(value, str | dict):
        raise ValueError("use json, echo, any, or a table of what members must be")
    expectation(value)
    return value


class Payload(Settings, frozen=True, kw_only=True):
    """At most one of fixed bytes, a template, and a file whose lines are drawn. expect: None for the target's usual."""

    fixed: Annotated[bytes | None, content] = None
    template: Annotated[str | None, _template] = None
    sample: Annotated[Path | None, file] = None
    expect: Annotated[str | dict[str, Any] | None, _expect] = None

    def __post_init__(self) -> None:
        several = [name for name in _PAYLOADS if getattr(self, name) is not None]
        if len(several) > 1:
            raise ValueError(f"{' and '.join(several)} at once: use one of {', '.join(_PAYLOADS)}")

    @property
    def needs_durations(self) -> bool:
        """Is {{duration}}, of a trace's invocation, among the template's fields?"""
        try:
            Template(self.template or "")
        except ValueError:  # all fields but that one were found when it was read
            return True
        return False

    def payloads(self, seed: int | str, usual: bytes, durations: Durations | None) -> Payloads:
        """Raises OSError and ValueError for a file that cannot be drawn from."""
        if self.template is not None:
            return Template(self.template, seed, durations)
        if self.sample is not None:
            return Sampled(self.sample, seed)
        return Fixed(usual if self.fixed is None else self.fixed)

    def check(self, usual: str) -> Check:
        return expectation(usual if self.expect is None else self.expect)

    def words(self, usual: bytes) -> str:
        if self.template is not None:
            return f"template of {plain(len(self.template))} characters"
        if self.sample is not None:
            return f"lines of {self.sample.name}"
        fixed = usual if self.fixed is None else self.fixed
        return f"{plain(len(fixed))} byte{'s' * (len(fixed) != 1)}, the same each time"


def payload_of(value: Any, source: Source) -> Payload:
    """A `payload` of a scenario or of a function. Raises ScenarioError, ValueError."""
    return build(Payload, table(value), source)


class Function(Settings, frozen=True, kw_only=True):
    """One that an engine is to run. warm: None for as many as may run at once; payload: None for the scenario's."""

    reference: Text
    code: Annotated[Path, folder] = Path()
    memory: Memory = limits.MEMORY_DEFAULT
    timeout: Timeout = limits.EMBEDDED_TIMEOUT
    concurrency: Annotated[int, Meta(ge=1, le=limits.CONCURRENCY_MAX, description="workers")] = 1
    warm: Annotated[int, Meta(ge=0, le=limits.CONCURRENCY_MAX, description="workers")] | None = None
    waiting: Annotated[int, Meta(ge=0, le=10_000_000, description="invocations")] = limits.WAITING
    init: Literal["snapshot", "fresh"] = "snapshot"
    environment: dict[str, str] | None = None
    weight: Weight = 1.0
    payload: Annotated[Payload | None, payload_of] = None

    def __post_init__(self) -> None:
        if _ADDRESS.fullmatch(self.reference):
            raise ValueError(f"{self.reference} is no function: write http://{self.reference} for a URL")
        attribute = parse_reference(self.reference).attribute
        if not all(part.isidentifier() for part in attribute.split(".")):
            raise ValueError(f"bad handler {self.reference!r}: {attribute} is no name of a function")
        configure(self.reference, **self.options)

    @property
    def options(self) -> dict[str, Any]:
        """What Engine.function takes beside the reference and the name."""
        names = ("code", "memory", "timeout", "concurrency", "waiting", "init", "environment")
        warm = self.concurrency if self.warm is None else self.warm
        return {"warm": warm, **{name: getattr(self, name) for name in names}}

    @property
    def label(self) -> str:
        return self.reference


class Named(Settings, frozen=True, kw_only=True):
    """A function on an endpoint."""

    name: Text
    weight: Weight = 1.0
    payload: Annotated[Payload | None, payload_of] = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no function's name: letters, digits, - and _, or an ARN")

    @property
    def label(self) -> str:
        return self.name


class Embedded(Settings, frozen=True, tag=True):
    """Functions that an engine in this process is to run."""

    functions: Sequence[Function]

    @property
    def words(self) -> str:
        workers = sum(each.concurrency for each in self.functions)
        where = f" in {_short(self.functions[0].code)}" if len(self.functions) == 1 else ""
        return f"{_mix(self.functions)}{where}, embedded, {workers} worker{'s' * (workers > 1)}"


def _url(value: Any, source: Source) -> str:
    url = text(value, source)
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        ok = parts.scheme == "http" and parts.hostname and (parts.port is None or parts.port > 0)
        if ok and url.isascii() and not any(c <= " " or c == "\x7f" for c in url):
            return url
    raise ValueError("use an http:// URL, as in http://127.0.0.1:9001")


class Endpoint(Settings, frozen=True, kw_only=True, tag=True):
    """Functions on an endpoint that speaks Lambda's Invoke. sign: with the credentials that botocore finds."""

    endpoint: Annotated[str, _url]
    sign: bool = False
    functions: Sequence[Named] = ()

    @property
    def words(self) -> str:
        return f"{_mix(self.functions)} on {self.endpoint}{', signed' * self.sign}"


class Url(Settings, frozen=True, kw_only=True, tag=True):
    """A URL that is sent each payload."""

    url: Annotated[str, _url]
    method: Literal["POST", "GET", "PUT"] = "POST"

    @property
    def functions(self) -> Sequence[Named]:
        return (Named(name="url"),)

    @property
    def words(self) -> str:
        return f"{self.method} {self.url}"


Target = Embedded | Endpoint | Url


def target_of(value: Any, source: Source) -> Target:
    """A scenario's `target`. Raises ScenarioError, ValueError."""
    values = table(value)
    if "url" in values:
        return build(Url, values, source)
    shared = {key: it for key, it in values.items() if key not in _FUNCTION_KEYS}
    keys = [key for key in _FUNCTION_KEYS if key in values]
    if len(keys) != 1:
        raise ValueError(
            "it takes one of function, functions or url; with an endpoint, function or functions by their names"
        )
    [key] = keys
    # Several are a list: of texts, or of tables as [[target.function]] makes them.
    several = values[key] if isinstance(values[key], list) else [values[key]]
    if not several or not all(isinstance(each, str | dict) for each in several):
        raise source.wrong(key, values[key], "use a text, a list of them, or [[target.function]] tables")
    if "endpoint" in shared:
        named = _functions(Named, "name", {}, key, several, source)
        return build(Endpoint, shared | {"functions": named}, source)
    allowed = [name for name in settings(Function) if name not in ("reference", "weight", "payload")]
    for name in shared:
        if name not in allowed:
            raise source.unknown(name, [*_FUNCTION_KEYS, *allowed, "endpoint", "sign", "url", "method"])
    shared = {"code": ".", **shared}  # of the scenario's directory, not the current one
    return Embedded(_functions(Function, "reference", shared, key, several, source))


def _functions(
    kind: Any, name: str, shared: Mapping[str, Any], key: str, several: Sequence[Any], source: Source
) -> tuple[Any, ...]:
    """Each of its name or its table, and of the settings that all share."""
    return tuple(
        build(kind, {**shared, name: each}, source)
        if isinstance(each, str)
        else build(kind, {**shared, **each}, source.within(f"{key}[{number}]"))
        for number, each in enumerate(several)
    )


def _mix(functions: Sequence[Function | Named], most: int = 4) -> str:
    if len(functions) == 1:
        return functions[0].label
    total = sum(each.weight for each in functions)
    shares = [f"{each.label} {each.weight / total * 100:.3g} %" for each in functions[:most]]
    more = len(functions) - most
    return ", ".join(shares) + (f" and {more} more" if more > 0 else "")


def _short(folder: Path) -> str:
    """Relative to the current directory, where it is below that."""
    relative = os.path.relpath(folder)
    return str(folder.resolve()) if relative.startswith("..") else relative
