"""Many patterns, indexed together: how long an event takes to find those it matches hardly grows with their number.

Of each alternative of a pattern one condition, the rarest, is its key in an index of that field: of values, prefixes
and suffixes by their length, ranges of numbers, networks. What an event's field finds there may match. A key that many
share has an index of its own below it, of their other fields. What is found so is verified as a whole, so an index may
only find too much, never too little.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from .conditions import Condition, Network, Range, Scalar, fold, is_number, parsed_address
from .patterns import Alternative, Fields, Pattern, fields, satisfied, wanted

LEAF = 8  # alternatives that are verified one by one rather than indexed further
T = TypeVar("T")


class _Entry(NamedTuple):
    """An alternative of a rule: its number among all, and the rule's."""

    number: int
    rule: int
    alternative: Alternative


class Rules(Generic[T]):
    """Rules by what the caller knows them by."""

    def __init__(self, rules: Iterable[tuple[T, Pattern]]) -> None:
        found = list(rules)
        self._names = [name for name, _ in found]
        self._entries: list[_Entry] = []
        for rule, (_, pattern) in enumerate(found):
            for each in pattern.alternatives:
                self._entries.append(_Entry(len(self._entries), rule, each))
        self._wanted = wanted(entry.alternative for entry in self._entries)
        self._root = _Node(self._entries, frozenset())

    def match(self, event: Mapping[str, Any]) -> list[T]:
        """Those that an event, as JSON decodes it, matches, in their order."""
        found = fields(event, self._wanted)
        candidates: set[int] = set()
        self._root.collect(found, candidates)
        matched: set[int] = set()
        for number in candidates:
            _, rule, alternative = self._entries[number]
            if rule not in matched and satisfied(alternative, found):
                matched.add(rule)
        return [self._names[rule] for rule in sorted(matched)]


class _Node:
    """Alternatives by one field each."""

    __slots__ = ("_always", "_paths")

    def __init__(self, entries: Sequence[_Entry], used: frozenset[str]) -> None:
        """used: fields that have been looked at already."""
        self._always: list[int] = []
        self._paths: dict[str, _Index] = {}
        if len(entries) <= LEAF:
            self._always.extend(entry.number for entry in entries)
            return
        shares = Counter(key for entry in entries for one in entry.alternative for key in _keys(one))
        grouped: dict[str, list[tuple[_Entry, Condition]]] = {}
        for entry in entries:
            usable = [one for one in entry.alternative if not one.absent and one.path not in used]
            if not usable:
                self._always.append(entry.number)
                continue
            rarest = min(usable, key=lambda one: sum(shares[key] * _COST[key[1]] for key in _keys(one)))
            grouped.setdefault(rarest.path, []).append((entry, rarest))
        for path, members in grouped.items():
            self._paths[path] = _Index(members, used | {path})

    def collect(self, found: Fields, candidates: set[int]) -> None:
        candidates.update(self._always)
        paths = self._paths
        if len(paths) < len(found):
            for path, index in paths.items():
                for value, _ in found.get(path, ()):
                    index.collect(value, found, candidates)
        else:
            for path, occurrences in found.items():
                if path in paths:
                    for value, _ in occurrences:
                        paths[path].collect(value, found, candidates)


_Key = tuple[str, str, Any]  # path, kind, key
_COST = {"value": 1, "fold": 1, "prefix": 2, "suffix": 2, "prefix-fold": 2, "suffix-fold": 2, "network": 2, "range": 4,
         "any": 8}  # fmt: skip


def _keys(condition: Condition) -> list[_Key]:
    """What a condition would be indexed by. Ranges overlap: they share a field's."""
    path = condition.path
    keys: list[_Key] = [(path, "value", value) for value in condition.values]
    for each in condition.operators:
        spread = each.kind in ("range", "any") or not each.key
        keys.append((path, each.kind if each.key else "any", None if spread else each.key))
    return keys


