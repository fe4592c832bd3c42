"""The log of invocations, as Lambda would write it, made of what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .lines import InvocationLog, LogEvent, begins_init, billed, end_line, render, report_line, start_line
from .records import DeploymentInfo, InvocationRecord, Quiet


class Plain(msgspec.Struct, array_like=True, gc=False):
    """The three log events of an invocation that succeeded and wrote nothing: most of them. It is kept as it is, and
    its text is made when somebody reads it. at: epoch ms of its end; took: ns; ingested: epoch ms."""

    request_id: str
    at: float
    took: int
    version: str
    memory_size: int
    peak_kib: int
    ingested: int = 0
    stream: str = ""

    @property
    def times(self) -> tuple[int, int]:
        """Epoch ms of its first and of its last event."""
        return int(self.at - self.took / 1e6), int(self.at)

    def events(self) -> list[LogEvent]:
        begin, end = self.times
        duration = self.took / 1e6
        report = report_line(
            self.request_id, duration, billed(duration), self.memory_size, self.peak_kib // 1024
        )
        return [
            (begin, start_line(self.request_id, self.version)), (end, end_line(self.request_id)), (end, report)
        ]  # fmt: skip


def log_events(info: DeploymentInfo, records: Sequence[InvocationRecord | Quiet]) -> list[LogEvent | Plain]:
    """Of one deployment's invocations, in order."""
    out: list[LogEvent | Plain] = []
    text = info.log_format.log_format == "Text"
    for r in records:
        if text and (
            isinstance(r, Quiet) or (r.status == "success" and not r.cold and not (r.output or r.trace))
        ):
            out.append(Plain(r.request_id, r.at, r.took, info.version, info.memory_size, r.peak_kib))
        else:
            out += render(_invocation_log(info, r.record() if isinstance(r, Quiet) else r), info.log_format)
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
