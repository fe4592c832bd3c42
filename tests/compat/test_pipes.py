"""EventBridge Pipes from this server's queues: states, filters, enrichments, targets, what fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from delivered import ACCOUNT, queue, received, refused
from mapped import length, send
from piped import Piped, batches, bodies, gone
from served import REGION, ROLE, Served
from support import until


@pytest.fixture
def piped(server: Served, tmp_path: Path, name: str) -> Iterator[Piped]:
    made = Piped(server, server.log.parent, name)
    yield made
    made.close()


@pytest.mark.promise(271)
def test_states(piped: Piped, sqs: Any) -> None:
    url, source = queue(sqs, f"{piped.name}-q")
    fed = piped.function()
    name = piped.pipe(source, piped.arn(fed), DesiredState="STOPPED", state="STOPPED", Tags={"a": "1"})
    send(sqs, url, "1")
    started = piped.api.start_pipe(Name=name)
    assert (started["CurrentState"], started["DesiredState"]) == ("STARTING", "RUNNING")
    piped.reaches(name, "RUNNING")
    until(lambda: bodies(fed) == ["1"], 60, "the message")
    (record,) = batches(fed)[0]
    assert {"messageId", "receiptHandle", "attributes", "md5OfBody", "awsRegion"} <= set(record)
    assert (record["eventSource"], record["eventSourceARN"]) == ("aws:sqs", source)
    assert refused(lambda: piped.api.start_pipe(Name=name))[0] == "ConflictException"
    piped.api.stop_pipe(Name=name)
    piped.reaches(name, "STOPPED")
    send(sqs, url, "2")
    described = piped.api.describe_pipe(Name=name)
    assert described["Arn"] == f"arn:aws:pipes:{REGION}:{ACCOUNT}:pipe/{name}"
    assert described["SourceParameters"] == {"SqsQueueParameters": {"BatchSize": 10}}
    assert described["Tags"] == {"a": "1"}
    assert length(sqs, url) == 1
    piped.api.update_pipe(Name=name, RoleArn=ROLE, DesiredState="RUNNING", Description="again")
    piped.reaches(name, "RUNNING")
    until(lambda: bodies(fed) == ["1", "2"], 60, "the second message")
    assert piped.api.describe_pipe(Name=name)["Description"] == "again"
    until(lambda: length(sqs, url) == 0, 60, "an empty queue")
    assert piped.api.delete_pipe(Name=name)["CurrentState"] == "DELETING"
    until(lambda: gone(piped.api, name), 60, "the pipe's end")


@pytest.mark.promise(271)
def test_tags_lists_and_what_is_refused(piped: Piped, sqs: Any) -> None:
    _, source = queue(sqs, f"{piped.name}-q")
    _, target = queue(sqs, f"{piped.name}-t")
    names = [piped.pipe(source, target, "STOPPED", DesiredState="STOPPED") for _ in range(3)]
    api = piped.api
    arn = api.describe_pipe(Name=names[0])["Arn"]
    api.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    api.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert api.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    prefix = names[0][:-1]
    pages = api.get_paginator("list_pipes").paginate(NamePrefix=prefix, PaginationConfig={"PageSize": 2})
    assert [each["Name"] for page in pages for each in page["Pipes"]] == sorted(names)
    assert api.list_pipes(NamePrefix=prefix, CurrentState="RUNNING")["Pipes"] == []
    assert len(api.list_pipes(SourcePrefix=source, TargetPrefix=target)["Pipes"]) == 3
    stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
    base = {"Name": "x", "Source": source, "Target": target, "RoleArn": ROLE}
    for more, code in (
        ({"Name": names[0]}, "ConflictException"),
        ({"Name": "a b"}, "ValidationException"),
        ({"Source": stream}, "ValidationException"),  # where to begin?
        ({"Source": source.replace(REGION, "eu-west-1")}, "ValidationException"),
        ({"Source": f"arn:aws:sns:{REGION}:{ACCOUNT}:t"}, "ValidationException"),
        ({"Target": f"arn:aws:iam:{REGION}:{ACCOUNT}:role/x"}, "ValidationException"),
        ({"Enrichment": target}, "ValidationException"),
        ({"Target": stream}, "ValidationException"),  # by which key?
        ({"Target": f"{target}.fifo"}, "ValidationException"),
        ({"TargetParameters": {"CloudWatchLogsParameters": {"LogStreamName": "s"}}}, "ValidationException"),
        ({"SourceParameters": {"SqsQueueParameters": {"BatchSize": 11}}}, "ValidationException"),
        ({"SourceParameters": {"FilterCriteria": {"Filters": [{"Pattern": "no"}]}}}, "ValidationException"),
        (
            {"SourceParameters": {"KinesisStreamParameters": {"StartingPosition": "LATEST"}}},
            "ValidationException",
        ),
    ):
        assert refused(lambda more=more: api.create_pipe(**{**base, **more}))[0] == code, more
    for operation in (api.describe_pipe, api.start_pipe, api.stop_pipe, api.delete_pipe):
        with pytest.raises(ClientError, match="Pipe none does not exist") as raised:
            operation(Name="none")
        assert raised.value.response["Error"]["Code"] == "NotFoundException"


@pytest.mark.promise(271)
def test_a_source_that_is_not_there(piped: Piped, sqs: Any) -> None:
    _, target = queue(sqs, f"{piped.name}-t")
    source = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{piped.name}-none"
    name = piped.pipe(source, target, "CREATE_FAILED")
    reason = piped.api.describe_pipe(Name=name)["StateReason"]
    assert reason.startswith("Input parameter is invalid from the request due to : ")
    assert "The specified queue does not exist" in reason
    url, _ = queue(sqs, f"{piped.name}-none")
    piped.api.start_pipe(Name=name)
    piped.reaches(name, "RUNNING")
    send(sqs, url, "1")
    assert json.loads(received(sqs, queue(sqs, f"{piped.name}-t")[0])[0]["Body"])["body"] == "1"


@pytest.mark.promise(272)
def test_filter_enrichment_template(piped: Piped, sqs: Any) -> None:
    url, source = queue(sqs, f"{piped.name}-q")
    out, target = queue(sqs, f"{piped.name}-t")
    enriching = piped.function('[{**json.loads(record["text"]), "more": True} for record in event]')
    piped.pipe(
        source, target, Enrichment=piped.arn(enriching),
        EnrichmentParameters={"InputTemplate": '{"text": <$.body.text>}'},
        SourceParameters={"FilterCriteria": {"Filters": [{"Pattern": '{"body": {"kind": ["order"]}}'}]}},
        TargetParameters={"InputTemplate": 'Order <$.id>: <$.more> by <aws.pipes.pipe-name>'},
    )  # fmt: skip
    for n, kind in enumerate(("order", "other", "order")):
        send(sqs, url, json.dumps({"kind": kind, "text": json.dumps({"id": n})}))
    found = sorted(each["Body"] for each in received(sqs, out, 2))
    assert found == [f"Order {n}: true by {piped.names[0]}" for n in (0, 2)]
    until(lambda: length(sqs, url) == 0, 60, "an empty queue")


@pytest.mark.promise(272)
def test_an_enrichment_of_nothing_ends_the_run(piped: Piped, sqs: Any) -> None:
    url, source = queue(sqs, f"{piped.name}-q")
    out, target = queue(sqs, f"{piped.name}-t")
    enriching = piped.function('[] if event[0]["body"] == "none" else [event[0]["body"], {"second": 1}]')
    piped.pipe(
        source, target, Enrichment=piped.arn(enriching),
        SourceParameters={"SqsQueueParameters": {"BatchSize": 1}},
    )  # fmt: skip
    send(sqs, url, "none")
    until(lambda: length(sqs, url) == 0, 60, "an empty queue")
    send(sqs, url, "some")
    assert sorted(each["Body"] for each in received(sqs, out, 2)) == ["some", '{"second":1}']
    assert length(sqs, out) == 0


@pytest.mark.promise(274)
def test_what_fails_comes_again(piped: Piped, sqs: Any) -> None:
    """A function's error: all of it; a report: what it names. Then the dead-letter queue of the source."""
    dead, dead_arn = queue(sqs, f"{piped.name}-d")
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 3})
    url, source = queue(sqs, f"{piped.name}-q", VisibilityTimeout="1", RedrivePolicy=policy)
    fed = piped.function()
    name = piped.pipe(
        source, piped.arn(fed),
        SourceParameters={"SqsQueueParameters": {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 1}},
    )  # fmt: skip
    send(sqs, url, "good", "bad 1", "good 2")
    assert [each["Body"] for each in received(sqs, dead)] == ["bad 1"]
    assert sorted(bodies(fed)) == ["bad 1"] * 3 + ["good", "good 2"]
    send(sqs, url, "fail")
    until(lambda: "PROBLEM" in piped.api.describe_pipe(Name=name).get("StateReason", ""), 60, "the problem")
    fed.gate.touch()
    until(lambda: length(sqs, url) == 0, 60, "an empty queue")


