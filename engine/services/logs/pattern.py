"""CloudWatch Logs' filter patterns: terms, { $.json = "selectors" }, [space, delimited, fields] and %regexes%."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from ... import wire

Matcher = Callable[[str], bool]
Test = Callable[[Any], bool]  # of a JSON document, or of one field

_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]+)%|([^\s"]+))(?=\s|$)')
_TOKEN = re.compile(
    r'\s*(?:(?P<op>&&|\|\||!=|<=|>=|[()=<>,])|"(?P<quoted>(?:[^"\\]|\\.)*)"|%(?P<regex>[^%]*)%'
    r"|(?P<word>\$(?:\.[\w\-@:]+|\.?\[(?:'[^']*'|\"[^\"]*\"|\*|\d+)\])*|[^\s()=<>!,&|\"%]+))"
)
_STEP = re.compile(r"\.?\[(?:'([^']*)'|\"([^\"]*)\"|(\*|\d+))\]|\.([\w\-@:]+)")
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|\[([^\]]*)\]|(\S+)')
_REGEX = re.compile(r"[\w:#=@/;,\-^$?\[\]{}|\\*+.\s]*", re.ASCII)  # what CloudWatch Logs takes: no groups
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ABSENT = object()
SECONDS = 0.2  # of CPU time, that a regular expression may take for one text
LATE = 3  # times that it took longer: then it matches nothing any more


Extract = Callable[[str], dict[str, str]]


class InvalidPattern(ValueError):
    """A filter pattern that is malformed."""


def compile_pattern(pattern: str) -> Matcher:
    """Whether a message matches. An empty pattern matches all. Raises InvalidPattern.

    Terms match wherever they stand in the message, also within a word.
    """
    pattern = pattern.strip()
    if not pattern:
        return lambda message: True
    if pattern.startswith("{"):
        return _json(pattern)
    if pattern.startswith("["):
        return _fields(pattern)
    return _terms(pattern)


def extractor(pattern: str) -> Extract:
    """What a metric filter may take of a message: fields by "$name", or "$N" where the pattern has "..."; of JSON what
    the pattern's selectors find; of terms nothing. pattern: one that compiles, and that the message matches."""
    pattern = pattern.strip()
    if pattern.startswith("{"):
        return _json_extractor(pattern)
    if pattern.startswith("["):
        return _field_extractor(pattern)
    return lambda message: {}


def reference(pattern: str, selector: str) -> Callable[[str], str | None]:
    """What a metric filter's value or dimension refers to, of a message that the pattern matches: "$.latency" of JSON,
    "$bytes" of fields. None: the message does not have it."""
    if not pattern.strip().startswith("{"):
        extract = extractor(pattern)
        return lambda message: extract(message).get(selector)
    steps = _steps(selector)

    def found(message: str) -> str | None:
        values = [each for each in _select(wire.decode(message.encode()), steps)[:1] if each is not _ABSENT]
        if not values or isinstance(values[0], dict | list):
            return None
        return values[0] if isinstance(values[0], str) else wire.encode(values[0]).decode()

    return found


def _json_extractor(pattern: str) -> Extract:
    selectors = {
        text for kind, text in _Reader(pattern[1:-1]).tokens if kind == "word" and text.startswith("$")
    }
    steps = {selector: _steps(selector) for selector in sorted(selectors)}

    def extract(message: str) -> dict[str, str]:
        document = wire.decode(message.encode())
        found = {selector: _select(document, each)[:1] for selector, each in steps.items()}
        return {
            selector: value if isinstance(value, str) else wire.encode(value).decode()
            for selector, values in found.items()
            for value in values
            if value is not _ABSENT
        }

    return extract


