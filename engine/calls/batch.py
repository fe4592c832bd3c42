"""map(): many invocations from one thread, pipelined, results in order or as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .. import errors, wire
from .._native import ffi, lib
from .dispatch import (
    OK,
    Dispatch,
    FunctionEntry,
    encode_event,
    failure,
    raw_event,
    refusal,
    value_of,
)

AHEAD = 64
_BUFFER = 256 * 1024
_WAIT_NS = 1_000_000_000
_PENDING = object()


def run(
    dispatch: Dispatch,
    entry: FunctionEntry,
    events: Iterable[Any],
    ahead: int,
    keep_failures: bool = False,
    ordered: bool = True,
) -> Iterator[Any]:
    """The results of `events`, at most `ahead` of them read and not yet yielded. keep_failures: errors are results."""
    if ahead < 1:
        raise errors.InvalidConfiguration(f"ahead={ahead!r}: use 1 or more")
    return (_run if ordered else _as_they_come)(dispatch, entry, iter(events), ahead, keep_failures)


def _box(dispatch: Dispatch, ahead: int) -> tuple[Any, memoryview, Any]:
    """A box for so many invocations, the words in which it tells of those that are done, and their results."""
    words, buffer = ffi.new("uint64_t[]", ahead * 4), ffi.new("uint8_t[]", _BUFFER)
    box = ffi.gc(lib.stk_box_new(dispatch.pointer, 0, words, ahead, buffer, _BUFFER), lib.stk_box_free)
    return box, memoryview(ffi.buffer(words)).cast("Q"), ffi.buffer(buffer)  # the two keep their memory


class _Failed:
    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _run(
    dispatch: Dispatch, entry: FunctionEntry, events: Iterator[Any], ahead: int, keep_failures: bool
) -> Iterator[Any]:
    box, words, results = _box(dispatch, ahead)
    submit, reap_wait, index, raw = lib.stk_submit, lib.stk_reap_wait, entry.index, entry.raw
    fast_encode, fast_decode = wire.fast_encode, wire.fast_decode
    # Slots by token modulo `ahead`: token `first` is the next to yield, `last` the next to submit.
    slots: list[Any] = [_PENDING] * ahead
    first = last = 0
    held: bytes | None = None  # an event that found the line full
    more = True
    # Top up by half a window at a time: submitting in bursts keeps the lane full and the reaps large.
    low = ahead // 2
    try:
        while True:
            if more and last - first <= low:
                while last - first < ahead:
                    if held is not None:
                        data, held = held, None
                    else:
                        try:
                            event = next(events)
                        except StopIteration:
                            more = False
                            break
                        if raw:
                            data = raw_event(event)
                        else:
                            try:
                                data = fast_encode(event)
                            except Exception:
                                data = encode_event(event)
                    code = submit(box, index, last % ahead, 0, data, len(data))
                    if code < 0:
                        if code == lib.STK_THROTTLED and last > first:
                            held = data  # others fill the line: go on when one of ours is done
                            break
                        raise refusal(code, dispatch.payload_limit, len(data), entry)
                    last += 1
            if first == last:
                if not more and held is None:
                    return
                continue
            at = first % ahead
            while slots[at] is _PENDING:
                n = reap_wait(box, _WAIT_NS)
                if n <= 0:
                    continue  # a signal's handler has run, or nothing was done within a second
                got = words[: n * 4].tolist()
                for i in range(0, n * 4, 4):
                    status = got[i + 1]
                    if status & 0xFFFF:
                        slots[got[i]] = _slow(dispatch, entry, got[i + 3])
                    else:
                        offset = got[i + 2]
                        content = results[offset : offset + (status >> 32)]
                        if raw:
                            slots[got[i]] = content
                            continue
                        try:
                            slots[got[i]] = fast_decode(content)
                        except Exception:
                            slots[got[i]] = _decoded(content)
            value = slots[at]
            slots[at] = _PENDING
            first += 1
            if type(value) is _Failed:
                if not keep_failures:
                    raise value.error
                value = value.error
            yield value
    finally:
        ffi.release(box)


def _as_they_come(
    dispatch: Dispatch, entry: FunctionEntry, events: Iterator[Any], ahead: int, keep_failures: bool
) -> Iterator[Any]:
    """The same, in whatever order they end."""
    box, words, results = _box(dispatch, ahead)
    fast_encode, fast_decode, raw = wire.fast_encode, wire.fast_decode, entry.raw
    flying = 0
    held: bytes | None = None  # an event that found the line full
    more = True
    try:
        while True:
            while flying < ahead and (held is not None or more):
                if held is None:
                    try:
                        event = next(events)
                    except StopIteration:
                        more = False
                        break
                    if raw:
                        held = raw_event(event)
                    else:
                        try:
                            held = fast_encode(event)
                        except Exception:
                            held = encode_event(event)
                code = lib.stk_submit(box, entry.index, 0, 0, held, len(held))
                if code < 0:
                    if code == lib.STK_THROTTLED and flying:
                        break  # others fill the line: go on when one of ours is done
                    raise refusal(code, dispatch.payload_limit, len(held), entry)
                flying += 1
                held = None
            if not flying:
                return
            n = lib.stk_reap_wait(box, _WAIT_NS)
            got = words[: max(0, n) * 4].tolist()
            values = []
            for i in range(0, len(got), 4):
                status = got[i + 1]
                if status & 0xFFFF:
                    values.append(_slow(dispatch, entry, got[i + 3]))
                else:
                    offset = got[i + 2]
                    content: Any = results[offset : offset + (status >> 32)]
                    if not raw:
                        try:
                            content = fast_decode(content)
                        except Exception:
                            content = _decoded(content)
                    values.append(content)
            flying -= len(values)
            for value in values:
                if type(value) is _Failed:
                    if not keep_failures:
                        raise value.error
                    yield value.error
                else:
                    yield value
    finally:
        ffi.release(box)


def _slow(dispatch: Dispatch, entry: FunctionEntry, ticket: int) -> Any:
    outcome = dispatch.read(ticket)
    dispatch.log(entry, outcome)
    if outcome.status != OK:
        return _Failed(failure(entry, outcome))
    return outcome.data if entry.raw else _decoded(outcome.data)


def _decoded(data: bytes) -> Any:
    try:
        return value_of(data)
    except errors.FunctionError as error:
        return _Failed(error)