class Web:
    """Takes requests, and responds with what it was given."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                web.requests.append((self.command, self.path, dict(self.headers.items()), body))
                content = json.dumps([{"from": "the web"}]).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.server.shutdown()
    made.server.server_close()


def destination(events: Any, web: Web, name: str) -> str:
    key = {"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "secret"}}
    made = events.create_connection(Name=name, AuthorizationType="API_KEY", AuthParameters=key)
    return str(
        events.create_api_destination(
            Name=name,
            ConnectionArn=made["ConnectionArn"],
            InvocationEndpoint=f"{web.url}/at/*",
            HttpMethod="POST",
        )["ApiDestinationArn"]
    )


@pytest.mark.promise(272)
def test_an_api_destination_as_enrichment_and_as_target(
    piped: Piped, sqs: Any, events: Any, web: Web
) -> None:
    url, source = queue(sqs, f"{piped.name}-q")
    out, target = queue(sqs, f"{piped.name}-t")
    arn = destination(events, web, piped.name[:64])
    given = {"PathParameterValues": ["$.body.id"], "HeaderParameters": {"X-Name": "$.body.name"}}
    one = piped.pipe(source, target, Enrichment=arn, EnrichmentParameters={"HttpParameters": given})
    send(sqs, url, '{"id": 7, "name": "Ada"}')
    assert [each["Body"] for each in received(sqs, out)] == ['{"from":"the web"}']
    (request,) = web.requests
    assert (request[1], request[2]["X-Name"], request[2]["x-key"]) == ("/at/7", "Ada", "secret")
    assert [json.loads(each["body"])["id"] for each in json.loads(request[3])] == [7]
    piped.api.delete_pipe(Name=one)
    until(lambda: gone(piped.api, one), 60, "the pipe's end")
    piped.pipe(source, arn, TargetParameters={"HttpParameters": given, "InputTemplate": '{"n": <$.body.id>}'})
    send(sqs, url, '{"id": 8, "name": "Bob"}')
    until(lambda: len(web.requests) == 2, 60, "the request")
    assert (web.requests[1][1], web.requests[1][3]) == ("/at/8", b'{"n":8}')


@pytest.mark.promise(272)
def test_targets(piped: Piped, sqs: Any, sns: Any, events: Any, server: Served) -> None:
    """A bus, a topic, a log group, a FIFO queue, and a function that is not waited for."""
    out, inbox = queue(sqs, f"{piped.name}-t")
    fifo, fifo_arn = queue(sqs, f"{piped.name}-t.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    topic = sns.create_topic(Name=f"{piped.name}-topic")["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox, Attributes=raw)
    bus = events.create_event_bus(Name=f"{piped.name}-bus")["EventBusArn"]
    rule = {"Name": f"{piped.name}-rule", "EventBusName": f"{piped.name}-bus"}
    events.put_rule(**rule, EventPattern='{"source": ["shop"]}')
    events.put_targets(
        Rule=rule["Name"], EventBusName=rule["EventBusName"], Targets=[{"Id": "1", "Arn": inbox}]
    )
    logs = server.client("logs")
    logs.create_log_group(logGroupName=piped.name)
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{piped.name}"
    fed = piped.function()
    template = '{"id": <$.body.id>}'

    def through(target: str, **more: Any) -> None:
        url, source = queue(sqs, f"{piped.name}-q{len(piped.names)}")
        piped.pipe(source, target, TargetParameters={"InputTemplate": template, **more})
        send(sqs, url, json.dumps({"id": len(piped.names)}))

    through(bus, EventBridgeEventBusParameters={"Source": "shop", "DetailType": "$.body.id"})
    event = json.loads(received(sqs, out)[0]["Body"])
    assert (event["source"], event["detail-type"], event["detail"]) == ("shop", "1", {"id": 1})
    through(topic)
    assert received(sqs, out)[0]["Body"] == '{"id":2}'
    through(group, CloudWatchLogsParameters={"LogStreamName": "s"})
    until(
        lambda: (
            [each["message"] for each in logs.filter_log_events(logGroupName=piped.name)["events"]]
            == ['{"id":3}']
        ),
        60,
        "the log event",
    )
    through(fifo_arn, SqsQueueParameters={"MessageGroupId": "$.body.id"})
    (message,) = received(sqs, fifo)
    assert (message["Body"], message["Attributes"]["MessageGroupId"]) == ('{"id":4}', "4")
    through(piped.arn(fed), LambdaFunctionParameters={"InvocationType": "FIRE_AND_FORGET"})
    until(lambda: batches(fed) == [[{"id": 5}]], 60, "the event")


@pytest.mark.promise(271)
def test_pipes_go_on_after_a_kill(piped: Piped, tmp_path: Path) -> None:
    served = Served(tmp_path / "state")
    try:
        sqs = served.client("sqs")
        url, source = queue(sqs, "q")
        _, target = queue(sqs, "t")
        served.client("pipes").create_pipe(Name="p", Source=source, Target=target, RoleArn=ROLE)
        served.process.kill()
        served.process.wait()
        served = Served(tmp_path / "state")
        sqs = served.client("sqs")
        send(sqs, f"{served.url}/{ACCOUNT}/q", "1")
        assert json.loads(received(sqs, f"{served.url}/{ACCOUNT}/t")[0]["Body"])["body"] == "1"
        until(
            lambda: served.client("pipes").describe_pipe(Name="p")["CurrentState"] == "RUNNING", 60, "RUNNING"
        )
    finally:
        assert served.stop() == 0
    assert url


@pytest.mark.promise(271)
def test_a_pipe_of_a_stack(piped: Piped, cloud: Any, sqs: Any) -> None:
    name = piped.name.replace("_", "-")
    resources: dict[str, Any] = {
        "Source": {"Type": "AWS::SQS::Queue"}, "Target": {"Type": "AWS::SQS::Queue"},
        "Pipe": {"Type": "AWS::Pipes::Pipe", "Properties": {
            "RoleArn": ROLE, "Source": {"Fn::GetAtt": "Source.Arn"}, "Target": {"Fn::GetAtt": "Target.Arn"},
            "TargetParameters": {"InputTemplate": "<$.body>"}, "Tags": {"a": "1"},
        }},
    }  # fmt: skip
    outputs = {
        "In": {"Value": {"Ref": "Source"}}, "Out": {"Value": {"Ref": "Target"}}, "Pipe": {"Value": {"Ref": "Pipe"}},
        "Arn": {"Value": {"Fn::GetAtt": "Pipe.Arn"}},
    }  # fmt: skip
    cloud.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}))
    cloud.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (stack,) = cloud.describe_stacks(StackName=name)["Stacks"]
    found = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    send(sqs, found["In"], "1")
    assert received(sqs, found["Out"])[0]["Body"] == "1"
    resources["Pipe"]["Properties"] |= {
        "TargetParameters": {"InputTemplate": "again <$.body>"},
        "Tags": {"b": "2"},
    }
    cloud.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}))
    cloud.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    send(sqs, found["In"], "2")
    assert received(sqs, found["Out"])[0]["Body"] == "again 2"
    assert piped.api.describe_pipe(Name=found["Pipe"])["Tags"] == {"b": "2"}
    cloud.delete_stack(StackName=name)
    cloud.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert gone(piped.api, found["Pipe"])
