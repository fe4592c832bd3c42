"""Metrics by OTLP: what a receiver gets, parsed by OpenTelemetry's own protobuf, is what CloudWatch's API has."""

from __future__ import annotations

import gzip
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA
from served import ECHO, ROLE, RUNTIME, Served, zipped
from support import until


class Receiver(ThreadingHTTPServer):
    """Refuses the first request, as one that is not up yet would."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refused = False
        self.requests: list[ExportMetricsServiceRequest] = []

    def metrics(self) -> Iterator[tuple[Any, Any, Any]]:
        """Resource, scope and metric of all that came."""
        for request in list(self.requests):
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield resource.resource, scope.scope, metric

    def sums(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """What a metric's points add up to, by their attributes; of a histogram, its count."""
        found: dict[frozenset[tuple[str, str]], float] = defaultdict(float)
        for _, _, metric in self.metrics():
            if metric.name == name:
                data = metric.sum if metric.HasField("sum") else metric.histogram
                assert data.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
                for point in data.data_points:
                    key = frozenset((each.key, each.value.string_value) for each in point.attributes)
                    found[key] += point.as_double if metric.HasField("sum") else point.count
        return dict(found)


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.refused:
            self.server.refused = True
            self.send_response(400)
        else:
            assert self.path == "/v1/metrics" and self.headers["content-type"] == "application/x-protobuf"
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            self.server.requests.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.promise(262)
def test_metrics_go_to_a_receiver(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the unit, though the first request is refused and the last one comes when the server ends."""
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
    server = Served(tmp_path / "state", "--otlp", f"http://127.0.0.1:{receiver.server_port}")
    client, cloudwatch = server.client(), server.client("cloudwatch")
    code = {"ZipFile": zipped(**{"app.py": ECHO})}
    client.create_function(FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code)
    for _ in range(3):
        client.invoke(FunctionName="f", Payload=b"{}")
    cloudwatch.put_metric_data(
        Namespace="Own", MetricData=[{"MetricName": "m", "Values": [1, 5], "Unit": "Bytes"}]
    )
    of = {"Namespace": "AWS/Lambda", "MetricName": "Invocations"}
    function = frozenset({**of, "FunctionName": "f"}.items())
    invocations = "amazonaws.com/AWS/Lambda/Invocations"
    until(lambda: receiver.sums(invocations).get(function) == 3, 60, "three invocations")
    for _ in range(2):
        client.invoke(FunctionName="f", Payload=b"{}")
    assert server.stop() == 0
    assert receiver.sums(invocations)[function] == receiver.sums(invocations)[frozenset(of.items())] == 5
    assert receiver.sums("amazonaws.com/AWS/Lambda/Duration")[function - set(of.items())
        | {("Namespace", "AWS/Lambda"), ("MetricName", "Duration")}] == 5  # fmt: skip
    assert list(receiver.sums("amazonaws.com/Own/m").values()) == [2]
    for resource, scope, metric in receiver.metrics():
        attributes = {each.key: each.value.string_value for each in resource.attributes}
        assert attributes["cloud.region"] == "us-east-1" and attributes["cloud.account.id"] == "000000000000"
        assert metric.name.startswith(f"amazonaws.com/{scope.name}/")
        if metric.name.endswith("/Duration"):
            assert metric.unit == "ms" and metric.HasField("histogram")
            for point in metric.histogram.data_points:
                assert sum(point.bucket_counts) == point.count and len(point.explicit_bounds) == 17
                assert point.min <= point.sum / point.count <= point.max
        if metric.name.endswith("Invocations"):
            assert metric.unit == "{Count}" and metric.sum.is_monotonic


def test_an_otlp_address_is_a_url(capfd: pytest.CaptureFixture[str]) -> None:
    from engine.cli.main import main

    assert main(["serve", "--otlp", "localhost:4318"]) == 2
    assert "a URL, as http://127.0.0.1:4318" in capfd.readouterr().err
