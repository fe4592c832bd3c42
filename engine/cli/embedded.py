"""A function invoked in this process: its response on stdout and Lambda's log lines on stderr."""

from __future__ import annotations

import argparse
import os
import sys
import time
from array import array

from .. import errors, wire
from ..function import Function
from ..observe.report import Reply
from ..runtime import to_stderr
from ..sync import Engine
from .status import FAILED, OK, UsageError
from .terminal import write
from .texts import microseconds, pair, read_event


class Logs:
    """The engine's log sink. An invocation's output is held until its START line can go before it."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.dropping = False

    def __call__(self, function: str, request_id: str, text: str) -> None:
        if self.dropping:
            return
        if request_id:
            self.held.append(text)
        else:  # of the init, or after the reply
            to_stderr(function, request_id, text)

    def show(self, reply: Reply) -> None:
        """Print START, what was held, END and REPORT."""
        own = "".join(self.held)
        self.held.clear()
        end = reply.log_tail.rindex(f"END RequestId: {reply.request_id}")
        start = f"START RequestId: {reply.request_id} Version: {reply.version}\n"
        if own and not own.endswith("\n"):
            own += "\n"
        to_stderr("", "", start + own + reply.log_tail[end:])


def run(options: argparse.Namespace) -> int:
    """Exit status; raises UsageError, and an EngineError that is not the function's."""
    if options.repeat < 0:
        raise UsageError(f"--repeat {options.repeat}: use 1 or more")
    code = options.code if options.code is not None else os.getcwd()
    if not os.path.isdir(code):
        raise UsageError(f"--code {code}: there is no such directory")
    environment = dict(pair("--env", text) for text in options.env)
    event = read_event("{}" if options.event is None else options.event, options.raw)
    limits = {"memory": options.memory, "timeout": options.timeout}
    logs = Logs()
    with Engine(logs=logs) as engine:
        begin = time.perf_counter()
        try:
            function = engine.function(
                options.reference,
                code=code,
                name=options.name,
                init=options.init,
                environment=environment,
                codec="raw" if options.raw else "json",
                warm=0,  # the first invocation is a cold start, as on Lambda, and its REPORT has an init duration
                **{name: value for name, value in limits.items() if value is not None},
            )
        except errors.InitError as error:
            return _init_failed(error, time.perf_counter() - begin, code)
        reply = function.invoke_raw(event)
        logs.show(reply)
        failed = reply.function_error is not None
        write(reply.payload + (b"\n" if failed or not options.raw else b""))
        if failed:
            _hint(reply.payload, code)
        if options.repeat:
            logs.dropping = True
            failed |= repeat(function, event if options.raw else wire.decode(event), options.repeat) > 0
    return FAILED if failed else OK


def repeat(function: Function, event: object, times: int) -> int:
    """Invoke it so many times, one after the other, and print the latencies. Returns how many failed."""
    took = array("Q")
    failed = 0
    now = time.perf_counter_ns
    begin = now()
    try:
        for _ in range(times):
            start = now()
            try:
                function.invoke(event)
            except errors.FunctionError:
                failed += 1
            took.append(now() - start)
    finally:  # when interrupted, too
        print(summary(sorted(took), failed, (now() - begin) / 1e9), file=sys.stderr)
    return failed


def summary(took: list[int], failed: int, seconds: float) -> str:
    """The latencies (ns, sorted) in words."""
    if not took:
        return "repeated 0 times"
    ranks = {"p50": len(took) // 2, "p90": len(took) * 90 // 100, "p99": len(took) * 99 // 100, "max": -1}
    latencies = "  ".join(f"{name} {microseconds(took[rank])}" for name, rank in ranks.items())
    rate = f"{len(took) / seconds:,.0f} per second"
    return f"repeated {len(took)} times, {failed} failed, {rate}\nlatency {latencies}"


def _init_failed(error: errors.InitError, seconds: float, code: str) -> int:
    """Print Lambda's report and error object of a failed init."""
    status = "timeout" if error.error_type == "Sandbox.Timedout" else f"error\tError Type: {error.error_type}"
    report = f"INIT_REPORT Init Duration: {seconds * 1e3:.2f} ms\tPhase: init\tStatus: {status}"
    print(report, file=sys.stderr)
    fault = {"errorMessage": error.error_message, "errorType": error.error_type}
    body = wire.encode({**fault, "requestId": "", "stackTrace": error.stack_trace})
    write(body + b"\n")
    _hint(body, code)
    return FAILED


def _hint(body: bytes, code: str) -> None:
    if b'"Runtime.ImportModuleError"' in body:
        where = os.path.abspath(code)
        print(f"stoker invoke: modules are looked for in {where} first (--code)", file=sys.stderr)
