"""Load balancers with functions for targets: events, replies, rules; by boto3, a template and HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from apis import Reply, function
from aws_lambda_powertools.utilities.data_classes import ALBEvent
from botocore.exceptions import ClientError
from served import RUNTIME, Served
from stacks import outputs, status

SOURCE = """
import json
REPLIES = {
    "bad": {"body": "no status"}, "many": {"statusCode": 200, "multiValueHeaders": {"X-A": ["1", "2"]}, "body": "b"},
    "binary": {"statusCode": 200, "statusDescription": "200 OK", "isBase64Encoded": True, "body": "AP+A"},
}
def handler(event, context):
    query = event.get("queryStringParameters") or event.get("multiValueQueryStringParameters") or {}
    if "fail" in query:
        raise ValueError("asked for")
    for name, reply in REPLIES.items():
        if name in query:
            return reply
    headers = {"headers": {"content-type": "application/json"}} if "headers" in event else {
        "multiValueHeaders": {"content-type": ["application/json"]}}
    return {"statusCode": 200, "body": json.dumps(event), **headers}
"""
ALB = "elasticloadbalancing.amazonaws.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("alb") / "state")
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def elb(server: Served) -> Any:
    return server.client("elbv2")


@pytest.fixture(scope="module")
def target(server: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    arn = function(server, "balanced", SOURCE, tmp_path_factory.mktemp("function"), allowed=False)
    server.client().add_permission(
        FunctionName="balanced", StatementId="alb", Action="lambda:InvokeFunction", Principal=ALB
    )
    return arn


def balanced(elb: Any, name: str, target: str | None, **attributes: str) -> tuple[str, str, str]:
    """A load balancer with one listener and one target group: its host, the listener's ARN, and the group's."""
    group = elb.create_target_group(Name=name, TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    if attributes:
        pairs = [{"Key": key.replace("__", "."), "Value": value} for key, value in attributes.items()]
        elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=pairs)
    if target:
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": target}])
    made = elb.create_load_balancer(Name=name, Subnets=["subnet-1", "subnet-2"])["LoadBalancers"][0]
    listener = elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )["Listeners"][0]["ListenerArn"]  # fmt: skip
    return made["DNSName"], listener, group


def get(
    server: Served, host: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> Reply:
    at = urlsplit(server.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=40)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": host, **given})
        response = connection.getresponse()
        return Reply(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


@pytest.mark.promise(223)
def test_the_event_of_a_request(server: Served, elb: Any, target: str) -> None:
    """The members of AWS's documented sample, in both forms."""
    host, _, group = balanced(elb, "plain", target)
    event = get(server, host, "/lambda?query=12%2034&query=b", x_own="1").json
    shown = ALBEvent(event)
    assert (shown.request_context.elb_target_group_arn, shown.http_method, shown.path) == (
        group,
        "GET",
        "/lambda",
    )
    assert set(event) == {
        "requestContext", "httpMethod", "path", "queryStringParameters", "headers", "body", "isBase64Encoded",
    }  # fmt: skip
    assert (event["queryStringParameters"], event["body"], event["isBase64Encoded"]) == (
        {"query": "b"},
        "",
        False,
    )
    added = {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
    assert set(event["headers"]) == {"host", "accept-encoding", "x-own"} | added
    posted = get(server, host, "/", "POST", b"\x00\xff", content_type="image/png").json
    assert (posted["httpMethod"], posted["body"], posted["isBase64Encoded"]) == ("POST", "AP8=", True)
    assert get(server, host, "/", "POST", b"Test", content_type="text/plain").json["body"] == "Test"
    host, _, group = balanced(elb, "several", target, lambda__multi_value_headers__enabled="true")
    event = get(server, host, "/todos?a=1&a=%20", x_own="1").json
    assert set(event) == {
        "requestContext", "httpMethod", "path", "multiValueQueryStringParameters", "multiValueHeaders", "body",
        "isBase64Encoded",
    }  # fmt: skip
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "%20"]}
    assert event["multiValueHeaders"]["x-own"] == ["1"]


@pytest.mark.promise(223)
def test_what_a_reply_means(server: Served, elb: Any, target: str) -> None:
    host, _, _ = balanced(elb, "replies", target)
    assert get(server, host, "/?binary").body == b"\x00\xff\x80"
    for query in ("bad", "fail"):
        reply = get(server, host, f"/?{query}")
        assert (reply.status, b"502 Bad Gateway" in reply.body) == (502, True)
    assert get(server, host, "/?many").header("x-a") is None  # the group takes the other form
    host, _, _ = balanced(elb, "replies-many", target, lambda__multi_value_headers__enabled="true")
    assert [value for name, value in get(server, host, "/?many").headers if name == "x-a"] == ["1", "2"]
    host, _, _ = balanced(elb, "empty", None)
    assert get(server, host, "/").status == 503
    assert get(server, "none-0123456789abcdef.us-east-1.elb.localhost", "/").status == 503
    assert get(server, host, "/", "POST", b"x" * ((1 << 20) + 1)).status == 413


