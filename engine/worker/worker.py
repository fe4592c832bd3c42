"""One worker: forked warm, it waits for an event, runs the handler, replies, and waits again.

Nothing here imports asyncio, uvloop or threading, and nothing runs between two events.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from .. import _turn, limits, wire
from .._json import dumps, loads
from .._native import ffi, lib
from . import context, coroutines, debugging, handler, output, runtime_modules
from .calls import Calls
from .marshal import marshaller, only_ascii

if TYPE_CHECKING:
    from .sandbox import Sandbox

_REHEARSALS = 24  # the interpreter specialises after a handful
_NEXT_FAILED = 71  # exit status: the lane is unusable


class Worker:
    """What a worker is: made once in the template, so that a fork has little left to do: `prepare`, then `serve`."""

    def __init__(self, spec: wire.FunctionSpec, sandbox: Sandbox | None = None) -> None:
        self.spec = spec
        self.sandbox = sandbox
        self.lane: Any = None
        self.handler: handler.Handler | None = None
        self.after_restore: Callable[[], None] | None = None
        self._only_ascii = only_ascii()
        self._encode: Callable[[Any], bytes] = (
            marshaller(self._only_ascii) if spec.deployed.strict else wire.encode
        )
        self._fast_encode = self._encode if spec.deployed.strict else wire.fast_encode
        self._streams = output.redirect()
        self.records = output.Records(self._streams[0].raw, spec.deployed.strict)
        self._logs = (
            output.LambdaLogHandler(self.records) if spec.plain else output.install_logging(self.records)
        )
        self._context = context.bind(
            function_name=spec.name,
            function_version=spec.deployed.version,
            memory_limit_in_mb=str(spec.memory),
            invoked_function_arn=os.environ.get("STOKER_FUNCTION_ARN", ""),
            log_group_name=os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        )
        self._size = 4096 + lib.STK_RING + spec.large

    def rehearse(self) -> None:
        """Run the loop on made-up events before the fork: what it warms, no child has to (rehearsal.c)."""
        self.lane = lib.stk_worker_rehearsal(_REHEARSALS, self.spec.max_reply)
        if self.lane != ffi.NULL:
            time.strftime("%Y/%m/%d")
            self._serve(lambda event, _context: bytes(event) if self.spec.raw else event)
            lib.stk_worker_close(self.lane)
        self.lane = None

    def load(self) -> None:
        """Import the handler. Raises handler.RuntimeFault, or what the module raises."""
        spec = self.spec
        found = handler.load(spec.module, spec.attribute, spec.main_file, spec.main_name)
        if not (spec.deployed.strict or spec.plain or coroutines.is_plain(found)):
            if why := coroutines.misfit(found, f"{spec.module}.{spec.attribute}"):
                raise handler.RuntimeFault(handler.MISFIT, why)
            if coroutines.is_async(found):
                found = coroutines.Loop().running(found)
        self.handler = debugging.waiting(runtime_modules.as_changed(found)) if spec.deployed.strict else found

    def prepare(self, data_bytes: int, parent: int) -> None:
        """What a forked worker does first: all that needs no lane."""
        lib.stk_worker_prepare(data_bytes + (self.spec.memory + limits.MEMORY_SLACK) * limits.MIB, parent)
        if not self.spec.deployed.strict:
            lib.stk_worker_short_turns()
        if self.sandbox is not None:
            self.sandbox.own_tmp()
        _reseed()
        if not (self.spec.plain or self.spec.deployed.log_stream):
            day = time.strftime("%Y/%m/%d")
            self._set_log_stream(f"{day}/[{self.spec.deployed.version}]{os.urandom(16).hex()}")

    def _set_log_stream(self, name: str) -> None:
        os.environ["AWS_LAMBDA_LOG_STREAM_NAME"] = self._context.log_stream_name = name

    def serve(self, fds: list[int], core: int, born: int) -> NoReturn:
        """Its life with a lane, of these descriptors: it never returns."""
        global current
        current = self
        status = 1
        try:
            if self.spec.deployed.log_stream:
                self._set_log_stream(wire.log_stream(self.spec.deployed.log_stream, born))
            self.lane = lib.stk_worker_born(*fds, core, self.spec.large, self.spec.max_reply)
            if self.lane == ffi.NULL:
                os._exit(_NEXT_FAILED)
            if not self.spec.deployed.strict:
                self._context._calls = Calls(self.lane, self.spec.large)
            for stream in self._streams:
                stream.to_lane(self.lane)
            os.register_at_fork(after_in_child=self._forked)
            gc.enable()
            self._run()
        except BaseException as error:
            status = handler.exit_status(error)
        finally:  # even when stderr is broken: a worker must never go on as a template
            os._exit(status)

    def _forked(self) -> None:
        """In a child of the handler's: the lane is the worker's, the pipe behind the descriptors is for all."""
        lib.stk_worker_forked(self.lane)
        for stream in self._streams:
            stream.to_descriptor()

    def _run(self) -> NoReturn:
        """Serve until the lane is shut down. Without a snapshot the function is initialised here first."""
        try:
            if self.handler is None:
                self.load()
            if self.after_restore is not None:
                self.after_restore()
        except Exception as error:  # what is none (SystemExit) ends the process, as on Lambda
            self._init_failed(error)
        assert self.handler is not None
        lib.stk_worker_reply(self.lane, lib.STK_READY, b"", 0)
        self._serve(self.handler)
        self._end()
        os._exit(0)

    def _end(self) -> None:
        for function in at_end:
            function()

    def reply_and_end(self, data: Any) -> NoReturn:
        """The reply to the invocation in hand; what waits in the lane goes to another worker."""
        lib.stk_worker_reply(self.lane, lib.STK_RESULT, ffi.from_buffer(data), len(data))
        self._end()
        os._exit(lib.STK_EXIT_NO_DOORBELL)

    def _init_failed(self, error: Exception) -> NoReturn:
        described = handler.error_object(error, "")
        self.log_error(described)
        if self.spec.deployed.strict:
            runtime_modules.init_failed(described)
        else:
            described = handler.with_traceback(described, error)
        data = wire.encode(described)
        if len(data) > lib.STK_INLINE:
            message = described["errorMessage"][:4096]
            data = wire.encode(
                {**described, "errorMessage": message, "stackTrace": [], handler.TRACEBACK: ""}
            )
        lib.stk_worker_reply(self.lane, lib.STK_INIT_ERROR, data, len(data))
        os._exit(1)

    def _serve(self, handle: handler.Handler) -> None:
        lane, spec = self.lane, self.spec
        header = ffi.buffer(ffi.addressof(lane, "event"), context.HEADER_BYTES)
        self._logs.request_id = lambda: _id_of(header)
        trace = (
            context.Trace(header, spec.deployed.trace, spec.deployed.clock) if spec.deployed.trace else None
        )
        if trace is not None:
            trace.install()
        _turn.bind(
            _address(ffi.addressof(lib, "stk_worker_reply")),
            _address(ffi.addressof(lib, "stk_worker_next")),
            _address(lane),
            None if spec.raw else wire.fast_decode,
            self._context,
            wire.raw_reply if spec.raw else self._fast_encode,
            spec.max_reply,
        )
        self._traced = False
        number = self._next()
        while True:
            stage, value = _turn.serve(handle, number)
            if stage == _turn.NEXT and value not in _LARGE:
                if value == lib.STK_W_SHUTDOWN:
                    return
                number = self._next(value)
                continue
            data = self._by_hand(handle, header, stage, value)
            value = None  # nothing of an invocation is kept until the next one
            if data is None:
                number = self._next()
            else:
                kept = data if type(data) is bytes else ffi.from_buffer(data)
                number = lib.stk_worker_reply_next(lane, kept, len(data))
            if self._traced:
                self._traced = context.forget_trace(trace)

    def _by_hand(
        self, handle: handler.Handler, header: Any, stage: int, value: Any
    ) -> bytes | memoryview | None:
        """The reply to an invocation that is not plain, from this stage on; None: it has its reply."""
        reply: bytes | memoryview | None
        if stage == _turn.FAILED:
            self._fail(value, header)
            return None
        if stage == _turn.TOO_LARGE:
            self._too_large()
            return None
        if stage == _turn.UNENCODABLE:
            return self._fitting(self._encode_again(value, header))
        invocation = self._context(header[:])
        if stage == _turn.UNDECODABLE:
            event = self._decode_again(value, header)
            encode: Callable[[Any], bytes | memoryview] = self._fast_encode
        else:
            event = self._large(value, invocation, header)
            encode = wire.raw_reply if self.spec.raw else self._encode_large
        if event is _UNDECODABLE:
            return None
        try:
            result = handle(event, invocation)
        except Exception as error:
            self._fail(error, header)
            return None
        try:
            reply = encode(result)
        except Exception:
            reply = self._encode_again(result, header)
        return self._fitting(reply)

    def _fitting(self, reply: bytes | memoryview | None) -> bytes | memoryview | None:
        """None: it has its reply, for being too large among others."""
        if reply is not None and len(reply) > self.spec.max_reply:
            self._too_large()
            return None
        return reply

    def _large(self, number: int, invocation: Any, header: Any) -> Any:
        """The event of an invocation that is large or has extras, or _UNDECODABLE."""
        payload: bytes | memoryview = self._payload()
        if number == lib.STK_W_EXTRAS:  # large or small: what decodes large events takes both
            extras, payload = wire.detach(payload)
            self._traced = context.extend(invocation, extras)
        if self.spec.raw:
            return payload
        try:
            return loads(payload)
        except Exception:
            return self._decode_again(payload, header)

    def _payload(self) -> memoryview:
        """The payload in hand where it lies."""
        down = memoryview(ffi.buffer(ffi.cast("char *", self.lane.down), self._size)).toreadonly()
        at = self.lane.payload - ffi.cast("uint8_t *", self.lane.down)
        return down[at : at + self.lane.event.len]

    def _next(self, packed: int | None = None) -> int:
        """The next invocation. Signal handlers of the function's own run in between."""
        while True:
            if packed is None or packed == lib.STK_W_SIGNAL:
                packed = lib.stk_worker_next(self.lane)
            if packed == lib.STK_W_BROKEN:
                os._exit(_NEXT_FAILED)
            if packed != lib.STK_W_SIGNAL:
                return packed

    def _decode_again(self, payload: bytes | memoryview, header: Any) -> Any:
        """What the fast decoder refused, as Lambda's runtime would take it."""
        try:
            return wire.decode_json(payload) if self.spec.deployed.strict else wire.decode(payload)
        except Exception as error:
            fault = handler.RuntimeFault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}")
            data = wire.encode(handler.error_object(fault, _id_of(header)))
            if lib.stk_worker_reply(self.lane, lib.STK_INVALID, data, len(data)) < 0:
                os._exit(_NEXT_FAILED)
            return _UNDECODABLE

    def _encode_large(self, result: Any) -> bytes | memoryview:
        """The response to a large event, which may be as large: written where the engine reads it, if that is free."""
        if self.spec.deployed.strict and (place := lib.stk_worker_place(self.lane)) != ffi.NULL:
            area = memoryview(ffi.buffer(place, self.spec.large))
            size = dumps(result, self._only_ascii, area)
            if size is not None:
                return area[:size]
        return self._fast_encode(result)

    def _encode_again(self, result: Any, header: Any) -> bytes | None:
        """What the fast encoder refused, as Lambda's runtime would take it. None: it failed, and the reply says so."""
        try:
            return self._encode(result)
        except Exception as error:
            fault = handler.RuntimeFault("Runtime.MarshalError", f"Unable to marshal response: {error}")
            self._fail(fault, header)
            return None

    def _fail(self, error: Exception, header: Any) -> None:
        """Log what the handler raised, and reply with Lambda's error object."""
        described = handler.error_object(error, _id_of(header))
        self.log_error(described)
        if not self.spec.deployed.strict:
            described = handler.with_traceback(described, error)
        try:
            data = wire.encode(described)
        except Exception:  # a message that UTF-8 cannot hold
            described["errorMessage"] = ascii(described["errorMessage"])
            data = wire.encode({**described, "stackTrace": [], handler.TRACEBACK: ""})
        if len(data) > self.spec.max_reply:
            message = described["errorMessage"][:1024]
            data = wire.encode(
                {**described, "errorMessage": message, "stackTrace": [], handler.TRACEBACK: ""}
            )
        self._reply_error(data)

    def log_error(self, described: dict[str, Any]) -> None:
        self.records.error(handler.error_record(described, self.records.indent))

    def _too_large(self) -> None:
        limit = self.spec.max_reply
        message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
        error = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
        self._reply_error(wire.encode(error))

    def _reply_error(self, data: bytes) -> None:
        if lib.stk_worker_reply(self.lane, lib.STK_ERROR, data, len(data)) < 0:
            os._exit(_NEXT_FAILED)


_UNDECODABLE = object()
_LARGE = (lib.STK_W_LARGE, lib.STK_W_EXTRAS)
current: Worker | None = None  # in a worker: itself
at_end: list[Callable[[], None]] = []  # called when a worker ends in order


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _id_of(header: Any) -> str:
    return str(uuid.UUID(bytes=header[context.REQUEST_ID]))


def _reseed() -> None:
    """Forked workers must not draw the same random numbers. `random` sees to that itself; NumPy does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
