"""The log of invocations, as Lambda would write it, made of what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence

from .lines import InvocationLog, LogEvent, begins_init, billed, end_line, render, report_line, start_line
from .records import DeploymentInfo, InvocationRecord


def log_events(info: DeploymentInfo, records: Sequence[InvocationRecord]) -> list[LogEvent]:
    """Of one deployment's invocations, in order."""
    out: list[LogEvent] = []
    plain = info.log_format.log_format == "Text"
    for r in records:
        if (
            plain and r.status == "success" and not r.cold and not (r.output or r.trace)
        ):  # most of them: without detours
            duration, end = r.took / 1e6, int(r.at)
            memory = r.peak_kib // 1024
            out.append((int(r.at - duration), start_line(r.request_id, info.version)))
            out.append((end, end_line(r.request_id)))
            out.append((end, report_line(r.request_id, duration, billed(duration), info.memory_size, memory)))
        else:
            out += render(_invocation_log(info, r), info.log_format)
    return out


def tail(info: DeploymentInfo, r: InvocationRecord, limit: int) -> bytes:
    """The last bytes of an invocation's log; an init before it is no part of that."""
    messages = [m for _, m in render(_invocation_log(info, r), info.log_format) if not begins_init(m)]
    text = "".join(m if m.endswith("\n") else m + "\n" for m in messages)
    return text.encode("utf-8", "backslashreplace")[-limit:]


def _invocation_log(info: DeploymentInfo, r: InvocationRecord) -> InvocationLog:
    duration = r.took / 1e6
    return InvocationLog(
        request_id=r.request_id,
        version=info.version,
        started=r.at - duration,
        duration_ms=duration,
        memory_size=info.memory_size,
        max_memory=r.peak_kib // 1024,
        status=r.status,
        error_type=r.error_type or None,
        cold=r.cold,
        init_ms=r.init_ms,
        init_status=r.init_status,
        init_at=r.init_at,
        again=r.again,
        initialization_type=info.initialization,
        output=r.output,
        produced_bytes=r.produced,
        function_name=info.function_name,
        function_arn=info.function_arn,
        runtime=info.runtime,
        runtime_arn=info.runtime_arn,
        trace=r.trace,
    )
