"""Metrics against what callers saw; Prometheus' exposition; `stoker top` and `stoker metrics`."""

from __future__ import annotations

import datetime
import http.client
import json
import random
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import ROLE, RUNTIME, Run, Served, zipped
from support import until

HANDLER = """
import os, signal, time

def handler(event, context):
    what = event["do"]
    if what == "raise":
        raise ValueError("no")
    if what == "exit":
        os._exit(3)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "late":
        time.sleep(60)
    return what
"""
WAYS = {
    "ok": 200,
    "raise": 40,
    "exit": 6,
    "kill": 6,
    "late": 1,
    "throttled": 40,
    "event": 60,
    "failing event": 40,
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("metrics") / "state")
    client, sqs = server.client(), server.client("sqs")
    queue = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for name, more in {"f": {}, "none": {}, "dead": {"DeadLetterConfig": {"TargetArn": arn}}}.items():
        client.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=1,
            Code={"ZipFile": zipped(**{"app.py": HANDLER})}, **more,
        )  # fmt: skip
    client.put_function_concurrency(FunctionName="none", ReservedConcurrentExecutions=0)
    client.put_function_event_invoke_config(FunctionName="dead", MaximumRetryAttempts=0)
    yield server
    assert server.stop() == 0


def post(
    connection: http.client.HTTPConnection, name: str, event: Any, kind: str = "RequestResponse"
) -> tuple[int, str]:
    """Status, and whether the function failed."""
    headers = {"X-Amz-Invocation-Type": kind}
    connection.request("POST", f"/2015-03-31/functions/{name}/invocations", json.dumps(event), headers)
    response = connection.getresponse()
    response.read()
    return response.status, response.headers.get("X-Amz-Function-Error") or ""


def callers(server: Served, number: int, threads: int = 4) -> Counter[str]:
    """So many invocations of all kinds; what became of them."""
    at, seen, lock = urlsplit(server.url), Counter[str](), threading.Lock()

    def call(seed: int) -> None:
        random_ = random.Random(seed)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
        own = Counter[str]()
        for way in random_.choices(list(WAYS), list(WAYS.values()), k=number // threads):
            if "event" in way:
                status, _ = post(connection, "dead", {"do": "raise" if "failing" in way else "ok"}, "Event")
                own[way if status == 202 else f"{way}: {status}"] += 1
            elif way == "throttled":
                status, _ = post(connection, "none", {"do": "ok"})
                own["throttled" if status == 429 else f"{way}: {status}"] += 1
            else:
                status, failed = post(connection, "f", {"do": way})
                own[("failed" if failed else "ok") if status == 200 else f"{way}: {status}"] += 1
        connection.close()
        with lock:
            seen.update(own)

    running = [threading.Thread(target=call, args=(seed,)) for seed in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return seen


def total(cloudwatch: Any, metric: str, statistic: str = "Sum", **dimensions: str) -> float:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2)
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda", MetricName=metric, Period=3600, Statistics=[statistic],
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=end - datetime.timedelta(hours=3), EndTime=end,
    )["Datapoints"]  # fmt: skip
    return float(sum(point[statistic] for point in points))


def agree(server: Served, number: int) -> None:
    cloudwatch, sqs = server.client("cloudwatch"), server.client("sqs")
    before = {
        (metric, name): total(cloudwatch, metric, FunctionName=name)
        for metric in (
            "Invocations",
            "Errors",
            "Throttles",
            "AsyncEventsReceived",
            "AsyncEventsDropped",
            "DeadLetterErrors",
        )
        for name in ("f", "none", "dead")
    }
    queue = sqs.get_queue_url(QueueName="dead")["QueueUrl"]

    def there() -> int:
        found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
        return int(found["Attributes"]["ApproximateNumberOfMessages"])

    already = there()
    seen = callers(server, number)

    assert set(seen) <= {"ok", "failed", "throttled", "event", "failing event"}, seen
    letters = seen["failing event"]

    def since(metric: str, name: str) -> float:
        return total(cloudwatch, metric, FunctionName=name) - before[metric, name]

    accepted = seen["event"] + letters
    until(lambda: there() == already + letters, 120, "dead letters")
    until(lambda: since("Invocations", "dead") == accepted, 120, "events")
    assert since("Invocations", "f") == seen["ok"] + seen["failed"]
    assert since("Errors", "f") == seen["failed"]
    assert since("Throttles", "none") == seen["throttled"] and since("Invocations", "none") == 0
    assert since("AsyncEventsReceived", "dead") == accepted
    assert since("Errors", "dead") == since("AsyncEventsDropped", "dead") == letters
    assert since("DeadLetterErrors", "dead") == 0
    everything = sum(total(cloudwatch, "Invocations", FunctionName=name) for name in ("f", "none", "dead"))
    assert total(cloudwatch, "Invocations") == everything == total(cloudwatch, "Duration", "SampleCount")


@pytest.mark.promise(255)
def test_metrics_are_what_callers_saw(counted: Served) -> None:
    """To the unit: of invocations that succeed, fail, die, take too long or are refused, and of events."""
    agree(counted, 2_000)


