"""What is kept of an invocation for its log: little, and quick to make. The log's text is made of it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .._native import lib
from ..calls.dispatch import FunctionEntry, Outcome
from .lines import Format, Invocation, LogEvent, begins_init, billed, end_line, lines, report_line, start_line
from .report import error_type, init_seconds, peak_kib

_STATUS = {
    lib.STK_OK: "success",
    lib.STK_TIMEOUT: "timeout",
    lib.STK_FAULT: "failure",
    lib.STK_BAD_EVENT: "failure",
}
_OK: int = lib.STK_OK


class About(msgspec.Struct, array_like=True, frozen=True):
    """What all invocations of one deployment have in common."""

    group: str
    stream: str
    function_name: str
    function_arn: str
    version: str
    memory_size: int
    runtime: str
    runtime_arn: str
    form: Format


class Ended(msgspec.Struct, array_like=True, gc=False):
    """One invocation. at: epoch ms of its end; took: ns in the handler."""

    request_id: str
    at: float
    took: int
    peak_kib: int
    status: str = "success"
    error_type: str = ""
    output: str = ""
    produced: int = 0
    cold: bool = False
    init_ms: float = 0.0
    init_status: str = "success"
    init_at: float = 0.0  # epoch ms, 0 where it is not known


def about(record: Mapping[str, Any], group: str, stream: str) -> About:
    """Of a version's record."""
    said = record.get("LoggingConfig", {})
    form = Format(
        said.get("LogFormat", "Text"),
        said.get("ApplicationLogLevel", "INFO"),
        said.get("SystemLogLevel", "INFO"),
    )
    return About(
        group, stream, record["FunctionName"], record["FunctionArn"], record["Version"], record["MemorySize"],
        record.get("Runtime", ""), record.get("RuntimeVersionConfig", {}).get("RuntimeVersionArn", ""), form,
    )  # fmt: skip


def ended(entry: FunctionEntry, o: Outcome, at: float) -> Ended:
    """at: epoch ms."""
    if o.status == _OK and not o.cold:
        return Ended(o.request_id, at, o.ended - o.started, o.peak_kib, "success", "", o.log, len(o.data))
    started = o.started or o.done
    return Ended(
        o.request_id, at, max(0, (o.ended or o.done) - started), peak_kib(o), _STATUS.get(o.status, "error"),
        error_type(entry, o) or "", o.log, len(o.data), o.cold,
        init_seconds(entry, o) * 1e3 if o.cold else 0.0, "error" if o.status == lib.STK_INIT else "success",
    )  # fmt: skip


def events(about: About, some: Sequence[Ended]) -> list[LogEvent]:
    """Their log, as Lambda would write it."""
    out: list[LogEvent] = []
    plain = about.form.log_format == "Text"
    for e in some:
        if plain and e.status == "success" and not e.cold and not e.output:  # most of them: without detours
            duration, end = e.took / 1e6, int(e.at)
            report = report_line(
                e.request_id, duration, billed(duration), about.memory_size, e.peak_kib // 1024
            )
            out.append((int(e.at - duration), start_line(e.request_id, about.version)))
            out.append((end, end_line(e.request_id)))
            out.append((end, report))
        else:
            out += lines(_invocation(about, e), about.form)
    return out


def tail(about: About, e: Ended, limit: int) -> bytes:
    """The last bytes of an invocation's log; an init before it is no part of that."""
    said = [m for _, m in lines(_invocation(about, e), about.form) if not begins_init(m)]
    text = "".join(m if m.endswith("\n") else m + "\n" for m in said)
    return text.encode("utf-8", "backslashreplace")[-limit:]


def _invocation(about: About, e: Ended) -> Invocation:
    duration = e.took / 1e6
    return Invocation(
        request_id=e.request_id,
        version=about.version,
        started=e.at - duration,
        duration_ms=duration,
        memory_size=about.memory_size,
        max_memory=e.peak_kib // 1024,
        status=e.status,
        error_type=e.error_type or None,
        cold=e.cold,
        init_ms=e.init_ms,
        init_status=e.init_status,
        init_at=e.init_at,
        output=e.output,
        produced_bytes=e.produced,
        function_name=about.function_name,
        function_arn=about.function_arn,
        runtime=about.runtime,
        runtime_arn=about.runtime_arn,
    )
