"""AWS's metrics of topics, rules, schedules, APIs, function URLs and pipes, to the unit."""

from __future__ import annotations

import datetime
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from apis import SOURCE, function, send
from delivered import ACCOUNT, queue, received
from served import ROLE, Served
from support import until

from .apis.http import http_apis
from .apis.rest.rest_apis import uri
from .apis.sockets import web_sockets

Total = Callable[..., float]
FAILING = """
def handler(event, context):
    return {"statusCode": 500 if "fail" in str(event.get("body")) else 200}
"""


@pytest.fixture(scope="module")
def total(server: Served) -> Total:
    """What a metric's values add up to."""
    cloudwatch = server.client("cloudwatch")

    def read(metric: str, statistic: str = "Sum", unit: str = "Count", **dimensions: str) -> float:
        namespace, _, name = metric.rpartition(":")
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2)
        points = cloudwatch.get_metric_statistics(
            Namespace=f"AWS/{namespace}", MetricName=name, Period=3600, Statistics=[statistic], Unit=unit,
            Dimensions=[{"Name": each, "Value": value} for each, value in dimensions.items()],
            StartTime=end - datetime.timedelta(hours=2), EndTime=end,
        )["Datapoints"]  # fmt: skip
        return float(sum(point[statistic] for point in points))

    return read


def comes(total: Total, wanted: dict[str, float], **dimensions: str) -> None:
    """Once everything has arrived it is this, to the unit."""
    found: dict[str, float] = {}

    def there() -> bool:
        found.update({metric: total(metric, **dimensions) for metric in wanted})
        return all(found[metric] >= wanted[metric] for metric in wanted)

    until(there, 60, f"{wanted}, not {found}")
    assert found == wanted


@pytest.fixture(scope="module")
def gone(sqs: Any) -> str:
    """A queue's ARN; there is no such queue any more."""
    url, arn = queue(sqs, "metered-gone")
    sqs.delete_queue(QueueUrl=url)
    return arn


@pytest.mark.promise(261)
def test_a_topics(total: Total, sns: Any, sqs: Any, gone: str) -> None:
    topic = sns.create_topic(Name="metered")["TopicArn"]
    url, target = queue(sqs, "metered-topic")
    letters, dead = queue(sqs, "metered-topic-dead")
    policies = {
        "": {}, "kind": {"FilterPolicy": '{"kind":["a"]}'},
        "body": {"FilterPolicy": '{"kind":["a"]}', "FilterPolicyScope": "MessageBody"},
    }  # fmt: skip
    for name, attributes in policies.items():
        where = target if not name else queue(sqs, f"metered-topic-{name}")[1]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=where, Attributes=attributes)
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead})}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=gone, Attributes=redrive)
    sns.publish(TopicArn=topic, Message="plain")
    kind = {"kind": {"DataType": "String", "StringValue": "b"}}
    sns.publish(TopicArn=topic, Message='{"kind":"a"}', MessageAttributes=kind)
    received(sqs, url, 2)
    received(sqs, letters, 2)
    name, out = "SNS:NumberOfNotifications", "SNS:NumberOfNotificationsFilteredOut"
    wanted = {
        "SNS:NumberOfMessagesPublished": 2, f"{name}Delivered": 3, f"{name}Failed": 2, f"{name}RedrivenToDlq": 2,
        out: 3, f"{out}-MessageAttributes": 2, f"{out}-NoMessageAttributes": 1, f"{out}-MessageBody": 1,
        f"{out}-InvalidMessageBody": 1, f"{out}-InvalidAttributes": 0,
    }  # fmt: skip
    comes(total, wanted, TopicName="metered")
    assert total("SNS:PublishSize", unit="Bytes", TopicName="metered") == len("plain") + len('{"kind":"a"}')


