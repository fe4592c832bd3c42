"""Traces across functions, the bus and queues, at an OpenTelemetry receiver and in X-Ray; the SDK's own segments."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import needs_sdks, sdks_layer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from served import ROLE, RUNTIME, Served, url_id, zipped
from support import until

SOURCE = """
import json, os
def handler(event, context):
    if isinstance(event, dict) and event.get("rawPath") == "/put":
        import boto3
        boto3.client("events").put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": "{}"}])
    if event == {"fail": True}:
        raise ValueError("asked for")
    return os.environ["_X_AMZN_TRACE_ID"]
"""
XRAY = """
from aws_xray_sdk.core import xray_recorder
def handler(event, context):
    with xray_recorder.in_subsegment("## work") as part:
        part.put_annotation("customer", event["customer"])
        with xray_recorder.in_subsegment("inner"):
            pass
    return "done"
"""
FUNCTION, LAMBDA, STAGE = "AWS::Lambda::Function", "AWS::Lambda", "AWS::ApiGateway::Stage"


class Receiver:
    """An OTLP receiver: what it got, by trace id; resources by span id."""

    def __init__(self) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces":
                    receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.spans: dict[str, list[Span]] = {}
        self.resources: dict[str, dict[str, str]] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            has = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.resources[span.span_id.hex()] = has
                    self.spans.setdefault(span.trace_id.hex(), []).append(span)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def exported(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("traces") / "state", "--otlp", receiver.url)
    yield server
    assert server.stop() == 0


def made(api: Any, name: str, source: str = SOURCE, **more: Any) -> str:
    found: str = api.create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=20,
        Code={"ZipFile": zipped(**{"app.py": source})}, **more,
    )["FunctionArn"]  # fmt: skip
    return found


def opened(api: Any, name: str) -> str:
    """The path of a function's URL."""
    return f"/lambda-url/{url_id(api.create_function_url_config(FunctionName=name, AuthType='NONE')['FunctionUrl'])}"


def get(url: str, **headers: str) -> tuple[str, dict[str, str]]:
    request = urllib.request.Request(
        url, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode(), {name.lower(): value for name, value in response.headers.items()}


def root_of(header: str) -> str:
    return next(each.partition("=")[2] for each in header.split(";") if each.lower().startswith("root="))


def segments(xray: Any, id: str, *origins: str) -> list[dict[str, Any]]:
    """A trace's, once there are segments of all these origins."""

    def whole() -> list[dict[str, Any]] | None:
        traces = xray.batch_get_traces(TraceIds=[id])["Traces"]
        found = [json.loads(each["Document"]) for trace in traces for each in trace["Segments"]]
        left = [each.get("origin") for each in found]
        for origin in origins:
            if origin not in left:
                return None
            left.remove(origin)
        return found

    found: list[dict[str, Any]] = until(whole, what=f"{origins} of {id}")
    return found


def parts(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in document.get("subsegments", ())}


def invoke(api: Any, name: str, event: Any = None, trace: str = "", **more: Any) -> tuple[Any, str]:
    """What it returned, and the response's trace header."""

    def add(request: Any, **_: Any) -> None:
        if trace:
            request.headers["X-Amzn-Trace-Id"] = trace

    api.meta.events.register("before-send.lambda.Invoke", add, unique_id=name)
    try:
        found = api.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    finally:
        api.meta.events.unregister("before-send.lambda.Invoke", unique_id=name)
    payload = found["Payload"].read()
    header = found["ResponseMetadata"]["HTTPHeaders"].get("x-amzn-trace-id", "")
    return json.loads(payload) if payload else None, header


@pytest.mark.promise(294)
def test_one_request_across_functions_the_bus_and_a_queue_is_one_trace(
    exported: Served, receiver: Receiver
) -> None:
    api, events, sqs = exported.client(), exported.client("events"), exported.client("sqs")
    made(api, "first")
    made(api, "second")
    queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="orders", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="orders", Targets=[{"Id": "q", "Arn": arn}])
    api.create_event_source_mapping(FunctionName="second", EventSourceArn=arn)
    header, headers = get(f"{exported.url}{opened(api, 'first')}/put")
    root = root_of(header)
    assert headers["x-amzn-trace-id"] == f"root={root};sampled=1"

    origins = ("AWS::Events", "AWS::SQS", LAMBDA, LAMBDA, FUNCTION, FUNCTION)
    found = segments(exported.client("xray"), root, *origins)
    assert len(found) == len(origins)
    owners = {each["id"]: each for each in found}
    chain, at = [], next(each for each in found if each["origin"] == FUNCTION and each["name"] == "second")
    while True:
        chain.append((at["name"], at["origin"]))
        if "parent_id" not in at:
            break
        at = owners[at["parent_id"]]
    assert chain == [
        ("second", FUNCTION), ("second", LAMBDA), ("orders", "AWS::SQS"), ("orders", "AWS::Events"),
        ("first", FUNCTION), ("first", LAMBDA),
    ]  # fmt: skip

    id = root[2:].replace("-", "")

    def whole() -> list[Span] | None:
        spans = receiver.spans.get(id, [])
        return spans if sum(each.name == "second handler" for each in spans) else None

    spans = until(whole, what="spans of the second function")
    assert list(receiver.spans) == [id]
    names = {each.name for each in spans}
    steps = {"queue", "init", "handler"}
    assert {"orders queue", "orders delivery", "first init", "first handler"} <= names
    assert {f"second {step}" for step in steps} <= names
    ids = {each.span_id for each in spans}
    assert [each.name for each in spans if not each.parent_span_id] == ["first"]
    assert all(each.parent_span_id in ids for each in spans if each.parent_span_id)
    handler = next(each for each in spans if each.name == "second handler")
    has = receiver.resources[handler.span_id.hex()]
    assert has["faas.name"] == has["service.name"] == "second" and has["cloud.region"] == "us-east-1"
    assert has["faas.version"] == "$LATEST" and has["cloud.account.id"] == "000000000000"
    assert has["cloud.resource_id"] == "arn:aws:lambda:us-east-1:000000000000:function:second"


