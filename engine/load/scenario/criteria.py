"""What a run must keep for it to pass: "p99<5ms", "errors<1%", "goodput>900/s"; and whether it did."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from .. import words
from .reading import Source, table

if TYPE_CHECKING:
    from ..result import Result

LATENCIES = {"p50": "p50", "p90": "p90", "p99": "p99", "p99.9": "p999", "max": "most"}
COUNTS = {"errors": ("error", "timeout", "failure"), "throttles": ("throttle",)}
MEASURES = (*LATENCIES, *COUNTS, "goodput")
_SIGNS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
_OPPOSITE = {"<=": ">", "<": ">=", ">=": "<", ">": "<="}
_WORDS = {"<=": "at most", "<": "less than", ">=": "at least", ">": "more than"}
_CRITERION = re.compile(r"\s*([a-z0-9.]+)\s*(<=|>=|<|>)\s*(.*?)\s*", re.DOTALL)
EXAMPLES = "p99<5ms, errors<1%, throttles<=10 or goodput>900/s"


class Criterion(msgspec.Struct, frozen=True):
    """One of them. value: nanoseconds, a share (with `share`), a count, or requests per second."""

    measure: str
    sign: str
    value: float
    share: bool = False

    def broken(self, result: Result) -> str:
        """Why the run does not keep it; "" when it does."""
        if self.measure in LATENCIES:
            if not result.latency.count:
                return f"{self.measure}: nothing was answered"
            found = float(getattr(result.latency, LATENCIES[self.measure]))
        elif self.measure in COUNTS:
            if not result.offered:
                return f"{self.measure}: nothing was sent"
            found = float(sum(result.ended.get(ending, 0) for ending in COUNTS[self.measure]))
            found = found / result.offered if self.share else found
        else:
            found = result.goodput
        if _SIGNS[self.sign](found, self.value):
            return ""
        actual, bound = self._text(found), self._text(self.value)
        if actual == bound:  # to three digits they are the same
            actual, bound = self._text(found, exact=True), self._text(self.value, exact=True)
        return f"{self.measure} is {actual}, not {_WORDS[self.sign]} {bound}"

    def _text(self, value: float, exact: bool = False) -> str:
        if self.measure in LATENCIES:
            return f"{value:,.0f} ns" if exact else words.duration(value)
        if self.measure == "goodput":
            return f"{words.plain(value)}/s" if exact else words.rate(value)
        if self.share:
            return f"{words.plain(value * 100)} %" if exact else words.share(value)
        return words.plain(value)


def criterion(text: object) -> Criterion:
    """Of "p99<5ms". Raises ValueError."""
    if isinstance(text, str) and (match := _CRITERION.fullmatch(text)):
        return _of(*match.groups())
    raise ValueError(f"write a measure, < or >, and a value: {EXAMPLES}")


def failing(text: str) -> Criterion:
    """Of what must not be: "p99>5ms". Raises ValueError."""
    made = criterion(text)
    return replace(made, sign=_OPPOSITE[made.sign])


def broken(criteria: Sequence[Criterion], result: Result) -> list[str]:
    """A line for each that the run does not keep."""
    return [why for each in criteria if (why := each.broken(result))]


def limits_of(value: Any, source: Source) -> tuple[Criterion, ...]:
    """A scenario's `limits`: the least goodput, the most of everything else. Raises ScenarioError, ValueError."""
    if isinstance(value, tuple) and all(isinstance(each, Criterion) for each in value):
        return value
    made = []
    for measure, bound in table(value).items():
        if measure not in MEASURES:
            raise source.unknown(measure, MEASURES)
        if not isinstance(bound, str | int | float) or isinstance(bound, bool):
            raise source.wrong(measure, bound, f"write a value, as in {EXAMPLES}")
        try:
            made.append(_of(measure, ">=" if measure == "goodput" else "<=", str(bound)))
        except ValueError as error:
            raise source.wrong(measure, bound, str(error)) from None
    return tuple(made)


def _of(measure: str, sign: str, text: str) -> Criterion:
    if measure in LATENCIES:
        return Criterion(measure, sign, words.nanoseconds(text))
    if measure not in MEASURES:
        raise ValueError(f"there is no measure {measure!r}. There are {', '.join(MEASURES)}")
    try:
        number, unit = words.quantity(text)
    except ValueError:
        number, unit = 0.0, "?"
    if measure == "goodput" and unit in ("", "/s"):
        return Criterion(measure, sign, number)
    if measure in COUNTS and unit == "%" and number <= 100:
        return Criterion(measure, sign, number / 100, share=True)
    if measure in COUNTS and unit == "":
        return Criterion(measure, sign, number)
    raise ValueError("write a rate: 900/s" if measure == "goodput" else "write a share or a number: 1% or 10")
