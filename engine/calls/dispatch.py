"""The caller's side of an invocation. A plain result is _call's, from the event to the value; an outcome that is
anything else (an error, a log, a large payload) is settled here, from its whole record."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

import msgspec

from .. import _call, errors, wire
from .._native import ffi, lib

LogSink = Callable[[str, str, str], None]  # function name, request id ("" when none owns it), text

OK: int = lib.STK_OK
FAULT: int = lib.STK_FAULT
# An stk_outcome but for its ticket and token: one step, where cffi would take one for each member.
_OUTCOME = Struct("@16xIiPQPQQ5QIIQ16s")
assert _OUTCOME.size == ffi.sizeof("stk_outcome")
invoke, invoke_bytes, record, put_back = _call.invoke, _call.invoke_bytes, _call.record, _call.put_back


class Outcome(msgspec.Struct):
    """How one invocation ended. Times are CLOCK_MONOTONIC ns; 0: that did not happen."""

    status: int
    detail: int
    data: bytes
    log: str
    log_dropped: int
    request_id: str
    submitted: int
    dispatched: int
    started: int
    ended: int
    done: int
    peak_kib: int
    cold: bool
    born: int = 0  # of its worker: wire.log_stream
    again: int = 0  # ns that an init took within it, after one that had taken too long


class FunctionSlot:
    """A function's slot in the C engine. Its index means this function, and no other, while this object is referred to:
    by whoever may still name it. Raises MemoryError."""

    __slots__ = ("_engine", "index")

    def __init__(self, engine: Any, timeout_ns: int, max_payload: int, waiting: int) -> None:
        self._engine = engine
        self.index: int = lib.stk_function_new(engine, timeout_ns, max_payload, waiting)
        if self.index < 0:
            raise MemoryError("no memory for a function")

    def __del__(self, free: Callable[[Any, int], None] = lib.stk_function_free) -> None:
        if self.index >= 0:
            free(self._engine, self.index)


class FunctionEntry(msgspec.Struct):
    """What the hot path needs to know of a function: replaced whole when the function is updated."""

    index: int  # in the C engine
    name: str
    timeout: float
    raw: bool
    memory: int
    version: str
    init_seconds: float | None = 0.0  # None: each worker initialises itself
    slot: FunctionSlot | None = None  # that index's; None: of no engine
    workers: int = 1  # at most
    waiting: int = 0  # at most


class Dispatch:
    """Submits invocations to the C engine and turns what comes back into values or errors."""

    def __init__(self, pointer: Any, payload_limit: int, log_sink: LogSink) -> None:
        self.pointer = pointer
        self.payload_limit = payload_limit
        self.log_sink = log_sink
        self._address = address(pointer)
        self.cells: list[_call.Cell] = []  # the free ones: a thread takes one for each call

    def settle(self, entry: FunctionEntry, event: Any, ended: Any) -> Any:
        """The result of an invocation that did not end plainly, as _call.invoke says; (): it has not begun. Raises as
        errors.py lists."""
        if not ended:
            data = raw_event(event) if entry.raw else encode_event(event)
            ended = self._run(invoke_bytes, entry, data)
            if type(ended) is bytes:
                return ended if entry.raw else value_of(ended)
        outcome = self._finish(entry, *ended)
        self.log(entry, outcome)
        if outcome.status != OK:
            raise failure(entry, outcome)
        return outcome.data if entry.raw else value_of(outcome.data)

    def outcome(self, entry: FunctionEntry, data: bytes) -> Outcome | tuple[bytes, bytes]:
        """An invocation's outcome; of a plain result that and its record's bytes, for recorded(). Raises only what is
        not the function's failure (TooManyRequests, …)."""
        found: tuple[Any, ...] = self._run(record, entry, data)
        if len(found) == 2:
            return found
        cell, n, size = found
        outcome = self._finish(entry, cell, n, size, whole=True)
        self.log(entry, outcome)
        return outcome

    def _run(self, call: Callable[..., Any], entry: FunctionEntry, data: bytes) -> Any:
        """By a function of _call's, with a cell more if none is free."""
        while (found := call(self.cells, entry.index, data)) == ():
            self.cells.append(_call.Cell(self._address))
        return found

    def _finish(
        self, entry: FunctionEntry, cell: _call.Cell, n: int, size: int, whole: bool = False
    ) -> Outcome:
        pointer = ffi.cast("stk_cell *", cell.address)
        try:
            while n == lib.STK_SIGNALLED:  # Python's signal handlers run between the two calls
                n = lib.stk_cell_wait(pointer)
        except BaseException:  # KeyboardInterrupt: the caller leaves, the worker does not
            lib.stk_cell_abandon(pointer)
            raise
        if n < -1:
            put_back(self.cells, cell)
            raise refusal(n, self.payload_limit, size, entry)
        if n >= 0 and not whole:
            data = ffi.buffer(pointer.data)[:n]
            put_back(self.cells, cell)
            return plain(data)
        outcome = read_outcome(ffi.addressof(pointer, "outcome"))
        lib.stk_cell_clear(pointer)
        put_back(self.cells, cell)
        return outcome

    def read(self, ticket: int) -> Outcome:
        """The outcome of an invocation of a box that is done, which is freed."""
        o = ffi.new("stk_outcome *")
        lib.stk_outcome_of(self.pointer, ticket, o)
        outcome = read_outcome(o)
        lib.stk_call_free(self.pointer, ticket)
        return outcome

    def log(self, entry: FunctionEntry, outcome: Outcome) -> None:
        """Hand an invocation's output to the log sink."""
        if outcome.log:
            self.log_sink(entry.name, outcome.request_id, outcome.log)
        if outcome.log_dropped:
            self.log_sink(
                entry.name, outcome.request_id, f"[stoker] {outcome.log_dropped} bytes of log dropped\n"
            )


