"""EventBridge by boto3: the operations on buses, rules, archives and replays, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from delivered import ACCOUNT, entry, put, queue, received, refused, rule
from served import REGION, Served
from support import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("bus") / "state")
    yield served
    assert served.stop() == 0


def test_every_operation_of_the_model_is_answered(events: Any) -> None:
    """Implemented, or refused with an error that the service has."""
    model = events.meta.service_model
    errors = {shape.name for shape in model.error_shapes} | {"ValidationException"}
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        members = {name: _any(shape.members[name]) for name in shape.required_members}
        method = getattr(events, _method(events, operation))
        try:
            method(**members)
        except ClientError as error:
            assert error.response["Error"]["Code"] in errors, (operation, error)


def _method(client: Any, operation: str) -> str:
    return next(name for name, of in client.meta.method_to_api_mapping.items() if of == operation)


def _any(shape: Any) -> Any:
    if shape.type_name == "structure":
        return {name: _any(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [_any(shape.member)] * max(1, shape.metadata.get("min", 1))
    if shape.type_name == "timestamp":
        return datetime.now(UTC)
    if shape.type_name == "string":
        return shape.enum[0] if getattr(shape, "enum", None) else "x" * max(1, shape.metadata.get("min", 1))
    return 1


def test_rules_and_targets_are_listed_and_removed(events: Any, name: str) -> None:
    target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    for n in range(3):
        events.put_rule(
            Name=f"{name}-{n}", EventPattern='{"source": ["x"]}', Tags=[{"Key": "k", "Value": str(n)}]
        )
        events.put_targets(
            Rule=f"{name}-{n}", Targets=[{"Id": "a", "Arn": target}, {"Id": "b", "Arn": target}]
        )
    first = events.list_rules(NamePrefix=name, Limit=2)
    assert [each["Name"] for each in first["Rules"]] == [f"{name}-0", f"{name}-1"]
    rest = events.list_rules(NamePrefix=name, NextToken=first["NextToken"])
    assert [each["Name"] for each in rest["Rules"]] == [f"{name}-2"]
    assert events.list_rule_names_by_target(TargetArn=target)["RuleNames"] == [
        f"{name}-{n}" for n in range(3)
    ]
    assert [each["Id"] for each in events.list_targets_by_rule(Rule=f"{name}-0")["Targets"]] == ["a", "b"]
    assert refused(events.delete_rule, Name=f"{name}-0") == (
        "ValidationException", "Rule can't be deleted since it has targets.",
    )  # fmt: skip
    removed = events.remove_targets(Rule=f"{name}-0", Ids=["a", "b", "c"])
    assert (removed["FailedEntryCount"], removed["FailedEntries"][0]["TargetId"]) == (1, "c")
    events.delete_rule(Name=f"{name}-0")
    assert refused(events.describe_rule, Name=f"{name}-0") == (
        "ResourceNotFoundException", f"Rule {name}-0 does not exist on EventBus default.",
    )  # fmt: skip
    arn = events.describe_rule(Name=f"{name}-1")["Arn"]
    events.tag_resource(ResourceARN=arn, Tags=[{"Key": "other", "Value": "v"}])
    events.untag_resource(ResourceARN=arn, TagKeys=["k"])
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "other", "Value": "v"}]


@pytest.mark.parametrize(
    "members, message",
    [
        (
            {"EventPattern": '{"a": [{"prefix": 1}]}'},
            "Event pattern is not valid. Reason: prefix match pattern must be a string",
        ),
        ({"ScheduleExpression": "rate(1 minutes)"}, "Parameter ScheduleExpression is not valid."),
        ({}, "Parameter(s) EventPattern or ScheduleExpression must be specified."),
    ],
)  # fmt: skip
def test_rules_that_are_refused(events: Any, members: dict[str, str], message: str) -> None:
    assert refused(events.put_rule, Name="x", **members)[1] == message


def test_patterns_are_tested(events: Any) -> None:
    event = {
        "id": "1", "account": "1", "source": "s", "time": "2026-01-01T00:00:00Z", "region": "r", "resources": [],
        "detail-type": "d", "detail": {"a": [{"b": 1, "c": 2}, {"b": 3, "c": 4}]},
    }  # fmt: skip
    for pattern, result in [
        ({"detail": {"a": {"b": [1], "c": [2]}}}, True), ({"detail": {"a": {"b": [1], "c": [4]}}}, False),
    ]:  # fmt: skip
        tested = events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
        assert tested["Result"] is result
    code, _ = refused(events.test_event_pattern, EventPattern="[]", Event=json.dumps(event))
    assert code == "InvalidEventPatternException"
    assert (
        refused(events.test_event_pattern, EventPattern='{"a": [1]}', Event="{}")[0] == "ValidationException"
    )


def test_a_bus_lets_in_accounts_that_its_policy_names(
    server: Served, events: Any, sqs: Any, name: str
) -> None:
    events.create_event_bus(Name=name, Tags=[{"Key": "k", "Value": "v"}])
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"
    url, arn = queue(sqs, name)
    rule(events, name, {"Arn": arn}, bus=name)
    other = server.client("events", aws_access_key_id="111111111111")
    result = other.put_events(Entries=[entry(name, EventBusName=bus)])
    assert result["Entries"][0]["ErrorCode"] == "AccessDeniedException"
    events.put_permission(
        EventBusName=name, Action="events:PutEvents", Principal="111111111111", StatementId="s"
    )
    policy = json.loads(events.describe_event_bus(Name=name)["Policy"])
    assert policy["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::111111111111:root"}
    put(other, entry(name, EventBusName=bus))
    (message,) = received(sqs, url)
    assert json.loads(message["Body"])["account"] == "111111111111"
    events.remove_permission(EventBusName=name, StatementId="s")
    assert (
        refused(events.remove_permission, EventBusName=name, StatementId="s")[0]
        == "ResourceNotFoundException"
    )
    assert refused(events.create_event_bus, Name=name) == (
        "ResourceAlreadyExistsException", f"Event bus {name} already exists.",
    )  # fmt: skip
    assert refused(events.delete_event_bus, Name=name)[0] == "ValidationException"
    assert events.list_event_buses(NamePrefix=name)["EventBuses"][0]["Arn"] == bus


def test_an_archive_has_a_rule_that_only_it_changes(events: Any, name: str) -> None:
    """As recorded of AWS by moto's test_archive_actual_events."""
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    events.create_archive(ArchiveName=name, EventSourceArn=bus, EventPattern='{"source": ["s"]}')
    its = f"Events-Archive-{name}"
    (shown,) = events.list_rules(EventBusName=name)["Rules"]
    assert shown["Name"] == its
    assert shown["ManagedBy"] == "prod.vhs.events.aws.internal"
    assert json.loads(shown["EventPattern"]) == {"source": ["s"], "replay-name": [{"exists": False}]}
    assert events.describe_rule(Name=its, EventBusName=name)["Arn"] == shown["Arn"]
    (target,) = events.list_targets_by_rule(Rule=its, EventBusName=name)["Targets"]
    assert target["Arn"] == f"arn:aws:events:{REGION}:::"
    assert "<aws.events.event.json>" in target["InputTransformer"]["InputTemplate"]
    for change, members in [
        (events.put_rule, {"Name": its, "EventPattern": '{"source": ["s"]}'}),
        (events.disable_rule, {"Name": its}), (events.delete_rule, {"Name": its}),
        (events.remove_targets, {"Rule": its, "Ids": [target["Id"]]}),
    ]:  # fmt: skip
        assert refused(change, EventBusName=name, **members)[0] == "ManagedRuleException"
    events.delete_archive(ArchiveName=name)
    assert events.list_rules(EventBusName=name)["Rules"] == []
    assert refused(events.describe_rule, Name=its, EventBusName=name)[0] == "ResourceNotFoundException"


