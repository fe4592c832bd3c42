"""A query as stages that records go through, one after the other: what is kept of them is bounded by what is asked for.

A record goes straight through fields, filter, parse and unnest; sort puts something before its order, which is that of
its time to begin with, the latest first. What keeps records is limit, dedup, stats and the end: the first so many by
their order, one for each key, a sum for each group. So the result is that of a list which each command changes in turn,
and no such list is ever there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .aggregates import AGGREGATES, PERCENTILES, Aggregate, Count, Percentile
from .expressions import Compiler, Value
from .record import Record
from .regexes import compiled, escaped, search
from .syntax import parse
from .tree import (
    Call,
    Column,
    Command,
    Dedup,
    Fields,
    Filter,
    Limit,
    Literal,
    Malformed,
    Name,
    Node,
    Operation,
    Parse,
    Sort,
    Star,
    Stats,
    Unnest,
)
from .values import Down, number, rank, text, true

Push = Callable[[Record], None]
Row = list[dict[str, str]]  # {"field": ..., "value": ...}
SLACK = 1000  # records beyond those that are asked for that are kept until they are sorted


class Query:
    """Of what it is given, `rows`, once it is finished. Raises Malformed; a regular expression that takes too long
    raises TimeoutError, and memory that is short MemoryError."""

    def __init__(self, text: str, most: int) -> None:
        """most: rows that are wanted at most."""
        self.matched = 0
        self.rows: list[Row] = []
        self._stages: list[_Stage] = []
        self._shown: list[str] = []  # by `display`
        self._columns: list[str] = []
        self._grouped = False
        try:
            commands = parse(text)
            for n, command in enumerate(commands):
                self._stages.append(self._stage(command, commands[n + 1 :], most))
        except RecursionError:
            raise Malformed("the query is nested too deep", 0, len(text)) from None
        self._stages.append(_First(most))
        first = next(n for n, stage in enumerate(self._stages) if isinstance(stage, _Keeping))
        self._stages.insert(first, _Map(self._counted))
        for stage, following in zip(self._stages, self._stages[1:], strict=False):
            stage.following = following.push
        self._stages[-1].following = self._show
        names = self._shown or self._columns
        self._names = names if self._grouped or self._shown else names or ["@timestamp", "@message"]

    def push(self, record: Record) -> None:
        event = record.event
        if event is not None:
            record.order = (-event.timestamp, -event.sequence)  # the latest first
        self._stages[0].push(record)

    def finish(self) -> None:
        for stage in self._stages:
            stage.finish()

    def _counted(self, record: Record) -> bool:
        self.matched += 1
        return True

    def _show(self, record: Record) -> None:
        found = [(name, record.get(name)) for name in self._names]
        if record.event is not None and "@ptr" not in self._names:
            found.append(("@ptr", record.get("@ptr")))
        self.rows.append(
            [{"field": name, "value": text(value)} for name, value in found if value is not None]
        )

    # Commands

    def _stage(self, command: Command, rest: list[Command], most: int) -> _Stage:
        compiler = Compiler(self._columns)
        if isinstance(command, Fields):
            values = []
            for column in command.columns:  # each may use those before it
                values.append((column, compiler.compile(column.node)))
                self._add(column.name)
            if command.only:
                self._shown = list(dict.fromkeys(column.name for column in command.columns))
            return _Map(_setter([(c.name, v) for c, v in values if not _is_itself(c)]))
        if isinstance(command, Filter):
            condition = compiler.compile(command.condition)
            return _Map(lambda record: true(condition(record)))
        if isinstance(command, Parse):
            source = compiler.compile(command.source)
            self._default()
            for name in command.names:
                self._add(name)
            return _Map(_parser(command, source))
        if isinstance(command, Sort):
            return _Map(_sorter([(compiler.compile(node), down) for node, down in command.keys]))
        if isinstance(command, Limit):
            return _First(command.most)
        if isinstance(command, Dedup):
            limits = [each.most for each in rest if isinstance(each, Limit)]
            return _Deduplicated([compiler.compile(each) for each in command.names], min([most, *limits]))
        if isinstance(command, Unnest):
            source = compiler.compile(command.source)
            self._default()
            self._add(command.name)
            return _Unnested(source, command.name)
        return self._stats(command)

    def _add(self, name: str) -> None:
        if name not in self._columns:
            self._columns.append(name)

    def _default(self) -> None:
        if not self._columns and not self._grouped:
            self._columns += ["@timestamp", "@message"]

    def _stats(self, command: Stats) -> _Grouped:
        earlier = self._columns
        makers: list[tuple[Callable[[], Aggregate], Value]] = []

        def aggregate(node: Call) -> Value | None:
            made = _aggregate(node, Compiler(earlier))
            if made is None:
                return None
            place = len(makers)
            makers.append(made)
            return lambda record: record.order[place]

        by = [(column.name, Compiler(earlier).compile(column.node)) for column in command.by]
        known = [name for name, _ in by]
        results = []
        for column in command.columns:
            _check(column.node, known)
            results.append((column.name, Compiler(known, aggregate).compile(column.node)))
            known.append(column.name)
        self._columns, self._shown, self._grouped = known, [], True
        return _Grouped(by, makers, results)


def _aggregate(node: Call, compiler: Compiler) -> tuple[Callable[[], Aggregate], Value] | None:
    """What makes one, and the value that it adds up; None: it is no function of stats."""
    arguments = node.arguments
    if node.name in PERCENTILES:
        percent = (
            number(arguments[1].value) if len(arguments) == 2 and isinstance(arguments[1], Literal) else None
        )
        if percent is None or not 0 <= percent <= 100:
            raise Malformed(f"{node.name} takes a field and a percentage", node.start, node.end)
        return lambda: Percentile(float(percent)), compiler.compile(arguments[0])
    if node.name not in AGGREGATES:
        return None
    if node.name == "count" and (not arguments or isinstance(arguments[0], Star)):
        return Count, lambda record: True
    if len(arguments) != 1:
        raise Malformed(f"{node.name} takes 1 argument, and has {len(arguments)}", node.start, node.end)
    return AGGREGATES[node.name], compiler.compile(arguments[0])


def _check(node: Node, known: list[str]) -> None:
    """Outside of its functions, stats has what it groups by and results before. Raises Malformed."""
    if node.text in known:
        return
    if isinstance(node, Name) and node.name not in known:
        raise Malformed(
            f"{node.name} is neither a function of stats nor what it groups by", node.start, node.end
        )
    if isinstance(node, Operation):
        for each in node.operands:
            _check(each, known)
    elif isinstance(node, Call) and node.name not in AGGREGATES and node.name not in PERCENTILES:
        for each in node.arguments:
            _check(each, known)


def _is_itself(column: Column) -> bool:
    return isinstance(column.node, Name) and column.node.name == column.name


# Stages


class _Stage:
    following: Push

    def push(self, record: Record) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """No more comes: what was kept goes on."""


class _Map(_Stage):
    """For each record, which goes on if it holds."""

    def __init__(self, apply: Callable[[Record], bool]) -> None:
        self._apply = apply

    def push(self, record: Record) -> None:
        if self._apply(record):
            self.following(record)


class _Unnested(_Stage):
    """A record for each item of a list."""

    def __init__(self, source: Value, name: str) -> None:
        self._source = source
        self._name = name

    def push(self, record: Record) -> None:
        found = self._source(record)
        for each in found if isinstance(found, list) else [found]:
            new = record.copy()
            new.values[self._name] = each
            self.following(new)


class _Keeping(_Stage):
    """Keeps records until the end."""

    def finish(self) -> None:
        for n, record in enumerate(self.kept()):
            record.order = (n,)
            self.following(record)

    def kept(self) -> list[Record]:
        raise NotImplementedError


class _First(_Keeping):
    """The first so many, by their order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: list[Record] = []
        self._last: tuple[Any, ...] | None = None  # the order of the last one, once there are enough

    def push(self, record: Record) -> None:
        if self._last is not None and not record.order < self._last:
            return
        self._records.append(record)
        if len(self._records) > self._most + max(self._most, SLACK):
            self._trim()
            self._last = self._records[-1].order

    def _trim(self) -> None:
        self._records.sort(key=_order)
        del self._records[self._most :]

    def kept(self) -> list[Record]:
        self._trim()
        return self._records


