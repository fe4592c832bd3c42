"""CloudWatch's API: metrics and alarms, in each of the protocols that botocore may choose."""

from __future__ import annotations

import copy
import datetime
import json
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from served import ECHO, ROLE, RUNTIME, Served, zipped
from support import until

PROTOCOLS = ("smithy-rpc-v2-cbor", "json", "query")
DIMENSIONS = [{"Name": "stage", "Value": "prod"}]


def client_of(server: Served, protocol: str) -> Any:
    """botocore's client, whose model has this protocol only."""
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def one(name: str, type: str, api_version: str | None = None) -> Any:
        model = load(name, type, api_version)
        if (name, type) == ("cloudwatch", "service-2"):
            model = copy.deepcopy(model)
            model["metadata"] |= {"protocol": protocol, "protocols": [protocol]}
        return model

    loader.load_service_model = one
    return session.create_client(
        "cloudwatch", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test", config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip


@pytest.fixture(scope="module", params=PROTOCOLS)
def each(request: pytest.FixtureRequest, server: Served) -> Any:
    made = client_of(server, request.param)
    made.namespace = f"App/{request.param}"
    return made


@pytest.fixture(scope="module")
def cloudwatch(server: Served) -> Any:
    return server.client("cloudwatch")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def around(minutes: int = 60) -> dict[str, datetime.datetime]:
    return {
        "StartTime": now() - datetime.timedelta(minutes=minutes),
        "EndTime": now() + datetime.timedelta(minutes=2),
    }


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.mark.promise(252)
def test_what_was_put_is_read(each: Any) -> None:
    """Values, counts, statistics; by every kind of statistic; listed."""
    name, at = each.namespace, now().replace(second=0, microsecond=0) - datetime.timedelta(minutes=5)
    datum = {"MetricName": "took", "Dimensions": DIMENSIONS, "Timestamp": at, "Unit": "Milliseconds"}
    each.put_metric_data(Namespace=name, MetricData=[
        {**datum, "Values": [float(n) for n in range(1, 101)]}, {**datum, "Value": 1000.0},
        {**datum, "MetricName": "sums", "StatisticValues": {"SampleCount": 4, "Sum": 20, "Minimum": 2, "Maximum": 9}},
    ])  # fmt: skip
    asked = {"Namespace": name, "MetricName": "took", "Dimensions": DIMENSIONS, "Period": 60, **around()}
    (point,) = each.get_metric_statistics(
        **asked, Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"]
    )["Datapoints"]
    assert point["Timestamp"] == at and point["Unit"] == "Milliseconds"
    assert (point["Sum"], point["Minimum"], point["Maximum"], point["SampleCount"]) == (6050, 1, 1000, 101)
    (point,) = each.get_metric_statistics(**asked, ExtendedStatistics=["p50", "p100", "tm90", "PR(:50)"])[
        "Datapoints"
    ]
    found = point["ExtendedStatistics"]
    assert abs(found["p50"] - 51) < 2 and found["p100"] == 1000 and abs(found["PR(:50)"] - 50) < 2
    metric = {"Namespace": name, "MetricName": "took", "Dimensions": DIMENSIONS}
    sums = {"Namespace": name, "MetricName": "sums", "Dimensions": DIMENSIONS}
    result = each.get_metric_data(**around(), MetricDataQueries=[
        {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}},
        {"Id": "m2", "MetricStat": {"Metric": sums, "Period": 60, "Stat": "Average"}, "ReturnData": False},
        {"Id": "p", "MetricStat": {"Metric": sums, "Period": 60, "Stat": "p99"}},
        {"Id": "e1", "Label": "both", "Expression": "(m1 - 50) / m2 + 1"},
    ])["MetricDataResults"]  # fmt: skip
    assert [(r["Id"], r["Label"], r["Values"], r["Timestamps"]) for r in result] == [
        ("m1", "took", [6050.0], [at]), ("p", "sums", [], []), ("e1", "both", [1201.0], [at]),
    ]  # fmt: skip
    assert all(r["StatusCode"] == "Complete" for r in result)
    listed = each.list_metrics(Namespace=name, Dimensions=[{"Name": "stage"}])["Metrics"]
    assert {m["MetricName"] for m in listed} == {"took", "sums"} and listed[0]["Dimensions"] == DIMENSIONS


