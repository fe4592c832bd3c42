"""Invoke by boto3: every way to ask, every way to end, and what AWS says then."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served
from support import until

Deploy = Callable[..., str]


def refused(call: Callable[..., Any], **request: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response


def logged(server: Served, group: str) -> list[dict[str, Any]]:
    """The events of a log group; none while it does not exist."""
    logs = server.client("logs")
    try:
        events: list[dict[str, Any]] = logs.filter_log_events(logGroupName=group)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return events


def test_what_it_answers(api: Any, deploy: Deploy) -> None:
    response = api.invoke(FunctionName=deploy(), Payload=b'{"a": [1, "\xc3\xa9"]}')
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    assert json.loads(response["Payload"].read()) == {"a": [1, "é"]}
    assert (response["StatusCode"], response["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in response and "LogResult" not in response
    assert headers["content-type"] == "application/json"
    assert headers["x-amzn-remapped-content-length"] == "0"
    assert headers["x-amzn-trace-id"].startswith("root=1-")


@pytest.mark.promise(69)
def test_a_response_is_written_as_awss_runtime_does(api: Any, deploy: Deploy) -> None:
    name = deploy("def handler(event, c):\n    return b'\\x00raw' if event == 'raw' else event\n")
    response = api.invoke(FunctionName=name, Payload=b'{"a":[1,2],"b":null}')
    assert response["Payload"].read() == b'{"a": [1, 2], "b": null}'
    assert api.invoke(FunctionName=name, Payload=b'"raw"')["Payload"].read() == b"\x00raw"


def test_no_payload_is_an_empty_object(api: Any, deploy: Deploy) -> None:
    assert api.invoke(FunctionName=deploy())["Payload"].read() == b"{}"


def test_the_context_and_the_environment(api: Any, deploy: Deploy) -> None:
    name = deploy(
        """
