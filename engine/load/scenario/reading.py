"""Tables of settings, converted by msgspec; an error names a setting as it is spelled where it was written."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from .. import words

_LONGEST = 60  # characters of a value in an error
_PLACE = re.compile(r"`\$\.(\w+)")  # msgspec's path to what is wrong
_MISSING = re.compile(r"required field `(\w+)`")


class ScenarioError(ValueError):
    """A scenario that makes no sense; the message names the setting, and what would be right."""


@dataclass(frozen=True)
class Source:
    """Where settings come from. base: what their relative paths start from; prefix: the table that they are in, and a
    dot; sign: what stands between a setting and its value; names: how a setting is spelled there."""

    base: Path
    prefix: str = ""
    sign: str = " = "
    names: Callable[[str], str] = str

    def name(self, key: str) -> str:
        return self.names(self.prefix + key)

    def within(self, key: str) -> Source:
        return replace(self, prefix=f"{self.prefix}{key}.")

    def wrong(self, key: str, value: Any, why: str) -> ScenarioError:
        text = value if isinstance(value, str) and self.sign == " " else repr(value)
        short = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
        return ScenarioError(f"{self.name(key)}{self.sign}{short}: {why}")

    def unknown(self, key: str, settings: Iterable[str]) -> ScenarioError:
        settings = list(settings)
        close = difflib.get_close_matches(key, settings, 1)
        guess = f" Did you mean {self.name(close[0])}?" if close else ""
        every = ", ".join(settings)
        return ScenarioError(f"{self.name(key)}: there is no such setting.{guess} There are: {every}")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table. What msgspec cannot convert (a duration, a file's content), a Reader in the field's annotation does
    first; the description of a number is its unit."""


# Makes of a value what its field takes, or raises ValueError with what would be right. The source is that of the tables
# within the value.
Reader = Callable[[Any, Source], Any]
S = TypeVar("S", bound=Settings)


def build(kind: type[S], values: Mapping[str, Any], source: Source) -> S:
    """Settings of a table. Raises ScenarioError."""
    hints = settings(kind)
    made = {}
    for key, value in values.items():
        if key not in hints:
            raise source.unknown(key, hints)
        made[key] = value
        if isinstance(value, float) and value.is_integer():
            made[key] = int(value)  # 1e6 is whole, however TOML has it
        for reader in filter(callable, _parts(hints[key])[1]):
            try:
                made[key] = reader(value, source.within(key))
            except ScenarioError:
                raise
            except ValueError as error:
                raise source.wrong(key, value, str(error)) from None
    try:
        return msgspec.convert(made, kind)
    except msgspec.ValidationError as error:
        raise _explained(error, hints, values, source) from None


@cache
def settings(kind: type[Settings]) -> dict[str, Any]:
    """What may stand in a table, and the annotation of each."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hints[name] for name in kind.__struct_fields__}


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and what is annotated to it; `X | None` is X."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(it for it in get_args(hint) if it is not NoneType)
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def _explained(
    error: msgspec.ValidationError, hints: Mapping[str, Any], values: Mapping[str, Any], source: Source
) -> ScenarioError:
    """In our words, with the setting as the user spells it."""
    if isinstance(error.__cause__, ScenarioError):
        return error.__cause__
    if error.__cause__ is not None:  # what __post_init__ found
        where = source.names(source.prefix.rstrip(".")) if source.prefix else ""
        return ScenarioError(f"{where}: {error.__cause__}" if where else str(error.__cause__))
    if missing := _MISSING.search(str(error)):
        return ScenarioError(f"{source.name(missing[1])} is missing")
    place = _PLACE.search(str(error))
    if place is None:
        return ScenarioError(f"{source.prefix.rstrip('.')}: {error}")
    return source.wrong(place[1], values[place[1]], _right(hints[place[1]]))


def _right(hint: Any) -> str:
    """What a setting takes."""
    kind, metadata = _parts(hint)
    if get_origin(kind) is Literal:
        return f"use {' or '.join(get_args(kind))}"
    for meta in metadata:
        if isinstance(meta, msgspec.Meta) and meta.le is not None:
            number = "a whole number" if kind is int else "a number"
            above = f"above {words.plain(meta.gt or 0)} and at most"
            least = above if meta.ge is None else f"from {words.plain(meta.ge)} to"
            return f"use {number} {least} {words.plain(meta.le)} {meta.description or ''}".rstrip()
    return {str: "use a text that is not empty", bool: "use true or false"}.get(kind, "use a table of texts")


def table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("use a table")
    return value


def seconds(value: Any, source: Source) -> float:
    return words.seconds(value)


def text(value: Any, source: Source) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("use a text that is not empty")
    return value


def _path(value: Any, source: Source) -> Path:
    return source.base / text(str(value) if isinstance(value, Path) else value, source)


def folder(value: Any, source: Source) -> Path:
    found = _path(value, source)
    if not os.path.isdir(found):  # unlike Path's, False of a name that is too long
        raise ValueError(f"there is no such directory ({found})")
    return found


def file(value: Any, source: Source) -> Path:
    found = _path(value, source)
    if not os.path.isfile(found):
        raise ValueError(f"there is no such file ({found})")
    return found


def content(value: Any, source: Source) -> bytes:
    """A text as it stands, or what is in the file behind an @."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("use a text, or @FILE to read it from there")
    if not value.startswith("@"):
        return value.encode("utf-8", "surrogateescape")
    try:
        return file(value[1:], source).read_bytes()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None


Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\0]+\Z")]
Duration = Annotated[float, msgspec.Meta(ge=0, le=604_800, description="seconds"), seconds]
# Longer than nothing.
Span = Annotated[float, msgspec.Meta(gt=0, le=604_800, description="seconds"), seconds]
