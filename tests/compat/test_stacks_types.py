"""Types that one operation makes, of this server's services and of others, which moto's server has; and what an
emulator has to be told otherwise than AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from served import Served
from stacks import outputs, status


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("types") / "state", "--aws", "moto")
    yield served
    assert served.stop() == 0


def document(**changes: dict[str, Any]) -> str:
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
             "Resource": {"Fn::Sub": "arn:aws:s3:::${Bucket}/*"}}  # fmt: skip
    tls = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": {"Fn::GetAtt": ["Bucket", "Arn"]},
           "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    rest = {"RestApiId": {"Ref": "Api"}}
    resources: dict[str, dict[str, Any]] = {
        "AWS::ECR::Repository Images": {
            "ImageTagMutability": "MUTABLE",
            "LifecyclePolicy": {"LifecyclePolicyText": json.dumps({"rules": [{
                "rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan",
                                                 "countNumber": 1}, "action": {"type": "expire"}}]})},
        },
        "AWS::CloudWatch::Alarm Alarm": {
            "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "MetricName": "Errors",
            "Namespace": "AWS/Lambda", "Period": 60, "Statistic": "Sum", "Threshold": "1",
        },
        "AWS::Cognito::UserPool Users": {"UserPoolName": "users"},
        "AWS::Cognito::UserPoolClient Client": {
            "UserPoolId": {"Ref": "Users"}, "ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH"]},
        "AWS::IAM::User User": {}, "AWS::IAM::Group Group": {},
        "AWS::IAM::Role Role": {
            "AssumeRolePolicyDocument": {"Statement": [{
                "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]},
            "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": [{
                "Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}}],
        },
        "AWS::S3::Bucket Bucket": {
            "AccessControl": "Private", "WebsiteConfiguration": {"IndexDocument": "index.html"},
            "CorsConfiguration": {"CorsRules": [{
                "AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAge": 60, "ExposedHeaders": ["etag"]}]},
            "LifecycleConfiguration": {"Rules": [{
                "Id": "old", "Status": "Enabled", "ExpirationInDays": 7, "NoncurrentVersionExpirationInDays": 3,
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}]},
        },
        "AWS::S3::BucketPolicy Policy": {
            "Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [allow, tls]}},
        "AWS::ApiGateway::RestApi Api": {"Name": "types"},
        "AWS::ApiGateway::Method Get": {
            **rest, "ResourceId": {"Fn::GetAtt": ["Api", "RootResourceId"]}, "HttpMethod": "GET",
            "AuthorizationType": "NONE", "ApiKeyRequired": True, "Integration": {
                "Type": "MOCK", "RequestTemplates": {"application/json": '{"statusCode": 200}'},
                "IntegrationResponses": [{"StatusCode": "200"}]}, "MethodResponses": [{"StatusCode": "200"}]},
        "AWS::ApiGateway::GatewayResponse Refusal": {
            **rest, "ResponseType": "INVALID_API_KEY", "StatusCode": "402"},
        "AWS::ApiGateway::Account Account": {"CloudWatchRoleArn": {"Fn::GetAtt": ["Role", "Arn"]}},
        "AWS::ApiGateway::Deployment Deployed": {**rest, "StageName": "dev"},
        "AWS::ApiGateway::ApiKey Key": {"Enabled": True, "Value": "0123456789abcdefghij"},
        "AWS::ApiGateway::UsagePlan Plan": {
            "UsagePlanName": "plan", "ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": "dev"}]},
        "AWS::ApiGateway::UsagePlanKey Joined": {
            "KeyId": {"Ref": "Key"}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "Plan"}},
    }  # fmt: skip
    needs = {"Deployed": ["Get", "Refusal"], "Plan": ["Deployed"]}
    made: dict[str, Any] = {}
    for heading, properties in resources.items():
        kind, name = heading.split()
        made[name] = {"Type": kind, "Properties": {**properties, **changes.get(name, {})}}
        if name in needs:
            made[name]["DependsOn"] = needs[name]
    shown = {
        "Api": "Api",
        "Bucket": "Bucket",
        "Users": "Users",
        "Images": "Images",
        "Alarm": "Alarm",
        "Role": "Role",
    }
    values: dict[str, Any] = {name: {"Value": {"Ref": logical}} for name, logical in shown.items()}
    values["Uri"] = {"Value": {"Fn::GetAtt": ["Images", "RepositoryUri"]}}
    values["Client"] = {"Value": {"Ref": "Client"}}
    return json.dumps({"Resources": made, "Outputs": values})


@pytest.mark.promise(172)
def test_types_that_one_operation_makes(whole: Served, name: str) -> None:
    from apis import send

    cloud = whole.client("cloudformation")
    more = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    cloud.create_stack(StackName=name, TemplateBody=document(), **more)
    reasons = [
        each.get("ResourceStatusReason")
        for each in cloud.describe_stack_events(StackName=name)["StackEvents"]
    ]
    assert status(cloud, name) == "CREATE_COMPLETE", [each for each in reasons if each]
    assert "What asks for TLS is left out: there is none" in reasons
    found = outputs(cloud, name)
    assert found["Uri"].endswith(f"/{found['Images']}")
    s3 = whole.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=found["Bucket"])["Policy"])
    assert [each["Effect"] for each in policy["Statement"]] == ["Allow"]
    s3.put_object(Bucket=found["Bucket"], Key="k", Body=b"b")
    s3.delete_object(Bucket=found["Bucket"], Key="k")
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=found["Bucket"])["Rules"]
    assert (rule["ID"], rule["Expiration"], rule["NoncurrentVersionExpiration"]) == (
        "old", {"Days": 7}, {"NoncurrentDays": 3},
    )  # fmt: skip
    assert s3.get_bucket_cors(Bucket=found["Bucket"])["CORSRules"][0]["MaxAgeSeconds"] == 60
    assert s3.get_bucket_website(Bucket=found["Bucket"])["IndexDocument"] == {"Suffix": "index.html"}
    alarms = whole.client("cloudwatch")
    assert alarms.describe_alarms(AlarmNames=[found["Alarm"]])["MetricAlarms"][0]["Threshold"] == 1
    cognito = whole.client("cognito-idp")
    clients = cognito.list_user_pool_clients(UserPoolId=found["Users"])["UserPoolClients"]
    assert [each["ClientId"] for each in clients] == [found["Client"]]
    assert send(whole, found["Api"], "/dev").status == 402  # as the gateway response has it
    assert send(whole, found["Api"], "/dev", headers={"x-api-key": "0123456789abcdefghij"}).status == 200
    # What has no operation that changes it is made anew; the old one goes.
    changed = document(Alarm={"Threshold": 2}, Users={"MfaConfiguration": "OFF"})
    cloud.update_stack(StackName=name, TemplateBody=changed, **more)
    assert status(cloud, name) == "UPDATE_COMPLETE"
    fresh = outputs(cloud, name)
    assert fresh["Users"] != found["Users"]
    assert fresh["Client"] != found["Client"]
    assert [each["Id"] for each in cognito.list_user_pools(MaxResults=10)["UserPools"]] == [fresh["Users"]]
    (alarm,) = alarms.describe_alarms()["MetricAlarms"]
    assert (alarm["AlarmName"], alarm["Threshold"], fresh["Alarm"]) == (found["Alarm"], 2, found["Alarm"])
    cloud.delete_stack(StackName=name)
    assert whole.client("ecr").describe_repositories()["repositories"] == []
    assert whole.client("iam").list_users()["Users"] == []
    assert s3.list_buckets()["Buckets"] == []
    assert whole.client("apigateway").get_api_keys()["items"] == []
