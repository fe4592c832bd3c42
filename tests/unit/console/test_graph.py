"""The map as a graph: each kind of producer, router and consumer, and the metric that says what goes along an edge."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.aws.names import LATEST, Place
from engine.console import graph as graphs
from engine.console.graph import Graph, graph
from engine.durable.records import Records
from engine.durable.state import State, States
from engine.durable.store import Store

HERE = Place("eu-west-1", "111111111111")
QUEUE, DEAD = "arn:aws:sqs:eu-west-1:111111111111:orders", "arn:aws:sqs:eu-west-1:111111111111:dead"
TOPIC = "arn:aws:sns:eu-west-1:111111111111:news"
SHOP = HERE.function("shop")
URI = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{SHOP}/invocations"
RECORDS = {
    ("event-source-mapping", "m", ""): {
        "EventSourceArn": QUEUE, "FunctionArn": f"{SHOP}:live", "State": "Disabled",
        "DestinationConfig": {"OnFailure": {"Destination": TOPIC}},
    },
    ("url", "shop", ""): {"AuthType": "NONE"},
    ("http-apis", "a1", ""): {"Name": "web"},
    ("http-integrations", "a1", "i"): {"IntegrationUri": SHOP},
    ("rest-apis", "r1", ""): {"name": "rest"},
    ("rest-resources", "r1", "x"): {"resourceMethods": {"GET": {"methodIntegration": {"uri": URI}}}},
    ("events-rules", "own", "paid"): {"EventPattern": "{}", "State": "ENABLED", "Targets": {"1": {"Arn": SHOP}}},
    ("events-rules", "default", "timer"): {"State": "DISABLED", "Targets": {"1": {"Arn": QUEUE}}},
    ("sns-topics", "news", ""): {"Attributes": {}},
    ("sns-subscriptions", "news", "s"): {"Endpoint": QUEUE},
    ("sns-subscriptions", "news", "t"): {"Endpoint": "https://example.com/hook"},
    ("scheduler-schedules", "default", "nightly"): {"Target": {"Arn": SHOP}},
    ("pipes", "p", ""): {"Source": QUEUE, "Target": TOPIC, "Enrichment": SHOP},
    ("s3-notifications", "photos", ""): {
        "LambdaFunctionConfigurations": [{"Id": "1", "LambdaFunctionArn": SHOP, "Events": ["s3:ObjectCreated:*"]}],
    },
    ("sqs-queues", "orders", ""): {
        "Attributes": {"RedrivePolicy": f'{{"deadLetterTargetArn": "{DEAD}", "maxReceiveCount": 3}}'},
    },
    ("function", "shop", LATEST): {"DeadLetterConfig": {"TargetArn": DEAD}},
    ("invoke-config", "shop", "live"): {"DestinationConfig": {"OnSuccess": {"Destination": TOPIC}}},
}  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> State:
    store = Store(tmp_path / "state", [Records(HERE.partition)])
    made = States(store).of(HERE.partition)
    with made.change() as change:
        for (table, owner, id), record in RECORDS.items():
            change.put(table, owner, id, record)
    store.close()
    return made


def edges(found: Graph) -> set[tuple[str, str, str, str]]:
    def name(id: str) -> str:
        return f"{found.nodes[id].kind} {found.nodes[id].name}"

    return {
        (name(each.start), name(each.end), each.label, each.metric.name if each.metric else "")
        for each in found.edges
    }


@pytest.mark.promise(310)
def test_every_kind_is_in_it(state: State) -> None:
    assert edges(graph(HERE, state, ["shop"])) == {
        ("queue orders", "function shop", "disabled", "InvokedEventCount"),
        ("function shop", "topic news", "failures", ""),
        ("url URL of shop", "function shop", "", "UrlRequestCount"),
        ("api web", "function shop", "", "Count"),
        ("api rest", "function shop", "", "Count"),
        ("bus own", "rule paid", "", "MatchedEvents"),
        ("rule paid", "function shop", "", "Invocations"),
        ("rule timer", "queue orders", "disabled", "Invocations"),
        ("topic news", "queue orders", "", "NumberOfNotificationsDelivered"),
        ("topic news", "other https://example.com/hook", "", "NumberOfNotificationsDelivered"),
        ("schedule nightly", "function shop", "", "InvocationAttemptCount"),
        ("queue orders", "pipe p", "", "EventCount"),
        ("pipe p", "topic news", "", "EventCount"),
        ("pipe p", "function shop", "enrichment", ""),
        ("bucket photos", "function shop", "s3:ObjectCreated:*", ""),
        ("queue orders", "queue dead", "dead letters", ""),
        ("function shop", "queue dead", "dead letters", ""),
        ("function shop", "topic news", "success of live", ""),
    }


def test_it_is_bounded(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST", 3)
    found = graph(HERE, state, ["shop"])
    assert len(found.nodes) == 3
    assert found.more
    assert {id for each in found.edges for id in each[:2]} <= set(found.nodes)


@pytest.mark.parametrize(
    ("arn", "kind", "name"),
    [
        ("arn:aws:kinesis:eu-west-1:1:stream/clicks", "stream", "clicks"),
        ("arn:aws:dynamodb:eu-west-1:1:table/t/stream/2026", "stream", "t"),
        ("arn:aws:events:eu-west-1:1:api-destination/x/y", "other", "y"),
        ("arn:aws:lambda:eu-west-1:1:function:f:7", "function", "f"),
        ("redis://127.0.0.1/0", "other", "redis://127.0.0.1/0"),
        ("arn:aws:dynamodb", "other", "arn:aws:dynamodb"),
        ("arn:aws:dynamodb:eu-west-1:1:odd", "stream", "odd"),
    ],
)
def test_what_an_arn_names(arn: str, kind: str, name: str) -> None:
    made = Graph(HERE)
    assert made.nodes[made.of_arn(arn)][1:] == (kind, name)
