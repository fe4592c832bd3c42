"""How Lambda writes one invocation down, as log events: text lines or JSON platform records."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import frames, wire

ON_DEMAND = "on-demand"
SUCCESS = "success"
LEVELS = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "ERROR": 4, "FATAL": 5}
_ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}  # Python's names for them
_LOGGED_AT = re.compile(r"\[[A-Z]+\]\t(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\t")

LogEvent = tuple[int, str]  # epoch ms, message


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A function's LoggingConfig: log_format "Text" or "JSON"; the levels count for JSON only."""

    log_format: str = "Text"
    application_level: str = "INFO"
    system_level: str = "INFO"


@dataclass(slots=True)
class InvocationLog:
    """One invocation as its log describes it. Times in ms, memory in MB, `started` in epoch ms.

    status: "success", "failure" (the handler raised), "error" (its process end, or its init failed), "timeout".
    init_status says how the init before it went, when `cold`.
    """

    request_id: str
    version: str
    started: float
    duration_ms: float
    memory_size: int
    max_memory: int
    status: str = SUCCESS
    error_type: str | None = None
    cold: bool = False
    init_ms: float = 0.0
    init_status: str = SUCCESS
    init_at: float = 0.0  # epoch ms of its beginning; 0: just before the invocation
    again: bool = False  # it took too long, and was done once more within the invocation
    initialization_type: str = ON_DEMAND  # "provisioned-concurrency", "snap-start"
    output: str = ""
    produced_bytes: int = 0
    function_name: str = ""
    function_arn: str = ""
    runtime: str = ""  # "python3.11"
    runtime_arn: str = ""
    trace: str = ""  # of one that is traced: the trace's id and its segment's, with a blank between

    @property
    def billed_ms(self) -> int:
        """Since August 2025 an on-demand init is billed as the invocation is."""
        return billed(self.duration_ms + (self.reported_init or 0.0))

    @property
    def reported_init(self) -> float | None:
        """The init that the report has: ms."""
        return (
            self.init_ms if self.cold and self.initialization_type == ON_DEMAND and not self.again else None
        )

    @property
    def failed_before(self) -> bool:
        """Did its init fail, and the invocation with that?"""
        return self.init_status != SUCCESS and not self.again

    @property
    def init_began(self) -> int:
        """Epoch ms."""
        return int(self.init_at or self.started - self.init_ms)

    @property
    def runtime_version(self) -> str:
        """ "python:3.11" of "python3.11"."""
        return re.sub(r"(?<=[a-z])(?=\d)", ":", self.runtime, count=1)


def billed(duration_ms: float) -> int:
    """Whole milliseconds, at least one; float noise costs none."""
    return max(1, math.ceil(round(duration_ms, 6)))


def start_line(request_id: str, version: str) -> str:
    return f"START RequestId: {request_id} Version: {version}\n"


def end_line(request_id: str) -> str:
    return f"END RequestId: {request_id}\n"


def report_line(
    request_id: str,
    duration_ms: float,
    billed_ms: int,
    memory_size: int,
    max_memory: int,
    init_ms: float | None = None,
    status: str | None = None,
    error_type: str | None = None,
) -> str:
    """Lambda's REPORT. init_ms: of a cold start; status: "error", "timeout", or None where Lambda prints none."""
    text = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {billed_ms} ms\t"
        f"Memory Size: {memory_size} MB\tMax Memory Used: {max_memory} MB\t"
    )
    if init_ms is not None:
        text += f"Init Duration: {init_ms:.2f} ms\t"
    if status:
        text += f"Status: {status}"
        if error_type:
            text += f"\tError Type: {error_type}"
    return text + "\n"


def render(i: InvocationLog, form: LogFormat) -> list[LogEvent]:
    """All log events of an invocation, in order, their times never going back."""
    return list(_json(i, form) if form.log_format == "JSON" else _text(i))


def _text(i: InvocationLog) -> Iterator[LogEvent]:
    begin, end = int(i.started), int(i.started + i.duration_ms)
    own = list(_own(i, begin, end, keepends=True))
    if i.cold:
        runtime = f"Runtime Version: {i.runtime_version}\tRuntime Version ARN: {i.runtime_arn}"
        yield i.init_began, f"INIT_START {runtime}\n"
        if i.failed_before:  # what an init that failed printed is its own, not the invocation's
            yield from ((begin, message) for _, message in own)
            own = []
        if i.init_status != SUCCESS or i.initialization_type != ON_DEMAND:  # else it is not worth a line
            yield begin, _init_report(i, "init", i.init_ms, i.init_status)
    yield begin, start_line(i.request_id, i.version)
    yield from own
    if i.again and i.status == "timeout":
        yield end, _init_report(i, "invoke", i.duration_ms, i.status)
    yield end, end_line(i.request_id)
    status = i.status if i.status in ("error", "timeout") else None  # an exception leaves none in the text
    kind = i.error_type if i.status == "error" else None
    report = (
        i.request_id,
        i.duration_ms,
        i.billed_ms,
        i.memory_size,
        i.max_memory,
        i.reported_init,
        status,
        kind,
    )
    yield end, report_line(*report) + _xray_line(i.trace)


def _xray_line(trace: str) -> str:
    """What a report has of a trace."""
    if not trace:
        return ""
    root, _, segment = trace.partition(" ")
    return f"XRAY TraceId: {root}\tSegmentId: {segment}\tSampled: true\t\n"


def begins_init(message: str) -> bool:
    """Is it the first event of an init's log?"""
    return message.startswith("INIT_START") or '"type":"platform.initStart"' in message[:64]