@pytest.mark.promise(260)
def test_metrics_are_listed_in_pages(cloudwatch: Any) -> None:
    """Each once, in order, those that have a dimension, and those that had a point in the last three hours."""
    old = now() - datetime.timedelta(hours=4)
    cloudwatch.put_metric_data(Namespace="Paged", MetricData=[
        {"MetricName": f"m{n:03}", "Value": 1, "Dimensions": [{"Name": "odd", "Value": str(n % 2)}],
         "Timestamp": old if n == 7 else now()}
        for n in range(999)
    ])  # fmt: skip

    def listed(**wanted: Any) -> list[str]:
        pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="Paged", **wanted)
        return [each["MetricName"] for page in pages for each in page["Metrics"]]

    names = [f"m{n:03}" for n in range(999)]
    assert listed() == names
    assert listed(Dimensions=[{"Name": "odd", "Value": "1"}]) == names[1::2]
    assert listed(RecentlyActive="PT3H") == [name for name in names if name != "m007"]
    assert listed(MetricName="m500", Dimensions=[{"Name": "odd"}]) == ["m500"]


@pytest.mark.promise(252)
def test_a_compressed_request(each: Any) -> None:
    """botocore compresses what is larger than 10 KiB."""
    values = [float(n) / 7 for n in range(150)]
    data = [{"MetricName": f"m{n}", "Values": values, "Counts": [2.0] * 150} for n in range(40)]
    each.put_metric_data(Namespace=f"{each.namespace}/gzip", MetricData=data)
    asked = {"Namespace": f"{each.namespace}/gzip", "MetricName": "m39", "Period": 60, **around()}
    points = each.get_metric_statistics(**asked, Statistics=["SampleCount"])["Datapoints"]
    assert sum(point["SampleCount"] for point in points) == 300


