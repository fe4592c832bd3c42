"""X-Amzn-Trace-Id and traceparent, each from the other."""

from __future__ import annotations

import pytest

from engine.aws import traces

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROOT = f"1-{TRACE[:8]}-{TRACE[8:]}"


@pytest.mark.promise(295)
@pytest.mark.parametrize(("flags", "sampled"), [("01", 1), ("00", 0), ("03", 1)])
def test_there_and_back(flags: str, sampled: int) -> None:
    header = traces.of_traceparent(f"00-{TRACE}-{PARENT}-{flags}")
    assert header == f"Root={ROOT};Parent={PARENT};Sampled={sampled}"
    assert traces.traceparent(header) == f"00-{TRACE}-{PARENT}-0{sampled}"


@pytest.mark.parametrize(
    "value",
    [
        "", "x", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more", f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT}",
    ],
)  # fmt: skip
def test_what_is_none(value: str) -> None:
    assert traces.of_traceparent(value) == ""


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert traces.of_traceparent(f"01-{TRACE}-{PARENT}-01-more").startswith(f"Root={ROOT}")


def test_fields() -> None:
    header = f"Root={ROOT};Parent={PARENT};Sampled=1;Lineage=a:1"
    assert traces.sampled(header) == (ROOT, PARENT)
    assert traces.sampled(f"Root={ROOT};Sampled=1") == (ROOT, "")
    assert traces.sampled(f"Root={ROOT};Parent={PARENT};Sampled=0") is None
    assert traces.sampled(f"Root={ROOT};Parent={PARENT};Sampled=10") is None
    assert traces.sampled(f"Sampled=1;Root={ROOT};Parent={PARENT}") == (ROOT, PARENT)
    assert traces.sampled("Root=mine;Sampled=1") is None
    assert traces.within(header, "ab" * 8) == f"Root={ROOT};Parent={'ab' * 8};Sampled=1;Lineage=a:1"
    assert traces.plain(header) == f"Root={ROOT};Parent={PARENT};Sampled=1"
    assert traces.traceparent("Root=mine") == ""
