"""What is asked of a trace whose documents say odd things: an answer, not an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.services.xray.documents import read
from engine.services.xray.filters import parsed
from engine.services.xray.graph import Graph
from engine.services.xray.traces import Trace

ROOT = f"1-00000000-{0:024x}"
ODD: list[dict[str, Any]] = [
    {"http": {"request": "GET", "response": 5}}, {"http": {"request": {"url": 5}, "response": {"status": True}}},
    {"cause": "abc", "fault": True}, {"cause": {"exceptions": 5}, "fault": "yes"}, {"cause": {"exceptions": [1, {}]}},
    {"annotations": {"a": None, "b": [1], "c": {"d": 1}, "": 2}}, {"aws": {"account_id": 5, "ec2": "i"}}, {"user": {}},
    {"origin": 7, "resource_arn": []}, {"namespace": []}, {"subsegments": None}, {"parent_id": "00" * 8},
]  # fmt: skip
EXPRESSIONS = (
    'fault AND http.status = 5', 'message CONTAINS "x"', "annotation.a > 1", "user", 'service("n") { error }', "ok",
    'edge("n", "m")', 'id(type: "7")', "!first OR last", "responsetime >= 0", 'http.url BEGINSWITH "h"',
)  # fmt: skip


def document(id: str, **more: Any) -> bytes:
    whole = {"id": id * 8, "trace_id": ROOT, "name": "n", "start_time": 1.0, "end_time": 2.0, **more}
    return json.dumps(read(json.dumps(whole))).encode()


@pytest.mark.promise(299)
@pytest.mark.parametrize("more", ODD, ids=lambda more: str(more)[:40])
def test_odd_documents(more: dict[str, Any]) -> None:
    part = {"id": "ab" * 8, "name": "p", "start_time": 1.0, "end_time": 1.5, "namespace": "remote", **more}
    trace = Trace(ROOT, [document("cd", **more), document("ef", subsegments=[part])])
    assert trace.summary()["Id"] == ROOT
    assert [parsed(each)(trace) in (True, False) for each in EXPRESSIONS]
    graph = Graph()
    graph.add(trace)
    assert graph.services


def test_segments_that_are_each_other_s_parents() -> None:
    trace = Trace(
        ROOT, [document("ab", parent_id="cd" * 8, fault=True), document("cd", parent_id="ab" * 8, fault=True)]
    )
    assert trace.summary()["HasFault"] and parsed("root")(trace)


@pytest.mark.parametrize(
    "expression", ["(" * 200, "!" * 500 + "ok", "a" * 2001, "annotation.x =", '"x"', "ok ok", "{"]
)
def test_what_is_no_expression(expression: str) -> None:
    if expression.endswith("ok") and "!" in expression:
        assert parsed(expression)  # however often it is turned round
        return
    with pytest.raises(Fault):
        parsed(expression)
