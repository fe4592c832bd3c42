"""A query of Logs Insights as it is read: its commands, and the expressions in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Malformed(Exception):
    """A query that is none; start and end: the characters that are wrong."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = max(end, start)


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression. text: as it was written, blanks made one; start, end: where."""

    text: str = field(compare=False)
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: Any


@dataclass(frozen=True, slots=True)
class Period(Node):
    """5m: so many milliseconds, or of months where a unit is none of fixed length."""

    ms: int
    months: int


@dataclass(frozen=True, slots=True)
class Regex(Node):
    source: str


@dataclass(frozen=True, slots=True)
class Star(Node):
    """The * of count(*)."""


@dataclass(frozen=True, slots=True)
class Call(Node):
    """name: in lower case."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """operator: "+", "=", "and", "like", "in", ...; one operand for "not" and a sign,
    any number for "and" and "or"."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """An expression, and the name of the field that it makes."""

    node: Node
    name: str


@dataclass(frozen=True, slots=True)
class Fields:
    """`fields`, and `display`, which says what is shown."""

    columns: tuple[Column, ...]
    only: bool


@dataclass(frozen=True, slots=True)
class Filter:
    condition: Node


@dataclass(frozen=True, slots=True)
class Stats:
    columns: tuple[Column, ...]
    by: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Sort:
    keys: tuple[tuple[Node, bool], ...]  # and whether the largest comes first


@dataclass(frozen=True, slots=True)
class Limit:
    most: int


@dataclass(frozen=True, slots=True)
class Parse:
    """regex: a regular expression; else `pattern` is text with "*"."""

    source: Node
    pattern: str
    regex: bool
    names: tuple[str, ...]
    groups: tuple[int, ...]  # that the names get, of the pattern


@dataclass(frozen=True, slots=True)
class Dedup:
    names: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unnest:
    source: Node
    name: str


Command = Fields | Filter | Stats | Sort | Limit | Parse | Dedup | Unnest
