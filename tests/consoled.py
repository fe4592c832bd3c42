"""A server with something of everything that the console shows, and what must not become markup in all texts of it."""

from __future__ import annotations

import json
from typing import Any

from open_function import deploy
from served import Served
from support import until

EVIL = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
SHOP = f"""
import json
def handler(event, context):
    print({EVIL!r})
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError({EVIL!r})
    return {{"got": event, "text": {EVIL!r}}}
"""
ACCOUNT, REGION = "000000000000", "us-east-1"


def arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def furnish(server: Served) -> None:
    """Functions with a version, an alias and traces; queues with dead letters; a mapping, a rule, a topic, a URL."""
    api, sqs = server.client(), server.client("sqs")
    deploy(api, "shop", SHOP)
    deploy(api, "idle", SHOP)
    api.update_function_configuration(
        FunctionName="shop", Description=EVIL, TracingConfig={"Mode": "Active"},
        Environment={"Variables": {"SECRET": EVIL}},
    )  # fmt: skip
    version = api.publish_version(FunctionName="shop", Description=EVIL)["Version"]
    api.create_alias(FunctionName="shop", Name="live", FunctionVersion=version)
    for name in ("orders-dead", "letters-dead"):
        sqs.create_queue(QueueName=name)
    for name in ("orders", "letters"):
        redrive = json.dumps({"deadLetterTargetArn": arn("sqs", f"{name}-dead"), "maxReceiveCount": 1})
        sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})
    api.create_event_source_mapping(FunctionName="shop", EventSourceArn=arn("sqs", "orders"), BatchSize=5)
    _route(server)
    _bury(sqs)
    for number in range(5):
        api.invoke(FunctionName="shop", Payload=json.dumps({"n": number}).encode())
    api.invoke(FunctionName="shop", Payload=b'{"fail": true}')
    sqs.send_message(QueueUrl=_url(sqs, "orders"), MessageBody=json.dumps({"text": EVIL}))
    xray = server.client("xray")
    until(lambda: _traces(xray), what="traces")


def _route(server: Served) -> None:
    api, events, sns = server.client(), server.client("events"), server.client("sns")
    events.put_rule(Name="paid", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="paid", Targets=[{"Id": "1", "Arn": arn("lambda", "function:shop")}])
    topic = sns.create_topic(Name="news")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn("sqs", "orders"))
    destination = {"OnFailure": {"Destination": topic}}
    api.put_function_event_invoke_config(FunctionName="idle", DestinationConfig=destination)


def _bury(sqs: Any) -> None:
    """A message of `letters` is a dead letter."""
    url = _url(sqs, "letters")
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"dead": EVIL}))
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
    until(lambda: waiting(sqs, "letters-dead") == 1, what="the dead letter")


def waiting(sqs: Any, name: str) -> int:
    names = ["ApproximateNumberOfMessages"]
    found = sqs.get_queue_attributes(QueueUrl=_url(sqs, name), AttributeNames=names)
    return int(found["Attributes"][names[0]])


def _url(sqs: Any, name: str) -> str:
    return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])


def _traces(xray: Any) -> list[str]:
    from datetime import datetime, timedelta

    now = datetime.now()
    found = xray.get_trace_summaries(StartTime=now - timedelta(minutes=5), EndTime=now)
    return [each["Id"] for each in found["TraceSummaries"]]


def a_trace(server: Served) -> str:
    """The id of one that is there."""
    return _traces(server.client("xray"))[0]
