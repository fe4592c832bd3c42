"""Reads a query of Logs Insights: text to commands, or where in it what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

from .regexes import InvalidRegex, compiled
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
    Period,
    Regex,
    Sort,
    Star,
    Stats,
    Unnest,
)

LIMIT = 100_000  # rows that a query may ask for
DEPTH = 50  # of parentheses
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_TOKEN = re.compile(
    r"(?P<period>\d+(?:milliseconds?|msec|ms|seconds?|secs?|s|minutes?|mins?|mon(?:ths?)?|mo|m|hours?|hrs?|h|days?|d|"
    r"weeks?|w|quarters?|qtrs?|q|years?|yrs?|y)\b)"
    r"|(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>(?:[@A-Za-z_]|`[^`]*`)(?:[\w@$]|\.(?=[\w@$`])|`[^`]*`)*)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<op>=~|==|!=|<=|>=|[=<>+\-*/^%(),|\[\]])",
    re.DOTALL,
)
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)*)/")
_FIXED = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}
_COMPARISONS = {"=", "!=", "<", "<=", ">", ">="}
_NOT_HERE = frozenset(
    (
        "anomaly",
        "pattern",
        "diff",
        "unmask",
        "filterindex",
        "source",
        "join",
        "lookup",
        "tail",
        "search",
        "addtotals",
    )
)
T = TypeVar("T")


class _Token(NamedTuple):
    kind: str  # "period", "number", "name", "text", "op", "end"
    text: str
    start: int
    end: int


def parse(query: str) -> list[Command]:
    """Raises Malformed."""
    return _Reader(query).commands()


class _Reader:
    def __init__(self, query: str) -> None:
        self._query = query
        self._depth = 0
        self._ended = 0  # where the last token that was taken ends
        self._token = self._read(0)
        self._by_name: dict[str, Callable[[], Command]] = {
            "fields": lambda: Fields(self._columns(), False), "display": lambda: Fields(self._columns(), True),
            "filter": lambda: Filter(self._expression()), "stats": self._stats, "sort": self._sort,
            "order": self._sort, "limit": self._limit, "head": self._limit, "parse": self._parse,
            "dedup": self._dedup, "unnest": self._unnest,
        }  # fmt: skip

    # Tokens

    def _read(self, at: int) -> _Token:
        blank = _BLANK.match(self._query, at)
        at = blank.end() if blank else at
        if at >= len(self._query):
            return _Token("end", "<EOF>", at, at)
        found = _TOKEN.match(self._query, at)
        if found is None:
            self._unexpected(_Token("op", self._query[at], at, at + 1))
        return _Token(str(found.lastgroup), found[0], at, found.end())

    def _next(self) -> _Token:
        token = self._token
        self._ended = token.end
        self._token = self._read(token.end)
        return token

    def _unexpected(self, token: _Token | None = None) -> NoReturn:
        token = token or self._token
        before = self._query[: token.start]
        line, position = before.count("\n") + 1, token.start - (before.rfind("\n") + 1)
        text = f"unexpected symbol found {token.text} at line {line} and position {position}"
        raise Malformed(text, token.start, token.end)

    def _is(self, *words: str) -> bool:
        return self._token.kind == "name" and self._token.text.lower() in words

    def _word(self, *words: str) -> bool:
        """Takes a keyword, if that is what comes."""
        if found := self._is(*words):
            self._next()
        return found

    def _op(self, op: str) -> bool:
        if found := self._token[:2] == ("op", op):
            self._next()
        return found

    def _need(self, op: str) -> None:
        if not self._op(op):
            self._unexpected()

    def _name(self) -> str:
        if self._token.kind != "name":
            self._unexpected()
        return self._next().text.replace("`", "")

    def _regex(self) -> Regex:
        """Where an expression could go on with it, / divides; here it begins a regular expression."""
        start = self._token.start
        found = _REGEX.match(self._query, start)
        if found is None:
            self._unexpected()
        self._ended = found.end()
        self._token = self._read(found.end())
        source = found[1].replace("\\/", "/")
        try:
            compiled(source)
        except InvalidRegex as error:
            raise Malformed(f"invalid regular expression: {error}", start, found.end()) from None
        return Regex(found[0], start, found.end(), source)

    def _listed(self, one: Callable[[], T]) -> tuple[T, ...]:
        found = [one()]
        while self._op(","):
            found.append(one())
        return tuple(found)

    def _made(self, start: int, kind: Callable[..., Node], *parts: Any) -> Node:
        """A node of what was read since there."""
        return kind(re.sub(r"\s+", " ", self._query[start : self._ended]), start, self._ended, *parts)

    # Commands

    def commands(self) -> list[Command]:
        found: list[Command] = []
        deduplicated = False
        while True:
            token = self._token
            word = token.text.lower()
            if token.kind == "name" and word in _NOT_HERE:
                raise Malformed(f"the command {word} is not supported here", token.start, token.end)
            if token.kind != "name" or word not in self._by_name:
                expected = ", ".join(f"K_{each.upper()}" for each in self._by_name)
                text = f"mismatched input '{token.text}' expecting {{{expected}}}"
                raise Malformed(text, token.start, token.end)
            if deduplicated and word not in ("limit", "head"):
                raise Malformed("dedup can be followed by limit only", token.start, token.end)
            self._next()
            found.append(self._by_name[word]())
            deduplicated = deduplicated or word == "dedup"
            if self._token.kind == "end":
                return found
            self._need("|")

    def _columns(self) -> tuple[Column, ...]:
        return self._listed(self._column)

    def _column(self) -> Column:
        node = self._expression()
        name = node.name if isinstance(node, Name) else node.text
        return Column(node, self._name() if self._word("as") else name)

    def _stats(self) -> Stats:
        columns = self._columns()
        return Stats(columns, self._columns() if self._word("by") else ())

    def _sort(self) -> Sort:
        self._word("by")

        def key() -> tuple[Node, bool]:
            node = self._expression()
            return node, self._word("desc") or (self._word("asc") and False)

        return Sort(self._listed(key))

    def _limit(self) -> Limit:
        token = self._token
        if token.kind != "number" or not token.text.isdigit():
            self._unexpected()
        if not 1 <= int(token.text) <= LIMIT:
            raise Malformed(f"limit must be from 1 to {LIMIT}", token.start, token.end)
        self._next()
        return Limit(int(token.text))

    def _parse(self) -> Parse:
        start = self._token.start
        if self._token.kind == "text" or self._token[:2] == ("op", "/"):
            source: Node = Name("@message", start, start, "@message")
        else:
            source = self._expression(2)  # no division: what follows / is a regular expression
        start, regex = self._token.start, self._token[:2] == ("op", "/")
        if regex:
            pattern = self._regex().source
        elif self._token.kind == "text":
            pattern = _unquoted(self._next().text)
        else:
            self._unexpected()
        names = self._listed(self._name) if self._word("as") else ()
        groups = tuple(range(1, 1 + (compiled(pattern).groups if regex else pattern.count("*"))))
        if regex and not names:
            named = sorted(compiled(pattern).groupindex.items(), key=lambda each: each[1])
            names, groups = tuple(name for name, _ in named), tuple(number for _, number in named)
        if not groups or len(names) != len(groups):
            text = f"the pattern has {len(groups)} captures, and {len(names)} names are given to them"
            raise Malformed(text, start, self._ended)
        return Parse(source, pattern, regex, names, groups)

    def _dedup(self) -> Dedup:
        return Dedup(self._listed(self._primary))

    def _unnest(self) -> Unnest:
        source = self._primary()
        if not self._word("into"):
            self._unexpected()
        return Unnest(source, self._name())

    # Expressions: from what binds least to what binds most

    def _expression(self, level: int = 0) -> Node:
        """level 0: or, and, not, comparisons, sums; 2: a primary with a sign."""
        self._depth += 1
        if self._depth > DEPTH:
            raise Malformed("the expression is nested too deep", self._token.start, self._token.end)
        found = self._or() if level == 0 else self._primary()
        self._depth -= 1
        return found

    def _or(self) -> Node:
        return self._chain("or", self._and)

    def _and(self) -> Node:
        return self._chain("and", self._not)

    def _chain(self, word: str, part: Callable[[], Node]) -> Node:
        start, parts = self._token.start, [part()]
        while self._word(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else self._made_of(start, word, *parts)

    def _not(self) -> Node:
        start, times = self._token.start, 0
        while self._word("not"):
            times += 1
        found = self._comparison()
        return self._made_of(start, "not", found) if times % 2 else found

    def _comparison(self) -> Node:
        start, left = self._token.start, self._sum()
        negated = self._word("not")
        if self._word("like") or (not negated and self._op("=~")):
            regex = self._token[:2] == ("op", "/")
            found = self._made_of(start, "like", left, self._regex() if regex else self._sum())
        elif self._word("in"):
            self._need("[")
            values = self._listed(self._sum)
            self._need("]")
            found = self._made_of(start, "in", left, *values)
        elif negated:
            self._unexpected()
        elif self._token.kind == "op" and (op := self._token.text.replace("==", "=")) in _COMPARISONS:
            self._next()
            return self._made_of(start, op, left, self._sum())
        else:
            return left
        return self._made_of(start, "not", found) if negated else found

    def _sum(self) -> Node:
        return self._binary(("+", "-"), lambda: self._binary(("*", "/", "%"), self._power))

    def _binary(self, operators: tuple[str, ...], part: Callable[[], Node]) -> Node:
        start, left = self._token.start, part()
        while self._token.kind == "op" and self._token.text in operators:
            op = self._next().text
            left = self._made_of(start, op, left, part())
        return left

    def _power(self) -> Node:
        start, left = self._token.start, self._signed()
        if self._op("^"):
            return self._made_of(start, "^", left, self._expression_of(self._power))
        return left

    def _expression_of(self, part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEPTH:
            raise Malformed("the expression is nested too deep", self._token.start, self._token.end)
        found = part()
        self._depth -= 1
        return found

    def _signed(self) -> Node:
        start = self._token.start
        if self._op("-"):
            return self._made_of(start, "-", self._expression_of(self._signed))
        return self._primary()

    def _primary(self) -> Node:
        token = self._token
        if self._op("("):
            found = self._expression()
            self._need(")")
            return found
        if token.kind == "number":
            self._next()
            text = token.text
            value: Any = int(text) if text.isdigit() and len(text) < 300 else float(text)
            return self._made(token.start, Literal, value)
        if token.kind == "text":
            self._next()
            return self._made(token.start, Literal, _unquoted(token.text))
        if token.kind == "period":
            self._next()
            return self._made(token.start, Period, *_period(token.text))
        if token.kind != "name":
            self._unexpected()
        name = self._name()
        if self._token[:2] != ("op", "(") or "`" in token.text:
            if name.lower() in ("true", "false") and "`" not in token.text:
                return self._made(token.start, Literal, name.lower() == "true")
            return self._made(token.start, Name, name)
        self._next()
        arguments: tuple[Node, ...] = ()
        if self._token[:2] == ("op", "*"):
            star = self._next()
            arguments = (Star("*", star.start, star.end),)
        elif self._token[:2] != ("op", ")"):
            arguments = self._listed(self._expression)
        self._need(")")
        return self._made(token.start, Call, name.lower(), arguments)

    def _made_of(self, start: int, operator: str, *operands: Node) -> Node:
        return self._made(start, Operation, operator, operands)


def _unquoted(text: str) -> str:
    return re.sub(r"\\([\"'\\tnr])", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1])


def _period(text: str) -> tuple[int, int]:
    """Milliseconds and months."""
    number = re.match(r"\d+", text)
    digits = number[0] if number else ""
    unit = text[len(digits) :]
    short = "ms" if unit.startswith(("ms", "mil")) else "mo" if unit.startswith("mo") else unit[0]
    return int(digits[:15]) * _FIXED.get(short, 0), int(digits[:6]) * _MONTHS.get(short, 0)
