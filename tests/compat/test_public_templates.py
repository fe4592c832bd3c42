"""Ten public templates, unmodified: deployed by `stoker deploy`, initiated by their source, deleted.

They are of Serverless patterns (github.com/aws-samples/serverless-patterns, MIT-0), at PATTERNS_COMMIT of
the Makefile, which gets them where it can; none of them is here. They name Python 3.14, for which the interpreter that
runs the tests stands in; moto's server has DynamoDB, Kinesis, S3 and IAM.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apis import send
from delivered import logged
from served import ROOT, Run, Served
from stacks import outputs

from engine.cli.main import main

from .apis.sockets.web_sockets import opened

PATTERNS = Path(os.environ.get("STOKER_PATTERNS") or ROOT / "build/patterns")
BAD = {"apigw-cors-nonproxy": "An integration of type AWS is not implemented by this endpoint."}
pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PATTERNS.is_dir(), reason=f"there is no {PATTERNS} (make frameworks gets it)"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--aws", "moto", "--python", f"python3.14={sys.executable}")
    served = Served(tmp_path_factory.mktemp("patterns") / "state", *options)
    yield served
    assert served.stop() == 0


def resources(server: Served, stack: str) -> dict[str, str]:
    """Physical ids by logical ones."""
    found = server.client("cloudformation").list_stack_resources(StackName=stack)["StackResourceSummaries"]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}


def http_api(server: Served, stack: str) -> None:
    reply = send(server, outputs(server.client("cloudformation"), stack)["HttpApiEndpoint"], "/any")
    assert (reply.status, reply.body) == (200, b"Hello World! This is the HTTP API")


def rest_api_and_table(server: Served, stack: str) -> None:
    reply = send(server, resources(server, stack)["ServerlessRestApi"], "/Prod", "POST")
    assert (reply.status, reply.body) == (200, b"Successfully inserted data!")
    item = server.client("dynamodb").get_item(TableName="WeatherData", Key={"id": {"S": "1"}})["Item"]
    assert item["Weather"] == {"S": "Sunny"}


def queue(server: Served, stack: str) -> None:
    found = resources(server, stack)
    server.client("sqs").send_message(QueueUrl=found["ProcessingQueue"], MessageBody="a message")
    logged(server, f"/aws/lambda/{found['ProcessorFunction']}", "Processed message: a message")


def topic(server: Served, stack: str) -> None:
    found = resources(server, stack)
    server.client("sns").publish(TopicArn=found["ProcessingTopic"], Message="a message")
    logged(server, f"/aws/lambda/{found['ProcessorFunction']}", "Processed message a message")


def schedule(server: Served, stack: str) -> None:
    logged(server, f"/aws/lambda/{resources(server, stack)['ScheduledFunction']}", "Hello World", seconds=90)


def filters(server: Served, stack: str) -> None:
    found = resources(server, stack)
    body = {"region": "us-east-1", "sourceIPAddress": "10.0.0.7", "address": {"state": "GA"}, "rating": 4}
    server.client("sns").publish(TopicArn=found["EmsSqsFilterSnsTopic"], Message=json.dumps(body))
    wanted = {"NoFilter", "Prefix", "IP", "Or"}
    for name in wanted:
        logged(server, f"/aws/lambda/{found[f'EsmSqsFilterFunction{name}']}", "REPORT")
    for name in ("AnythingBut", "And"):
        group = f"/aws/lambda/{found[f'EsmSqsFilterFunction{name}']}"
        assert not server.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]


def web_socket(server: Served, stack: str) -> None:
    with opened(server, resources(server, stack)["WebSocketApi"], "/prod") as socket:
        assert socket.recv(60) == "Hello XXX, we are now connected!! "
    logged(server, f"/aws/lambda/{stack}-ondisconnect-function", "Connection has been disconnected")


def stream(server: Served, stack: str) -> None:
    record = {"AtomicNumber": 1, "Element": "Hydrogen", "Symbol": "H", "AtomicMass": 1.007}
    server.client("kinesis").put_record(
        StreamName="DataActivityKinesisStream", Data=json.dumps(record).encode(), PartitionKey="a"
    )
    logged(server, "/aws/lambda/KinesisDataStreamProcessor", "Hydrogen", seconds=60)


def bucket(server: Served, stack: str) -> None:
    name = resources(server, stack)["PutObjectFunction"]
    assert server.client().invoke(FunctionName=name)["Payload"].read() == b"true"
    s3 = server.client("s3")
    assert s3.get_object(Bucket=f"{stack}-files", Key="filename.txt")["Body"].read() == b"Hello World"
    s3.delete_object(Bucket=f"{stack}-files", Key="filename.txt")  # else the bucket cannot go, as on AWS


def alias(server: Served, stack: str) -> None:
    name = resources(server, stack)["lambdaFunctionAlias"]
    reply = json.load(server.client().invoke(FunctionName=f"{name}:dev")["Payload"])
    assert json.loads(reply["body"]) == {"message": "Hello from Lambda! version 1"}


TEMPLATES: dict[str, tuple[Callable[[Served, str], None], str]] = {
    "apigw-http-api-lambda-python": (http_api, ""),
    "apigw-lambda-dynamodb": (rest_api_and_table, ""),
    "sqs-lambda-python-sam": (queue, ""),
    "sns-lambda-python-sam": (topic, ""),
    "eventbridge-scheduled-lambda": (schedule, ""),
    "lambda-esm-sqs-filters-sam": (filters, ""),
    "apigw-websocket-ack-connect-route": (web_socket, ""),
    "kinesis-lambda-error-handling": (stream, ""),
    "lambda-s3": (bucket, "DestinationBucketName={stack}-files"),
    "lambda-version-alias": (alias, ""),
}


@pytest.fixture
def deploy(server: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("STOKER_ENDPOINT", server.url)

    def command(*arguments: str) -> tuple[int, str, str]:
        done = main(arguments)
        output = capsys.readouterr()
        return done, output.out, output.err

    return command


def template(pattern: str) -> str:
    (path,) = (PATTERNS / pattern).glob("template.y*ml")
    return str(path)


@pytest.mark.promise(227)
@pytest.mark.parametrize("pattern", TEMPLATES)
def test_a_public_template(server: Served, deploy: Run, pattern: str) -> None:
    initiate, parameter = TEMPLATES[pattern]
    stack = re.sub("[^a-z0-9]+", "-", pattern)
    given: list[Any] = ["--parameter", parameter.format(stack=stack)] if parameter else []
    done, out, err = deploy("deploy", template(pattern), "--stack", stack, *given)
    assert done == 0, out + err
    initiate(server, stack)
    done, out, err = deploy("delete", stack)
    assert done == 0, out + err


@pytest.mark.promise(227)
@pytest.mark.parametrize("pattern", BAD)
def test_what_is_not_here_is_one_line(deploy: Run, pattern: str) -> None:
    done, _, err = deploy("deploy", template(pattern), "--stack", f"not-{pattern}")
    assert done == 2
    assert BAD[pattern] in err
    assert deploy("delete", f"not-{pattern}")[0] == 0
