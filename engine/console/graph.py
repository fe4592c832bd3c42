"""The map: who produces, who routes, who consumes, as a graph of the records of a place. Pure.

An edge names the metric that says what goes along it, if there is one; of some there is one for all edges of a node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..aws.names import LATEST, Place
from ..durable.state import State
from ..services.apigateway.catalog import APIS as REST_APIS
from ..services.apigateway.catalog import RESOURCES
from ..services.apigatewayv2.catalog import APIS as HTTP_APIS
from ..services.apigatewayv2.catalog import INTEGRATIONS
from ..services.apigatewayv2.integrations import FUNCTION
from ..services.elbv2.catalog import GROUPS as TARGET_GROUPS
from ..services.events.catalog import RULES
from ..services.pipes.catalog import PIPES
from ..services.s3.configurations import configurations
from ..services.s3.notifying import TABLE as NOTIFICATIONS
from ..services.scheduler.catalog import SCHEDULES
from ..services.sns.catalog import SUBSCRIPTIONS, TOPICS
from ..services.sqs.queues import TABLE as QUEUES
from ..services.sqs.redrive import policy_of
from ..sources.settings import TABLE as MAPPINGS

MOST = 600  # nodes: of more, no picture is one
_SERVICES = {
    "lambda": "function", "sqs": "queue", "sns": "topic", "events": "bus", "s3": "bucket", "kinesis": "stream",
    "dynamodb": "stream", "kafka": "stream", "states": "machine", "logs": "log group", "firehose": "stream",
}  # fmt: skip
Record = Mapping[str, Any]


class Node(NamedTuple):
    """kind: "function", "queue", …, "other"."""

    id: str
    kind: str
    name: str


class Metric(NamedTuple):
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


class Edge(NamedTuple):
    """label: its text; metric: None where nothing is counted."""

    start: str
    end: str
    label: str
    metric: Metric | None


class Graph:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.more = False

    def node(self, id: str, kind: str, name: str) -> str:
        if id not in self.nodes:
            if len(self.nodes) >= MOST:
                self.more = True
                return ""
            self.nodes[id] = Node(id, kind, name)
        return id

    def of_arn(self, arn: str) -> str:
        """The node that an ARN, or the address of something else, names: a function without its version."""
        parts = arn.split(":", 5)
        if len(parts) < 6:
            return self.node(arn, "other", arn)
        service, resource = parts[2], parts[5]
        kind = _SERVICES.get(service, "other")
        if service == "lambda":
            name = ([*resource.split(":"), ""])[1]
            return self.node(f"function {name}", kind, name)
        if service == "events" and not resource.startswith("event-bus/"):
            kind = "other"
        name = resource.rpartition("/")[2] if service != "dynamodb" else [*resource.split("/"), resource][1]
        return self.node(arn, kind, name)

    def edge(self, start: str, end: str, label: str = "", metric: Metric | None = None) -> None:
        if start and end:
            edge = Edge(start, end, label, metric)
            if edge not in self.edges[-4:]:
                self.edges.append(edge)


def graph(place: Place, state: State, names: list[str]) -> Graph:
    """names: of the place's functions, of which only those that are connected are in it."""
    made = Graph(place)
    for add in (_mappings, _urls, _apis, _rules, _topics, _schedules, _pipes, _buckets, _balancers, _queues):
        add(made, state)
    for name in names:
        _function(made, state, name)
    return made


