"""Settings read into dataclasses: each field says what it takes; an error calls it what it is called where it stands.

A field's reader stands in its annotation, as in Annotated[float, number(0, 100)]. `build` makes a dataclass of a table,
and of the tables within it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from . import units

T = TypeVar("T")
_SHOWN = 60


class ScenarioError(ValueError):
    """A scenario that makes no sense; the message says where, and what would be right."""


@dataclass(frozen=True)
class Source:
    """Where settings come from. base: what their relative paths start from; prefix: the table that they are in, and a
    dot; sign: what stands between a setting and its value; names: what settings are called there, if not so."""

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
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        return ScenarioError(f"{self.name(key)}{self.sign}{shown}: {why}")

    def unknown(self, key: str, known: Iterable[str]) -> ScenarioError:
        known = list(known)
        close = difflib.get_close_matches(key, known, 1)
        guess = f" Did you mean {self.name(close[0])}?" if close else ""
        return ScenarioError(
            f"{self.name(key)}: there is no such setting.{guess} There are: {', '.join(known)}"
        )


# Makes of a value what its field takes, or raises ValueError that says what would be right. The source is the one of
# the tables within the value.
Reader = Callable[[Any, Source], Any]


@cache
def _readers(kind: type) -> dict[str, Reader]:
    """Of the fields that have one."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def settings(kind: type) -> list[str]:
    """What a dataclass's settings are called."""
    return list(_readers(kind))


def build(kind: type[T], values: Mapping[str, Any], source: Source) -> T:
    """A dataclass of a table. Raises ScenarioError."""
    known = _readers(kind)  # type: ignore[arg-type]
    made = {}
    for key, value in values.items():
        if key not in known:
            raise source.unknown(key, known)
        try:
            made[key] = known[key](value, source.within(key))
        except ScenarioError:
            raise
        except ValueError as error:
            raise source.wrong(key, value, str(error)) from None
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name in known and each.name not in made and each.default is MISSING:
            raise ScenarioError(f"{source.name(each.name)} is missing")
    try:
        return kind(**made)
    except ScenarioError:
        raise
    except ValueError as error:
        where = source.names(source.prefix.rstrip(".")) if source.prefix else ""
        raise ScenarioError(f"{where}: {error}" if where else str(error)) from None


def number(least: float, most: float, unit: str = "", above: bool = False, whole: bool = False) -> Reader:
    """From least (or, with `above`, above it) to most."""
    wanted = (
        f"use {'a whole number' if whole else 'a number'} "
        f"{'above' if above else 'from'} {units.plain(least)} {'and at most' if above else 'to'} {units.plain(most)}"
        f"{' ' if unit else ''}{unit}"
    )

    def read(value: Any, source: Source) -> Any:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
        if not ok or (above and value == least) or (whole and int(value) != value):
            raise ValueError(wanted)
        return int(value) if whole else float(value)

    return read


def duration(least: float = 0.0, most: float = 604_800.0, above: bool = False) -> Reader:
    """In seconds, however it is written."""
    bounds = number(least, most, "seconds", above=above)

    def read(value: Any, source: Source) -> float:
        span: float = bounds(units.seconds(value), source)
        return span

    return read


def choice(*choices: str) -> Reader:
    def read(value: Any, source: Source) -> str:
        if value not in choices:
            raise ValueError(f"use {' or '.join(choices)}")
        return str(value)

    return read


def text(value: Any, source: Source) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("use a text that is not empty")
    return value


def flag(value: Any, source: Source) -> bool:
    if not isinstance(value, bool):
        raise ValueError("use true or false")
    return value


def table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("use a table")
    return value


def variables(value: Any, source: Source) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(it, str) for name, it in value.items()
    ):
        raise ValueError("use a table of texts")
    return dict(value)


def path(value: Any, source: Source) -> Path:
    """Of what there may be or not."""
    if isinstance(value, Path):
        value = str(value)
    return source.base / text(value, source)


def folder(value: Any, source: Source) -> Path:
    found = path(value, source)
    if not _is(Path.is_dir, found):
        raise ValueError(f"there is no such directory ({found})")
    return found


def file(value: Any, source: Source) -> Path:
    found = path(value, source)
    if not _is(Path.is_file, found):
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


def _is(what: Callable[[Path], bool], found: Path) -> bool:
    try:
        return what(found)
    except OSError:  # a name that is too long, say
        return False