@pytest.mark.promise(252)
def test_what_makes_no_sense_is_refused(each: Any) -> None:
    good = {"MetricName": "m", "Value": 1.0}
    times = {"Namespace": "A", "MetricName": "m", "Period": 60, **around()}
    query = {"Metric": {"Namespace": "A", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    refused = [
        ("InvalidParameterValue", lambda: each.put_metric_data(Namespace="AWS/Lambda", MetricData=[good])),
        ("MissingParameter", lambda: each.put_metric_data(Namespace="A", MetricData=[])),
        ("MissingParameter", lambda: each.put_metric_data(Namespace="A", MetricData=[{"MetricName": "m"}])),
        ("InvalidParameterValue", lambda: each.put_metric_data(
            Namespace="A", MetricData=[{**good, "Timestamp": now() - datetime.timedelta(days=15)}])),
        ("InvalidParameterCombination", lambda: each.put_metric_data(
            Namespace="A", MetricData=[{**good, "Values": [1.0]}])),
        ("InvalidParameterValue", lambda: each.get_metric_statistics(**{**times, "Period": 61}, Statistics=["Sum"])),
        ("MissingParameter", lambda: each.get_metric_statistics(**times)),
        ("InvalidParameterCombination", lambda: each.get_metric_statistics(
            **times | around(60 * 24 * 3), Statistics=["Sum"])),
        ("ValidationError", lambda: each.get_metric_data(**around(), MetricDataQueries=[
            {"Id": "e1", "Expression": "SEARCH('{A} m', 'Sum', 60)"}])),
        ("ValidationError", lambda: each.get_metric_data(**around(), MetricDataQueries=[
            {"Id": "e1", "Expression": "e2 + 1"}, {"Id": "e2", "Expression": "e1 + 1"}])),
        ("ValidationError", lambda: each.get_metric_data(**around(), MetricDataQueries=[
            {"Id": "m1", "MetricStat": {**query, "Stat": "p101"}}])),
        ("InvalidNextToken", lambda: each.list_metrics(NextToken="x")),
        ("ValidationError", lambda: each.put_dashboard(DashboardName="d", DashboardBody="{}")),
        ("ResourceNotFound", lambda: each.get_dashboard(DashboardName="d")),
        ("ResourceNotFound", lambda: each.set_alarm_state(AlarmName="no", StateValue="OK", StateReason="x")),
        ("ResourceNotFoundException", lambda: each.list_tags_for_resource(
            ResourceARN="arn:aws:cloudwatch:x:1:alarm:no")),
        ("MissingParameter", lambda: each.put_metric_alarm(AlarmName="a", MetricName="m", Namespace="A")),
        ("ValidationError", lambda: each.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(")),
    ]  # fmt: skip
    for code, call in refused:
        with pytest.raises(ClientError) as error:
            call()
        assert code_of(error) == code, error.value


def alarm(name: str, namespace: str, **more: Any) -> dict[str, Any]:
    return {
        "AlarmName": name, "Namespace": namespace, "MetricName": "errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 3.0, "ComparisonOperator": "GreaterThanThreshold", **more,
    }  # fmt: skip


def breach(cloudwatch: Any, namespace: str) -> None:
    """In each of the last minutes that are over."""
    data = [
        {"MetricName": "errors", "Value": 5.0, "Timestamp": now() - datetime.timedelta(minutes=n)}
        for n in (0, 1, 2)
    ]
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)


def state(cloudwatch: Any, name: str) -> str:
    types = ["MetricAlarm", "CompositeAlarm"]
    found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=types)
    (one,) = found["MetricAlarms"] + found["CompositeAlarms"]
    return str(one["StateValue"])


@pytest.mark.promise(253)
def test_an_alarm_is_kept_as_it_was_given(each: Any) -> None:
    name = f"kept-{each.meta.service_model.protocol}"
    topic = "arn:aws:sns:us-east-1:000000000000:none"
    given = alarm(
        name,
        "Kept",
        AlarmDescription="d",
        AlarmActions=[topic],
        Dimensions=DIMENSIONS,
        TreatMissingData="ignore",
    )
    each.put_metric_alarm(**given, Tags=[{"Key": "k", "Value": "v"}])
    (found,) = each.describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]
    assert {member: found[member] for member in given} == given
    assert found["ActionsEnabled"] is True and found["StateValue"] == "INSUFFICIENT_DATA"
    assert found["AlarmArn"] == f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"
    assert each.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"] == [{"Key": "k", "Value": "v"}]
    each.tag_resource(ResourceARN=found["AlarmArn"], Tags=[{"Key": "l", "Value": "w"}])
    each.untag_resource(ResourceARN=found["AlarmArn"], TagKeys=["k"])
    assert each.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"] == [{"Key": "l", "Value": "w"}]
    each.disable_alarm_actions(AlarmNames=[name])
    for_metric = {"Namespace": "Kept", "MetricName": "errors", "Dimensions": DIMENSIONS}
    shown = {a["AlarmName"]: a for a in each.describe_alarms_for_metric(**for_metric)["MetricAlarms"]}
    assert shown[name]["ActionsEnabled"] is False
    each.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    types = [
        item["HistoryItemType"] for item in each.describe_alarm_history(AlarmName=name)["AlarmHistoryItems"]
    ]
    assert types[0] == "StateUpdate" and types[-1] == "ConfigurationUpdate"
    each.delete_alarms(AlarmNames=[name])
    assert each.describe_alarms(AlarmNamePrefix=name)["MetricAlarms"] == []


@pytest.mark.promise(253)
def test_an_alarm_acts(server: Served, cloudwatch: Any, sqs: Any, sns: Any, events: Any) -> None:
    """On a topic, a function that lets it, and the default bus; a composite alarm follows."""
    lambda_ = server.client()
    code = "def handler(event, context):\n    print(event['alarmData']['state']['value'])\n"
    lambda_.create_function(
        FunctionName="alarmed",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": zipped(**{"app.py": code})},
    )
    arn = lambda_.get_function(FunctionName="alarmed")["Configuration"]["FunctionArn"]
    lambda_.add_permission(
        FunctionName="alarmed", StatementId="s", Action="lambda:InvokeFunction",
        Principal="lambda.alarms.cloudwatch.amazonaws.com",
    )  # fmt: skip
    queue = sqs.create_queue(QueueName="alarms")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"}
    )
    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": ["acts"]},
    }
    events.put_rule(Name="alarms", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="alarms", Targets=[{"Id": "q", "Arn": queue_arn}])
    breach(cloudwatch, "Acts")
    cloudwatch.put_metric_alarm(**alarm("acts", "Acts", AlarmActions=[topic, arn]))
    cloudwatch.put_composite_alarm(AlarmName="both", AlarmRule='ALARM("acts") AND NOT OK(acts)')
    found: dict[str, Any] = {}

    def received() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10).get(
            "Messages", []
        ):
            body = json.loads(message["Body"])
            found["event" if "detail" in body else "message"] = body
        return len(found) == 2

    until(received)
    message, event = found["message"], found["event"]
    assert (message["NewStateValue"], message["OldStateValue"]) == ("ALARM", "INSUFFICIENT_DATA")
    assert message["Trigger"]["Threshold"] == 3.0 and message["Trigger"]["Statistic"] == "SUM"
    assert "Threshold Crossed: 1 out of the last 1 datapoints [5.0" in message["NewStateReason"]
    assert event["detail"]["state"]["value"] == "ALARM" and event["resources"] == [message["AlarmArn"]]
    logs = server.client("logs")

    def logged() -> bool:
        groups = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/alarmed")["logGroups"]
        return any(
            "ALARM" in str(logs.filter_log_events(logGroupName=each["logGroupName"])["events"])
            for each in groups
        )

    until(logged)
    until(lambda: state(cloudwatch, "both") == "ALARM")
    with pytest.raises(ClientError) as error:
        cloudwatch.delete_alarms(AlarmNames=["acts"])
    assert code_of(error) == "ValidationError"
    cloudwatch.delete_alarms(AlarmNames=["acts", "both"])