@pytest.mark.promise(261)
def test_a_rules(total: Total, events: Any, sqs: Any, gone: str) -> None:
    url, target = queue(sqs, "metered-rule")
    letters, dead = queue(sqs, "metered-rule-dead")
    events.create_event_bus(Name="metered")
    events.put_rule(Name="r", EventBusName="metered", EventPattern='{"source":["metered"]}')
    events.put_targets(Rule="r", EventBusName="metered", Targets=[
        {"Id": "there", "Arn": target}, {"Id": "gone", "Arn": gone},
        {"Id": "dead", "Arn": gone, "DeadLetterConfig": {"Arn": dead}},
    ])  # fmt: skip
    entry = {"EventBusName": "metered", "DetailType": "d", "Detail": "{}"}
    events.put_events(Entries=[{**entry, "Source": source} for source in ("metered", "metered", "other")])
    received(sqs, url, 2)
    received(sqs, letters, 2)
    wanted = {
        "Events:MatchedEvents": 2, "Events:TriggeredRules": 2, "Events:Invocations": 6, "Events:FailedInvocations": 4,
        "Events:InvocationAttempts": 6, "Events:SuccessfulInvocationAttempts": 2, "Events:InvocationsSentToDlq": 2,
        "Events:DeadLetterInvocations": 0, "Events:InvocationsFailedToBeSentToDlq": 0,
    }  # fmt: skip
    rule = {"EventBusName": "metered", "RuleName": "r"}
    comes(total, wanted, **rule)
    count = {"statistic": "SampleCount", "unit": "Milliseconds"}
    assert total("Events:IngestionToInvocationStartLatency", **count, **rule) == 6
    assert total("Events:MatchedEvents") >= 2 and total("Events:InvocationsCreated") >= 6


@pytest.mark.promise(261)
def test_a_schedules(total: Total, server: Served, sqs: Any, gone: str) -> None:
    scheduler = server.client("scheduler")
    scheduler.create_schedule_group(Name="metered")
    url, target = queue(sqs, "metered-schedule")
    letters, dead = queue(sqs, "metered-schedule-dead")
    more = {"there": {"Arn": target}, "gone": {"Arn": gone}}
    more["dead"] = {"Arn": gone, "DeadLetterConfig": {"Arn": dead}}
    for name, where in more.items():
        scheduler.create_schedule(
            Name=name, GroupName="metered", ScheduleExpression=f"at({datetime.datetime.now(datetime.UTC):%FT%T})",
            FlexibleTimeWindow={"Mode": "OFF"}, Target={**where, "RoleArn": ROLE},
        )  # fmt: skip
    received(sqs, url)
    received(sqs, letters)
    wanted = {
        "Scheduler:InvocationAttemptCount": 3, "Scheduler:TargetErrorCount": 2, "Scheduler:InvocationDroppedCount": 2,
        "Scheduler:InvocationsSentToDeadLetterCount": 1, "Scheduler:InvocationsFailedToBeSentToDeadLetterCount": 0,
    }  # fmt: skip
    comes(total, wanted, ScheduleGroup="metered")
    assert total("Scheduler:InvocationAttemptCount") >= 3


