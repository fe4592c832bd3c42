"""Tumbling windows: which one a record is in, what state a function has kept in it, and when it ends. Pure.

Lambda developer guide, "Tumbling windows": records are in windows by their time of arrival; each invocation is handed
the state that the last one returned, the last one of a window says so; a state of more than 1 MB ends its window early,
and the rest of it begins with none.
"""

from __future__ import annotations

import math
from typing import Any

from ... import wire
from ...aws.times import iso

STATE_BYTES = 1 << 20

State = dict[str, Any]


class Windows:
    """A shard's. length: seconds. start: of the window that is open, epoch seconds; None: none is."""

    def __init__(self, length: float, start: float | None = None, state: State | None = None) -> None:
        self.length = length
        self.start = start
        self.state: State = state or {}
        self.early = False  # the state is too large: what comes next is the end of it
        self.read_until = -math.inf  # epoch seconds: whatever arrived before is here

    def of(self, arrived: float) -> float:
        """The start of the window of a record. One that comes late is in the window that is open."""
        start = math.floor(arrived / self.length) * self.length
        return start if self.start is None else max(start, self.start)

    @property
    def end(self) -> float:
        assert self.start is not None
        return self.start + self.length

    def open(self, start: float) -> None:
        self.start, self.state = start, {}

    def over(self, upcoming: float | None) -> bool:
        """Is the window that is open to be ended now? upcoming: when the next record arrived that nothing was done
        with."""
        if self.start is None:
            return False
        if self.early:
            return True
        return self.read_until >= self.end if upcoming is None else self.of(upcoming) > self.start

    def returned(self, response: Any) -> bool:
        """Take the state from a function's response. False: it has none, which is an error."""
        state = response.get("state") if isinstance(response, dict) else None
        if not isinstance(state, dict):
            return False
        self.state = state
        self.early = len(wire.encode(state)) > STATE_BYTES
        return True

    def ended(self) -> None:
        """The last invocation of the window succeeded."""
        self.state = {}
        if self.early:
            self.early = False
        else:
            self.start = None

    def shown(self) -> dict[str, str]:
        return {"start": iso(self.start or 0.0, "seconds"), "end": iso(self.end, "seconds")}
