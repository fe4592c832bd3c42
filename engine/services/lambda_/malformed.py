"""What AWS says of an event that is no JSON: the words of its parser, Jackson, and the place where that gave up."""

from __future__ import annotations

import re

from ... import wire
from ...aws.faults import Fault

_PREFIX = "Could not parse request body into json: Could not parse payload into json: "
_OURS = "Unable to unmarshal input: "  # of a worker, before its parser's message
_PLACE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: %d, column: %d]"
_VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_MOST = 64 * 1024  # bytes that are read again for this: it is done in the event loop
_TOKEN = 256  # characters of a word that are quoted
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f\x80-\xff]*')
_LINE = re.compile(rb"\r\n|\r|\n")
_NUMBER = re.compile(rb"-?(?P<whole>[0-9]*)(?P<point>\.[0-9]*)?(?P<exponent>[eE][+-]?[0-9]*)?")
_WORD = re.compile(r"[\w$]*")
_NO_NUMBERS = {"NaN", "Infinity"}
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}


class _Wrong(Exception):
    """text, and how many bytes were read when it was found."""


def check(event: bytes) -> None:
    """Raises Fault for an event that is no JSON."""
    try:
        wire.decode_json(event)
    except (ValueError, RecursionError) as error:
        raise _refused(event, str(error)) from None


def explained(fault: Fault, event: bytes) -> Fault:
    """A fault as AWS words it, when it is about an event that a worker could not parse."""
    if fault.code != "InvalidRequestContentException" or not fault.message:
        return fault
    return _refused(event, fault.message.rpartition(_OURS)[2])


def _refused(body: bytes, text: str) -> Fault:
    """text: what our own parser says, where Jackson's words are not known."""
    if len(body) <= _MOST:
        try:
            _Reader(body).document()
        except _Wrong as wrong:
            reason, read = wrong.args
            text = f"{reason}\n at {_place(body, read)}"
    return Fault("InvalidRequestContentException", _PREFIX + text, Type="User")


def _place(data: bytes, read: int) -> str:
    """Where a parser stands that has read so many bytes."""
    ends = [found.end() for found in _LINE.finditer(data, 0, read)]
    return _PLACE % (len(ends) + 1, read - (ends[-1] if ends else 0) + 1)