@pytest.mark.promise(295)
@pytest.mark.parametrize("flag", ["01", "00"])
def test_traceparent_in_and_out_of_a_function_url(
    server: Served, api: Any, xray: Any, named: str, flag: str
) -> None:
    made(api, named)
    trace, parent = f"5759e988{uuid.uuid4().hex[:24]}", "00f067aa0ba902b7"
    url = f"{server.url}{opened(api, named)}/"
    header, headers = get(url, traceparent=f"00-{trace}-{parent}-{flag}")
    root = f"1-{trace[:8]}-{trace[8:]}"
    assert root_of(header) == root and f"Sampled={int(flag)}" in header
    _, id, own, back = headers["traceparent"].split("-")
    assert (id, back) == (trace, flag) and f"Parent={own}" in header
    assert headers["x-amzn-trace-id"] == f"root={root};sampled={int(flag)}"
    if flag == "01":
        own_segment = next(
            each for each in segments(xray, root, LAMBDA, FUNCTION) if each["origin"] == LAMBDA
        )
        assert own_segment["parent_id"] == parent
    else:
        assert xray.batch_get_traces(TraceIds=[root])["UnprocessedTraceIds"] == [root]
    _, headers = get(url)
    assert "traceparent" not in headers


@pytest.mark.promise(296)
def test_who_decides_what_is_traced(api: Any, xray: Any, named: str) -> None:
    """The caller; else the function, where it is Active."""
    made(api, named)
    root, parent = f"1-5759e988-{uuid.uuid4().hex[:24]}", "53995c3f42cd8ad8"
    inside, header = invoke(api, named, None, f"Root={root};Parent={parent};Sampled=1", LogType="Tail")
    assert header == f"root={root};sampled=1"
    own, function = sorted(segments(xray, root, LAMBDA, FUNCTION), key=lambda each: str(each["origin"]))
    assert own["parent_id"] == parent and function["parent_id"] == own["id"]
    assert f"Parent={function['id']}" in inside  # so that what it causes is its own
    assert [each["name"] for each in function["subsegments"]] == ["Initialization", "Invocation", "Overhead"]
    assert own["http"] == {"response": {"status": 200}} and own["start_time"] <= function["start_time"]
    untraced, _ = invoke(api, named)
    api.update_function_configuration(FunctionName=named, TracingConfig={"Mode": "Active"})
    api.get_waiter("function_updated_v2").wait(FunctionName=named, WaiterConfig={"Delay": 0})
    refused, _ = invoke(api, named, None, f"Root=1-5759e988-{uuid.uuid4().hex[:24]};Sampled=0")
    active, header = invoke(api, named)
    assert header == f"root={root_of(active)};sampled=1"
    (own,) = (each for each in segments(xray, root_of(active), LAMBDA, FUNCTION) if each["origin"] == LAMBDA)
    assert "parent_id" not in own
    stream = api.invoke_with_response_stream(FunctionName=named)["EventStream"]
    streamed = json.loads(
        b"".join(each["PayloadChunk"]["Payload"] for each in stream if "PayloadChunk" in each)
    )
    assert segments(xray, root_of(streamed), LAMBDA, FUNCTION)
    ids = [root_of(untraced), root_of(refused)]
    assert sorted(xray.batch_get_traces(TraceIds=ids)["UnprocessedTraceIds"]) == sorted(ids)


