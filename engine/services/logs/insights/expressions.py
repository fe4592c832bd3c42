"""Expressions as functions of a record."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection
from typing import Any

from .functions import ANY, FUNCTIONS, floor_of
from .record import Record
from .regexes import compiled, search
from .tree import Call, Literal, Malformed, Name, Node, Operation, Period, Regex
from .values import equal, less, number, text, true

Value = Callable[[Record], Any]
_WHOLE = 1 << 63  # whole numbers beyond are fractions
_CHAINED = ("+", "-", "*", "/", "%")  # of the left operand, as they come
_PERIODS = {"bin": 1, "datefloor": 2, "dateceil": 2}  # and how many arguments they take


class Compiler:
    """columns: names that the record has of earlier commands: an expression that is written as one of them is it.
    call: what a call is first asked to be; None: a function of this language's."""

    def __init__(
        self, columns: Collection[str] = (), call: Callable[[Call], Value | None] = lambda node: None
    ) -> None:
        self._columns = columns
        self._call_first = call

    def compile(self, node: Node) -> Value:
        """Raises Malformed."""
        if isinstance(node, Name):
            name = node.name
            return lambda record: record.get(name)
        if not isinstance(node, Literal) and node.text in self._columns:
            written = node.text
            return lambda record: record.values.get(written)
        if isinstance(node, Literal):
            value = node.value
            return lambda record: value
        if isinstance(node, Period):
            ms = node.ms + node.months * 30 * 86_400_000
            return lambda record: ms
        if isinstance(node, Call):
            return self._call_first(node) or self._call(node)
        if isinstance(node, Operation):
            return self._operation(node)
        raise _wrong(node, f"{node.text} cannot stand here")

    def _call(self, node: Call) -> Value:
        if node.name in _PERIODS:
            return self._period(node)
        if node.name not in FUNCTIONS:
            raise _wrong(node, f"unknown function {node.name}")
        fewest, most, function = FUNCTIONS[node.name]
        count = len(node.arguments)
        if not fewest <= count <= most:
            wanted = (
                str(fewest)
                if fewest == most
                else f"{fewest} or more"
                if most == ANY
                else f"{fewest} to {most}"
            )
            raise _wrong(node, f"{node.name} takes {wanted} arguments, and has {count}")
        arguments = [self.compile(each) for each in node.arguments]
        if not arguments:  # one value for the whole query
            found = function()
            return lambda record: found
        if count == 1:
            (only,) = arguments
            return lambda record: function(only(record))
        return lambda record: function(*[each(record) for each in arguments])

    def _period(self, node: Call) -> Value:
        count = _PERIODS[node.name]
        *times, period = node.arguments if len(node.arguments) == count else (None,)
        if not isinstance(period, Period) or not (period.ms or period.months):
            raise _wrong(node, f"{node.name} takes a period such as 5m")
        ms, months, up = period.ms, period.months, node.name == "dateceil"
        if not times:
            return lambda record: floor_of(record.get("@timestamp"), ms, months)
        at = self.compile(times[0])
        return lambda record: floor_of(at(record), ms, months, up)

    def _operation(self, node: Operation) -> Value:
        kind = node.operator
        if kind == "like":
            return self._like(node)
        if kind in _CHAINED and len(node.operands) == 2:
            return self._chain(node)
        operands = [self.compile(each) for each in node.operands]
        if kind == "in":
            value, *listed = operands
            return lambda record: _among(value(record), [each(record) for each in listed])
        if kind in ("and", "or"):
            hold = all if kind == "and" else any
            return lambda record: hold(true(each(record)) for each in operands)
        if len(operands) == 1:
            (only,) = operands
            if kind == "not":
                return lambda record: not true(only(record))
            return lambda record: -found if (found := number(only(record))) is not None else None
        left, right = operands
        apply = BINARY[kind]
        return lambda record: apply(left(record), right(record))

    def _chain(self, node: Operation) -> Value:
        """a + b - c: however long, it is no nesting."""
        links: list[tuple[Callable[[Any, Any], Any], Value]] = []
        first: Node = node
        while (
            isinstance(first, Operation)
            and first.operator in _CHAINED
            and len(first.operands) == 2
            and (first is node or first.text not in self._columns)
        ):
            links.append((BINARY[first.operator], self.compile(first.operands[1])))
            first = first.operands[0]
        links.reverse()
        begin = self.compile(first)

        def value(record: Record) -> Any:
            found = begin(record)
            for apply, right in links:
                found = apply(found, right(record))
            return found

        return value

    def _like(self, node: Operation) -> Value:
        value, wanted = self.compile(node.operands[0]), node.operands[1]
        if isinstance(wanted, Regex):
            pattern = compiled(wanted.source)
            return lambda record: (
                (found := value(record)) is not None and search(pattern, text(found)) is not None
            )
        part = self.compile(wanted)
        return lambda record: (
            (found := value(record)) is not None
            and (inner := part(record)) is not None
            and text(inner) in text(found)
        )


def _among(value: Any, listed: list[Any]) -> bool:
    return any(equal(value, each) for each in listed)


def _arithmetic(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def applied(a: Any, b: Any) -> Any:
        x, y = number(a), number(b)
        if x is None or y is None:
            return None
        try:
            found = apply(+x, +y)
            if isinstance(found, int) and abs(found) >= _WHOLE:
                found = float(found)
        except (ArithmeticError, ValueError):
            return None
        return found if not isinstance(found, complex) and math.isfinite(found) else None

    return applied


def _power(a: Any, b: Any) -> Any:
    found = math.pow(a, b)
    whole = isinstance(a, int) and isinstance(b, int) and abs(found) < 1 << 53
    return int(found) if whole and found.is_integer() else found


def _remainder(a: Any, b: Any) -> Any:
    """With the sign of what is divided, as Java has it."""
    if isinstance(a, int) and isinstance(b, int):
        return int(math.copysign(abs(a) % abs(b), a))
    return math.fmod(a, b)


def _quotient(a: Any, b: Any) -> Any:
    return a / b


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "=": equal,
    "!=": lambda a, b: not equal(a, b),
    "<": less,
    ">": lambda a, b: less(b, a),
    "<=": lambda a, b: less(a, b) or equal(a, b),
    ">=": lambda a, b: less(b, a) or equal(a, b),
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(_quotient),
    "%": _arithmetic(_remainder),
    "^": _arithmetic(_power),
}


def _wrong(node: Node, message: str) -> Malformed:
    return Malformed(message, node.start, node.end)
