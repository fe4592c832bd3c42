"""SDKs that change AWS's runtime or read from it, as they are: Sentry, X-Ray, Powertools, OpenTelemetry's layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from clients import needs_sdks, sdks_layer
from served import Served
from support import until

pytestmark = needs_sdks

Deploy = Callable[..., str]
SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration
from sentry_sdk.transport import Transport

sent = []

class Kept(Transport):
    def capture_envelope(self, envelope):
        if event := envelope.get_event():
            sent.append(event)

sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1", transport=Kept, integrations=[AwsLambdaIntegration(timeout_warning=True)]
)

def handler(event, context):
    if event == "fail":
        raise ValueError("for Sentry")
    return [[e["exception"]["values"][-1]["type"], e["extra"]["lambda"]["aws_request_id"]] for e in sent]
"""
XRAY = """
import os
from aws_xray_sdk.core import xray_recorder

emitted = []

class Emitter:
    ip, port = "127.0.0.1", 2000
    def send_entity(self, entity):
        emitted.append(entity.to_dict())
    def set_daemon_address(self, address): ...

xray_recorder.configure(emitter=Emitter())

def handler(event, context):
    with xray_recorder.in_subsegment("work"):
        pass
    return [os.environ["_X_AMZN_TRACE_ID"], emitted[-1]["trace_id"], emitted[-1]["name"], emitted[-1]["parent_id"]]
"""
POWERTOOLS = """
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

logger, tracer = Logger(service="test"), Tracer(service="test")
processor = BatchProcessor(event_type=EventType.SQS)

@tracer.capture_method
def record(record):
    if record.body == "bad":
        raise ValueError(record.body)

@logger.inject_lambda_context
@tracer.capture_lambda_handler
def handler(event, context):
    logger.info("from powertools")
    return process_partial_response(event=event, record_handler=record, processor=processor, context=context)
"""
OTEL_SCRIPT = """#!/bin/sh
export ORIG_HANDLER="$_HANDLER"
export _HANDLER="otel_wrapper.lambda_handler"
exec "$@"
"""
OTEL_WRAPPER = """
import os
from importlib import import_module
from opentelemetry import trace
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
AwsLambdaInstrumentor().instrument()
module, name = os.environ["ORIG_HANDLER"].rsplit(".", 1)
lambda_handler = getattr(import_module(module), name)
"""
OTEL = """
def handler(event, context):
    import otel_wrapper
    return [[s.name, s.attributes["faas.invocation_id"]] for s in otel_wrapper.exporter.get_finished_spans()]
"""


@pytest.fixture(scope="module")
def layers(api: Any) -> list[str]:
    return sdks_layer(api, {"python/otel_wrapper.py": OTEL_WRAPPER, "otel-instrument": OTEL_SCRIPT})


def invoke(api: Any, name: str, event: Any = None) -> Any:
    result = api.invoke(FunctionName=name, Payload=json.dumps(event))
    return json.loads(result["Payload"].read()), result["ResponseMetadata"]["RequestId"]


@pytest.mark.promise(187)
def test_sentry(api: Any, deploy: Deploy, layers: list[str]) -> None:
    name = deploy(SENTRY, Layers=layers, Timeout=30, MemorySize=256)
    failed, id = invoke(api, name, "fail")
    assert failed["errorType"] == "ValueError", failed
    assert invoke(api, name)[0] == [["ValueError", id]]


@pytest.mark.promise(187)
def test_x_ray(api: Any, deploy: Deploy, layers: list[str]) -> None:
    name = deploy(XRAY, Layers=layers, Timeout=30, MemorySize=256, TracingConfig={"Mode": "Active"})
    for _ in range(2):
        (header, trace, subsegment, parent), _ = invoke(api, name)
        root, parent_field, _, *_ = header.split(";")
        assert (f"Root={trace}", f"Parent={parent}", subsegment) == (root, parent_field, "work")


@pytest.mark.promise(187)
def test_powertools(server: Served, api: Any, deploy: Deploy, layers: list[str]) -> None:
    name = deploy(POWERTOOLS, Layers=layers, Timeout=30, MemorySize=256)
    records = [
        {"messageId": n, "receiptHandle": "r", "body": n, "attributes": {}, "messageAttributes": {},
         "md5OfBody": "", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:0:q", "awsRegion": "r"}
        for n in ("good", "bad")
    ]  # fmt: skip
    assert invoke(api, name, {"Records": records})[0] == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    logs = server.client("logs")

    def events() -> list[str]:
        try:
            page = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in page["events"]]

    found = until(lambda: (it := events()) and it[-1].startswith("REPORT") and it)
    (line,) = [json.loads(m) for m in found if "from powertools" in m]
    assert line["function_name"] == name
    own = [
        m
        for m in found
        if not m.startswith(("INIT_START", "START", "END", "REPORT")) and "powertools" not in m
    ]
    assert own == []  # no false warning


@pytest.mark.promise(187)
def test_opentelemetry_s_layer(api: Any, deploy: Deploy, layers: list[str]) -> None:
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-instrument"}}
    name = deploy(OTEL, Layers=layers, Timeout=30, MemorySize=256, Environment=variables)
    first, id = invoke(api, name)
    assert first == [], first
    (span, *more), _ = invoke(api, name)
    assert span[1] == id and not more