def encode_event(event: Any) -> bytes:
    """An event as JSON. Raises InvalidEvent when JSON cannot express it."""
    try:
        return wire.encode(event)
    except Exception as error:
        raise errors.InvalidEvent(
            f"the event cannot be encoded as JSON: {error}. Pass dicts, lists, strings, numbers, booleans and "
            'None (or codec="raw" for bytes)'
        ) from None


def raw_event(event: Any) -> bytes:
    """A raw function's event: bytes as they are, anything with a buffer copied."""
    if type(event) is bytes:
        return event
    try:
        return bytes(memoryview(event))
    except TypeError:
        raise errors.InvalidEvent(
            f"a raw function takes bytes, bytearray or memoryview, not {type(event).__name__}"
        ) from None


def uuid_text(id: bytes) -> str:
    """A request id of 16 bytes as it is written."""
    text = id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def read_outcome(o: Any) -> Outcome:
    """A C outcome, by its pointer, copied into Python's memory."""
    members = _OUTCOME.unpack(ffi.buffer(o))
    length, log_length = members[3], members[5]
    data = ffi.buffer(o.data, length)[:] if length else b""
    log = ffi.buffer(o.log, log_length)[:].decode("utf-8", "replace") if log_length else ""
    return _outcome(members, data, log)


def recorded(record: bytes, data: bytes) -> Outcome:
    """The outcome of a plain result, of its record's bytes."""
    return _outcome(_OUTCOME.unpack(record), data, "")


def _outcome(members: tuple[Any, ...], data: bytes, log: str) -> Outcome:
    (
        status, detail, _, _, _, _, log_dropped, submitted, dispatched, started, ended, done, peak_kib, cold, born, id
    ) = members  # fmt: skip
    return Outcome(
        status, detail, data, log, log_dropped, uuid_text(id), submitted, dispatched, started, ended, done, peak_kib,
        cold != 0, born,
    )  # fmt: skip


def plain(data: bytes) -> Outcome:
    """A result whose record was not read."""
    return Outcome(OK, 0, data, "", 0, "", 0, 0, 0, 0, 0, 0, False)


def value_of(data: bytes) -> Any:
    """A result's value, as json takes what the fast decoder refuses. FunctionError when it is not JSON."""
    try:
        return wire.decode(data)
    except (ValueError, RecursionError) as error:
        message = f"the result cannot be decoded: {error}"
        raise errors.FunctionError("Runtime.InvalidResponse", message) from None