def _mappings(made: Graph, state: State) -> None:
    for uuid, record in _all(state, MAPPINGS):
        source = record.get("EventSourceArn")
        if not source:
            endpoints = (record.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
            source = ",".join(server for each in endpoints.values() for server in each)
        arn = record.get("FunctionArn", "")
        name = ([*arn.split(":"), *[""] * 7])[6]
        own = (("EventSourceMappingUUID", uuid), ("FunctionName", name))
        label = "" if record.get("State") == "Enabled" else str(record.get("State", "")).lower()
        made.edge(made.of_arn(source), made.of_arn(arn), label, _metric("Lambda", "InvokedEventCount", *own))
        failed = ((record.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        if failed:
            made.edge(made.of_arn(arn), made.of_arn(failed), "failures")


def _urls(made: Graph, state: State) -> None:
    for name in state.owners("url"):
        url = made.node(f"url {name}", "url", f"URL of {name}")
        metric = _metric("Lambda", "UrlRequestCount", ("FunctionName", name))
        made.edge(url, made.of_arn(made.place.function(name)), "", metric)


def _apis(made: Graph, state: State) -> None:
    for table, member in ((HTTP_APIS, "Name"), (REST_APIS, "name")):
        for id, record in _all(state, table):
            name = record.get(member) or id
            node = made.node(f"api {id}", "api", name)
            for arn in sorted(set(_integrations(state, id))):
                own = ("ApiId", id) if table == HTTP_APIS else ("ApiName", name)
                made.edge(node, made.of_arn(arn), "", _metric("ApiGateway", "Count", own))


def _integrations(state: State, api: str) -> Iterator[str]:
    for record in state.owned(INTEGRATIONS, api).values():
        if found := FUNCTION.fullmatch(record.get("IntegrationUri") or ""):
            yield found["arn"]
    for record in state.owned(RESOURCES, api).values():
        for method in (record.get("resourceMethods") or {}).values():
            uri = (method.get("methodIntegration") or {}).get("uri") or ""
            if found := FUNCTION.fullmatch(uri):
                yield found["arn"]


def _rules(made: Graph, state: State) -> None:
    place = made.place
    for bus in state.owners(RULES):
        for name, record in state.owned(RULES, bus).items():
            targets = (record.get("Targets") or {}).values()
            rule = made.node(f"rule {bus}/{name}", "rule", name)
            own = (("RuleName", name),) if bus == "default" else (("EventBusName", bus), ("RuleName", name))
            if record.get("EventPattern"):
                arn = f"arn:aws:events:{place.region}:{place.account}:event-bus/{bus}"
                made.edge(made.of_arn(arn), rule, "", _metric("Events", "MatchedEvents", *own))
            for target in targets:
                label = "" if record.get("State") != "DISABLED" else "disabled"
                made.edge(rule, made.of_arn(target["Arn"]), label, _metric("Events", "Invocations", *own))


def _topics(made: Graph, state: State) -> None:
    place = made.place
    for name in state.owners(TOPICS):
        arn = f"arn:aws:sns:{place.region}:{place.account}:{name}"
        for record in state.owned(SUBSCRIPTIONS, name).values():
            end = record.get("Endpoint") or ""
            node = made.of_arn(end) if end.startswith("arn:") else made.node(end, "other", end)
            metric = _metric("SNS", "NumberOfNotificationsDelivered", ("TopicName", name))
            made.edge(made.of_arn(arn), node, "", metric)


def _schedules(made: Graph, state: State) -> None:
    for group in state.owners(SCHEDULES):
        for name, record in state.owned(SCHEDULES, group).items():
            node = made.node(f"schedule {group}/{name}", "schedule", name)
            metric = _metric("Scheduler", "InvocationAttemptCount", ("ScheduleGroup", group))
            made.edge(node, made.of_arn(record["Target"]["Arn"]), "", metric)


def _pipes(made: Graph, state: State) -> None:
    for name, record in _all(state, PIPES):
        node = made.node(f"pipe {name}", "pipe", name)
        metric = _metric("EventBridge/Pipes", "EventCount", ("PipeName", name))
        made.edge(made.of_arn(record["Source"]), node, "", metric)
        made.edge(node, made.of_arn(record["Target"]), "", metric)
        if enrichment := record.get("Enrichment"):
            made.edge(node, made.of_arn(enrichment), "enrichment")


def _buckets(made: Graph, state: State) -> None:
    for bucket, record in _all(state, NOTIFICATIONS):
        node = made.node(f"arn:aws:s3:::{bucket}", "bucket", bucket)
        for each in configurations(record):
            made.edge(node, made.of_arn(each.arn), ", ".join(each.events))


def _balancers(made: Graph, state: State) -> None:
    for _, record in _all(state, TARGET_GROUPS):
        for target in record.get("_targets") or ():
            id = target.get("Id", "") if isinstance(target, Mapping) else str(target)
            if ":lambda:" in id:
                name = record.get("TargetGroupName", "targets")
                made.edge(made.node(f"group {name}", "api", name), made.of_arn(id))


def _queues(made: Graph, state: State) -> None:
    place = made.place
    for name, record in _all(state, QUEUES):
        redrive = policy_of(record.get("Attributes") or {})
        if redrive is not None:
            arn = f"arn:aws:sqs:{place.region}:{place.account}:{name}"
            made.edge(made.of_arn(arn), made.of_arn(redrive.target), "dead letters")


def _function(made: Graph, state: State, name: str) -> None:
    node = made.place.function(name)
    for qualifier, record in state.owned("invoke-config", name).items():
        for condition, target in (record.get("DestinationConfig") or {}).items():
            if arn := (target or {}).get("Destination"):
                label = "success" if condition == "OnSuccess" else "failure"
                label += "" if qualifier in ("", LATEST) else f" of {qualifier}"
                made.edge(made.of_arn(node), made.of_arn(arn), label)
    record = state.get("function", name, LATEST) or {}
    if arn := (record.get("DeadLetterConfig") or {}).get("TargetArn"):
        made.edge(made.of_arn(node), made.of_arn(arn), "dead letters")


def _all(state: State, table: str) -> Iterator[tuple[str, Record]]:
    for owner in state.owners(table):
        if (record := state.get(table, owner)) is not None:
            yield owner, record


def _metric(namespace: str, name: str, *dimensions: tuple[str, str]) -> Metric:
    return Metric(f"AWS/{namespace}", name, dimensions)