@pytest.mark.promise(255)
def test_an_invocation_is_counted_once_its_response_is_there(counted: Served) -> None:
    cloudwatch, at = counted.client("cloudwatch"), urlsplit(counted.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
    before = total(cloudwatch, "Invocations", FunctionName="f")
    for n in range(1, 11):
        assert post(connection, "f", {"do": "ok"})[0] == 200
        assert total(cloudwatch, "Invocations", FunctionName="f") == before + n
    connection.close()


@pytest.mark.soak
@pytest.mark.promise(255)
@pytest.mark.timeout(1200)
def test_metrics_are_what_callers_saw_of_100_000(counted: Served) -> None:
    agree(counted, 100_000)


@pytest.mark.promise(256)
def test_the_exposition(counted: Served) -> None:
    """As Prometheus' own parser reads it; a histogram adds up."""
    callers(counted, 40)
    at = urlsplit(counted.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
    for path in ("/metrics", "/_stoker/metrics"):
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200 and response.headers["Content-Type"].startswith("text/plain")
        found = {family.name: family for family in text_string_to_metric_families(text)}
        samples = {
            sample.name + sample.labels.get("le", ""): sample.value
            for sample in found["stoker_duration_seconds"].samples
            if sample.labels["function"] == "f"
        }
        (invocations,) = [s.value for s in found["stoker_invocations"].samples if s.labels["function"] == "f"]
        assert (
            samples["stoker_duration_seconds_count"]
            == samples["stoker_duration_seconds_bucket+Inf"]
            == invocations
        )
    connection.request("GET", "/metrics", headers={"Origin": "https://evil.example"})
    response = connection.getresponse()
    response.read()
    assert response.status == 403


@pytest.mark.promise(256)
def test_where_requests_must_be_signed_metrics_need_a_key(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[a]\naws_access_key_id=AKIAEXAMPLE\naws_secret_access_key=secret\n")
    server = Served(tmp_path / "state", "--auth", str(credentials))
    at = urlsplit(server.url)
    for authorization, status in (
        ("", 401), ("Basic QUtJQUVYQU1QTEU6c2VjcmV0", 200), ("Basic QUtJQUVYQU1QTEU6d3Jvbmc=", 401), ("Basic !", 401),
    ):  # fmt: skip
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
        connection.request(
            "GET", "/metrics", headers={"Authorization": authorization} if authorization else {}
        )
        assert connection.getresponse().status == status
        connection.close()
    assert server.stop() == 0


@pytest.mark.promise(257)
def test_stoker_metrics_and_top(counted: Served, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKER_ENDPOINT", counted.url)
    callers(counted, 40)
    status, out, _ = run("metrics", "f")
    assert status == 0 and out.splitlines()[0].split()[:3] == ["MINUTE", "INVOCATIONS", "ERRORS"]
    assert sum(int(line.split()[1]) for line in out.splitlines()[1:] if line.split()[1].isdigit()) > 0
    assert run("metrics", "absent")[0] == 2
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            callers(counted, 4, 1)

    caller = threading.Thread(target=busy)
    caller.start()
    try:
        status, out, _ = run("top", "--once", "--every", "2")
    finally:
        stop.set()
        caller.join()
    rows = {line.split()[0]: line.split() for line in out.splitlines()[1:]}
    assert status == 0 and float(rows["f"][1]) > 0 and float(rows["f"][2]) > 0, out


@pytest.mark.promise(329)
def test_a_look_has_what_changed_since_the_one_before(tmp_path: Path) -> None:
    server = Served(tmp_path / "state")

    def look(mark: str) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        request = urllib.request.Request(f"{server.url}/_stoker/metrics?since={mark}", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            found: dict[str, Any] = json.load(response)
        return found

    client, arns = server.client(), []
    for name in ("one", "other"):
        made = client.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
            Code={"ZipFile": zipped(**{"app.py": HANDLER})},
        )  # fmt: skip
        arns.append(made["FunctionArn"])
        client.invoke(FunctionName=name, Payload=b'{"do": "ok"}')
    until(lambda: set(arns) <= set(look("")["functions"]))
    first = look("")
    assert first["whole"]
    nothing = look(first["mark"])
    assert not nothing["whole"] and not set(arns) & set(nothing["functions"])
    client.invoke(FunctionName="one", Payload=b'{"do": "ok"}')
    until(lambda: arns[0] in look(first["mark"])["functions"])
    changed = look(first["mark"])["functions"]
    assert arns[1] not in changed and changed[arns[0]]["invocations"] == 2
    assert sum(changed[arns[0]]["took"].values()) == 2
    assert server.stop() == 0


@pytest.mark.soak
@pytest.mark.promise(256)
@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="there is no Prometheus here (apt install prometheus)"
)
def test_prometheus_scrapes_it_and_a_rule_fires(counted: Served, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    rules = {
        "groups": [
            {
                "name": "stoker",
                "interval": "1s",
                "rules": [
                    {
                        "alert": "FunctionFails",
                        "expr": 'sum by (function) (rate(stoker_errors_total{function="f"}[10s])) > 0',
                    }
                ],
            }
        ]
    }
    (tmp_path / "rules.yml").write_text(json.dumps(rules))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "stoker", "static_configs": [{"targets": [urlsplit(counted.url).netloc]}]}],
    }  # fmt: skip
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    with (tmp_path / "log").open("w") as log:
        prometheus = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             f"--web.listen-address=127.0.0.1:{port}"], cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip

    def asked(path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())["data"]
        except (OSError, ValueError, KeyError):
            return {}
        finally:
            connection.close()

    def fires() -> list[Any]:
        callers(counted, 40, 1)
        alerts = asked("/api/v1/alerts").get("alerts", [])
        return [each for each in alerts if each["state"] == "firing"]

    try:
        (alert,) = until(fires, 90, "the rule to fire")
        assert alert["labels"] == {"alertname": "FunctionFails", "function": "f"}
        (result,) = asked("/api/v1/query?query=up")["result"]
        assert result["value"][1] == "1"
    finally:
        prometheus.terminate()
        prometheus.wait()