def test_what_of_archives_replays_and_targets_is_refused(events: Any, name: str) -> None:
    """As recorded of AWS by moto's tests and LocalStack's."""
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    archive = f"arn:aws:events:{REGION}:{ACCOUNT}:archive/{name}"
    when = datetime(2026, 1, 1, tzinfo=UTC)
    replay = {
        "ReplayName": name, "EventSourceArn": archive, "EventStartTime": when,
        "EventEndTime": when + timedelta(days=1), "Destination": {"Arn": bus},
    }  # fmt: skip
    assert refused(events.start_replay, **replay) == (
        "ValidationException", f"Parameter EventSourceArn is not valid. Reason: Archive {name} does not exist.",
    )  # fmt: skip
    assert refused(events.start_replay, **{**replay, "Destination": {"Arn": "invalid"}}) == (
        "ValidationException", "Parameter Destination.Arn is not valid. Reason: Must contain an event bus ARN.",
    )  # fmt: skip
    assert refused(events.start_replay, **{**replay, "Destination": {"Arn": bus.replace("default", name)}}) == (
        "ResourceNotFoundException", f"Event bus {name} does not exist.",
    )  # fmt: skip
    events.create_archive(ArchiveName=name, EventSourceArn=bus)
    assert refused(events.start_replay, **{**replay, "EventEndTime": when})[0] == "ValidationException"
    assert refused(events.list_archives, State="ENABLED", NamePrefix=name) == (
        "ValidationException",
        "At most one filter is allowed for ListArchives. Use either : State, EventSourceArn, or NamePrefix.",
    )  # fmt: skip
    assert refused(events.update_archive, ArchiveName=name) == (
        "ValidationException", "At least one of EventPattern, RetentionDays or Description must be provided.",
    )  # fmt: skip
    events.start_replay(**replay)
    until(lambda: events.describe_replay(ReplayName=name)["State"] == "COMPLETED")
    assert refused(events.cancel_replay, ReplayName=name) == (
        "IllegalStatusException", f"Replay {name} is not in a valid state for this operation.",
    )  # fmt: skip
    events.delete_archive(ArchiveName=name)
    fifo = {"Id": "f", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}.fifo"}
    assert refused(events.put_targets, Rule="unknown", Targets=[fifo]) == (
        "ValidationException", "Parameter(s) SqsParameters must be specified for target: f.",
    )  # fmt: skip
