"""Log records with their boundaries, within what else a function prints: a record is one event, whatever lines it has.

AWS's runtime writes its records as frames, apart from stdout. Here both go one way, so that their order stays, and a
record stands between two of Unicode's noncharacters, which are for a program's internal use and nobody's text.
"""

from __future__ import annotations

_BEGIN, _TEXT, _END = "\ufdd0", "\ufdd1", "\ufdd2"

Event = tuple[int, str]  # epoch ms, 0: not known; what was printed, with its line break if it had one


def framed(text: str, at: float) -> str:
    """A record, which was made at that time (epoch seconds)."""
    return f"{_BEGIN}{int(at * 1000)}{_TEXT}{text}{_END}"


def events(output: str) -> tuple[list[Event], str]:
    """The events of an output, records and otherwise lines; and what follows them and has no end yet."""
    if _BEGIN not in output:  # nearly always
        *lines, rest = output.split("\n")
        return [(0, line + "\n") for line in lines], rest
    found: list[Event] = []
    place = 0
    while (begin := output.find(_BEGIN, place)) >= 0:
        found += _lines(output[place:begin])
        place = output.find(_END, begin) + 1
        if not place:
            return found, output[begin:]
        found.append(_record(output[begin : place - 1]))
    more, rest = events(output[place:])
    return found + more, rest


def _lines(text: str) -> list[Event]:
    *lines, rest = text.split("\n")
    return [(0, line + "\n") for line in lines] + ([(0, rest)] if rest else [])


def cut_off(rest: str) -> Event:
    """The event that a rest is when nothing follows it any more."""
    return _record(rest) if rest.startswith(_BEGIN) else (0, rest)


def _record(frame: str) -> Event:
    head, text = frame[1:].partition(_TEXT)[::2]
    return (int(head), text) if head.isdecimal() and len(head) < 16 else (0, text or head)
