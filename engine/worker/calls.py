"""What a handler calls: other functions of its engine, by its worker's own lane (native/worker/call.c)."""

from __future__ import annotations

from typing import Any

from .. import errors, wire
from .._native import ffi, lib
from ..calls import dispatch
from . import context

_NOWHERE = 0xFFFFFFFF  # no function's index


class Calls:
    """A worker's. `invoke` is context.invoke, for any thread of the handler; one at a time."""

    def __init__(self, lane: Any, large: int) -> None:
        self._lane = lane
        self._large = large  # bytes that a call may have
        # By its name: a function's index, and whether it takes bytes.
        self._known: dict[str, tuple[int, bool]] = {}

    def invoke(self, header: bytes, name: str, event: Any, trace: str) -> Any:
        """See Context.invoke. header: its own."""
        index, raw = self._known.get(name) or (_NOWHERE, False)
        end, data = self._call(header, name, index, raw, event, trace)
        if end.status == lib.STK_OTHER_CODEC:
            raw = bool(end.raw)
            end, data = self._call(header, name, end.fn, raw, event, trace)
        if end.status >= 0:
            self._known[name] = (end.fn, raw)
        if end.status == lib.STK_OK:
            return data if raw else dispatch.value_of(data)
        if end.status == lib.STK_NO_FUNCTION:
            raise errors.FunctionNotFound(f"Function not found: {name}")
        if end.status < 0:
            raise dispatch.refusal(end.status, end.max_payload, len(data))
        outcome = dispatch.plain(data)
        outcome.status, outcome.detail = end.status, end.detail
        outcome.request_id = dispatch.uuid_text(ffi.buffer(end.id)[:])
        entry = dispatch.FunctionEntry(end.fn, name, end.timeout_ns / 1e9, raw, 0, "")
        raise dispatch.failure(entry, outcome)

    def _call(
        self, header: bytes, name: str, index: int, raw: bool, event: Any, trace: str
    ) -> tuple[Any, bytes]:
        """How it ended, and with which payload; the event, when it was not accepted. Raises EngineError."""
        sent = dispatch.raw_event(event) if raw else dispatch.encode_event(event)
        flags = lib.STK_RAW if raw else 0
        if trace:
            sent, flags = wire.attach(wire.Extras(trace=trace), sent), flags | lib.STK_EXTRAS
        named = name.encode()
        if len(named) + len(sent) > self._large:
            raise dispatch.refusal(lib.STK_TOO_LARGE, self._large, len(sent))
        end, at = ffi.new("stk_return *"), ffi.new("uint8_t **")
        lane, code = self._lane, lib.STK_W_QUEUED
        try:  # a signal's handler may run, and raise, behind each call into C
            while code == lib.STK_W_QUEUED:
                code = lib.stk_worker_call(
                    lane,
                    header[context.REQUEST_ID],
                    index,
                    flags,
                    named,
                    len(named),
                    sent,
                    len(sent),
                    end,
                    at,
                )
            while code == lib.STK_W_SIGNAL:
                code = lib.stk_worker_call_wait(lane, end, at)
            if code == 0:
                return end, ffi.buffer(at[0], end.len)[:] if end.status >= 0 else sent
        finally:
            lib.stk_worker_call_over(lane, end)
        raise errors.EngineError("the invocation that this context is of has ended, or is another process's")