def error_line(error_type: str, message: str, stack_trace: list[str], at: int, form: LogFormat) -> str:
    """How Lambda's runtime logs what ended an init. at: epoch ms."""
    if form.log_format != "JSON":
        return frames.framed(f"[ERROR] {error_type}: {message}", at / 1000)
    record = {
        "timestamp": iso(at)[:19] + "Z",
        "level": "ERROR",
        "errorMessage": message,
        "errorType": error_type,
        "requestId": "",
        "stackTrace": stack_trace,
    }
    return wire.encode(record).decode() + "\n"


def _init_report(i: InvocationLog, phase: str, took: float, status: str) -> str:
    text = f"INIT_REPORT Init Duration: {took:.2f} ms\tPhase: {phase}\tStatus: {status}"
    if status == "error" and i.error_type:
        text += f"\tError Type: {i.error_type}"
    return text + "\n"


def _json(i: InvocationLog, form: LogFormat) -> Iterator[LogEvent]:
    least = LEVELS.get(form.system_level, LEVELS["INFO"])
    begin, end = int(i.started), int(i.started + i.duration_ms)
    own = list(_own(i, begin, end, keepends=False))
    own = [event for event in own if _application_level(event[1]) >= LEVELS.get(form.application_level, 2)]

    def record(level: str, at: int, kind: str, body: dict[str, Any]) -> Iterator[LogEvent]:
        if LEVELS[level] >= least:
            yield at, wire.encode({"time": iso(at), "type": f"platform.{kind}", "record": body}).decode()

    if i.cold:
        yield from _json_init(i, begin, own, record)
        if i.failed_before:
            own = []
    arn = {"functionArn": i.function_arn} if i.function_arn else {}
    tracing: dict[str, Any] = {}
    if i.trace:
        root, _, segment = i.trace.partition(" ")
        value = f"Root={root};Parent={segment};Sampled=1"
        tracing = {"tracing": {"spanId": segment, "type": "X-Amzn-Trace-Id", "value": value}}
    start = {"requestId": i.request_id, **arn, "version": i.version, **tracing}
    yield from record("INFO", begin, "start", start)
    yield from own
    failed = {"errorType": i.error_type} if i.status != SUCCESS and i.error_type else {}
    level = "DEBUG" if i.status == SUCCESS else "WARN"
    metrics: dict[str, Any] = {"durationMs": round(i.duration_ms, 3), "producedBytes": i.produced_bytes}
    done = {"requestId": i.request_id, "status": i.status, **failed, "metrics": metrics, **tracing}
    yield from record(level, end, "runtimeDone", done)
    metrics = {
        "durationMs": round(i.duration_ms, 3),
        "billedDurationMs": i.billed_ms,
        "memorySizeMB": i.memory_size,
        "maxMemoryUsedMB": i.max_memory,
    }
    if i.reported_init is not None:
        metrics["initDurationMs"] = round(i.reported_init, 3)
    body = {"requestId": i.request_id, "metrics": metrics, "status": i.status, **failed, **tracing}
    yield from record("INFO" if i.status == SUCCESS else "WARN", end, "report", body)


def _json_init(i: InvocationLog, begin: int, own: list[LogEvent], record: Any) -> Iterator[LogEvent]:
    phase = {"initializationType": i.initialization_type, "phase": "init"}
    versions = {"runtimeVersion": i.runtime_version, "runtimeVersionArn": i.runtime_arn}
    function = {"functionName": i.function_name, "functionVersion": i.version}
    yield from record("INFO", i.init_began, "initStart", {**phase, **versions, **function})
    ok = i.init_status == SUCCESS
    if i.failed_before:
        yield from ((begin, message) for _, message in own)
    result: dict[str, Any] = {**phase, "status": i.init_status}
    if not ok and i.error_type:
        result["errorType"] = i.error_type
    yield from record("DEBUG" if ok else "WARN", begin, "initRuntimeDone", result)
    level = "WARN" if not ok else "DEBUG" if i.initialization_type == ON_DEMAND else "INFO"
    yield from record(level, begin, "initReport", {**result, "metrics": {"durationMs": round(i.init_ms, 3)}})


def _own(i: InvocationLog, begin: int, end: int, keepends: bool) -> Iterator[LogEvent]:
    """A function's output, an event for each record, and otherwise for each line. What says when it was logged has
    that time."""
    if not i.output:
        return
    at = begin
    whole, rest = frames.events(i.output)
    if rest:
        made, event = frames.cut_off(rest)
        whole.append((made, event if made else event + "\n"))
    for made, event in whole:
        logged = made or _logged_at(event)
        if logged is not None:
            at = min(max(at, logged), end)
        if keepends or (event := event.removesuffix("\n")):
            yield at, event


def _logged_at(line: str) -> int | None:
    if line.startswith("["):
        found = _LOGGED_AT.match(line)
        stamp = found[1] if found else None
    elif line.startswith("{"):
        stamp = _object(line).get("timestamp")
    else:
        return None
    try:
        return int(datetime.datetime.fromisoformat(stamp).timestamp() * 1000) if stamp else None
    except (ValueError, TypeError, OverflowError):  # the function's own idea of a time
        return None


def _application_level(line: str) -> int:
    """An own line's level; a line that names none is not filtered, as what Lambda's runtime did not format."""
    level = _object(line).get("level") if line.startswith("{") else None
    if not isinstance(level, str):
        return LEVELS["FATAL"]
    level = level.upper()
    return LEVELS.get(_ALIASES.get(level, level), LEVELS["INFO"])


def _object(line: str) -> dict[str, Any]:
    try:
        value = wire.decode(line.encode())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def iso(ms: int) -> str:
    """Epoch ms as "2025-01-01T00:00:00.000Z"."""
    at = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