@pytest.mark.promise(223)
def test_a_functions_policy_says_who(server: Served, elb: Any, tmp_path: Path) -> None:
    arn = function(server, "unbalanced", SOURCE, tmp_path, allowed=False)
    host, _, group = balanced(elb, "denied", arn)
    assert get(server, host, "/").status == 502
    server.client().add_permission(
        FunctionName="unbalanced",
        StatementId="alb",
        Action="lambda:InvokeFunction",
        Principal=ALB,
        SourceArn=group,
    )
    assert get(server, host, "/").status == 200


@pytest.mark.promise(223)
def test_rules(server: Served, elb: Any, target: str) -> None:
    host, listener, group = balanced(elb, "rules", target)

    def rule(priority: int, condition: dict[str, Any], action: dict[str, Any]) -> None:
        elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=[condition], Actions=[action])

    fixed = {"Type": "fixed-response", "FixedResponseConfig": {
        "StatusCode": "418", "MessageBody": "tea", "ContentType": "text/plain"}}  # fmt: skip
    moved = {"Type": "redirect", "RedirectConfig": {
        "StatusCode": "HTTP_301", "Path": "/new/#{path}", "Host": "example.org", "Port": "443",
        "Protocol": "HTTPS"}}  # fmt: skip
    rule(2, {"Field": "path-pattern", "Values": ["/old/*"]}, moved)
    rule(1, {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/old/tea"]}}, fixed)
    rule(
        3, {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Tea", "Values": ["y*"]}}, fixed
    )
    rule(4, {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "tea", "Value": "*"}]}}, fixed)
    rule(5, {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}, fixed)
    rule(6, {"Field": "source-ip", "SourceIpConfig": {"Values": ["192.0.2.0/24"]}}, fixed)
    assert (get(server, host, "/old/tea").status, get(server, host, "/old/tea").body) == (418, b"tea")
    reply = get(server, host, "/old/x?a=1")
    assert (reply.status, reply.header("location")) == (301, "https://example.org:443/new/old/x?a=1")
    assert get(server, host, "/", x_tea="yes").status == 418
    assert get(server, host, "/?tea=1").status == 418
    assert get(server, host, "/", "PUT").status == 418
    assert get(server, host, "/").status == 200
    shown = elb.describe_rules(ListenerArn=listener)["Rules"]
    assert [each["Priority"] for each in shown] == ["2", "1", "3", "4", "5", "6", "default"]
    elb.delete_rule(RuleArn=shown[1]["RuleArn"])
    assert get(server, host, "/old/tea").status == 301
    with pytest.raises(ClientError, match="is currently in use"):
        rule(2, {"Field": "path-pattern", "Values": ["/x"]}, fixed)
    with pytest.raises(ClientError, match="A target group of type instance is not implemented"):
        elb.create_target_group(Name="other", Protocol="HTTP", Port=80, VpcId="vpc-1")
    assert (
        elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]["Target"]["Id"]
        == target
    )


@pytest.mark.promise(223)
def test_a_template(server: Served, elb: Any, name: str) -> None:
    balancing = "AWS::ElasticLoadBalancingV2"
    code = {"Runtime": RUNTIME, "Handler": "index.handler", "InlineCode": SOURCE}
    forward = [{"Type": "forward", "TargetGroupArn": {"Ref": "Group"}}]
    attribute = {"Key": "lambda.multi_value_headers.enabled", "Value": "true"}
    resources = {
        "F": {"Type": "AWS::Serverless::Function", "Properties": code},
        "Allowed": {"Type": "AWS::Lambda::Permission", "Properties": {
            "FunctionName": {"Fn::GetAtt": ["F", "Arn"]}, "Action": "lambda:InvokeFunction", "Principal": ALB}},
        "Balancer": {"Type": f"{balancing}::LoadBalancer", "Properties": {"Subnets": ["a", "b"]}},
        "Group": {"Type": f"{balancing}::TargetGroup", "DependsOn": "Allowed", "Properties": {
            "TargetType": "lambda", "Targets": [{"Id": {"Fn::GetAtt": ["F", "Arn"]}}],
            "TargetGroupAttributes": [attribute]}},
        "Listener": {"Type": f"{balancing}::Listener", "Properties": {
            "LoadBalancerArn": {"Ref": "Balancer"}, "Port": 80, "Protocol": "HTTP", "DefaultActions": forward}},
        "Rule": {"Type": f"{balancing}::ListenerRule", "Properties": {
            "ListenerArn": {"Ref": "Listener"}, "Priority": 1, "Actions": forward,
            "Conditions": [{"Field": "path-pattern", "Values": ["/a/*"]}]}},
    }  # fmt: skip
    document = {
        "Transform": "AWS::Serverless-2016-10-31", "Resources": resources,
        "Outputs": {"Host": {"Value": {"Fn::GetAtt": ["Balancer", "DNSName"]}}},
    }  # fmt: skip
    cloud = server.client("cloudformation")
    cloud.create_stack(
        StackName=name,
        TemplateBody=json.dumps(document),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    assert status(cloud, name) == "CREATE_COMPLETE"
    host = outputs(cloud, name)["Host"]
    assert get(server, host, "/a/b").json["path"] == "/a/b"
    cloud.delete_stack(StackName=name)
    assert get(server, host, "/a/b").status == 503
    assert [
        each
        for each in elb.describe_target_groups()["TargetGroups"]
        if each["TargetGroupName"].startswith(name[:8])
    ] == []
