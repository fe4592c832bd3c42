"""The rule of a composite alarm: ALARM("a") AND NOT (OK(b) OR INSUFFICIENT_DATA(c)), parsed and evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import faults
from .judging import ALARM, INSUFFICIENT, OK

_TOKEN = re.compile(
    r'\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[^"()\s]+))\s*\)'
    r"|(?P<word>AND|OR|NOT|TRUE|FALSE)\b|(?P<sign>[()]))"
)
_DEPTH = 50
States = Callable[[str], str | None]  # an alarm's state by its name or ARN; None: there is none
Rule = Callable[[States], bool]


def parse(text: str) -> tuple[Rule, list[str]]:
    """A rule, and the names or ARNs of its alarms. Raises Fault."""
    parser = _Parser(text)
    rule = parser.either(0)
    if parser.tokens:
        raise parser.error()
    return rule, parser.alarms


class _Parser:
    def __init__(self, text: str) -> None:
        self.alarms: list[str] = []
        self.tokens: list[re.Match[str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.error()
            self.tokens.append(found)
            at = found.end()
        self.tokens.reverse()

    def error(self) -> Exception:
        return faults.invalid("AlarmRule is not valid: it has a syntax error.")

    def _takes(self, word: str) -> bool:
        if self.tokens and word in (self.tokens[-1]["word"], self.tokens[-1]["sign"]):
            self.tokens.pop()
            return True
        return False

    def either(self, depth: int) -> Rule:
        rules = [self._both(depth)]
        while self._takes("OR"):
            rules.append(self._both(depth))
        return rules[0] if len(rules) == 1 else lambda states: any(rule(states) for rule in rules)

    def _both(self, depth: int) -> Rule:
        rules = [self._one(depth)]
        while self._takes("AND"):
            rules.append(self._one(depth))
        return rules[0] if len(rules) == 1 else lambda states: all(rule(states) for rule in rules)

    def _one(self, depth: int) -> Rule:
        if depth > _DEPTH or not self.tokens:
            raise self.error()
        if self._takes("NOT"):
            inner = self._one(depth + 1)
            return lambda states: not inner(states)
        if self._takes("("):
            inner = self.either(depth + 1)
            if not self._takes(")"):
                raise self.error()
            return inner
        if self._takes("TRUE"):
            return lambda states: True
        if self._takes("FALSE"):
            return lambda states: False
        token = self.tokens.pop()
        state, name = token["state"], token["quoted"] or token["plain"]
        if state not in (ALARM, OK, INSUFFICIENT):
            raise self.error()
        self.alarms.append(name)
        return lambda states: states(name) == state