def _field_extractor(pattern: str) -> Extract:
    names: list[str] = []
    fresh, depth = True, 0
    for kind, text in _Reader(pattern[1:-1]).tokens:
        depth += {"(": 1, ")": -1}.get(text, 0) if kind == "op" else 0
        if fresh and kind == "word":
            names.append(text)
            fresh = False
        fresh = fresh or ((kind, text) == ("op", ",") and depth == 0)

    def extract(message: str) -> dict[str, str]:
        fields = _split(message)
        gap = names.index("...") if "..." in names else len(names)
        behind = len(fields) - (len(names) - gap - 1)
        found = {}
        for n, value in enumerate(fields):
            name = names[n] if n < gap else names[gap + 1 + n - behind] if n >= behind else str(n + 1)
            found[f"${name}"] = value
        return found

    return extract


def _split(message: str) -> list[str]:
    """A message's fields: words, and what stands in quotes or brackets."""
    return ["".join(g for g in m.groups() if g is not None) for m in _FIELD.finditer(message)]


def _steps(selector: str) -> list[str]:
    return [next(g for g in m.groups() if g is not None) for m in _STEP.finditer(selector)]


def _terms(pattern: str) -> Matcher:
    needed: list[Matcher] = []
    excluded: list[Matcher] = []
    optional: list[Matcher] = []
    at = 0
    while at < len(pattern):
        found = _TERM.match(pattern, at)
        if found is None:
            raise InvalidPattern(pattern)
        sign, quoted, regex, word = found.groups()
        if word is not None and not re.fullmatch(r"\w+", word):  # such a term must be quoted
            raise InvalidPattern(pattern)
        kind = {"": needed, "-": excluded, "?": optional}[sign]
        kind.append(_regex(regex) if regex else _contains(word if quoted is None else _unquote(quoted)))
        at = found.end()

    def matches(message: str) -> bool:
        # With a term that is needed, AWS ignores the optional ones.
        if any(m(message) for m in excluded) or not all(m(message) for m in needed):
            return False
        return bool(needed) or not optional or any(m(message) for m in optional)

    return matches


def _contains(text: str) -> Matcher:
    return lambda message: text in message


def _regex(source: str) -> Matcher:
    if not _REGEX.fullmatch(source):
        raise InvalidPattern(source)
    from .insights.regexes import InvalidRegex, compiled, search

    try:
        pattern = compiled(source, nested=False)
    except InvalidRegex:
        raise InvalidPattern(source) from None
    late = 0

    def found(text: str) -> bool:
        nonlocal late
        if late >= LATE:
            return False
        try:
            return search(pattern, text, SECONDS) is not None
        except TimeoutError:  # all logs wait meanwhile
            late += 1
            return False

    return found


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