@pytest.mark.promise(251)
def test_metrics_and_alarms_outlive_the_server(tmp_path: Any) -> None:
    """SIGKILL: what a request put and an alarm's state are there; functions' metrics of a server that ends are, too."""
    server = Served(tmp_path / "state")
    cloudwatch = server.client("cloudwatch")
    breach(cloudwatch, "Kept")
    cloudwatch.put_metric_alarm(**alarm("kept", "Kept"))
    until(lambda: state(cloudwatch, "kept") == "ALARM")
    server.process.kill()
    server.process.wait()
    again = Served(tmp_path / "state")
    cloudwatch = again.client("cloudwatch")
    assert state(cloudwatch, "kept") == "ALARM"
    asked = {
        "Namespace": "Kept",
        "MetricName": "errors",
        "Period": 3600,
        "Statistics": ["Sum"],
        **around(120),
    }
    assert sum(p["Sum"] for p in cloudwatch.get_metric_statistics(**asked)["Datapoints"]) == 15
    lambda_ = again.client()
    lambda_.create_function(
        FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": zipped(**{"app.py": ECHO})},
    )  # fmt: skip
    for _ in range(5):
        lambda_.invoke(FunctionName="f", Payload=b"{}")
    assert again.stop() == 0
    third = Served(tmp_path / "state")
    asked = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Invocations",
        "Dimensions": [{"Name": "FunctionName", "Value": "f"}],
    }
    points = third.client("cloudwatch").get_metric_statistics(
        **asked, Period=3600, Statistics=["Sum"], **around(120)
    )
    assert sum(point["Sum"] for point in points["Datapoints"]) == 5
    assert third.stop() == 0


