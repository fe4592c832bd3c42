"""Paths with parameters: which of an API's is the most specific for a request's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
Match = tuple[T, dict[str, str]]  # what a path means, and its parameters
MATCHES = 2_000  # requests whose paths' meaning a stage keeps
_LITERAL, _PARAMETER, _GREEDY = range(3)


def split(path: str) -> list[str]:
    """A path's segments, decoded; of "/" there is one, which is empty."""
    return [unquote(part) for part in path.removeprefix("/").split("/")]


@dataclass(slots=True)
class _Path(Generic[T]):
    kinds: tuple[int, ...]
    names: tuple[str, ...]  # of literals and parameters
    value: T

    @property
    def rank(self) -> tuple[bool, tuple[int, ...]]:
        """A match of the whole path comes before one with a greedy parameter."""
        return _GREEDY in self.kinds, self.kinds

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The parameters; None: it is another path."""
        greedy = bool(self.kinds) and self.kinds[-1] == _GREEDY
        if len(segments) < len(self.kinds) or (len(segments) > len(self.kinds) and not greedy):
            return None
        parameters: dict[str, str] = {}
        for n, (kind, name) in enumerate(zip(self.kinds, self.names, strict=True)):
            if kind == _LITERAL:
                if segments[n] != name:
                    return None
            elif kind == _PARAMETER:
                if not segments[n]:
                    return None
                parameters[name] = segments[n]
            else:
                parameters[name] = "/".join(segments[n:])
                if not parameters[name]:
                    return None
        return parameters


class Paths(Generic[T]):
    """Values by paths such as /pets/{id} and /{proxy+}."""

    def __init__(self, values: Iterable[tuple[str, T]]) -> None:
        """The values of a path are in the order that they are given in."""
        self._paths = sorted((_path(path, value) for path, value in values), key=lambda each: each.rank)

    def matching(self, segments: list[str]) -> Iterator[Match[T]]:
        """The most specific first."""
        for path in self._paths:
            parameters = path.match(segments)
            if parameters is not None:
                yield path.value, parameters


def _path(path: str, value: T) -> _Path[T]:
    kinds, names = [], []
    for part in path.removeprefix("/").split("/"):
        if part.startswith("{") and part.endswith("+}"):
            kinds.append(_GREEDY)
            names.append(part[1:-2])
        elif part.startswith("{") and part.endswith("}"):
            kinds.append(_PARAMETER)
            names.append(part[1:-1])
        else:
            kinds.append(_LITERAL)
            names.append(part)
    return _Path(tuple(kinds), tuple(names), value)
