"""Logs Insights once more, as simply as it can be: a query is a list of commands, and each makes a list of dicts of
another. Nothing of the engine's is used but what text a value is shown as."""

from __future__ import annotations

import functools
from typing import Any

Row = dict[str, Any]
Command = tuple[Any, ...]


def evaluate(commands: list[Command], events: list[Row], most: int) -> list[Row]:
    """events: in the order of their arrival; what they have but for "_at" is shown if `fields` names it."""
    rows = sorted((dict(event, _n=n) for n, event in enumerate(events)), key=lambda r: (-r["_at"], -r["_n"]))
    shown: list[str] = []
    for command in commands:
        rows, shown = globals()[f"_{command[0]}"](rows, shown, *command[1:])
    return [{name: row[name] for name in shown if row.get(name) is not None} for row in rows[:most]]


def written(commands: list[Command]) -> str:
    """The query's text."""
    return " | ".join(_WRITTEN[command[0]](*command[1:]) for command in commands)


def _expression(node: Any) -> str:
    if not isinstance(node, tuple):
        return repr(node) if isinstance(node, str) else str(node)
    kind, *inner = node
    if kind == "field":
        return str(inner[0])
    if kind == "not":
        return f"(not {_expression(inner[0])})"
    if kind == "in":
        return f"({_expression(inner[0])} in [{', '.join(map(_expression, inner[1:]))}])"
    if kind.isalpha() and kind not in ("and", "or", "like"):
        return f"{kind}({', '.join(map(_expression, inner))})"
    return f"({_expression(inner[0])} {kind} {_expression(inner[1])})"


def _aggregate(name: str, field: str) -> str:
    return f"{name}({field})"


_WRITTEN: dict[str, Any] = {
    "fields": lambda pairs: "fields " + ", ".join(f"{_expression(e)} as {name}" for name, e in pairs),
    "filter": lambda e: f"filter {_expression(e)}",
    "sort": lambda keys: "sort " + ", ".join(f"{name} {'desc' if down else 'asc'}" for name, down in keys),
    "limit": lambda n: f"limit {n}",
    "dedup": lambda names: "dedup " + ", ".join(names),
    "stats": lambda results, by: (
        "stats "
        + ", ".join(f"{_aggregate(name, field)} as {alias}" for alias, name, field in results)
        + (" by " + ", ".join(by) if by else "")
    ),
}


def _fields(rows: list[Row], shown: list[str], pairs: list[tuple[str, Any]]) -> tuple[list[Row], list[str]]:
    rows = [dict(row) for row in rows]
    for row in rows:
        for name, node in pairs:
            row[name] = value(node, row)
    return rows, list(dict.fromkeys([*shown, *(name for name, _ in pairs)]))


def _filter(rows: list[Row], shown: list[str], node: Any) -> tuple[list[Row], list[str]]:
    return [row for row in rows if truth(value(node, row))], shown


def _sort(rows: list[Row], shown: list[str], keys: list[tuple[str, bool]]) -> tuple[list[Row], list[str]]:
    for name, down in reversed(keys):
        compare = functools.cmp_to_key(natural)
        rows = sorted(rows, key=lambda row, name=name: compare(row.get(name)), reverse=down)
    return rows, shown


def _limit(rows: list[Row], shown: list[str], most: int) -> tuple[list[Row], list[str]]:
    return rows[:most], shown


def _dedup(rows: list[Row], shown: list[str], names: list[str]) -> tuple[list[Row], list[str]]:
    seen, kept = set(), []
    for row in rows:
        key = tuple(shown_as(row.get(name)) for name in names)
        if None in key or key not in seen:
            kept.append(row)
            seen.add(key)
    return kept, shown


def _stats(
    rows: list[Row], shown: list[str], results: list[tuple[str, str, str]], by: list[str]
) -> tuple[list[Row], list[str]]:
    groups: dict[Any, list[Row]] = {} if by else {(): []}
    for row in rows:
        groups.setdefault(tuple(shown_as(row.get(name)) for name in by), []).append(row)
    made = []
    for members in groups.values():
        row = {name: members[0].get(name) for name in by}
        for alias, function, field in results:
            values = [1 if field == "*" else member.get(field) for member in members]
            row[alias] = aggregated(function, [each for each in values if each is not None])
        made.append(row)
    return made, [*by, *(alias for alias, _, _ in results)]