def _after(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """Where a match that begins there ends."""
    found = pattern.match(data, at)
    return found.end() if found else at


def _described(char: str) -> str:
    code = ord(char)
    if code < 32 or 127 <= code < 160:
        return f"(CTRL-CHAR, code {code})"
    return f"'{char}' (code {code})" if code < 256 else f"'{char}' (code {code} / {code:#x})"


class _Reader:
    """Reads a document once, without making anything of it. Raises _Wrong."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.open: list[tuple[str, int]] = []  # "Object" or "Array", and where it starts

    def document(self) -> None:
        at, fresh = 0, True  # fresh: nothing stands before it that a comma must follow
        while True:
            at = _after(_SPACE, self.data, at)
            if at == len(self.data):
                if self.open:
                    kind, start = self.open[-1]
                    raise self._ended(
                        f": expected close marker for {kind} (start marker at {_place(self.data, start)})"
                    )
                return
            if self.data[at] in b"]}":
                self._close(at)
                at, fresh = at + 1, False
                continue
            if not fresh:
                if not self.open:
                    raise self._unexpected(at, "expected no more than one value")
                if self.data[at] != ord(","):
                    raise self._unexpected(at, f"was expecting comma to separate {self._kind()} entries")
                at = self._more(at + 1)
            if self._kind() == "Object":
                if self.data[at] != ord('"'):
                    raise self._unexpected(at, "was expecting double-quote to start field name")
                at = self._more(self._string(at, "name", ": was expecting closing '\"' for name"))
                if self.data[at] != ord(":"):
                    raise self._unexpected(at, "was expecting a colon to separate field name and value")
                at = self._more(at + 1)
            if fresh := self.data[at] in b"[{":
                self.open.append(("Array" if self.data[at] == ord("[") else "Object", at))
                at += 1
            else:
                at = self._scalar(at)

    def _kind(self) -> str:
        return self.open[-1][0] if self.open else "root"

    def _more(self, at: int) -> int:
        """Where the next token is, of which there must be one."""
        at = _after(_SPACE, self.data, at)
        if at == len(self.data):
            raise self._ended(f" within/between {self._kind()} entries")
        return at

    def _close(self, at: int) -> None:
        closed, expected = ("Array", "}") if self.data[at] == ord("]") else ("Object", "]")
        if self._kind() != closed:
            place = _place(self.data, self.open[-1][1]) if self.open else _PLACE % (1, 0)
            text = f"Unexpected close marker '{chr(self.data[at])}': expected '{expected}'"
            raise _Wrong(f"{text} (for {self._kind()} starting at {place})", at + 1)
        self.open.pop()

    def _ended(self, where: str) -> _Wrong:
        return _Wrong(f"Unexpected end-of-input{where}", len(self.data))

    def _char(self, at: int) -> str:
        """The character that begins there; a byte that begins none is taken for one."""
        return self.data[at : at + 4].decode("utf-8", "ignore")[:1] or chr(self.data[at])

    def _unexpected(self, at: int, comment: str, where: str = "") -> _Wrong:
        return _Wrong(f"Unexpected character ({_described(self._char(at))}){where}: {comment}", at)

    def _scalar(self, at: int) -> int:
        first = self.data[at]
        if first == ord('"'):
            return self._string(at, "string value", " in VALUE_STRING")
        if first in b"-0123456789":
            return self._number(at)
        if first in _LITERALS:
            return self._literal(at, _LITERALS[first])
        if first in b",}" or (first == ord("]") and self._kind() == "Array"):
            raise self._unexpected(at, "expected a value")
        if first == ord("+"):
            allow = "enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow"
            comment = f"JSON spec does not allow numbers to have plus signs: {allow}"
            raise self._unexpected(at, comment, " in numeric value")
        char = chr(first)
        if char.isalpha() or char in "_$":
            raise self._unknown(at)
        raise _Wrong(f"Unexpected character ({_described(char)}): expected a valid value {_VALUES}", at)

    def _unknown(self, at: int) -> _Wrong:
        """A word that is none of JSON's."""
        rest = self.data[at:].decode("utf-8", "replace")
        found = _WORD.match(rest)
        word = found[0] if found else ""
        if word in _NO_NUMBERS:
            return self._no_number(word, at + len(word))
        read = at + len(word.encode()) + 1  # the character behind it has been read, too
        if len(word) >= _TOKEN:
            word = word[:_TOKEN] + "..."
            read = at + len(word.encode()) - 3
        return _Wrong(f"Unrecognized token '{word}': was expecting {_VALUES}", min(read, len(self.data)))

    def _no_number(self, word: str, read: int) -> _Wrong:
        text = f"Non-standard token '{word}': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow"
        return _Wrong(text, read)

    def _literal(self, at: int, word: bytes) -> int:
        end = at + len(word)
        longer = end < len(self.data) and _WORD.fullmatch(self._char(end))
        if longer or not self.data.startswith(word, at):
            raise self._unknown(at)
        return end

    def _number(self, at: int) -> int:
        found = _NUMBER.match(self.data, at)
        assert found is not None
        end = found.end()
        whole, point, exponent = found.groups()

        def broken(after: int, comment: str) -> _Wrong:
            return self._unexpected(min(after, len(self.data) - 1), comment, " in numeric value")

        if not whole and self.data.startswith(b"-Infinity", at):
            raise self._no_number("-Infinity", at + len("-Infinity"))
        if not whole:
            comment = "expected digit (0-9) to follow minus sign, for valid numeric value"
            raise broken(found.end("whole"), comment)
        if len(whole) > 1 and whole.startswith(b"0"):
            raise _Wrong("Invalid numeric value: Leading zeroes not allowed", found.start("whole") + 1)
        if point == b".":
            raise broken(found.end("point"), "Decimal point not followed by a digit")
        if exponent and not exponent[-1:].isdigit():
            raise broken(end, "Exponent indicator not followed by a digit")
        if not self.open and end < len(self.data) and self.data[end] not in b" \t\r\n":
            raise self._unexpected(end, "Expected space separating root-level values")
        return end

    def _string(self, at: int, what: str, ended: str) -> int:
        at += 1
        while True:
            at = _after(_PLAIN, self.data, at)
            if at == len(self.data):
                raise self._ended(ended)
            byte = self.data[at]
            if byte == ord('"'):
                return at + 1
            if byte < 32:
                text = f"Illegal unquoted character ({_described(chr(byte))})"
                raise _Wrong(f"{text}: has to be escaped using backslash to be included in {what}", at)
            at = self._escape(at + 1) if byte == ord("\\") else self._wide(at, ended)

    def _escape(self, at: int) -> int:
        ended = " in character escape sequence"
        if at == len(self.data):
            raise self._ended(ended)
        if self.data[at] in b'"\\/bfnrt':
            return at + 1
        if self.data[at] != ord("u"):
            raise _Wrong(f"Unrecognized character escape {_described(self._char(at))}", at)
        for digit in range(at + 1, at + 5):
            if digit >= len(self.data):
                raise self._ended(ended)
            if self.data[digit] not in b"0123456789abcdefABCDEF":
                raise self._unexpected(digit, "expected a hex-digit for character escape sequence")
        return at + 5

    def _wide(self, at: int, ended: str) -> int:
        """A character of several bytes."""
        first = self.data[at]
        leads = {2: first >> 5 == 0b110, 3: first >> 4 == 0b1110, 4: first >> 3 == 0b11110}
        length = next((n for n, leading in leads.items() if leading), 0)
        if not length:
            raise _Wrong(f"Invalid UTF-8 start byte {first:#x}", at + 1)
        for other in range(at + 1, at + length):
            if other >= len(self.data):
                raise self._ended(ended)
            if self.data[other] & 0xC0 != 0x80:
                raise _Wrong(f"Invalid UTF-8 middle byte {self.data[other]:#x}", other + 1)
        return at + length
