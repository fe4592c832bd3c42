"""Metric math, the simple part of it: + - * / ( ), numbers, ids of other queries, and the functions below.

A value is a number, or a series: a number by its time. Between two series an operator has the times of both.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping

from . import faults

Values = dict[int, float]
Value = float | Values
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|([A-Za-z_][A-Za-z0-9_]*)|(.))", re.DOTALL)
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip
_EACH: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_ALL: dict[str, Callable[[list[float]], float]] = {
    "AVG": lambda values: math.fsum(values) / len(values), "MAX": max, "MIN": min, "SUM": math.fsum,
}  # fmt: skip
_DEPTH = 50


def ids(expression: str) -> set[str]:
    """What it may name."""
    return {name for _, name, _ in _TOKEN.findall(expression) if name and not name[0].isupper()}


def evaluate(expression: str, named: Mapping[str, Values], times: list[int]) -> Value:
    """times: of all periods, for FILL. Raises Fault."""
    return _Parser(expression, named, times).whole()


class _Parser:
    def __init__(self, expression: str, named: Mapping[str, Values], times: list[int]) -> None:
        self._tokens = [token for token in _TOKEN.findall(expression.strip()) if any(token)]
        self._at = 0
        self._depth = 0
        self._expression, self._named, self._times = expression, named, times

    def whole(self) -> Value:
        value = self._sum()
        if self._at < len(self._tokens):
            raise self._error(f"Unexpected {''.join(self._tokens[self._at])!r}")
        return value

    def _error(self, why: str) -> Exception:
        return faults.invalid(f"Error in expression {self._expression!r}: {why}")

    def _sign(self) -> str:
        return self._tokens[self._at][2] if self._at < len(self._tokens) else ""

    def _take(self, *signs: str) -> str:
        sign = self._sign()
        if sign in signs and sign:
            self._at += 1
            return sign
        return ""

    def _sum(self) -> Value:
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._error("nested too deeply")
        value = self._product()
        while sign := self._take("+", "-"):
            value = self._combine(sign, value, self._product())
        self._depth -= 1
        return value

    def _product(self) -> Value:
        value = self._unary()
        while sign := self._take("*", "/"):
            value = self._combine(sign, value, self._unary())
        return value

    def _unary(self) -> Value:
        minus = False
        while self._take("-"):
            minus = not minus
        value = self._primary()
        return self._combine("*", value, -1.0) if minus else value

    def _primary(self) -> Value:
        if self._take("("):
            value = self._sum()
            if not self._take(")"):
                raise self._error("Unbalanced parentheses")
            return value
        if self._at >= len(self._tokens):
            raise self._error("Unexpected end")
        number, name, sign = self._tokens[self._at]
        self._at += 1
        if number:
            return float(number)
        if name and self._take("("):
            return self._function(name)
        if name in self._named:
            return self._named[name]
        raise self._error(f"Unknown id {name!r}" if name else f"Unexpected {sign!r}")

    def _function(self, name: str) -> Value:
        if name == "FILL":
            return self._fill()
        if name not in _EACH and name not in _ALL:
            raise self._error(f"{name} is not served by this endpoint")
        value = self._sum()
        if not self._take(")"):
            raise self._error(f"{name} has one argument")
        if name in _EACH:
            return _mapped(value, _EACH[name])
        if not isinstance(value, dict):
            return value
        return _ALL[name](list(value.values())) if value else {}

    def _fill(self) -> Value:
        series = self._sum()
        if not self._take(",") or not isinstance(series, dict):
            raise self._error("FILL has a series and a number or REPEAT")
        _number, name, _ = self._tokens[self._at] if self._at < len(self._tokens) else ("", "", "")
        repeat = name == "REPEAT"
        if repeat:
            self._at += 1
        filler = 0.0 if repeat else self._sum()
        if isinstance(filler, dict) or not self._take(")"):
            raise self._error("FILL has a series and a number or REPEAT")
        filled: Values = {}
        last: float | None = None if repeat else filler
        for at in self._times:
            if at in series:
                filled[at] = series[at]
                last = series[at] if repeat else last
            elif last is not None:
                filled[at] = last
        return filled

    def _combine(self, sign: str, one: Value, other: Value) -> Value:
        function = _OPERATORS[sign]

        def both(a: float, b: float) -> float | None:
            try:
                made = function(a, b)
            except (ZeroDivisionError, OverflowError):
                return None  # it has no point there
            return made if math.isfinite(made) else None

        if not isinstance(one, dict) and not isinstance(other, dict):
            made = both(one, other)
            if made is None:
                raise self._error("Division by zero")
            return made
        if isinstance(one, dict):
            times = [at for at in one if not isinstance(other, dict) or at in other]
        else:
            assert isinstance(other, dict)
            times = list(other)
        found: Values = {}
        for at in times:
            made = both(
                one[at] if isinstance(one, dict) else one, other[at] if isinstance(other, dict) else other
            )
            if made is not None:
                found[at] = made
        return found


def _mapped(value: Value, function: Callable[[float], float]) -> Value:
    if isinstance(value, dict):
        return {at: float(function(each)) for at, each in value.items()}
    return float(function(value))
