"""Filter expressions: parsed into a function of a trace. Pure.

What the language has (AWS X-Ray Developer Guide, "Using filter expressions"): keywords that are true or not (ok, error,
throttle, fault, partial, inferred, first, last, remote, root), numbers, texts, annotations, service(…) and edge(…) with
filters of their own in braces, id(…); AND, OR, NOT or !, parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .faults import invalid
from .traces import Segment, Trace, exceptions_of

LENGTH = 2_000  # characters
DEPTH = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))|"""
    r"""(?P<op><=|>=|!=|=|<|>|!)|(?P<mark>[(){}\[\],:])|(?P<word>[A-Za-z_][\w.\-]*))"""
)
_BOOLEANS = ("ok", "error", "throttle", "fault", "partial", "inferred", "first", "last", "remote", "root")
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}  # fmt: skip
_TEXTS: dict[str, Callable[[Any, Any], bool]] = {
    "CONTAINS": lambda a, b: b in a, "BEGINSWITH": lambda a, b: a.startswith(b), "ENDSWITH": lambda a, b: a.endswith(b),
}  # fmt: skip
_PATHS = {
    "http.status": ("http", "response", "status"), "http.url": ("http", "request", "url"),
    "http.method": ("http", "request", "method"), "http.useragent": ("http", "request", "user_agent"),
    "http.clientip": ("http", "request", "client_ip"), "user": ("user",), "name": ("name",),
    "resource.arn": ("resource_arn",), "instance.id": ("aws", "ec2", "instance_id"),
    "availabilityzone": ("aws", "ec2", "availability_zone"),
}  # fmt: skip


class View(NamedTuple):
    """What an expression is about: a trace, or some of its segments."""

    trace: Trace
    segments: Sequence[Segment]
    whole: bool


Test = Callable[[View], bool]