@pytest.fixture(scope="module")
def echo(server: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    return function(server, "metered", SOURCE, tmp_path_factory.mktemp("metered"))


@pytest.mark.promise(261)
def test_an_http_apis(total: Total, server: Served, echo: str) -> None:
    client = server.client("apigatewayv2")
    api = http_apis.made(client, echo, "GET /x")
    client.update_stage(
        ApiId=api, StageName="$default", DefaultRouteSettings={"DetailedMetricsEnabled": True}
    )
    for path, status in (("/x", 200), ("/x?reply=text", 200), ("/x?reply=fail", 500), ("/absent", 404)):
        assert send(server, api, path).status == status
    counts = {"ApiGateway:Count": 4, "ApiGateway:4xx": 1, "ApiGateway:5xx": 1}
    comes(total, counts, ApiId=api)
    comes(total, counts, ApiId=api, Stage="$default")
    comes(
        total,
        {**counts, "ApiGateway:Count": 3, "ApiGateway:4xx": 0},
        ApiId=api,
        Stage="$default",
        Route="GET /x",
    )
    latency = {"statistic": "SampleCount", "unit": "Milliseconds"}
    assert total("ApiGateway:Latency", **latency, ApiId=api) == 4
    assert total("ApiGateway:IntegrationLatency", **latency, ApiId=api) == 3
    assert total("ApiGateway:DataProcessed", unit="Bytes", ApiId=api) > 0


@pytest.mark.promise(261)
def test_a_rest_apis(total: Total, server: Served, echo: str) -> None:
    client = server.client("apigateway")
    made = client.create_rest_api(name="metered")
    resource = client.create_resource(restApiId=made["id"], parentId=made["rootResourceId"], pathPart="x")
    at = {"restApiId": made["id"], "resourceId": resource["id"], "httpMethod": "GET"}
    client.put_method(**at, authorizationType="NONE")
    client.put_integration(**at, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri(echo))
    client.create_deployment(restApiId=made["id"], stageName="prod")
    switched = {"op": "replace", "path": "/~1x/GET/metrics/enabled", "value": "true"}
    client.update_stage(restApiId=made["id"], stageName="prod", patchOperations=[switched])
    for path, status in (("/prod/x?reply=cookies", 201), ("/prod/x?reply=fail", 502), ("/prod/absent", 403)):
        assert send(server, made["id"], path).status == status
    counts = {"ApiGateway:Count": 3, "ApiGateway:4XXError": 1, "ApiGateway:5XXError": 1}
    comes(total, counts, ApiName="metered")
    comes(total, counts, ApiName="metered", Stage="prod")
    method = {"ApiName": "metered", "Method": "GET", "Resource": "/x", "Stage": "prod"}
    comes(total, {"ApiGateway:Count": 2, "ApiGateway:4XXError": 0, "ApiGateway:5XXError": 1}, **method)
    assert total("ApiGateway:IntegrationLatency", "SampleCount", "Milliseconds", ApiName="metered") == 2


@pytest.mark.promise(261)
def test_a_web_socket_apis(total: Total, server: Served, tmp_path: Path) -> None:
    arn = function(server, "metered-socket", FAILING, tmp_path)
    api = web_sockets.made(server.client("apigatewayv2"), arn, "$connect", "known")
    with web_sockets.opened(server, api) as client:
        for text in ('{"action":"known"}', '{"action":"known","fail":1}', '{"action":"absent"}'):
            client.send(text)
        web_sockets.said(client)  # that the last one is refused
        wanted = {
            "ApiGateway:ConnectCount": 1, "ApiGateway:MessageCount": 3, "ApiGateway:ClientError": 1,
            "ApiGateway:IntegrationError": 1, "ApiGateway:ExecutionError": 0,
        }  # fmt: skip
        comes(total, wanted, ApiId=api, Stage="dev")


@pytest.mark.promise(261)
def test_a_function_urls(total: Total, server: Served, api: Any, echo: str) -> None:
    url = urlsplit(api.create_function_url_config(FunctionName="metered", AuthType="NONE")["FunctionUrl"])
    at = urlsplit(server.url)
    for query, status in (("", 200), ("?reply=fail", 502), ("?reply=text", 200)):
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
        connection.request("GET", f"{url.path}{query}", headers={"Host": url.netloc})
        assert connection.getresponse().status == status
        connection.close()
    counts = {"Lambda:UrlRequestCount": 3, "Lambda:Url4xxCount": 0, "Lambda:Url5xxCount": 1}
    comes(total, counts, FunctionName="metered")
    comes(total, counts, FunctionName="metered", Resource="metered:$LATEST")
    assert total("Lambda:UrlRequestLatency", "SampleCount", "Milliseconds", FunctionName="metered") == 3


@pytest.mark.promise(261)
def test_a_pipes(total: Total, server: Served, sqs: Any) -> None:
    source, source_arn = queue(sqs, "metered-pipe")
    target, target_arn = queue(sqs, "metered-piped")
    pipes = server.client("pipes")
    pipes.create_pipe(Name="metered", Source=source_arn, Target=target_arn, RoleArn=ROLE)
    for n in range(3):
        sqs.send_message(QueueUrl=source, MessageBody=str(n))
    received(sqs, target, 3)
    comes(
        total, {"EventBridge/Pipes:EventCount": 3, "EventBridge/Pipes:ExecutionFailed": 0}, PipeName="metered"
    )
    runs = total("EventBridge/Pipes:Invocations", PipeName="metered")
    assert 1 <= runs <= 3 == total("EventBridge/Pipes:EventCount", PipeName="metered")
    assert total("EventBridge/Pipes:Duration", "SampleCount", "Milliseconds", PipeName="metered") == runs
    assert total("EventBridge/Pipes:Invocations", AwsAccountId=ACCOUNT) >= runs
    pipes.delete_pipe(Name="metered")