def refusal(code: int, limit: int, size: int, entry: FunctionEntry | None = None) -> errors.EngineError:
    """Why an invocation was not accepted. entry: of the function that it was for."""
    if code == lib.STK_THROTTLED:
        return errors.TooManyRequests(f"Rate Exceeded: {_full(entry)}")
    if code == lib.STK_DEADLOCK:
        return errors.TooManyRequests(
            "Rate Exceeded: each worker of the function waits for one that it called, maybe for this (concurrency=…)"
        )
    if code == lib.STK_TOO_LARGE:
        return errors.PayloadTooLarge(
            f"{size} byte payload is too large for the engine's limit of {limit} bytes (Engine(payload_limit=…))"
        )
    if code == lib.STK_NO_FUNCTION:
        return errors.FunctionNotFound("the function was removed")
    if code == lib.STK_SHUT:
        return errors.EngineClosed("the engine is closed")
    if code == lib.STK_NO_MEMORY:
        return errors.TooManyRequests("no memory to hold the invocation", "ConcurrentInvocationLimitExceeded")
    return errors.EngineError(f"the invocation was not accepted: {code}")


def _full(entry: FunctionEntry | None) -> str:
    if entry is None:
        return "every worker is busy and the waiting line is full"
    workers = "its worker is" if entry.workers == 1 else f"its {entry.workers} workers are"
    return (
        f"{entry.name}: {workers} busy (concurrency={entry.workers}) and its waiting line is full "
        f"(waiting={entry.waiting}). Raise those, or use map(), which submits no more than may wait"
    )


def failure(entry: FunctionEntry, outcome: Outcome) -> errors.EngineError:
    """A failed outcome as the error that the caller gets."""
    status, detail = outcome.status, outcome.detail
    if status == FAULT:
        return _described(errors.FunctionError, outcome)
    if status == lib.STK_BAD_EVENT:
        described = _described(errors.FunctionError, outcome)
        return errors.InvalidEvent(f"Could not parse request body into json: {described.error_message}")
    if status == lib.STK_TIMEOUT:
        return errors.FunctionTimeout(outcome.request_id, entry.timeout)
    if status == lib.STK_MEMORY:
        return errors.FunctionCrashed(outcome.request_id, None, "SIGKILL", oom=True)
    if status == lib.STK_INIT:
        return _described(errors.InitError, outcome)
    if status == lib.STK_CANCELLED:  # a caller that cancels does not read why: its function went
        return errors.FunctionNotFound("the function was removed before the invocation began")
    if status == lib.STK_CLOSED:
        return errors.EngineClosed("the engine was closed before the invocation ended")
    signal = errors.signal_name(-detail) if detail < 0 else None
    return errors.FunctionCrashed(outcome.request_id, detail if detail >= 0 else None, signal)


def _described(kind: type[errors.FunctionError], outcome: Outcome) -> errors.FunctionError:
    try:
        return errors.described(kind, wire.decode(outcome.data), outcome.request_id)
    except (ValueError, AttributeError, TypeError):  # a worker that does not keep to the protocol
        return kind("Runtime.Unknown", outcome.data[:256].decode("utf-8", "replace"), [], outcome.request_id)


def error_payload(entry: FunctionEntry, outcome: Outcome) -> bytes:
    """The response body of a failed invocation, as Lambda's Invoke has it."""
    if outcome.status in (FAULT, lib.STK_INIT):
        return _as_lambda_has_it(outcome.data) if b'"traceback":' in outcome.data else outcome.data
    error = failure(entry, outcome)
    if isinstance(error, errors.FunctionError):
        return wire.encode(error.payload())
    raise error


def _as_lambda_has_it(data: bytes) -> bytes:
    """An error object without what only an embedded function's has."""
    try:
        error = wire.decode(data)
        return wire.encode(
            {name: value for name, value in error.items() if name not in ("traceback", "notes")}
        )
    except (ValueError, AttributeError):
        return data


def address(pointer: Any) -> int:
    """A cffi pointer as a number, as other extensions take it."""
    return int(ffi.cast("uintptr_t", pointer))


_call.bind(
    address(ffi.addressof(lib, "stk_cell_new")),
    address(ffi.addressof(lib, "stk_cell_free")),
    address(ffi.addressof(lib, "stk_cell_try")),
    address(ffi.addressof(lib, "stk_cell_wait")),
    wire.fast_encode,
    wire.fast_decode,
    value_of,
)
