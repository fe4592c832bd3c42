"""Live tail in the log's process: sessions take what is written to their groups, up to so much until they are asked."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from ...aws.faults import Fault
from .disk import Line, Raw, rendered
from .pattern import Matcher, compile_pattern
from .reading import TailedEvent
from .store import LogNotFound, LogStore

SESSIONS = 15  # AWS's limit, of an account in a region
EVENTS = 500  # of an update: of more it is a sample
IDLE = 600.0  # seconds after which a session that nobody asked is over
_INVALID = "InvalidParameterException"

Request = dict[str, Any]


class _Session:
    def __init__(self, groups: dict[str, str], selects: Callable[[str], bool], matches: Matcher) -> None:
        self.groups = groups  # by name
        self.selects = selects
        self.matches = matches
        self.asked = time.monotonic()
        self.seen = 0
        self.kept: list[tuple[int, TailedEvent]] = []  # of those seen, each as likely as any other

    def add(self, group: str, event: Raw) -> None:
        timestamp, ingested, stream, message = event
        if not self.selects(stream) or not self.matches(message):
            return
        place = self.seen if self.seen < EVENTS else random.randrange(self.seen + 1)
        found = self.seen, TailedEvent(timestamp, ingested, stream, message, self.groups[group])
        self.seen += 1
        if place < len(self.kept):
            self.kept[place] = found
        elif place < EVENTS:
            self.kept.append(found)

    def taken(self) -> tuple[list[TailedEvent], bool]:
        events = [event for _, event in sorted(self.kept, key=lambda each: each[0])]
        sampled = self.seen > len(events)
        self.seen, self.kept, self.asked = 0, [], time.monotonic()
        return events, sampled


class Tails:
    """Of one account and region. Thread-safe. name_of: a group's by its name or ARN."""

    def __init__(self, store: LogStore, name_of: Callable[[str], str]) -> None:
        self._store = store
        self._name_of = name_of
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def start_live_tail(self, r: Request) -> Request:
        identifiers, names = r["logGroupIdentifiers"], r.get("logStreamNames")
        prefixes, pattern = r.get("logStreamNamePrefixes"), r.get("logEventFilterPattern", "")
        if names is not None and prefixes is not None:
            raise Fault(
                _INVALID, "logStreamNames and logStreamNamePrefixes are mutually exclusive parameters."
            )
        if len(identifiers) > 1 and (names is not None or prefixes is not None):
            text = "logStreamNames and logStreamNamePrefixes can be given for one log group only"
            raise Fault(_INVALID, text)
        if any(each.endswith("*") for each in identifiers):
            raise Fault(_INVALID, "The ARN of a log group cannot end with an asterisk here")
        groups = {self._name_of(each): each for each in identifiers}
        there = set(self._store.groups())
        missing = next((name for name in groups if name not in there), None)
        if missing is not None:
            raise LogNotFound("group", missing)
        session = _Session(groups, _selects(names, prefixes), compile_pattern(pattern))
        number = str(uuid.uuid4())
        with self._lock:
            self._sessions = {
                n: each for n, each in self._sessions.items() if each.asked > time.monotonic() - IDLE
            }
            if len(self._sessions) >= SESSIONS:
                text = f"Account maximum concurrent live tail session limit of [{SESSIONS}] reached."
                raise Fault("LimitExceededException", text)
            self._sessions[number] = session
        start = {
            "requestId": str(uuid.uuid4()), "sessionId": number, "logGroupIdentifiers": identifiers,
            "logStreamNames": names or [], "logStreamNamePrefixes": prefixes or [], "logEventFilterPattern": pattern,
        }  # fmt: skip
        return {"responseStream": {"sessionStart": start}}

    def written(self, group: str, lines: Sequence[Line]) -> None:
        """What was written to a group."""
        if not self._sessions:
            return
        with self._lock:
            for session in self._sessions.values():
                if group in session.groups:
                    for event in rendered(lines):
                        session.add(group, event)

    def taken(self, number: str, last: bool) -> tuple[list[TailedEvent], bool] | None:
        """A session's events since it was asked before, and whether they are a sample; None: there is none. last: it
        ends."""
        with self._lock:
            session = self._sessions.pop(number, None) if last else self._sessions.get(number)
            return session.taken() if session is not None else None


def _selects(names: list[str] | None, prefixes: list[str] | None) -> Callable[[str], bool]:
    if names is not None:
        return frozenset(names).__contains__
    if prefixes is not None:
        return lambda stream: stream.startswith(tuple(prefixes))
    return lambda stream: True
