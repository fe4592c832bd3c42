"""Compiled event patterns, and what an event must be to match one.

A pattern is alternatives ($or), each of which has a condition for each field. **Arrays** of an event are crushed out
of the path, at any depth, and a field that is in several elements matches if one of them does; but no two fields of one
alternative may be found in different elements of the same array.

`Rules` (rules.py) matches an event against many patterns at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .conditions import Condition, Scalar, scalar

WAYS = 10_000  # to divide fields among arrays that are looked at: none but a forged event has more than one
Alternative = tuple[Condition, ...]
# Of the arrays around a field, outermost first: which it is, and the element's index.
Chain = tuple[tuple[int, int], ...]
Fields = dict[str, list[tuple[Scalar, Chain]]]  # scalars by their paths


class Pattern:
    """A compiled pattern."""

    def __init__(self, alternatives: Sequence[Alternative]) -> None:
        self.alternatives = alternatives
        self.wanted = wanted(alternatives)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """event: as JSON decodes it."""
        found = fields(event, self.wanted)
        return any(satisfied(each, found) for each in self.alternatives)


def wanted(alternatives: Iterable[Alternative]) -> frozenset[str]:
    """The paths of all conditions, and what leads to them."""
    found = set()
    for path in {condition.path for each in alternatives for condition in each}:
        at = len(path)
        while at >= 0:
            found.add(path[:at])
            at = path.rfind(".", 0, at)
    return frozenset(found)


def fields(event: Mapping[str, Any], wanted: frozenset[str]) -> Fields:
    """The scalars of an event at paths that are wanted. An empty array has none."""
    found: Fields = {}
    arrays = itertools.count()

    def visit(value: Mapping[str, Any], before: str, chain: Chain) -> None:
        for key, inner in value.items():
            path = before + key
            if path in wanted:
                take(inner, path, chain)

    def take(value: Any, path: str, chain: Chain) -> None:
        if isinstance(value, dict):
            visit(value, path + ".", chain)
        elif isinstance(value, list):
            array = next(arrays)
            for index, inner in enumerate(value):
                take(inner, path, (*chain, (array, index)))
        elif path in found:
            found[path].append((scalar(value), chain))
        else:
            found[path] = [(scalar(value), chain)]

    visit(event, "", ())
    return found


def satisfied(alternative: Alternative, found: Fields) -> bool:
    """Do the fields keep every condition, at places that go together?"""
    within: list[list[Chain]] = []
    for condition in alternative:
        occurrences = found.get(condition.path)
        if occurrences is None:
            if not condition.absent:
                return False
            continue
        chains = [chain for value, chain in occurrences if condition.test(value)]
        if not chains:
            return False
        if () not in chains:
            within.append(chains)
    return len(within) < 2 or _together(within, 0)


def _together(choices: list[list[Chain]], depth: int) -> bool:
    """May each take one of its chains, so that no array gives two elements? Arrays nest, so those that begin alike are
    looked at together, an array after the other."""
    open = [chains for chains in choices if all(len(chain) > depth for chain in chains)]
    if len(open) < 2:
        return True
    arrays = [sorted({chain[depth][0] for chain in chains}) for chains in open]
    # Each is in one array but where keys with dots make two paths the same.
    ways = itertools.islice(itertools.product(*arrays), WAYS)
    return any(_divided(open, taken, depth) for taken in ways)


def _divided(choices: list[list[Chain]], taken: Sequence[int], depth: int) -> bool:
    for array in set(taken):
        here = [chains for chains, its in zip(choices, taken, strict=True) if its == array]
        if len(here) > 1 and not _one_element(here, array, depth):
            return False
    return True


def _one_element(choices: list[list[Chain]], array: int, depth: int) -> bool:
    by_index: list[dict[int, list[Chain]]] = []
    for chains in choices:
        grouped: dict[int, list[Chain]] = {}
        for chain in chains:
            if chain[depth][0] == array:
                grouped.setdefault(chain[depth][1], []).append(chain)
        by_index.append(grouped)
    common = set.intersection(*(set(grouped) for grouped in by_index))
    return any(_together([grouped[index] for grouped in by_index], depth + 1) for index in common)
