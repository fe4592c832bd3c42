"""The query engine, which keeps little and sees each event once, against one that changes lists."""

from __future__ import annotations

import json
from typing import Any

import insights_reference as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_insights import run

NAMES = ["n", "s", "b", "m"]
TEXTS = ["", "a", "b1", "b10", "b2", "7", "007", "A", "ab"]
VALUES = st.one_of(st.integers(-3, 12), st.sampled_from(TEXTS), st.booleans())
EVENTS = st.lists(st.tuples(st.integers(0, 5), st.dictionaries(st.sampled_from(NAMES), VALUES)), max_size=25)
BINARY = ["and", "or", "=", "!=", "<", ">=", "+", "-", "*", "like", "concat"]
LITERALS = st.one_of(st.integers(0, 12), st.sampled_from(TEXTS))


def expressions(names: list[str]) -> st.SearchStrategy[Any]:
    leaves = st.one_of(st.sampled_from(names).map(lambda name: ("field", name)), LITERALS)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(BINARY), inner, inner),
            st.tuples(st.sampled_from(["not", "ispresent", "strlen", "abs"]), inner),
            st.tuples(st.sampled_from(["in", "coalesce", "greatest"]), inner, inner, inner),
        ),
        max_leaves=6,
    )  # fmt: skip


@st.composite
def queries(draw: st.DrawFn) -> list[reference.Command]:
    names, commands = list(NAMES), []
    commands.append(("fields", [(name, ("field", name)) for name in NAMES]))
    for step in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["fields", "filter", "sort", "limit", "stats"]))
        if kind == "fields":
            pairs = [(f"x{step}{n}", draw(expressions(names))) for n in range(draw(st.integers(1, 2)))]
            commands.append(("fields", pairs))
            names += [name for name, _ in pairs]
        elif kind == "filter":
            commands.append(("filter", draw(expressions(names))))
        elif kind == "sort":
            keys = st.lists(st.tuples(st.sampled_from(names), st.booleans()), min_size=1, max_size=2)
            commands.append(("sort", draw(keys)))
        elif kind == "limit":
            commands.append(("limit", draw(st.integers(1, 12))))
        else:
            by = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
            functions = st.sampled_from(["count", "count_distinct", "sum", "avg", "min", "max"])
            results = [
                (f"y{step}{n}", *draw(st.tuples(functions, st.sampled_from(names))))
                for n in range(draw(st.integers(1, 3)))
            ]
            results[0] = (results[0][0], "count", "*") if draw(st.booleans()) else results[0]
            commands.append(("stats", results, by))
            names = [*by, *(each[0] for each in results)]
    if draw(st.booleans()):
        commands.append(("dedup", draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))))
    return commands


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: pytest.approx(value, abs=6e-5) if isinstance(value, float) else reference.shown_as(value)
        for name, value in row.items()
    }


@pytest.mark.promise(290)
@settings(max_examples=400, deadline=None)
@given(queries(), EVENTS, st.integers(1, 30))
def test_the_same_rows(commands: list[reference.Command], events: list[Any], most: int) -> None:
    text = reference.written(commands)
    expected = reference.evaluate(commands, [{"_at": at, **fields} for at, fields in events], most)
    found = run(text, [(at, json.dumps(fields)) for at, fields in events], "g", most)
    wanted = [shown(row) for row in expected]
    got = [
        {n: float(v) if n in want and not isinstance(want[n], str) else v for n, v in row.items()}
        for row, want in zip(found, wanted, strict=False)
    ]
    assert len(found) == len(expected), text
    assert got == wanted, text