class _Deduplicated(_Keeping):
    """The first one, by their order, of those with the same values; those that lack one are all kept. No more than the
    first so many of that are wanted: a key that was dropped for others comes back only if it is before them now."""

    def __init__(self, values: list[Value], most: int) -> None:
        self._values = values
        self._most = most
        self._by_key: dict[tuple[str, ...], Record] = {}
        self._lacking = _First(most)

    def push(self, record: Record) -> None:
        found = [value(record) for value in self._values]
        if None in found:
            self._lacking.push(record)
            return
        key = tuple(map(text, found))
        before = self._by_key.get(key)
        if before is None or record.order < before.order:
            self._by_key[key] = record
            if len(self._by_key) > self._most + max(self._most, SLACK):
                items = sorted(self._by_key.items(), key=lambda item: item[1].order)
                self._by_key = dict(items[: self._most])

    def kept(self) -> list[Record]:
        return sorted([*self._by_key.values(), *self._lacking.kept()], key=_order)


@dataclass(slots=True)
class _Group:
    """order: of its first record; values: what it is grouped by."""

    order: tuple[Any, ...]
    values: list[Any]
    aggregates: list[Aggregate]


class _Grouped(_Keeping):
    """A record for each group, in the order of the first record of each."""

    def __init__(
        self,
        by: list[tuple[str, Value]],
        makers: list[tuple[Callable[[], Aggregate], Value]],
        results: list[tuple[str, Value]],
    ) -> None:
        self._by = by
        self._makers = makers
        self._results = results
        self._groups: dict[tuple[str | None, ...], _Group] = {}

    def push(self, record: Record) -> None:
        found = [value(record) for _, value in self._by]
        key = tuple(None if each is None else text(each) for each in found)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(record.order, found, [make() for make, _ in self._makers])
        elif record.order < group.order:
            group.order = record.order
        at = record.order if record.event is None else (record.event.timestamp, record.event.sequence)
        for (_, value), each in zip(self._makers, group.aggregates, strict=True):
            each.add(value(record), at)

    def kept(self) -> list[Record]:
        if not self._by and not self._groups:  # nothing is counted, too
            self._groups[()] = _Group((), [], [make() for make, _ in self._makers])
        made = []
        for group in sorted(self._groups.values(), key=lambda each: each.order):
            record = Record(None, None)
            record.values = {name: value for (name, _), value in zip(self._by, group.values, strict=True)}
            record.order = tuple(each.result() for each in group.aggregates)
            for name, value in self._results:
                record.values[name] = value(record)
            made.append(record)
        return made


def _order(record: Record) -> tuple[Any, ...]:
    return record.order


def _setter(values: list[tuple[str, Value]]) -> Callable[[Record], bool]:
    def apply(record: Record) -> bool:
        for name, value in values:
            record.values[name] = value(record)
        return True

    return apply


def _sorter(keys: list[tuple[Value, bool]]) -> Callable[[Record], bool]:
    def apply(record: Record) -> bool:
        ranks = (rank(value(record)) for value, _ in keys)
        found = [Down(each) if down else each for each, (_, down) in zip(ranks, keys, strict=True)]
        record.order = (*found, *record.order)
        return True

    return apply


def _parser(command: Parse, source: Value) -> Callable[[Record], bool]:
    """A message that does not match has no such fields, and goes on."""
    glob = "(.*?)".join(map(escaped, command.pattern.split("*")))
    if not command.regex and command.pattern.endswith("*"):
        glob = glob[: -len("(.*?)")] + "(.*)"
    pattern = compiled(command.pattern if command.regex else f"(?s){glob}")

    def apply(record: Record) -> bool:
        value = source(record)
        found = None if value is None else search(pattern, text(value))
        for name, group in zip(command.names, command.groups, strict=True):
            record.values[name] = found[group] if found is not None else None
        return True

    return apply
