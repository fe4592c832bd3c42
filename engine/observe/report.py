"""The Reply that a raw invocation returns: its payload, its timings, its log's tail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from .. import limits
from .._native import lib
from ..calls.dispatch import FunctionEntry, Outcome, error_payload, failure, recorded
from ..errors import FunctionError
from .lines import billed, end_line, report_line, start_line

_STATUS = {lib.STK_TIMEOUT: "timeout", lib.STK_CRASH: "error", lib.STK_MEMORY: "error", lib.STK_INIT: "error"}
_ERROR_TYPE = {lib.STK_CRASH: "Runtime.ExitError", lib.STK_MEMORY: "Runtime.OutOfMemory"}


@dataclass(frozen=True, slots=True)
class Timings:
    """Where an invocation's time went, in seconds. `total` is from submit to result."""

    queue: float  # until a worker had it
    dispatch: float  # from the worker's lane to the handler's start: a wake, on a cold start the fork
    execute: float  # the handler, with decoding its event and encoding its result
    reply: float  # from the handler's end to the engine's having read the result
    total: float


class _Facts(NamedTuple):
    """What a report says of a function beside an invocation's outcome."""

    memory: int
    version: str
    init_seconds: float | None


class Reply(msgspec.Struct, gc=False):
    """What `invoke_raw` returns.

    payload: the response's bytes, an error object when function_error is set ("Unhandled");
    memory: the worker's peak resident set in MB; log_tail: the last 4 KiB of START, logs, END, REPORT.
    """

    payload: bytes
    function_error: str | None
    version: str
    # Of its function what a report says, and not the entry, which holds its slot in the engine.
    _memory_size: int
    _init_seconds: float | None
    _found: Outcome | bytes  # a plain result's record, until somebody asks for what is in it

    @property
    def _outcome(self) -> Outcome:
        if isinstance(self._found, bytes):
            self._found = recorded(self._found, self.payload)
        return self._found

    @property
    def request_id(self) -> str:
        return self._outcome.request_id

    @property
    def memory(self) -> int:
        return peak_kib(self._outcome) // 1024

    @property
    def cold(self) -> bool:
        return self._outcome.cold

    @property
    def log_tail(self) -> str:
        o = self._outcome
        facts = _Facts(self._memory_size, self.version, self._init_seconds)
        before, after = start_and_report(facts, o)
        own = o.log if not o.log or o.log.endswith("\n") else o.log + "\n"
        tail = (before + own + after).encode("utf-8", "replace")[-limits.LOG_TAIL_BYTES :]
        return tail.decode("utf-8", "ignore")

    @property
    def timings(self) -> Timings:
        return timings(self._outcome)

    def __repr__(self) -> str:
        names = ("payload", "function_error", "request_id", "version", "memory", "cold")
        return f"Reply({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def timings(o: Outcome) -> Timings:
    """An outcome's stamps as durations; 0 for what did not happen."""
    dispatched = o.dispatched or o.done
    started = o.started or dispatched
    ended = o.ended or o.done
    return Timings(
        queue=max(0, dispatched - o.submitted) / 1e9,
        dispatch=max(0, started - dispatched) / 1e9,
        execute=max(0, ended - started) / 1e9,
        reply=max(0, o.done - ended) / 1e9,
        total=max(0, o.done - o.submitted) / 1e9,
    )


def peak_kib(o: Outcome) -> int:
    """The worker's peak memory. A killed worker's, or one's that failed to initialise, is in the outcome's detail."""
    return o.peak_kib or (max(0, o.detail) if o.status in (lib.STK_MEMORY, lib.STK_INIT) else 0)


def init_seconds(entry: FunctionEntry | _Facts, o: Outcome) -> float:
    """How long the init took: a function's that is forked after it, else the worker's, which began when the
    invocation was given to it and ended with the handler's start."""
    if entry.init_seconds is not None:
        return entry.init_seconds
    return max(0, (o.started or o.done) - (o.dispatched or o.done)) / 1e9


def start_and_report(facts: _Facts, o: Outcome) -> tuple[str, str]:
    """What Lambda logs before and after an invocation's own output."""
    duration = timings(o).execute * 1e3
    init_ms = init_seconds(facts, o) * 1e3 if o.cold else None
    status, kind = _STATUS.get(o.status), _ERROR_TYPE.get(o.status)
    memory = peak_kib(o) // 1024
    report = report_line(
        o.request_id, duration, billed(duration), facts.memory, memory, init_ms, status, kind
    )
    return start_line(o.request_id, facts.version), end_line(o.request_id) + report


def error_type(entry: FunctionEntry, o: Outcome) -> str | None:
    """How Lambda names the failure; None where it names none."""
    if o.status in (lib.STK_OK, lib.STK_TIMEOUT):
        return None
    error = failure(entry, o)
    return error.error_type if isinstance(error, FunctionError) else None


def reply(entry: FunctionEntry, found: Outcome | tuple[bytes, bytes]) -> Reply:
    """What Dispatch.outcome found as a Reply. Raises what is not the function's failure."""
    if isinstance(found, tuple):
        payload, record = found
        return Reply(payload, None, entry.version, entry.memory, entry.init_seconds, record)
    failed = found.status != lib.STK_OK
    payload = error_payload(entry, found) if failed else found.data
    error = "Unhandled" if failed else None
    return Reply(payload, error, entry.version, entry.memory, entry.init_seconds, found)