@pytest.mark.promise(254)
def test_metrics_in_logs(server: Served, cloudwatch: Any) -> None:
    """A metric filter's, with its dimensions; and those of the embedded metric format."""
    logs = server.client("logs")
    logs.create_log_group(logGroupName="measured")
    logs.create_log_stream(logGroupName="measured", logStreamName="s")
    taken = {"metricName": "took", "metricNamespace": "Logged", "metricValue": "$.ms", "unit": "Milliseconds"}
    logs.put_metric_filter(
        logGroupName="measured", filterName="f", filterPattern="{ $.level = ERROR }",
        metricTransformations=[{**taken, "dimensions": {"path": "$.path"}}],
    )  # fmt: skip
    counted = {"metricName": "words", "metricNamespace": "Logged", "metricValue": "1", "defaultValue": 0.0}
    logs.put_metric_filter(
        logGroupName="measured", filterName="g", filterPattern="word", metricTransformations=[counted]
    )
    at = int(now().timestamp() * 1000)
    embedded = {
        "_aws": {"Timestamp": at, "CloudWatchMetrics": [
            {"Namespace": "Embedded", "Dimensions": [["service"], []], "Metrics": [{"Name": "n", "Unit": "Count"}]}]},
        "service": "s", "n": [1, 2, 3],
    }  # fmt: skip
    broken = ['{"_aws": 1}', '{"_aws": {"CloudWatchMetrics": [1, {"Namespace": "Embedded"}]}}', '"_aws"']
    messages = [
        json.dumps({"level": "ERROR", "ms": 7.5, "path": "/a"}),
        json.dumps({"level": "ERROR", "ms": 2.5, "path": "/a"}),
        json.dumps({"level": "ERROR", "ms": 1}), json.dumps({"level": "INFO", "ms": 9, "path": "/a"}), "a word",
        json.dumps(embedded), *broken,
    ]  # fmt: skip
    logs.put_log_events(
        logGroupName="measured", logStreamName="s",
        logEvents=[{"timestamp": at, "message": message} for message in messages],
    )  # fmt: skip

    def read(namespace: str, name: str, **dimensions: str) -> tuple[float, float]:
        of = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        asked = {"Namespace": namespace, "MetricName": name, "Dimensions": of, "Period": 3600, **around()}
        points = cloudwatch.get_metric_statistics(**asked, Statistics=["Sum", "SampleCount"])["Datapoints"]
        return sum(p["Sum"] for p in points), sum(p["SampleCount"] for p in points)

    until(lambda: read("Logged", "words") == (1, len(messages)))
    assert read("Logged", "took", path="/a") == (10, 2)
    assert read("Embedded", "n", service="s") == read("Embedded", "n") == (6, 3)


@pytest.mark.promise(258)
def test_alarms_of_a_stack(cloud: Any, cloudwatch: Any) -> None:
    def template(threshold: int, tags: list[dict[str, str]]) -> str:
        properties = {
            "Namespace": "Stack", "MetricName": "errors", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
            "Threshold": threshold, "ComparisonOperator": "GreaterThanThreshold", "Tags": tags,
        }  # fmt: skip
        rule = {"Fn::Sub": 'ALARM("${Errors}")'}
        resources = {
            "Errors": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties},
            "Any": {
                "Type": "AWS::CloudWatch::CompositeAlarm",
                "Properties": {"AlarmName": "any", "AlarmRule": rule},
            },
        }
        shown = {"Arn": {"Value": {"Fn::GetAtt": ["Errors", "Arn"]}}, "Name": {"Value": {"Ref": "Errors"}}}
        return json.dumps({"Resources": resources, "Outputs": shown})

    cloud.create_stack(StackName="alarms", TemplateBody=template(3, [{"Key": "k", "Value": "v"}]))
    until(lambda: "COMPLETE" in cloud.describe_stacks(StackName="alarms")["Stacks"][0]["StackStatus"])
    (stack,) = cloud.describe_stacks(StackName="alarms")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    found = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[found["Name"]])["MetricAlarms"]
    assert (alarm["AlarmArn"], alarm["Threshold"]) == (found["Arn"], 3)
    cloud.update_stack(StackName="alarms", TemplateBody=template(5, [{"Key": "l", "Value": "w"}]))
    until(lambda: cloud.describe_stacks(StackName="alarms")["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[found["Name"]])["MetricAlarms"]
    assert alarm["Threshold"] == 5
    assert cloudwatch.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"] == [{"Key": "l", "Value": "w"}]
    cloud.delete_stack(StackName="alarms")
    until(lambda: not cloudwatch.describe_alarms(AlarmNames=[found["Name"]])["MetricAlarms"])


@pytest.mark.promise(259)
def test_the_metrics_of_a_queue(cloudwatch: Any, sqs: Any) -> None:
    queue = sqs.create_queue(QueueName="measured")["QueueUrl"]
    for n in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(n))
    sqs.send_message_batch(QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": "b"} for n in range(2)])
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    def read(name: str) -> float:
        of = [{"Name": "QueueName", "Value": "measured"}]
        asked = {"Namespace": "AWS/SQS", "MetricName": name, "Dimensions": of, "Period": 3600, **around()}
        points = cloudwatch.get_metric_statistics(**asked, Statistics=["Sum"])["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    found = {name: read(f"NumberOfMessages{name}") for name in ("Sent", "Received", "Deleted")}
    assert found == {"Sent": 5, "Received": 1, "Deleted": 1}
