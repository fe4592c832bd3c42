"""What Lambda writes around an invocation: text as AWS prints it, JSON by level, times that never go back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from engine._native import lib
from hypothesis import given
from hypothesis import strategies as st

from engine.calls.dispatch import FunctionEntry, Outcome
from engine.frames import framed
from engine.observe.lines import InvocationLog, LogFormat, billed, error_line, render
from engine.observe.log import tail
from engine.observe.records import InvocationRecord, deployment_info, invocation_record

AT = 1_735_689_600_000  # 2025-01-01T00:00:00Z
WARM = InvocationLog(
    "RID", "$LATEST", AT, 3.01, 128, 36, function_name="f", runtime="python3.13", runtime_arn="arn:r"
)
COLD = replace(WARM, cold=True, init_ms=110.1)
TEXT = LogFormat()


def messages(i: InvocationLog, form: LogFormat = TEXT) -> list[str]:
    return [message for _, message in render(i, form)]


def records(i: InvocationLog, level: str = "DEBUG") -> dict[str, Any]:
    parsed = [json.loads(m) for m in messages(i, LogFormat("JSON", system_level=level))]
    return {p["type"].removeprefix("platform."): p["record"] for p in parsed if "type" in p}


class TestText:
    def test_a_warm_one(self) -> None:
        assert messages(replace(WARM, output="one\ntwo\n")) == [
            "START RequestId: RID Version: $LATEST\n",
            "one\n",
            "two\n",
            "END RequestId: RID\n",
            "REPORT RequestId: RID\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t"
            "Max Memory Used: 36 MB\t\n",
        ]

    def test_a_cold_one(self) -> None:
        first, start, *_, last = render(COLD, TEXT)
        assert first == (
            AT - 111,
            "INIT_START Runtime Version: python:3.13\tRuntime Version ARN: arn:r\n",
        )
        assert start[1].startswith("START ")
        assert "Billed Duration: 114 ms" in last[1]
        assert last[1].endswith("\tInit Duration: 110.10 ms\t\n")

    def test_an_init_begins_when_it_began(self) -> None:
        """What it printed meanwhile comes behind its first line."""
        at, message = render(replace(COLD, init_at=AT - 500.7), TEXT)[0]
        assert (at, message[:10]) == (AT - 501, "INIT_START")

    def test_the_bill_includes_the_init(self) -> None:
        """As recorded in August 2025: 133.61 and 80.00 make 214."""
        assert replace(COLD, duration_ms=133.61, init_ms=80.0).billed_ms == 214
        assert [billed(t) for t in (0, 0.01, 1, 1.0001, 0.003 * 1e3)] == [1, 1, 1, 2, 3]

    def test_ends(self) -> None:
        timeout = replace(WARM, status="timeout", error_type="Sandbox.Timedout")
        assert messages(timeout)[-1].endswith("Max Memory Used: 36 MB\tStatus: timeout\n")
        oom = replace(WARM, status="error", error_type="Runtime.OutOfMemory")
        assert messages(oom)[-1].endswith("36 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n")
        assert messages(replace(WARM, status="failure", error_type="E"))[-1].endswith("36 MB\t\n")

    def test_an_init_that_failed(self) -> None:
        failed = replace(
            COLD, init_ms=229.04, init_status="error", status="error",
            error_type="Runtime.ImportModuleError", output="[ERROR] no\n",
        )  # fmt: skip
        kinds = [m.split()[0] for m in messages(failed)]
        assert kinds == ["INIT_START", "[ERROR]", "INIT_REPORT", "START", "END", "REPORT"]
        assert messages(failed)[2] == (
            "INIT_REPORT Init Duration: 229.04 ms\tPhase: init\tStatus: error\t"
            "Error Type: Runtime.ImportModuleError\n"
        )

    def test_provisioned_inits_are_reported(self) -> None:
        i = replace(COLD, initialization_type="provisioned-concurrency")
        assert "INIT_REPORT Init Duration: 110.10 ms\tPhase: init\tStatus: success\n" in messages(i)
        assert "Init Duration" not in messages(i)[-1]

    def test_a_record_is_one_event_and_has_its_time(self) -> None:
        record = framed("[ERROR] T: a\nTraceback\n\u00a0x", (AT + 2) / 1000)
        i = replace(WARM, output=f"be\nfore{record}{record}next")
        assert [message for _, message in render(i, TEXT)][1:-2] == [
            "be\n", "fore", *["[ERROR] T: a\nTraceback\n\u00a0x"] * 2, "next\n",
        ]  # fmt: skip
        assert [at - AT for at, _ in render(i, TEXT)][1:6] == [0, 0, 2, 2, 2]

    def test_a_record_that_was_cut_off_is_what_there_is_of_it(self) -> None:
        i = replace(WARM, output="before\n" + framed("one\ntwo", AT / 1000)[:-3])
        assert messages(i)[1:-2] == ["before\n", "one\nt"]

    def test_what_only_looks_like_a_record_is_shown(self) -> None:
        i = replace(WARM, output="a\ufdd0b\ufdd2c\nd\n\ufdd0" + "9" * 20 + "\ufdd1e\ufdd2\n")
        assert messages(i)[1:-2] == ["a", "b", "c\n", "d\n", "e", "\n"]

    def test_a_logged_line_has_its_own_time(self) -> None:
        logged = "[INFO]\t2025-01-01T00:00:00.020Z\tRID\tm"
        late = "[INFO]\t2026-01-01T00:00:00.000Z\tRID\tm"
        i = replace(WARM, duration_ms=50.0, output=f"before\n{logged}\nafter\n{late}\n")
        assert [t - AT for t, _ in render(i, TEXT)] == [0, 0, 20, 20, 50, 50, 50]


class TestJson:
    def test_levels(self) -> None:
        assert list(records(COLD, "DEBUG")) == [
            "initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report",
        ]  # fmt: skip
        assert list(records(COLD, "INFO")) == ["initStart", "start", "report"]
        assert list(records(COLD, "WARN")) == []
        failed = replace(COLD, status="timeout", init_status="error")
        assert list(records(failed, "WARN")) == ["initRuntimeDone", "initReport", "runtimeDone", "report"]

    def test_the_report(self) -> None:
        assert records(COLD)["report"] == {
            "requestId": "RID",
            "metrics": {
                "durationMs": 3.01, "billedDurationMs": 114, "memorySizeMB": 128, "maxMemoryUsedMB": 36,
                "initDurationMs": 110.1,
            },
            "status": "success",
        }  # fmt: skip
        failed = records(replace(WARM, status="failure", error_type="ValueError"))
        assert (failed["report"]["status"], failed["report"]["errorType"]) == ("failure", "ValueError")
        assert failed["runtimeDone"]["errorType"] == "ValueError"

    def test_the_start_as_recorded(self) -> None:
        line = messages(replace(WARM, function_arn="arn:f"), LogFormat("JSON"))[0]
        assert line == (
            '{"time":"2025-01-01T00:00:00.000Z","type":"platform.start",'
            '"record":{"requestId":"RID","functionArn":"arn:f","version":"$LATEST"}}'
        )

    def test_own_lines_are_as_they_were_and_filtered_by_level(self) -> None:
        own = [
            '{"level":"DEBUG"}',
            '{"level":"WARNING"}',
            '{"level":"ERROR"}',
            "plain",
            "{broken",
            "[1]",
            '{"a":1}',
        ]
        i = replace(WARM, output="\n".join(own) + "\n\n")
        form = LogFormat("JSON", application_level="ERROR", system_level="WARN")
        assert messages(i, form) == own[2:]


@given(
    st.text(),
    st.floats(0, 1e6),
    st.sampled_from(["success", "failure", "error", "timeout"]),
    st.booleans(),
    st.sampled_from(["Text", "JSON"]),
)
def test_times_never_go_back_and_nothing_is_empty(
    output: str, duration: float, status: str, cold: bool, form: str
) -> None:
    i = replace(COLD, output=output, duration_ms=duration, status=status, cold=cold)
    events = render(i, LogFormat(form, "TRACE", "DEBUG"))
    assert [t for t, _ in events] == sorted(t for t, _ in events)
    assert all(message for _, message in events)
    if form == "Text":
        body = "".join(m for _, m in events)
        assert output in body


@pytest.mark.parametrize(
    ("status", "data", "expected"),
    [
        (lib.STK_OK, b"1", ("success", None)),
        (lib.STK_FAULT, b'{"errorType":"KeyError","errorMessage":"m"}', ("failure", "KeyError")),
        (lib.STK_TIMEOUT, b"", ("timeout", None)),
        (lib.STK_CRASH, b"", ("error", "Runtime.ExitError")),
        (lib.STK_MEMORY, b"", ("error", "Runtime.OutOfMemory")),
        (lib.STK_INIT, b'{"errorType":"Runtime.ImportModuleError","errorMessage":"m"}',
         ("error", "Runtime.ImportModuleError")),
    ],
)  # fmt: skip
def test_of_an_outcome(status: int, data: bytes, expected: tuple[str, str | None]) -> None:
    o = Outcome(
        status, 0, data, "log\n", 0, "RID", 100, 200, 1_000_300, 4_010_300, 4_010_500, 36 * 1024, True
    )
    i = invocation_record(FunctionEntry(0, "f", 3.0, False, 128, "7", 0.1101), o, AT)
    assert (i.status, i.error_type or None) == expected
    assert (i.peak_kib, i.output, i.produced) == (36 * 1024, "log\n", len(data))
    assert (i.took, i.init_ms) == (3_010_000, pytest.approx(110.1))
    assert i.at == AT
    assert (i.init_status == "error") == (status == lib.STK_INIT)


@pytest.mark.parametrize("form", ["Text", "JSON"])
def test_the_tail_is_the_invocation_s_own(form: str) -> None:
    record = {
        "FunctionName": "f", "FunctionArn": "arn:f", "Version": "7", "MemorySize": 128,
        "LoggingConfig": {"LogFormat": form},
    }  # fmt: skip
    done = InvocationRecord("RID", AT, 3_010_000, 36 * 1024, output="a word\n", cold=True, init_ms=9.0)
    first, second, *_ = (
        tail(deployment_info(record, "eu-west-1", "111111111111", "g", "s"), done, 4096).decode().splitlines()
    )
    assert "RID" in first and ("START " in first or "platform.start" in first)
    assert second == "a word"


def test_a_trace_is_in_the_report() -> None:
    i = replace(WARM, trace="1-5759e988-bd862e3fe1be46a994272793 53995c3f42cd8ad8")
    assert messages(i)[-1].endswith(
        "\nXRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t\n"
    )
    tracing = {
        "spanId": "53995c3f42cd8ad8", "type": "X-Amzn-Trace-Id",
        "value": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    }  # fmt: skip
    events = [json.loads(message) for _, message in render(i, LogFormat("JSON", "TRACE", "DEBUG"))]
    kinds = [each["type"] for each in events if each["record"].get("tracing") == tracing]
    assert kinds == ["platform.start", "platform.runtimeDone", "platform.report"]


def test_how_an_init_fails() -> None:
    error = ("Runtime.ImportModuleError", "no module", ["  File x"], AT)
    assert error_line(*error, TEXT) == framed("[ERROR] Runtime.ImportModuleError: no module", error[3] / 1000)
    assert json.loads(error_line(*error, LogFormat("JSON"))) == {
        "timestamp": "2025-01-01T00:00:00Z",
        "level": "ERROR",
        "errorMessage": "no module",
        "errorType": "Runtime.ImportModuleError",
        "requestId": "",
        "stackTrace": ["  File x"],
    }