@pytest.mark.promise(296)
def test_a_throttled_request_is_in_its_trace(api: Any, xray: Any, named: str) -> None:
    made(api, named)
    api.put_function_concurrency(FunctionName=named, ReservedConcurrentExecutions=0)
    root = f"1-5759e988-{uuid.uuid4().hex[:24]}"
    with pytest.raises(api.exceptions.TooManyRequestsException):
        invoke(api, named, None, f"Root={root};Parent=53995c3f42cd8ad8;Sampled=1")
    (own,) = segments(xray, root, LAMBDA)
    assert own["throttle"] is True and own["http"]["response"]["status"] == 429


@pytest.mark.promise(294)
def test_an_event_s_attempts_and_its_destination(
    api: Any, sqs: Any, xray: Any, named: str, name: str
) -> None:
    made(api, named)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    api.put_function_event_invoke_config(
        FunctionName=named, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    root = f"1-5759e988-{uuid.uuid4().hex[:24]}"
    invoke(api, named, {"fail": True}, f"Root={root};Sampled=1", InvocationType="Event")
    found = segments(xray, root, LAMBDA, FUNCTION, "AWS::Lambda::Destination")
    own, function, delivery = (
        next(each for each in found if each["origin"] == origin)
        for origin in (LAMBDA, FUNCTION, "AWS::Lambda::Destination")
    )
    assert own["http"]["response"]["status"] == 202
    assert list(parts(own)) == ["Dwell Time", "Attempt #1"]
    assert (
        function["parent_id"] == parts(own)["Attempt #1"]["id"] and parts(own)["Attempt #1"]["fault"] is True
    )
    assert function["fault"] is True and function["cause"]["exceptions"][0]["type"] == "ValueError"
    assert function["cause"]["exceptions"][0]["message"] == "asked for"
    assert delivery["parent_id"] == function["id"]

    def letter() -> Any:
        got = sqs.receive_message(QueueUrl=queue, MessageSystemAttributeNames=["AWSTraceHeader"])
        return got.get("Messages")

    (message,) = until(letter)
    header = message["Attributes"]["AWSTraceHeader"]
    assert root_of(header) == root and f"Parent={delivery['id']}" in header
    summaries = xray.get_trace_summaries(
        StartTime=time.time() - 600, EndTime=time.time(), FilterExpression=f'service("{named}") {{ fault }}'
    )["TraceSummaries"]
    assert [each["Id"] for each in summaries] == [root] and summaries[0]["HasFault"]


@pytest.mark.promise(294)
def test_a_topic_hands_its_trace_on(api: Any, sns: Any, xray: Any, named: str, name: str) -> None:
    function = made(api, named)
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    root = f"1-5759e988-{uuid.uuid4().hex[:24]}"

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = f"Root={root};Parent=53995c3f42cd8ad8;Sampled=1"

    sns.meta.events.register("before-send.sns.Publish", add)
    sns.publish(TopicArn=topic, Message="m")
    sns.meta.events.unregister("before-send.sns.Publish", add)
    found = segments(xray, root, "AWS::SNS", LAMBDA, FUNCTION)
    by_origin = {each["origin"]: each for each in found}
    assert by_origin["AWS::SNS"]["parent_id"] == "53995c3f42cd8ad8"
    assert by_origin[LAMBDA]["parent_id"] == by_origin["AWS::SNS"]["id"]


@pytest.mark.promise(297)
def test_a_batch_is_linked_to_its_messages_traces(
    api: Any, sqs: Any, xray: Any, named: str, name: str
) -> None:
    made(api, named)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    roots = [f"1-5759e988-{uuid.uuid4().hex[:24]}" for _ in range(3)]

    def header(n: int, root: str) -> str:
        return f"Root={root};Parent=00000000000000a{n};Sampled=1"

    entries = [
        {
            "Id": str(n), "MessageBody": "m",
            "MessageSystemAttributes": {
                "AWSTraceHeader": {"DataType": "String", "StringValue": header(n, root)}
            },
        }
        for n, root in enumerate(roots)
    ]  # fmt: skip
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    api.create_event_source_mapping(
        FunctionName=named, EventSourceArn=arn, BatchSize=10, MaximumBatchingWindowInSeconds=1
    )

    def invoked() -> Any:
        for root in roots:
            for trace in xray.batch_get_traces(TraceIds=[root])["Traces"]:
                found = [json.loads(each["Document"]) for each in trace["Segments"]]
                if any(each["origin"] == FUNCTION for each in found):
                    return root, found
        return None

    root, found = until(invoked)
    by_origin = {each["origin"]: each for each in found}
    linked = {(each["trace_id"], each["id"]) for each in by_origin[LAMBDA]["links"]}
    assert linked == {(each, f"00000000000000a{n}") for n, each in enumerate(roots) if each != root}
    assert by_origin["AWS::SQS"]["parent_id"] == f"00000000000000a{roots.index(root)}"
    assert by_origin[LAMBDA]["parent_id"] == by_origin["AWS::SQS"]["id"]
    assert "QueueTime" in parts(by_origin["AWS::SQS"])


@needs_sdks
@pytest.mark.promise(298)
def test_the_sdk_s_subsegments_are_lambda_s(api: Any, xray: Any, named: str) -> None:
    layers = sdks_layer(api, {})
    made(api, named, XRAY, Layers=layers, MemorySize=256, TracingConfig={"Mode": "Active"})
    done, header = invoke(api, named, {"customer": named})
    assert done == "done"
    root = root_of(header)

    def work() -> Any:
        found = segments(xray, root, LAMBDA, FUNCTION)
        function = next(each for each in found if each["origin"] == FUNCTION)
        return parts(function).get("## work")

    inner = parts(until(work, what="the SDK's subsegment"))["inner"]
    assert inner["end_time"] >= inner["start_time"]
    assert len(segments(xray, root, LAMBDA, FUNCTION)) == 2
    now = time.time()
    for expression in (f'annotation.customer = "{named}"', f'annotation[customer] = "{named}" AND !fault'):
        (summary,) = xray.get_trace_summaries(
            StartTime=now - 600, EndTime=now + 5, FilterExpression=expression
        )["TraceSummaries"]
        assert summary["Id"] == root
        assert summary["Annotations"]["customer"][0]["AnnotationValue"] == {"StringValue": named}


def rest_api(server: Served, name: str, arn: str, traced: bool) -> str:
    """The URL of a stage of an API whose / is the function and whose /mock is no function's."""
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    server.client().add_permission(
        FunctionName=arn, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )  # fmt: skip
    gateway = server.client("apigateway")
    id = gateway.create_rest_api(name=name)["id"]
    root = gateway.get_resources(restApiId=id)["items"][0]["id"]
    mock = gateway.create_resource(restApiId=id, parentId=root, pathPart="mock")["id"]
    for resource, integration in (
        (root, {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri}),
        (mock, {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 418}'}}),
    ):
        method = {"restApiId": id, "resourceId": resource, "httpMethod": "GET"}
        gateway.put_method(**method, authorizationType="NONE")
        gateway.put_integration(**method, **integration)
    gateway.put_method_response(**method, statusCode="418")
    gateway.put_integration_response(**method, statusCode="418")
    deployment = gateway.create_deployment(restApiId=id)["id"]
    gateway.create_stage(restApiId=id, stageName="live", deploymentId=deployment)
    changed = [{"op": "replace", "path": "/tracingEnabled", "value": json.dumps(traced)}]
    gateway.update_stage(restApiId=id, stageName="live", patchOperations=changed)
    return f"{server.url}/_aws/execute-api/{id}/live"


@pytest.mark.promise(330)
def test_a_stage_of_a_rest_api_is_in_its_trace(server: Served, api: Any, xray: Any, named: str) -> None:
    source = (
        "import os\ndef handler(event, context):\n"
        '    if event["queryStringParameters"]: raise ValueError("asked for")\n'
        '    return {"statusCode": 200, "body": os.environ["_X_AMZN_TRACE_ID"]}\n'
    )
    arn = made(api, named, source)
    url = rest_api(server, named, arn, True)
    inside, headers = get(url, user_agent="me/1")
    found = {each["origin"]: each for each in segments(xray, root_of(inside), STAGE, LAMBDA, FUNCTION)}
    stage = found[STAGE]
    id = url.split("/")[-2]
    (called,) = stage["subsegments"]
    assert stage["name"] == f"{named}/live" and "parent_id" not in stage
    assert stage["resource_arn"] == f"arn:aws:apigateway:us-east-1::/restapis/{id}/stages/live"
    assert stage["aws"]["api_gateway"] == {
        "account_id": "000000000000", "rest_api_id": id, "stage": "live", "request_id": headers["x-amzn-requestid"],
    }  # fmt: skip
    assert stage["http"]["response"] == {"status": 200, "content_length": len(inside)}
    assert stage["http"]["request"]["method"] == "GET" and stage["http"]["request"]["user_agent"] == "me/1"
    assert (called["name"], called["namespace"]) == ("Lambda", "aws") and called["aws"][
        "function_name"
    ] == named
    assert found[LAMBDA]["parent_id"] == called["id"] and found[FUNCTION]["parent_id"] == found[LAMBDA]["id"]
    assert stage["start_time"] <= called["start_time"] <= found[LAMBDA]["start_time"]
    assert called["end_time"] <= stage["end_time"]

    for path, status, flag in (("?fail=1", 502, "fault"), ("/mock", 418, "error"), ("/no", 403, "error")):
        root, parent = f"1-5759e988-{uuid.uuid4().hex[:24]}", "53995c3f42cd8ad8"
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(f"{url}{path}", X_Amzn_Trace_Id=f"Root={root};Parent={parent}")
        assert refused.value.code == status
        (stage,) = (each for each in segments(xray, root, STAGE) if each["origin"] == STAGE)
        assert stage["parent_id"] == parent and stage[flag] is True
        assert stage["http"]["response"]["status"] == status
        assert ("subsegments" in stage) == (status == 502)
    root = f"1-5759e988-{uuid.uuid4().hex[:24]}"
    get(url, X_Amzn_Trace_Id=f"Root={root};Sampled=0")
    assert xray.batch_get_traces(TraceIds=[root])["UnprocessedTraceIds"] == [root]


@pytest.mark.promise(330)
def test_a_rest_api_s_stage_is_exported(tmp_path: Path) -> None:
    """Where every trace is, its stage need not be one that traces."""
    receiver = Receiver()
    exported = Served(tmp_path / "state", "--otlp", receiver.url)
    api = exported.client()
    source = (
        'import os\ndef handler(e, c): return {"statusCode": 200, "body": os.environ["_X_AMZN_TRACE_ID"]}\n'
    )
    arn = made(api, "behind", source)
    inside, _ = get(rest_api(exported, "shop", arn, False))
    id = root_of(inside)[2:].replace("-", "")

    def whole() -> dict[str, Span] | None:
        spans = {each.name: each for each in receiver.spans.get(id, [])}
        return spans if {"shop/live", "Lambda", "behind handler"} <= spans.keys() else None

    spans = until(whole, what="spans of the stage and the function")
    stage, called = spans["shop/live"], spans["Lambda"]
    assert not stage.parent_span_id and called.parent_span_id == stage.span_id
    assert (stage.kind, called.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert receiver.resources[stage.span_id.hex()]["service.name"] == "shop/live"
    assert exported.stop() == 0
    receiver.close()
