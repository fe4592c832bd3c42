"""What is kept of an invocation, for its log and its counters: little, quick to make. Log text is made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .._native import lib
from ..calls.dispatch import FunctionEntry, Outcome
from .lines import ON_DEMAND, LogFormat
from .report import error_type, init_seconds, peak_kib

_STATUS = {
    lib.STK_OK: "success",
    lib.STK_TIMEOUT: "timeout",
    lib.STK_FAULT: "failure",
    lib.STK_BAD_EVENT: "failure",
}
_OK: int = lib.STK_OK


class DeploymentInfo(msgspec.Struct, array_like=True, frozen=True):
    """What all invocations of one deployment have in common."""

    region: str
    account: str
    log_group: str  # "": it did not get so far as to have a log
    log_stream: str  # its first worker's
    function_name: str
    function_arn: str
    version: str
    memory_size: int
    runtime: str
    runtime_arn: str
    log_format: LogFormat
    initialization: str = ON_DEMAND


class InvocationRecord(msgspec.Struct, tag=0, array_like=True, gc=False):
    """One invocation that ended. at: epoch ms of its end; took: ns in the handler."""

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
    born: int = 0  # of its worker: wire.log_stream
    again: bool = False  # the init had taken too long, and was done once more within this
    alias: str = ""  # the ARN of the one that it was invoked by
    provisioned: int = 0  # of a version with provisioned concurrency: functions.py has what it found
    deployment: int = 0  # its number in the journal
    trace: str = ""  # of one that is traced: the trace's id and its segment's, with a blank between


class Quiet(msgspec.Struct, tag=6, array_like=True, gc=False):
    """One that succeeded, was not the first of its worker and wrote nothing, as most: what there is to say of it, as
    native code writes it (native/http/respond.c)."""

    request_id: str
    at: float
    took: int
    peak_kib: int
    produced: int
    born: int
    deployment: int

    def record(self) -> InvocationRecord:
        return InvocationRecord(
            self.request_id, self.at, self.took, self.peak_kib,
            produced=self.produced, born=self.born, deployment=self.deployment,
        )  # fmt: skip


class FunctionOutput(msgspec.Struct, tag=3, array_like=True):
    """Output of a function that belongs to no invocation."""

    region: str
    account: str
    log_group: str
    log_stream: str
    at: int  # epoch ms
    text: str


def deployment_info(
    record: Mapping[str, Any],
    region: str,
    account: str,
    log_group: str = "",
    log_stream: str = "",
    initialization: str = ON_DEMAND,
) -> DeploymentInfo:
    """Of a version's record."""
    logging = record.get("LoggingConfig", {})
    log_format = LogFormat(
        logging.get("LogFormat", "Text"),
        logging.get("ApplicationLogLevel", "INFO"),
        logging.get("SystemLogLevel", "INFO"),
    )
    return DeploymentInfo(
        region, account, log_group, log_stream, record["FunctionName"], record["FunctionArn"], record["Version"],
        record["MemorySize"], record.get("Runtime", ""),
        record.get("RuntimeVersionConfig", {}).get("RuntimeVersionArn", ""), log_format, initialization,
    )  # fmt: skip


def invocation_record(entry: FunctionEntry, o: Outcome, at: float) -> InvocationRecord:
    """at: epoch ms."""
    if o.status == _OK and not o.cold:
        return InvocationRecord(
            o.request_id,
            at,
            o.ended - o.started + o.again,
            o.peak_kib,
            "success",
            "",
            o.log,
            len(o.data),
            born=o.born,
        )
    started = o.started or o.done
    return InvocationRecord(
        o.request_id, at, max(0, (o.ended or o.done) - started) + o.again, peak_kib(o), _STATUS.get(o.status, "error"),
        error_type(entry, o) or "", o.log, len(o.data), o.cold,
        init_seconds(entry, o) * 1e3 if o.cold else 0.0, "error" if o.status == lib.STK_INIT else "success",
        born=o.born,
    )  # fmt: skip