class _Index:
    """Alternatives by what they ask of one field."""

    def __init__(self, members: Sequence[tuple[_Entry, Condition]], used: frozenset[str]) -> None:
        self._used = used
        keyed: dict[str, dict[Any, list[_Entry]]] = {}
        for entry, condition in members:
            for value in condition.values:
                keyed.setdefault("value", {}).setdefault(value, []).append(entry)
            for each in condition.operators:
                kind = each.kind if each.key else "any"
                keyed.setdefault(kind, {}).setdefault(each.key, []).append(entry)
        self._any = [_Node(each, used) for each in keyed.pop("any", {}).values()]
        self._values = self._nodes(keyed.pop("value", {}))
        self._folded = self._nodes(keyed.pop("fold", {}))
        self._prefixes = self._sized(keyed.pop("prefix", {}))
        self._suffixes = self._sized(keyed.pop("suffix", {}))
        self._folded_prefixes = self._sized(keyed.pop("prefix-fold", {}))
        self._folded_suffixes = self._sized(keyed.pop("suffix-fold", {}))
        self._networks = _networks(self._nodes(keyed.pop("network", {})))
        ranges = self._nodes(keyed.pop("range", {}))
        self._ranges = _Ranges(list(ranges.items())) if ranges else None
        self._folds = bool(self._folded or self._folded_prefixes or self._folded_suffixes)

    def _nodes(self, keyed: Mapping[Any, list[_Entry]]) -> dict[Any, _Node]:
        return {key: _Node(entries, self._used) for key, entries in keyed.items()}

    def _sized(self, keyed: Mapping[str, list[_Entry]]) -> dict[int, dict[str, _Node]]:
        """By the length of their keys."""
        found: dict[int, dict[str, _Node]] = {}
        for key, node in self._nodes(keyed).items():
            found.setdefault(len(key), {})[key] = node
        return found

    def collect(self, value: Scalar, found: Fields, candidates: set[int]) -> None:
        nodes = list(self._any)
        if (node := self._values.get(value)) is not None:
            nodes.append(node)
        if type(value) is str:
            _starts(self._prefixes, value, nodes)
            _ends(self._suffixes, value, nodes)
            if self._folds:
                folded = fold(value)
                if (node := self._folded.get(folded)) is not None:
                    nodes.append(node)
                _starts(self._folded_prefixes, folded, nodes)
                _ends(self._folded_suffixes, folded, nodes)
            if self._networks and (address := parsed_address(value)) is not None:
                for version, bits, shift in self._networks:
                    if version == address[0]:
                        node = self._networks[version, bits, shift].get(address[1] >> shift)
                        if node is not None:
                            nodes.append(node)
        elif self._ranges is not None and is_number(value):
            self._ranges.find(value, nodes)
        for node in nodes:
            node.collect(found, candidates)


def _starts(sized: Mapping[int, Mapping[str, _Node]], value: str, nodes: list[_Node]) -> None:
    for length, keyed in sized.items():
        if (node := keyed.get(value[:length])) is not None:
            nodes.append(node)


def _ends(sized: Mapping[int, Mapping[str, _Node]], value: str, nodes: list[_Node]) -> None:
    size = len(value)
    for length, keyed in sized.items():
        if length <= size and (node := keyed.get(value[size - length :])) is not None:
            nodes.append(node)


def _networks(nodes: Mapping[Network, _Node]) -> dict[tuple[int, int, int], dict[int, _Node]]:
    """By IP version, mask and shift: the networks."""
    found: dict[tuple[int, int, int], dict[int, _Node]] = {}
    for (version, bits, network), node in nodes.items():
        shift = (32 if version == 4 else 128) - bits
        found.setdefault((version, bits, shift), {})[network] = node
    return found


class _Ranges:
    """A centred interval tree: which ranges a number may lie in. Bounds count as within."""

    __slots__ = ("_above", "_below", "_by_high", "_by_low", "_centre", "_highs", "_lows")

    def __init__(self, ranges: Sequence[tuple[Range, _Node]]) -> None:
        ends = sorted(end for (low, _, high, _), _ in ranges for end in (low, high))
        self._centre = centre = ends[len(ends) // 2]
        here = [each for each in ranges if each[0][0] <= centre <= each[0][2]]
        below = [each for each in ranges if each[0][2] < centre]
        above = [each for each in ranges if each[0][0] > centre]
        self._by_low = sorted(here, key=lambda each: each[0][0])
        self._lows = [each[0][0] for each in self._by_low]
        self._by_high = sorted(here, key=lambda each: each[0][2])
        self._highs = [each[0][2] for each in self._by_high]
        self._below = _Ranges(below) if below else None
        self._above = _Ranges(above) if above else None

    def find(self, value: float, nodes: list[_Node]) -> None:
        if value <= self._centre:
            nodes.extend(node for _, node in self._by_low[: bisect_right(self._lows, value)])
            if self._below is not None:
                self._below.find(value, nodes)
        else:
            nodes.extend(node for _, node in self._by_high[bisect_left(self._highs, value) :])
            if self._above is not None:
                self._above.find(value, nodes)