class _Reader:
    """Tokens of an expression: (kind, text), kind one of "op", "quoted", "regex", "word", "end"."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        place = 0
        text = text.rstrip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise InvalidPattern(text)
            kind = str(found.lastgroup)
            self.tokens.append((kind, _unquote(found[kind]) if kind == "quoted" else found[kind]))
            place = found.end()
        self.tokens.append(("end", ""))

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at]

    def next(self) -> tuple[str, str]:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def take(self, op: str) -> bool:
        if self.peek() == ("op", op):
            self.at += 1
            return True
        return False

    def expect(self, found: bool) -> None:
        if not found:
            raise InvalidPattern(str(self.tokens))


def _either(reader: _Reader, atom: Callable[[_Reader], Test], depth: int = 0) -> Test:
    return _joined(reader, "||", any, lambda: _joined(reader, "&&", all, lambda: _one(reader, atom, depth)))


def _joined(
    reader: _Reader, op: str, hold: Callable[[Iterator[bool]], bool], part: Callable[[], Test]
) -> Test:
    tests = [part()]
    while reader.take(op):
        tests.append(part())
    return tests[0] if len(tests) == 1 else lambda value: hold(t(value) for t in tests)


def _one(reader: _Reader, atom: Callable[[_Reader], Test], depth: int) -> Test:
    if reader.take("("):
        reader.expect(depth < 64)
        test = _either(reader, atom, depth + 1)
        reader.expect(reader.take(")"))
        return test
    return atom(reader)


def _json(pattern: str) -> Matcher:
    if not pattern.endswith("}"):
        raise InvalidPattern(pattern)
    reader = _Reader(pattern[1:-1])
    test = _either(reader, _selection)
    reader.expect(reader.peek()[0] == "end")

    def matches(message: str) -> bool:
        if not message.lstrip().startswith("{"):
            return False
        try:
            document = wire.decode(message.encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and test(document)

    return matches


def _selection(reader: _Reader) -> Test:
    kind, selector = reader.next()
    reader.expect(kind == "word" and selector.startswith("$"))
    steps = _steps(selector)
    kind, word = reader.next()
    if kind == "word":
        phrase = f"{word} {reader.next()[1]}".upper()
        tests: dict[str, Test] = {
            "IS NULL": lambda v: v is None,
            "IS TRUE": lambda v: v is True,
            "IS FALSE": lambda v: v is False,
            "NOT EXISTS": lambda v: v is _ABSENT,
        }
        reader.expect(phrase in tests)
        check = tests[phrase]
    else:
        reader.expect(kind == "op")
        compared = _comparison(reader, word)

        def check(value: Any) -> bool:  # what is absent does not differ from anything, either
            return value is not _ABSENT and compared(value)

    return lambda document: any(check(v) for v in _select(document, steps))


def _select(value: Any, steps: list[str]) -> list[Any]:
    """The values that a selector finds: several for [*]."""
    found = [value]
    for step in steps:
        following: list[Any] = []
        for each in found:
            if isinstance(each, dict):
                following.append(each.get(step, _ABSENT))
            elif isinstance(each, list) and step == "*":
                following += each
            elif isinstance(each, list) and step.isdigit() and int(step) < len(each):
                following.append(each[int(step)])
            else:
                following.append(_ABSENT)
        found = following
    return found


def _comparison(reader: _Reader, op: str) -> Test:
    kind, text = reader.next()
    reader.expect(kind in ("quoted", "regex", "word"))
    if order := _ORDER.get(op):
        limit = _number(text)
        if limit is None or kind != "word":
            raise InvalidPattern(text)
        return lambda value: (n := _number(value)) is not None and bool(order(n, limit))
    reader.expect(op in ("=", "!="))
    equal = _equality(kind, text)
    return equal if op == "=" else lambda value: not equal(value)


def _equality(kind: str, text: str) -> Test:
    if kind == "regex":
        search = _regex(text)
        return lambda value: isinstance(value, str) and search(value)
    number = _number(text) if kind == "word" else None
    if number is not None:
        return lambda value: _number(value) == number
    whole = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL).fullmatch

    def equal(value: Any) -> bool:
        if isinstance(value, bool):
            value = "true" if value else "false"
        return isinstance(value, str | int | float) and whole(str(value)) is not None

    return equal


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _fields(pattern: str) -> Matcher:
    if not pattern.endswith("]"):
        raise InvalidPattern(pattern)
    reader = _Reader(pattern[1:-1])
    tests: list[Test | None] = []  # None: "...", any number of fields
    while not tests or reader.take(","):
        if reader.peek() == ("word", "..."):
            reader.next()
            reader.expect(None not in tests)
            tests.append(None)
        else:
            tests.append(_either(reader, _field))
    reader.expect(reader.peek()[0] == "end")
    gap = tests.index(None) if None in tests else -1
    fixed = [t for t in tests if t is not None]

    def matches(message: str) -> bool:
        fields = _split(message)
        surplus = len(fields) - len(fixed)
        if surplus < 0 or (surplus and gap < 0):
            return False
        if surplus:
            del fields[gap : gap + surplus]
        return all(test(field) for test, field in zip(fixed, fields, strict=True))

    return matches


def _field(reader: _Reader) -> Test:
    reader.expect(reader.next()[0] == "word")
    kind, op = reader.peek()
    if kind == "op" and op in ("=", "!=", *_ORDER):
        reader.next()
        return _comparison(reader, op)
    return lambda field: True
