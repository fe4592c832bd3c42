"""`stoker invoke`: one function, one event, its response on stdout and Lambda's log lines on stderr."""

from __future__ import annotations

import argparse
import os
import sys
import time
from array import array

from .. import errors, wire
from ..observe.report import Reply
from ..runtime import to_stderr
from ..sync import Engine, Function
from .main import FAILED, OK, UsageError


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
        """START, what was held, END and REPORT."""
        own = "".join(self.held)
        self.held.clear()
        end = reply.log_tail.rindex(f"END RequestId: {reply.request_id}")
        start = f"START RequestId: {reply.request_id} Version: {reply.version}\n"
        if own and not own.endswith("\n"):
            own += "\n"
        to_stderr("", "", start + own + reply.log_tail[end:])


def run(options: argparse.Namespace) -> int:
    """Run the command. Its exit status; raises UsageError or an EngineError that is not the function's."""
    if options.repeat < 0:
        raise UsageError(f"--repeat {options.repeat}: use 1 or more")
    code = options.code if options.code is not None else os.getcwd()
    if not os.path.isdir(code):
        raise UsageError(f"--code {code}: there is no such directory")
    environment = _environment(options.env)
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
                warm=0,  # the first invocation is a cold start, as on Lambda, and its REPORT says so
                **{name: value for name, value in limits.items() if value is not None},
            )
        except errors.InitError as error:
            return _init_failed(error, time.perf_counter() - begin, code)
        reply = function.invoke_raw(event)
        logs.show(reply)
        failed = reply.function_error is not None
        sys.stdout.buffer.write(reply.payload + (b"\n" if failed or not options.raw else b""))
        sys.stdout.flush()
        if failed:
            _hint(reply.payload, code)
        if options.repeat:
            logs.dropping = True
            failed |= repeat(function, event if options.raw else wire.decode(event), options.repeat) > 0
    return FAILED if failed else OK


def repeat(function: Function, event: object, times: int) -> int:
    """Invoke it so many times, one after the other; print how long each took. How many failed."""
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
    finally:  # interrupted, say what there is
        print(summary(sorted(took), failed, (now() - begin) / 1e9), file=sys.stderr)
    return failed


def summary(took: list[int], failed: int, seconds: float) -> str:
    """The latencies (ns, sorted) in words."""
    if not took:
        return "repeated 0 times"
    quantiles = {
        "p50": took[len(took) // 2],
        "p90": took[len(took) * 90 // 100],
        "p99": took[len(took) * 99 // 100],
        "max": took[-1],
    }
    return (
        f"repeated {len(took)} times, {failed} failed, {len(took) / seconds:,.0f} per second\n"
        + "latency "
        + "  ".join(f"{name} {microseconds(ns)}" for name, ns in quantiles.items())
    )


def microseconds(ns: float) -> str:
    """A duration as a reader of latencies wants it."""
    if ns >= 1e9:
        return f"{ns / 1e9:.2f} s"
    if ns >= 1e6:
        return f"{ns / 1e6:.2f} ms"
    return f"{ns / 1e3:.1f} µs" if ns >= 1000 else f"{ns:.0f} ns"


def read_event(text: str, raw: bool) -> bytes:
    """The event's bytes, from where the argument says. Raises UsageError."""
    if text == "-":
        data, origin = sys.stdin.buffer.read(), "stdin"
    elif text.startswith("@"):
        origin = text[1:]
        try:
            with open(origin, "rb") as file:
                data = file.read()
        except OSError as error:
            raise UsageError(f"cannot read the event from {origin}: {error.strerror}") from None
    else:
        data, origin = text.encode("utf-8", "surrogateescape"), "the argument"
    if raw:
        return data
    try:
        wire.decode(data)
    except (ValueError, RecursionError) as error:
        right = """for example '{"name": "Ada"}'"""
        if os.path.exists(text):
            right = f"write @{text} to read that file"
        raise UsageError(f"the event ({origin}) is not JSON: {error}; {right}") from None
    return data


def _environment(settings: list[str]) -> dict[str, str]:
    variables = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--env {setting}: write NAME=VALUE")
        variables[name] = value
    return variables


def _init_failed(error: errors.InitError, seconds: float, code: str) -> int:
    """What Lambda says of a function that cannot be initialised, and where to look."""
    status = "timeout" if error.error_type == "Sandbox.Timedout" else f"error\tError Type: {error.error_type}"
    report = f"INIT_REPORT Init Duration: {seconds * 1e3:.2f} ms\tPhase: init\tStatus: {status}"
    print(report, file=sys.stderr)
    body = wire.encode(
        {
            "errorMessage": error.error_message,
            "errorType": error.error_type,
            "requestId": "",
            "stackTrace": error.stack_trace,
        }
    )
    sys.stdout.buffer.write(body + b"\n")
    _hint(body, code)
    return FAILED


def _hint(body: bytes, code: str) -> None:
    if b'"Runtime.ImportModuleError"' in body:
        where = os.path.abspath(code)
        print(f"stoker invoke: modules are looked for in {where} first (--code)", file=sys.stderr)