def aggregated(function: str, values: list[Any]) -> Any:
    numbers = [each for each in map(numeric, values) if each is not None]
    if function == "count":
        return len(values)
    if function == "count_distinct":
        return len({shown_as(each) for each in values})
    if function == "sum":
        return sum(numbers)
    if function == "avg":
        return float(sum(numbers) / len(numbers)) if numbers else None
    if not values:
        return None
    ordered = sorted(values, key=functools.cmp_to_key(natural))
    return ordered[0] if function == "min" else next(e for e in ordered if natural(e, ordered[-1]) == 0)


def numeric(found: Any) -> int | float | None:
    if isinstance(found, bool | int | float):
        return found
    try:
        return int(found) if isinstance(found, str) and found.strip() == found and "_" not in found else None
    except ValueError:
        return None


def shown_as(found: Any) -> str | None:
    if found is None:
        return None
    return str(int(found)) if isinstance(found, bool) else str(found)


def truth(found: Any) -> bool:
    number = numeric(found)
    return number != 0 if number is not None else bool(found)


def natural(a: Any, b: Any) -> int:
    """Below, equal, above: nothing, then texts by pieces, then numbers."""
    kinds = [0 if x is None else 1 if numeric(x) is None else 2 for x in (a, b)]
    if kinds[0] != kinds[1]:
        return kinds[0] - kinds[1]
    if kinds[0] == 0:
        return 0
    if kinds[0] == 2:
        x, y = numeric(a), numeric(b)
        return (x > y) - (x < y)  # type: ignore[operator]
    for p, q in zip(pieces(a), pieces(b), strict=False):
        if p[0].isdigit() and q[0].isdigit():
            p, q = p.rjust(len(q), "\0"), q.rjust(len(p), "\0")  # noqa: PLW2901
        if p != q:
            return -1 if p < q else 1
    return len(pieces(a)) - len(pieces(b))


def pieces(found: str) -> list[str]:
    out: list[str] = []
    for each in found:
        if out and out[-1][0].isdigit() == each.isdigit():
            out[-1] += each
        else:
            out.append(each)
    return out


def value(node: Any, row: Row) -> Any:
    if not isinstance(node, tuple):
        return node
    kind, *inner = node
    if kind == "field":
        return row.get(inner[0])
    values = [value(each, row) for each in inner]
    if kind == "and":
        return truth(values[0]) and truth(values[1])
    if kind == "or":
        return truth(values[0]) or truth(values[1])
    if kind == "not":
        return not truth(values[0])
    if kind == "=":
        return same(*values)
    if kind == "!=":
        return not same(*values)
    if kind == "<":
        return below(*values)
    if kind == ">=":
        return below(values[1], values[0]) or same(*values)
    if kind == "in":
        return any(same(values[0], each) for each in values[1:])
    if kind == "like":
        return None not in values and str(shown_as(values[1])) in str(shown_as(values[0]))
    if kind == "ispresent":
        return values[0] is not None
    if kind == "coalesce":
        return next((each for each in values if each is not None), None)
    if kind == "concat":
        return "".join(shown_as(each) or "" for each in values)
    if kind == "strlen":
        return None if values[0] is None else len(str(shown_as(values[0])))
    numbers = [numeric(each) for each in values]
    if kind == "greatest":
        return max((each for each in numbers if each is not None), default=None)
    if None in numbers:
        return None
    if kind == "abs":
        return abs(numbers[0])  # type: ignore[arg-type]
    a, b = numbers
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b}[kind]()  # type: ignore[operator]


def same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return False
    x, y = numeric(a), numeric(b)
    return x == y if x is not None and y is not None else shown_as(a) == shown_as(b)


def below(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return False
    x, y = numeric(a), numeric(b)
    return x < y if x is not None and y is not None else str(shown_as(a)) < str(shown_as(b))
