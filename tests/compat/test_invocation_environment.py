"""What an invocation finds in its environment: its trace, its role's credentials, how and where it was initialised."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import Served
from support import until

SOURCE = """
import os, time

def handler(event, context):
    if event.get("call"):
        import boto3
        client = boto3.client(event["call"])
        found = getattr(client, event["operation"])(**event.get("members", {}))
        found.pop("ResponseMetadata", None)
        return found
    if "meet" in event:  # until as many are here at once
        open(os.path.join(event["meet"], context.aws_request_id), "w").close()
        while len(os.listdir(event["meet"])) < 2: time.sleep(0.001)
    print("in", context.log_stream_name)
    names = [name for name in os.environ if name.startswith(("AWS_", "_X_AMZN"))]
    return {"name": context.log_stream_name, "id": context.aws_request_id, **{n: os.environ[n] for n in names}}
"""
Deploy = Callable[..., str]


def invoke(api: Any, name: str, event: Any = None, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What it returns, and the response's headers."""
    found = api.invoke(FunctionName=name, Payload=json.dumps(event or {}), **more)
    assert "FunctionError" not in found, found["Payload"].read()
    return json.loads(found["Payload"].read()), found["ResponseMetadata"]["HTTPHeaders"]


def with_trace(api: Any, trace: str) -> Any:
    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace

    api.meta.events.register("before-send.lambda.Invoke", add)
    return api


@pytest.mark.promise(176)
@pytest.mark.parametrize(("mode", "sampled"), [(None, "0"), ("PassThrough", "0"), ("Active", "1")])
def test_every_invocation_has_a_trace(api: Any, deploy: Deploy, mode: str | None, sampled: str) -> None:
    name = deploy(SOURCE, **({"TracingConfig": {"Mode": mode}} if mode else {}))
    roots = set()
    for _ in range(3):
        found, headers = invoke(api, name)
        root, parent, decision, lineage = found["_X_AMZN_TRACE_ID"].split(";")
        assert re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24}", root)
        assert re.fullmatch("Parent=[0-9a-f]{16}", parent)
        assert decision == f"Sampled={sampled}" and lineage.startswith("Lineage=")
        assert headers["x-amzn-trace-id"] == f"r{root[1:]};sampled={sampled}"
        roots.add(root)
    assert len(roots) == 3


@pytest.mark.promise(176)
@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0", "Sampled=0"),
        ("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=?", "Sampled=1"),
        ("Root=1-5759e988-bd862e3fe1be46a994272793", "Sampled=1"),
    ],
)
def test_a_caller_s_trace_goes_on(server: Served, deploy: Deploy, sent: str, seen: str) -> None:
    name = deploy(SOURCE, TracingConfig={"Mode": "Active"})
    found, headers = invoke(with_trace(server.client(), sent), name)
    fields = found["_X_AMZN_TRACE_ID"].split(";")
    assert fields[0] == "Root=1-5759e988-bd862e3fe1be46a994272793" and fields[2] == seen
    assert headers["x-amzn-trace-id"] == f"r{fields[0][1:]};s{seen[1:]}"
    after, _ = invoke(server.client(), name)  # and no further
    assert after["_X_AMZN_TRACE_ID"].split(";")[0] not in sent


@pytest.mark.promise(176)
def test_a_function_is_its_role_s_session(api: Any, deploy: Deploy, named: str) -> None:
    name = deploy(SOURCE, Role="arn:aws:iam::000000000000:role/service/the-role")
    found, _ = invoke(api, name)
    assert found["AWS_SESSION_TOKEN"] and re.fullmatch("ASIA[A-Z2-7]{16}", found["AWS_ACCESS_KEY_ID"])
    identity, _ = invoke(api, name, {"call": "sts", "operation": "get_caller_identity"})
    assert identity["Arn"] == f"arn:aws:sts::000000000000:assumed-role/the-role/{named}"
    assert identity["Account"] == "000000000000"


@pytest.mark.promise(176)
def test_of_another_account_it_is_there(server: Served, named: str, tmp_path: Path) -> None:
    from served import RUNTIME

    from engine.hosting.archives import pack

    other = server.client(aws_access_key_id="111122223333", region="eu-west-1")
    (tmp_path / "app.py").write_text(SOURCE)
    role = "arn:aws:iam::111122223333:role/r"
    other.create_function(
        FunctionName=named, Runtime=RUNTIME, Role=role, Handler="app.handler",
        Code={"ZipFile": pack(tmp_path / "app.py")},
    )  # fmt: skip
    other.get_waiter("function_active_v2").wait(FunctionName=named, WaiterConfig={"Delay": 0})
    try:
        identity, _ = invoke(other, named, {"call": "sts", "operation": "get_caller_identity"})
        assert identity["Arn"] == f"arn:aws:sts::111122223333:assumed-role/r/{named}"
        members = {"FunctionName": named}
        itself, _ = invoke(
            other, named, {"call": "lambda", "operation": "get_function_configuration", "members": members}
        )
        assert itself["FunctionArn"] == f"arn:aws:lambda:eu-west-1:111122223333:function:{named}"
    finally:
        other.delete_function(FunctionName=named)


@pytest.mark.promise(176)
def test_it_says_how_it_was_initialised(api: Any, deploy: Deploy) -> None:
    name = deploy(SOURCE)
    on_demand, _ = invoke(api, name)
    assert on_demand["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", on_demand["AWS_LAMBDA_RUNTIME_API"])
    version = api.publish_version(FunctionName=name)["Version"]
    api.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=1
    )
    provisioned, _ = invoke(api, name, Qualifier=version)
    assert provisioned["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    api.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "PublishedVersions"})
    api.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
    version = api.publish_version(FunctionName=name)["Version"]
    snapped, _ = invoke(api, name, Qualifier=version)
    assert snapped["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"


@pytest.mark.promise(177)
def test_each_worker_has_a_log_stream(server: Served, api: Any, deploy: Deploy, tmp_path: Path) -> None:
    name, logs = deploy(SOURCE, Timeout=30), server.client("logs")
    found: list[dict[str, Any]] = []
    meet = tmp_path / "meet"
    meet.mkdir()
    threads = [
        threading.Thread(target=lambda: found.append(invoke(server.client(), name, {"meet": str(meet)})[0]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    streams = {each["name"]: each["id"] for each in found}
    assert len(streams) == 2
    for stream in streams:
        assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert {each["AWS_LAMBDA_LOG_STREAM_NAME"] for each in found} == set(streams)
    group = f"/aws/lambda/{name}"

    def events(stream: str) -> list[str]:
        try:
            page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in page["events"]]

    for stream, id in streams.items():
        mine = until(lambda stream=stream: (it := events(stream)) and it[-1].startswith("REPORT") and it)
        assert f"in {stream}\n" in mine
        assert {m.split()[2] for m in mine if m.startswith(("START", "END", "REPORT"))} == {id}
    names = [s["logStreamName"] for s in logs.describe_log_streams(logGroupName=group)["logStreams"]]
    assert sorted(names) == sorted(streams)
