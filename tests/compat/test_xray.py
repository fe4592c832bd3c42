"""X-Ray's own operations by boto3: segments that are put, found by expressions, added up to graphs; sampling rules."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from served import Served


def document(**more: Any) -> str:
    id = uuid.uuid4().hex
    whole = {
        "trace_id": f"1-5759e988-{id[:24]}", "id": id[16:], "name": "shop", "start_time": time.time() - 1,
        "end_time": time.time(), **more,
    }  # fmt: skip
    return json.dumps({name: value for name, value in whole.items() if value is not None})


@pytest.mark.promise(299)
def test_segments_that_are_not_taken_are_named(xray: Any) -> None:
    wrong = {
        "ParseError": "no document", "MissingId": document(id=None), "InvalidId": document(id="xyz"),
        "MissingTraceId": document(trace_id=None), "InvalidTraceId": document(trace_id="1-2-3"),
        "MissingName": document(name=None), "InvalidName": document(name="a?b"),
        "MissingStartTime": document(start_time=None), "MissingEndTime": document(end_time=None),
        "SegmentTooLarge": document(metadata={"x": "y" * 65_536}),
        "InvalidParentId": document(parent_id="p"), "MissingParentId": document(type="subsegment"),
    }  # fmt: skip
    right = document()
    result = xray.put_trace_segments(TraceSegmentDocuments=[*wrong.values(), right])
    refused = result["UnprocessedTraceSegments"]
    assert [each["ErrorCode"] for each in refused] == list(wrong)
    assert refused[1]["Message"] == "Invalid segment. ErrorCode: MissingId"
    root = json.loads(right)["trace_id"]
    assert xray.batch_get_traces(TraceIds=[root])["Traces"][0]["Id"] == root
    with pytest.raises(xray.exceptions.InvalidRequestException):
        xray.put_trace_segments(TraceSegmentDocuments=[right] * 51)
    with pytest.raises(xray.exceptions.InvalidRequestException):
        xray.batch_get_traces(TraceIds=[f"1-5759e988-{n:024x}" for n in range(6)])
    xray.put_telemetry_records(TelemetryRecords=[{"Timestamp": time.time(), "SegmentsSentCount": 1}])


@pytest.mark.promise(299)
def test_traces_are_found_and_add_up_to_a_graph(server: Served, name: str) -> None:
    xray = server.client("xray", region="eu-west-1")  # where nobody else is
    now = time.time()
    for n in range(130):
        trace, front = f"1-5759e988-{uuid.uuid4().hex[:24]}", uuid.uuid4().hex[16:]
        http = {
            "request": {"method": "GET", "url": f"http://{name}/{n}"},
            "response": {"status": 200 + n % 2 * 300},
        }
        bad = {"fault": True} if n % 2 else {}
        call = {
            "id": "ab" * 8,
            "name": "DynamoDB",
            "namespace": "aws",
            "start_time": now - 5,
            "end_time": now - 4,
        }
        one = document(
            trace_id=trace,
            id=front,
            name=f"{name}-front",
            http=http,
            start_time=now - 10,
            end_time=now - n % 5,
            **bad,
        )
        two = document(
            trace_id=trace, parent_id=front, name=f"{name}-back", subsegments=[call], user=f"u{n % 3}"
        )
        assert xray.put_trace_segments(TraceSegmentDocuments=[one, two])["UnprocessedTraceSegments"] == []

    def found(expression: str) -> list[dict[str, Any]]:
        more: dict[str, Any] = {}
        whole: list[dict[str, Any]] = []
        while True:
            page = xray.get_trace_summaries(
                StartTime=now - 60, EndTime=now + 60, FilterExpression=expression, **more
            )
            whole += page["TraceSummaries"]
            if "NextToken" not in page:
                assert len({each["Id"] for each in whole}) == len(whole)
                return whole
            more = {"NextToken": page["NextToken"]}

    mine = f'service("{name}-front")'
    assert len(found(mine)) == 130
    assert len(found(f"{mine} AND fault")) == len(found(f"{mine} {{ fault = true }}")) == 65
    assert len(found(f"{mine} AND http.status = 500")) == 65 and len(found(f"{mine} AND NOT ok")) == 65
    assert len(found(f'http.url CONTAINS "{name}/12"')) == 11  # 12, and 120 to 129
    assert len(found(f"{mine} AND responsetime <= 6")) == 26
    assert len(found(f'edge("{name}-front", "{name}-back") AND user = "u1"')) == 43
    assert len(found(f'service(id(name: "DynamoDB", type: "AWS::DynamoDB")) AND ({mine} OR fault)')) == 130
    summary = found(f'http.url ENDSWITH "/0" AND {mine}')[0]
    assert summary["Http"] == {"HttpMethod": "GET", "HttpURL": f"http://{name}/0", "HttpStatus": 200}
    assert summary["EntryPoint"]["Name"] == f"{name}-front" and summary["ResponseTime"] == 10.0
    for wrong in (
        "fault AND",
        "nothing = 1",
        "responsetime > 'x'",
        "service(1)",
        "((fault)",
        "annotation[",
        "x" * 3000,
    ):
        with pytest.raises(xray.exceptions.InvalidRequestException):
            found(wrong)
    graph = {
        each["Name"]: each
        for each in xray.get_service_graph(StartTime=now - 60, EndTime=now + 60)["Services"]
        if each.get("Type") != "client"
    }
    front, back = graph[f"{name}-front"], graph[f"{name}-back"]
    assert front["Root"] and front["SummaryStatistics"]["TotalCount"] == 130
    assert front["SummaryStatistics"]["FaultStatistics"]["TotalCount"] == 65
    assert [edge["ReferenceId"] for edge in front["Edges"]] == [back["ReferenceId"]]
    assert [edge["ReferenceId"] for edge in back["Edges"]] == [graph["DynamoDB"]["ReferenceId"]]
    trace = xray.get_trace_graph(TraceIds=[summary["Id"]])["Services"]
    assert {each["Name"] for each in trace} == {f"{name}-front", f"{name}-back", "DynamoDB"}
    elsewhere = server.client("xray", region="eu-north-1")
    assert elsewhere.batch_get_traces(TraceIds=[summary["Id"]])["UnprocessedTraceIds"] == [summary["Id"]]


@pytest.mark.promise(299)
def test_sampling_rules_groups_and_what_is_refused(xray: Any, name: str) -> None:
    (default,) = (each["SamplingRule"] for each in xray.get_sampling_rules()["SamplingRuleRecords"])
    assert (default["RuleName"], default["FixedRate"], default["ReservoirSize"]) == ("Default", 0.05, 1)
    rule = {
        "RuleName": name, "ResourceARN": "*", "Priority": 5, "FixedRate": 0.5, "ReservoirSize": 3, "ServiceName": "*",
        "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
    }  # fmt: skip
    xray.create_sampling_rule(SamplingRule=rule)
    with pytest.raises(xray.exceptions.InvalidRequestException):
        xray.create_sampling_rule(SamplingRule=rule)
    xray.update_sampling_rule(SamplingRuleUpdate={"RuleName": name, "FixedRate": 1.0})
    rules = [each["SamplingRule"]["RuleName"] for each in xray.get_sampling_rules()["SamplingRuleRecords"]]
    assert rules == [name, "Default"]
    statistics = {"ClientID": "a" * 24, "Timestamp": time.time(), "RequestCount": 1, "SampledCount": 1}
    result = xray.get_sampling_targets(
        SamplingStatisticsDocuments=[{"RuleName": each, **statistics} for each in (name, "none")]
    )
    (target,) = result["SamplingTargetDocuments"]
    assert (target["FixedRate"], target["ReservoirQuota"], target["Interval"]) == (1.0, 3, 10)
    assert [each["RuleName"] for each in result["UnprocessedStatistics"]] == ["none"]
    xray.delete_sampling_rule(RuleName=name)
    with pytest.raises(xray.exceptions.InvalidRequestException):
        xray.delete_sampling_rule(RuleName="Default")
    assert [each["GroupName"] for each in xray.get_groups()["Groups"]] == ["Default"]
    for refused in (
        lambda: xray.create_group(GroupName="g"),
        lambda: xray.start_trace_retrieval(TraceIds=["1"], StartTime=0, EndTime=1),
        lambda: xray.get_insight_summaries(StartTime=0, EndTime=1),
    ):
        with pytest.raises(xray.exceptions.InvalidRequestException, match="not served by this endpoint"):
            refused()