def parsed(expression: str) -> Callable[[Trace], bool]:
    """Raises Fault: InvalidRequestException."""
    if len(expression) > LENGTH:
        raise invalid(f"The filter expression is longer than {LENGTH} characters.")
    parser = _Parser(_tokens(expression))
    test = parser.alternatives()
    if parser.peek() is not None:
        raise invalid(f"Invalid filter expression: unexpected {parser.peek()!r}.")
    return lambda trace: test(View(trace, trace.segments, True))


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise invalid(f"Invalid filter expression: unexpected {text[at:].strip()[:20]!r}.")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def peek(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self.peek()
        if token is None:
            raise invalid("Invalid filter expression: it ends too early.")
        self._at += 1
        return token

    def _expect(self, mark: str) -> None:
        if (found := self._next()) != mark:
            raise invalid(f"Invalid filter expression: {mark!r} expected, not {found!r}.")

    def _word(self, word: str) -> bool:
        if self._kind() == "word" and (self.peek() or "").upper() == word:
            self._at += 1
            return True
        return False

    def alternatives(self) -> Test:
        self._depth += 1
        if self._depth > DEPTH:
            raise invalid("Invalid filter expression: it is nested too deeply.")
        tests = [self._conjunction()]
        while self._word("OR"):
            tests.append(self._conjunction())
        self._depth -= 1
        return tests[0] if len(tests) == 1 else lambda view: any(test(view) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._negation()]
        while self._word("AND"):
            tests.append(self._negation())
        return tests[0] if len(tests) == 1 else lambda view: all(test(view) for test in tests)

    def _negation(self) -> Test:
        negated = False
        while self.peek() == "!" or self._kind() == "word":
            if self.peek() == "!":
                self._at += 1
            elif not self._word("NOT"):
                break
            negated = not negated
        test = self._term()
        return (lambda view: not test(view)) if negated else test

    def _term(self) -> Test:
        if self.peek() == "(":
            self._at += 1
            test = self.alternatives()
            self._expect(")")
            return test
        if self._kind() != "word":
            raise invalid(f"Invalid filter expression: unexpected {self._next()!r}.")
        keyword = self._next()
        lower = keyword.lower()
        if lower in ("service", "edge", "id") and self.peek() == "(":
            return self._complex(lower)
        if lower == "annotation" and self.peek() == "[":
            self._at += 1
            name = _plain(self._next())
            self._expect("]")
            return self._compared(f"annotation[{name}]", lambda view: _annotations(view, name))
        if lower.startswith("annotation."):
            name = keyword.partition(".")[2]
            return self._compared(keyword, lambda view: _annotations(view, name))
        if lower in _BOOLEANS:
            return self._boolean(lower)
        values = _values(lower)
        if values is None:
            raise invalid(f"Invalid filter expression: {keyword!r} is no keyword.")
        return self._compared(keyword, values)

    def _boolean(self, keyword: str) -> Test:
        test = _flag(keyword)
        if self.peek() in ("=", "!="):
            equal = self._next() == "="
            value = self._next().lower()
            if value not in ("true", "false"):
                raise invalid(f"Invalid filter expression: {keyword} is true or false, not {value!r}.")
            wanted = (value == "true") is equal
            return lambda view: test(view) is wanted
        return test

    def _compared(self, keyword: str, values: Callable[[View], list[Any]]) -> Test:
        """A comparison; without one: is there such a value?"""
        kind, operator = self._kind(), self.peek() or ""
        upper = operator.upper()
        if kind == "word" and upper in _TEXTS:
            self._at += 1
            compare, wanted = _TEXTS[upper], self._value()
            if not isinstance(wanted, str):
                raise invalid(f"Invalid filter expression: {upper} needs a text.")
            return lambda view: any(isinstance(each, str) and compare(each, wanted) for each in values(view))
        if kind != "op" or operator == "!":
            return lambda view: bool(values(view))
        self._at += 1
        wanted = self._value()
        if operator == "!=":
            return lambda view: not any(_same(each, wanted) for each in values(view))
        if operator == "=":
            return lambda view: any(_same(each, wanted) for each in values(view))
        if isinstance(wanted, str | bool):
            raise invalid(f"Invalid filter expression: {keyword} {operator} needs a number.")
        less = _COMPARED[operator]
        return lambda view: any(_is_number(each) and less(each, wanted) for each in values(view))

    def _value(self) -> Any:
        kind, token = self._kind(), self._next()
        if kind == "text":
            return _plain(token)
        if kind == "number":
            return float(token)
        if token.lower() in ("true", "false"):
            return token.lower() == "true"
        raise invalid(f"Invalid filter expression: unexpected {token!r}.")

    # service(…), edge(…), id(…).

    def _complex(self, keyword: str) -> Test:
        self._expect("(")
        names = self._names()
        most = 2 if keyword == "edge" else 1
        if len(names) > most or (keyword == "edge" and len(names) < 2):
            raise invalid(f"Invalid filter expression: {keyword}() has {most} names.")
        inner: Test = lambda view: True  # noqa: E731
        if self.peek() == "{":
            self._at += 1
            inner = self.alternatives()
            self._expect("}")

        def test(view: View) -> bool:
            chosen = [each for each in view.segments if names[-1](each)] if names else list(view.segments)
            if keyword == "edge":
                chosen = [each for each in chosen if each.above is not None and names[0](each.above)]
            return any(inner(View(view.trace, (each,), False)) for each in chosen)

        return test

    def _names(self) -> list[Callable[[Segment], bool]]:
        found: list[Callable[[Segment], bool]] = []
        while self.peek() != ")":
            if self._word("ID") and self.peek() == "(":
                self._at += 1
                found.append(self._id())
            elif self._kind() == "text":
                name = _plain(self._next())
                found.append(lambda each, name=name: each.service.name == name)  # type: ignore[misc]
            elif self._kind() == "word":  # id's own members: name: "x", type: "y"
                found.append(self._id())
                return found
            else:
                raise invalid(f"Invalid filter expression: unexpected {self._next()!r}.")
            if self.peek() == ",":
                self._at += 1
        self._expect(")")
        return found

    def _id(self) -> Callable[[Segment], bool]:
        wanted: dict[str, str] = {}
        while self.peek() != ")":
            member = self._next().lower()
            if member not in ("name", "type", "account.id"):
                raise invalid(f"Invalid filter expression: id() has no {member!r}.")
            self._expect(":")
            if self._kind() != "text":
                raise invalid(f"Invalid filter expression: {member} needs a text.")
            wanted[member] = _plain(self._next())
            if self.peek() == ",":
                self._at += 1
        self._expect(")")

        def test(segment: Segment) -> bool:
            has = {
                "name": segment.service.name,
                "type": segment.service.kind,
                "account.id": segment.service.account,
            }
            return all(has[member] == value for member, value in wanted.items())

        return test


def _plain(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token[:1] in "\"'" else token


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _flag(keyword: str) -> Test:
    if keyword in ("error", "throttle", "fault"):
        return lambda view: any(each.has(keyword) for each in view.segments)
    if keyword == "ok":
        return lambda view: (
            not any(each.has(flag) for each in view.segments for flag in ("error", "throttle", "fault"))
        )
    if keyword == "partial":
        return lambda view: any(each.has("in_progress") for each in view.segments)
    if keyword == "inferred":
        return lambda view: any(each.inferred for each in view.segments)
    if keyword == "remote":
        return lambda view: any(each.document.get("namespace") == "remote" for each in view.segments)
    if keyword == "last":
        return lambda view: any(each is view.trace.segments[-1] for each in view.segments)
    return lambda view: any(each is view.trace.root for each in view.segments)  # first, root


def _values(keyword: str) -> Callable[[View], list[Any]] | None:
    """What a keyword means of a view; None: it is none."""
    if keyword == "responsetime":
        return lambda view: (
            [view.trace.root.duration] if view.whole else [each.duration for each in view.segments]
        )
    if keyword == "duration":
        return lambda view: [view.trace.duration] if view.whole else [each.duration for each in view.segments]
    if keyword == "index":
        return lambda view: [view.trace.segments.index(each) for each in view.segments]
    if keyword == "type":
        return lambda view: [each.service.kind for each in view.segments]
    if keyword == "message":
        return _messages
    path = _PATHS.get(keyword)
    if path is None:
        return None

    def values(view: View) -> list[Any]:
        found = []
        for segment in view.segments:
            value: Any = segment.document
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                found.append(value)
        return found

    return values


def _annotations(view: View, name: str) -> list[Any]:
    found = []
    for segment in view.segments:
        for each in segment.entities():
            value = (each.get("annotations") or {}).get(name)
            if value is not None:
                found.append(value)
    return found


def _messages(view: View) -> list[Any]:
    entities = (each for segment in view.segments for each in segment.entities())
    return [one["message"] for each in entities for one in exceptions_of(each) if one.get("message")]