import os
def handler(event, c):
    return {
        "id": c.aws_request_id, "arn": c.invoked_function_arn, "v": c.function_version, "m": c.memory_limit_in_mb,
        "g": c.log_group_name, "s": c.log_stream_name, "n": c.function_name,
        "left": c.get_remaining_time_in_millis(),
        "env": {k: os.environ.get(k) for k in ("AB", "_HANDLER", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_REGION")},
    }
""",
        MemorySize=256,
        Timeout=7,
        Environment={"Variables": {"AB": "b"}},
    )
    response = api.invoke(FunctionName=name)
    seen = json.loads(response["Payload"].read())
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert seen["id"] == response["ResponseMetadata"]["RequestId"]
    assert (seen["arn"], seen["v"], seen["m"], seen["n"]) == (arn, "$LATEST", "256", name)
    assert seen["g"] == f"/aws/lambda/{name}"
    assert "/[$LATEST]" in seen["s"]
    assert 6000 < seen["left"] <= 7000
    assert seen["env"] == {
        "AB": "b", "_HANDLER": "app.handler", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_REGION": "us-east-1",
    }  # fmt: skip


def test_by_arn_partial_arn_version_and_alias(api: Any, deploy: Deploy) -> None:
    name = deploy("def handler(event, c):\n    return [c.function_version, c.invoked_function_arn]\n")
    api.publish_version(FunctionName=name)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    for reference, version, expected in [
        (arn, "$LATEST", arn),
        (f"000000000000:function:{name}", "$LATEST", arn),
        (f"{name}:1", "1", f"{arn}:1"),
        (f"{arn}:live", "1", f"{arn}:live"),
    ]:
        response = api.invoke(FunctionName=reference)
        assert response["ExecutedVersion"] == version
        assert json.loads(response["Payload"].read()) == [version, expected]
    assert api.invoke(FunctionName=name, Qualifier="live")["ExecutedVersion"] == "1"


def test_weights_share_an_alias(api: Any, deploy: Deploy) -> None:
    name = deploy()
    api.publish_version(FunctionName=name)
    api.update_function_configuration(FunctionName=name, Description="two")
    until(lambda: api.get_function_configuration(FunctionName=name)["LastUpdateStatus"] == "Successful")
    api.publish_version(FunctionName=name)
    api.create_alias(
        FunctionName=name,
        Name="both",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )
    seen = [api.invoke(FunctionName=name, Qualifier="both")["ExecutedVersion"] for _ in range(60)]
    assert 10 < seen.count("2") < 50


def test_the_tail_of_the_log(api: Any, deploy: Deploy) -> None:
    response = api.invoke(
        FunctionName=deploy("def handler(event, c):\n    print('a word')\n"), LogType="Tail"
    )
    log = base64.b64decode(response["LogResult"]).decode().splitlines()
    id = response["ResponseMetadata"]["RequestId"]
    assert log[0] == f"START RequestId: {id} Version: $LATEST"
    assert log[1:3] == ["a word", f"END RequestId: {id}"]
    assert log[3].startswith(f"REPORT RequestId: {id}\tDuration: ")
    assert response["Payload"].read() == b"null"


@pytest.mark.promise(69)
@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("def handler(e, c):\n    raise KeyError('k')\n", "KeyError", "'k'"),
        ("def handler(e, c):\n    import os\n    os._exit(3)\n", "Runtime.ExitError",
         "Error: Runtime exited with error: exit status 3"),
        ("def handler(e, c):\n    return 'x' * (7 << 20)\n", "Function.ResponseSizeTooLarge",
         "Response payload size exceeded maximum allowed payload size (6291556 bytes)."),
        ("def handler(e, c):\n    return {1}, object()\n", "Runtime.MarshalError",
         "Unable to marshal response: Object of type set is not JSON serializable"),
        ("import datetime\ndef handler(e, c):\n    return {'at': datetime.datetime.now()}\n", "Runtime.MarshalError",
         "Unable to marshal response: Object of type datetime is not JSON serializable"),
        ("import nowhere\n", "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'nowhere'"),
        ("x = 1\n", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
    ],
    ids=["raises", "exits", "too-large", "no-json", "a-time", "no-module", "no-handler"],
)  # fmt: skip
def test_functions_that_fail(api: Any, deploy: Deploy, source: str, kind: str, message: str) -> None:
    name = deploy(source)
    for _ in range(2):  # the next one ends just so
        response = api.invoke(FunctionName=name)
        body = json.loads(response["Payload"].read())
        assert (response["StatusCode"], response["FunctionError"]) == (200, "Unhandled")
        assert body["errorType"] == kind
        assert message in body["errorMessage"]


@pytest.mark.promise(69)
def test_a_timeout(api: Any, deploy: Deploy) -> None:
    response = api.invoke(
        FunctionName=deploy("import time\ndef handler(e, c):\n    time.sleep(60)\n", Timeout=1)
    )
    body = json.loads(response["Payload"].read())
    assert body["errorType"] == "Sandbox.Timedout"
    assert body["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")


def test_what_is_not_there(api: Any, deploy: Deploy) -> None:
    error = refused(api.invoke, FunctionName="nobody")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert error["Error"]["Message"] == (
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody:$LATEST"
    )
    error = refused(api.invoke, FunctionName=deploy(), Qualifier="nowhere")
    assert error["Error"]["Code"] == "ResourceNotFoundException"


def test_what_is_no_json(api: Any, deploy: Deploy) -> None:
    error = refused(api.invoke, FunctionName=deploy(), Payload=b"{nope")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error["Error"]["Code"] == "InvalidRequestContentException"
    assert error["Error"]["Message"].startswith("Could not parse request body into json: ")


def test_the_words_for_what_is_no_json(api: Any, deploy: Deploy) -> None:
    name = deploy()
    message = (
        "Could not parse request body into json: Could not parse payload into json: Unexpected character ('n' (code "
        "110)): was expecting double-quote to start field name\n at [Source: REDACTED "
        "(`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 2]"
    )
    for error in (
        refused(api.invoke, FunctionName=name, Payload=b"{nope"),
        refused(api.invoke, FunctionName=name, Payload=b"{nope", InvocationType="Event"),
        refused(api.invoke_async, FunctionName=name, InvokeArgs=b"{nope"),
        refused(api.invoke_with_response_stream, FunctionName=name, Payload=b"{nope"),
    ):
        assert error["Error"] == {"Code": "InvalidRequestContentException", "Message": message}
        assert error["Type"] == "User"


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [("POST", "/functions", "CreateFunction"), ("PUT", "/functions/f/code", "UpdateFunctionCode")],
)
def test_a_request_that_is_too_large(server: Served, method: str, path: str, operation: str) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request(method, f"/2015-03-31{path}", bytes(70_167_212))
    response = connection.getresponse()
    assert (response.status, response.getheader("x-amzn-errortype")) == (
        413,
        "RequestEntityTooLargeException",
    )
    message = f"Request must be smaller than 70167211 bytes for the {operation} operation"
    assert json.loads(response.read())["message"] == message
    connection.close()


def test_functions_of_another_account(api: Any) -> None:
    for call in (api.invoke, api.get_function):
        error = refused(call, FunctionName="arn:aws:lambda:us-east-1:111111111111:function:f")
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert error["Error"] == {"Code": "AccessDeniedException", "Message": None}


def test_an_init_that_fails_is_in_the_log_as_an_invocation(server: Served, api: Any, deploy: Deploy) -> None:
    name = deploy("print('at first')\nimport nowhere\n")
    response = api.invoke(FunctionName=name, LogType="Tail")
    id = response["ResponseMetadata"]["RequestId"]
    error = "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'nowhere'"
    status = "Status: error\tError Type: Runtime.ImportModuleError"
    tail = base64.b64decode(response["LogResult"]).decode().splitlines()
    assert tail[0] == error
    assert tail[1].startswith("INIT_REPORT Init Duration: ")
    assert tail[1].endswith(f" ms\tPhase: init\t{status}")
    assert tail[2:4] == [f"START RequestId: {id} Version: $LATEST", f"END RequestId: {id}"]
    assert tail[4].startswith(f"REPORT RequestId: {id}\tDuration: ")
    assert tail[4].endswith(f"\t{status}")
    group = f"/aws/lambda/{name}"
    until(lambda: any(event["message"].startswith("REPORT") for event in logged(server, group)))
    events = logged(server, group)
    assert len({event["logStreamName"] for event in events}) == 1
    lines = [event["message"].rstrip("\n") for event in events]
    assert lines[0].startswith("INIT_START Runtime Version: python:3.")
    assert lines[1:] == ["at first", *tail]


def test_what_a_module_prints_goes_where_its_function_logs(server: Served, api: Any, deploy: Deploy) -> None:
    name = deploy(
        "print('at first')\ndef handler(e, c):\n    print('then')\n",
        LoggingConfig={"LogGroup": "a-group-of-its-own"},
    )
    api.invoke(FunctionName=name)
    until(lambda: len(logged(server, "a-group-of-its-own")) >= 6)
    events = logged(server, "a-group-of-its-own")
    assert [event["message"].split(" ")[0] for event in events] == [
        "INIT_START", "at", "START", "then\n", "END", "REPORT",
    ]  # fmt: skip
    assert len({event["logStreamName"] for event in events}) == 1


def test_a_dry_run(api: Any, deploy: Deploy) -> None:
    assert api.invoke(FunctionName=deploy(), InvocationType="DryRun")["StatusCode"] == 204
    assert refused(api.invoke, FunctionName="nobody", InvocationType="DryRun")["Error"]["Code"]


def test_the_client_context(api: Any, deploy: Deploy) -> None:
    name = deploy(
        "def handler(e, c):\n    return [c.client_context.custom, c.client_context.client.app_title]\n"
    )
    context = base64.b64encode(
        json.dumps({"custom": {"k": 1}, "client": {"app_title": "t"}}).encode()
    ).decode()
    assert json.loads(api.invoke(FunctionName=name, ClientContext=context)["Payload"].read()) == [
        {"k": 1},
        "t",
    ]
    error = refused(api.invoke, FunctionName=name, ClientContext="bm8=")
    assert error["Error"]["Code"] == "InvalidRequestContentException"


@pytest.mark.promise(70)
def test_reserved_concurrency_is_enforced(api: Any, server: Served, deploy: Deploy, tmp_path: Path) -> None:
    import threading

    gate, began = tmp_path / "gate", tmp_path / "began"
    name = deploy(
        "import os, time\ndef handler(e, c):\n    open(e['began'], 'w').close()\n"
        "    while not os.path.exists(e['gate']): time.sleep(0.01)\n",
        Timeout=30,
    )
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    event = json.dumps({"gate": str(gate), "began": str(began)})
    running = threading.Thread(target=lambda: server.client().invoke(FunctionName=name, Payload=event))
    running.start()
    until(began.exists)
    error = refused(api.invoke, FunctionName=name)
    gate.touch()
    running.join()
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert error["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert error["message"] == "Rate Exceeded."
    assert "retry-after" not in error["ResponseMetadata"]["HTTPHeaders"]
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert refused(api.invoke, FunctionName=name)["Error"]["Code"] == "TooManyRequestsException"
    api.delete_function_concurrency(FunctionName=name)
    api.invoke(FunctionName=name, Payload=event)


def test_provisioned_concurrency_is_warm_once_it_is_ready(api: Any, deploy: Deploy) -> None:
    name = deploy("import os, time\ntime.sleep(0.3)\ndef handler(e, c):\n    return os.getpid()\n")
    api.publish_version(FunctionName=name)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    version = {"FunctionName": name, "Qualifier": "live"}
    config = api.put_provisioned_concurrency_config(**version, ProvisionedConcurrentExecutions=2)
    assert config["Status"] == "IN_PROGRESS"
    until(lambda: api.get_provisioned_concurrency_config(**version)["Status"] == "READY")
    config = api.get_provisioned_concurrency_config(**version)
    assert config["AvailableProvisionedConcurrentExecutions"] == 2
    log = base64.b64decode(api.invoke(**version, LogType="Tail")["LogResult"]).decode()
    assert "Init Duration" not in log
    api.delete_provisioned_concurrency_config(**version)


def test_provisioned_concurrency_of_a_function_that_cannot_be_initialised(api: Any, deploy: Deploy) -> None:
    name = deploy("import nowhere\n")
    api.publish_version(FunctionName=name)
    version = {"FunctionName": name, "Qualifier": "1"}
    api.put_provisioned_concurrency_config(**version, ProvisionedConcurrentExecutions=1)
    until(lambda: api.get_provisioned_concurrency_config(**version)["Status"] != "IN_PROGRESS")
    config = api.get_provisioned_concurrency_config(**version)
    assert (config["Status"], config["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    api.delete_provisioned_concurrency_config(**version)


def test_a_function_url(api: Any, deploy: Deploy) -> None:
    import urllib.error
    import urllib.request

    name = deploy(
        "def handler(e, c):\n    http = e['requestContext']['http']\n"
        "    return {'statusCode': 201, 'headers': {'x-own': e['rawQueryString']}, 'cookies': ['a=b'],"
        " 'body': http['method'] + e['rawPath'] + e.get('body', '')}\n"
    )
    cors = {"AllowOrigins": ["https://here.example"], "AllowMethods": ["POST"]}
    url = api.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)["FunctionUrl"]
    headers = {"content-type": "text/plain", "origin": "https://here.example"}
    with urllib.request.urlopen(urllib.request.Request(url + "p/q?x=1", b"body", headers)) as response:
        assert (response.status, response.read()) == (201, b"POST/p/qbody")
        assert response.headers["x-own"] == "x=1"
        assert response.headers["set-cookie"] == "a=b"
        assert response.headers["access-control-allow-origin"] == "https://here.example"
    api.delete_function_url_config(FunctionName=name)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)
    assert (caught.value.code, caught.value.read()) == (403, b'{"Message":null}')


def test_an_event_is_run(api: Any, deploy: Deploy, tmp_path: Path) -> None:
    note = tmp_path / "note"
    name = deploy("def handler(e, c):\n    open(e, 'w').write(c.aws_request_id)\n")
    response = api.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(str(note)))
    assert response["StatusCode"] == 202
    assert response["Payload"].read() == b""
    assert "ExecutedVersion" not in response
    until(lambda: note.exists() and note.read_text())
    assert note.read_text() == response["ResponseMetadata"]["RequestId"]


def test_the_deprecated_invoke_async(api: Any, deploy: Deploy, tmp_path: Path) -> None:
    note = tmp_path / "note"
    name = deploy("def handler(e, c):\n    open(e, 'w').close()\n")
    assert api.invoke_async(FunctionName=name, InvokeArgs=json.dumps(str(note)))["Status"] == 202
    until(note.exists)


def test_a_response_stream(api: Any, deploy: Deploy) -> None:
    name = deploy("def handler(e, c):\n    if e: raise ValueError('v')\n    return 'x' * 3000000\n")
    events = list(api.invoke_with_response_stream(FunctionName=name)["EventStream"])
    data = b"".join(e["PayloadChunk"]["Payload"] for e in events if "PayloadChunk" in e)
    assert json.loads(data) == "x" * 3_000_000
    assert events[-1] == {"InvokeComplete": {}}
    events = list(api.invoke_with_response_stream(FunctionName=name, Payload=b"1")["EventStream"])
    assert events[-1]["InvokeComplete"]["ErrorCode"] == "ValueError"


def test_a_response_stream_has_a_context_and_a_tail(api: Any, deploy: Deploy) -> None:
    name = deploy("def handler(e, c):\n    print('a word')\n    return c.client_context.custom\n")
    context = base64.b64encode(b'{"custom": {"k": 1}}').decode()
    events = list(
        api.invoke_with_response_stream(FunctionName=name, ClientContext=context, LogType="Tail")[
            "EventStream"
        ]
    )
    assert json.loads(events[0]["PayloadChunk"]["Payload"]) == {"k": 1}
    assert "a word\nEND RequestId: " in base64.b64decode(events[-1]["InvokeComplete"]["LogResult"]).decode()
    error = refused(api.invoke_with_response_stream, FunctionName=name, ClientContext="bm8=")
    assert error["Error"]["Code"] == "InvalidRequestContentException"


@pytest.mark.promise(67)
def test_new_code_is_what_the_next_one_meets(api: Any, deploy: Deploy, tmp_path: Path) -> None:
    from engine.hosting.archives import pack

    name = deploy("def handler(e, c):\n    return 1\n")
    assert api.invoke(FunctionName=name)["Payload"].read() == b"1"
    (tmp_path / "app.py").write_text("def handler(e, c):\n    return 2\n")
    api.update_function_code(FunctionName=name, ZipFile=pack(tmp_path / "app.py"))
    until(lambda: api.get_function_configuration(FunctionName=name)["LastUpdateStatus"] == "Successful")
    assert api.invoke(FunctionName=name)["Payload"].read() == b"2"
    api.update_function_configuration(FunctionName=name, Environment={"Variables": {"XY": "z"}})
    assert api.invoke(FunctionName=name)["Payload"].read() == b"2"


def test_layers_are_laid_out_in_order(api: Any, deploy: Deploy) -> None:
    import io
    import sys
    import zipfile

    arns = []
    for n in (1, 2):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("python/shared.py", f"N = {n}\n")
            archive.writestr(
                f"python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/own{n}.py",
                f"N = {n}\n",
            )
        response = api.publish_layer_version(LayerName=f"layer-{n}", Content={"ZipFile": content.getvalue()})
        arns.append(response["LayerVersionArn"])
    name = deploy(
        "import shared, own1, own2\ndef handler(e, c):\n    return [shared.N, own1.N, own2.N]\n", Layers=arns
    )
    assert json.loads(api.invoke(FunctionName=name)["Payload"].read()) == [2, 1, 2]


def test_its_log_is_there(server: Served, api: Any, deploy: Deploy) -> None:
    name = deploy("def handler(e, c):\n    print('so it', 'says')\n")
    id = api.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]
    group = f"/aws/lambda/{name}"
    until(lambda: any(event["message"].startswith("REPORT") for event in logged(server, group)))
    lines = [event["message"] for event in logged(server, group)]
    assert lines[0].startswith("INIT_START Runtime Version: python:3.")
    assert lines[1:4] == [
        f"START RequestId: {id} Version: $LATEST\n",
        "so it says\n",
        f"END RequestId: {id}\n",
    ]


def test_logs_in_json(server: Served, api: Any, deploy: Deploy) -> None:
    name = deploy(
        "import logging\nlog = logging.getLogger('mine')\ndef handler(e, c):\n"
        "    log.debug('not this')\n    log.warning('a %s', 'word', extra={'k': 1})\n    raise ValueError('v')\n",
        LoggingConfig={"LogFormat": "JSON"},
    )
    id = api.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]

    def lines_of() -> list[dict[str, Any]]:
        return [json.loads(event["message"]) for event in logged(server, f"/aws/lambda/{name}")]

    until(lambda: any(line.get("type") == "platform.report" for line in lines_of()))
    lines = lines_of()
    kinds = [line.get("type", line.get("level")) for line in lines]
    assert kinds == [
        "platform.initStart", "platform.start", "WARNING", "ERROR", "platform.runtimeDone", "platform.report",
    ]  # fmt: skip
    own, error, report = lines[2], lines[3], lines[5]["record"]
    assert (own["message"], own["logger"], own["requestId"], own["k"]) == ("a word", "mine", id, 1)
    assert (error["errorType"], error["errorMessage"], error["requestId"]) == ("ValueError", "v", id)
    assert (report["status"], report["metrics"]["memorySizeMB"]) == ("failure", 128)


def test_who_one_is(server: Served) -> None:
    assert server.client("sts").get_caller_identity()["Account"] == "000000000000"
