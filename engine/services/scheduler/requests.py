"""What a schedule's target is asked to do: the API request of a templated target, or the one that a universal one
names. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import ServiceModel

from ... import wire
from ...aws.names import Place
from .faults import invalid

INPUT_BYTES = 256 * 1024
_ARN = re.compile(
    r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]*):(?P<account>\d{12}|):(?P<name>.+)",
    re.ASCII,
)
_UNIVERSAL = re.compile(r"arn:aws[a-z-]*:scheduler:::aws-sdk:(?P<service>\w+):(?P<action>\w+)", re.ASCII)
# Services that the SDK for Java, whose names these ARNs have, calls otherwise than botocore.
_SERVICES = {
    "applicationdiscoveryservice": "discovery", "cloudwatchlogs": "logs", "cognitoidentityprovider": "cognito-idp",
    "configservice": "config", "costandusagereportservice": "cur", "costexplorer": "ce",
    "databasemigrationservice": "dms", "directoryservice": "ds", "directoryservicedata": "ds-data",
    "elasticloadbalancing": "elb", "elasticloadbalancingv2": "elbv2", "elasticsearchservice": "es",
    "eventbridge": "events", "iotdataplane": "iot-data", "iotjobsdataplane": "iot-jobs-data",
    "lexmodelbuildingservice": "lex-models", "lexmodelsv2": "lexv2-models", "lexruntimeservice": "lex-runtime",
    "lexruntimev2": "lexv2-runtime", "marketplaceentitlementservice": "marketplace-entitlement",
    "marketplacemetering": "meteringmarketplace", "migrationhub": "mgh", "pinpointsmsvoice": "sms-voice",
    "serverlessapplicationrepository": "serverlessrepo", "sfn": "stepfunctions", "simpledb": "sdb",
}  # fmt: skip
_READS = re.compile(r"(get|describe|list|head|search|lookup|batchGet|query|scan|select)(?=[A-Z]|$)")
Target = Mapping[str, Any]


class Request(NamedTuple):
    """An operation by botocore's names of it and of its service, and where."""

    service: str
    operation: str
    members: dict[str, Any]
    place: Place


class InvalidInput(ValueError):
    """An Input that is no request of the target's."""


def request(target: Target, input: str, place: Place, schedule: str, token: str) -> Request:
    """input: as it is after its keywords were replaced. place, schedule: of the schedule, and its ARN. token: what
    makes a second attempt the same request, where the operation has such a member. Raises InvalidInput."""
    found = _request(target, input, place, schedule)
    return found._replace(
        members=dict.fromkeys(_tokens(found.service, found.operation), token) | found.members
    )


@functools.lru_cache(1024)
def _tokens(service: str, operation: str) -> tuple[str, ...]:
    return tuple(_model(service).operation_model(operation).idempotent_members)


@functools.lru_cache(32)
def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _request(target: Target, input: str, place: Place, schedule: str) -> Request:
    if universal := _UNIVERSAL.fullmatch(target["Arn"]):
        service, operation = _universal(universal["service"], universal["action"])
        return Request(service, operation, _object(input), place)
    found = _ARN.fullmatch(target["Arn"])
    if found is None:
        raise InvalidInput(target["Arn"])
    there = Place(found["region"] or place.region, found["account"] or place.account)
    service, operation, make = _TEMPLATED[found["service"]]
    return Request(service, operation, make(target, found["name"], input, schedule), there)


def is_universal(target: Target) -> bool:
    return _UNIVERSAL.fullmatch(target["Arn"]) is not None


def check(target: Target) -> None:
    """Raises Fault for a target that nothing could be asked of."""
    arn, input = target["Arn"], target.get("Input")
    if input is not None and len(input.encode("utf-8", "replace")) > INPUT_BYTES:
        raise invalid(f"Input is larger than {INPUT_BYTES} bytes.")
    if universal := _UNIVERSAL.fullmatch(arn):
        try:
            _universal(universal["service"], universal["action"])
            if input is not None:
                _object(input)
        except InvalidInput as error:
            raise invalid(f"Invalid RequestJson provided. Reason {error}") from None
        return
    found = _ARN.fullmatch(arn)
    if found is None:
        raise invalid(f"Provided Arn is not in correct format: {arn}")
    service = found["service"]
    if service not in _TEMPLATED:
        raise invalid(f"{arn} is no target that a schedule can invoke.")
    for name in ("EventBridgePutEventsV2Parameters", "EventBridgePutRawEventsParameters"):
        if target.get(name) is not None:
            raise invalid(f"{name} is not supported by this endpoint.")
    for name, of in _PARAMETERS.items():
        if target.get(name) is not None and of != service:
            raise invalid(f"{name} is not supported for target {arn}.")
    needed = next((name for name, of in _PARAMETERS.items() if of == service and name in _NEEDED), None)
    if needed is not None and target.get(needed) is None:
        raise invalid(f"{needed} is required for target {arn}.")
    group = (target.get("SqsParameters") or {}).get("MessageGroupId")
    if service == "sqs" and arn.endswith(".fifo") is not bool(group):
        raise invalid(f"SqsParameters.MessageGroupId is for FIFO queues, which need it: {arn}.")
    if service == "ecs" and input is not None:
        try:
            _object(input)
        except InvalidInput as error:
            raise invalid(f"Invalid RequestJson provided. Reason {error}") from None


@functools.lru_cache(4096)
def _universal(service: str, action: str) -> tuple[str, str]:
    """Raises InvalidInput."""
    names = _names()
    name = _SERVICES.get(service.lower()) or names.get(service.lower())
    if name is None:
        raise InvalidInput(f"there is no service {service}.")
    if _READS.match(action):
        raise InvalidInput(f"{action} only reads: it is not supported.")
    try:
        model = _model(name)
    except UnknownServiceError:
        raise InvalidInput(f"there is no service {service}.") from None
    operation = next((each for each in model.operation_names if each.lower() == action.lower()), None)
    if operation is None:
        raise InvalidInput(f"{service} has no action {action}.")
    return name, str(operation)


@functools.cache
def _names() -> dict[str, str]:
    return {name.replace("-", ""): name for name in Loader().list_available_services("service-2")}


def _object(input: str) -> dict[str, Any]:
    try:
        found = wire.decode(input.encode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("Input is no JSON object.")
    return found


# The members of the templated targets' requests: of the target, what its ARN has behind the account, its input, and the
# schedule's ARN.


def _invoke(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    return {"FunctionName": target["Arn"], "InvocationType": "Event", "Payload": input}


def _send_message(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    _, _, _, region, account, _ = target["Arn"].split(":", 5)
    url = f"https://sqs.{region}.amazonaws.com/{account}/{name}"
    group = target.get("SqsParameters") or {}
    return {"MessageBody": input, "QueueUrl": url, **group}


def _publish(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    return {"Message": input, "TopicArn": target["Arn"]}


def _put_events(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    parameters = target["EventBridgeParameters"]
    entry = {
        "Source": parameters["Source"], "DetailType": parameters["DetailType"], "Detail": input,
        "EventBusName": target["Arn"], "Resources": [schedule],
    }  # fmt: skip
    return {"Entries": [entry]}


def _put_record(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    key = target["KinesisParameters"]["PartitionKey"]
    return {"Data": input, "PartitionKey": key, "StreamName": name.removeprefix("stream/")}


def _firehose(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    return {"DeliveryStreamName": name.removeprefix("deliverystream/"), "Record": {"Data": input}}


def _start_execution(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    return {"input": input, "stateMachineArn": target["Arn"]}


def _run_task(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    """EcsParameters are RunTask's members, but for the first letters; what is given as input are the overrides."""
    parameters = dict(target["EcsParameters"])
    found: dict[str, Any] = {
        "cluster": target["Arn"], "taskDefinition": parameters.pop("TaskDefinitionArn"),
        "count": parameters.pop("TaskCount", 1),
    }  # fmt: skip
    tags = [{"key": tag.get("key"), "value": tag.get("value")} for tag in parameters.pop("Tags", None) or ()]
    found |= {name[0].lower() + name[1:]: value for name, value in parameters.items()}
    if tags:
        found["tags"] = tags
    if target.get("Input") is not None:
        found["overrides"] = _object(input)
    return found


def _pipeline(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    parameters = (target.get("SageMakerPipelineParameters") or {}).get("PipelineParameterList") or []
    return {"PipelineName": name.removeprefix("pipeline/"), "PipelineParameters": parameters}


def _named(member: str, prefix: str = "") -> Callable[[Target, str, str, str], dict[str, Any]]:
    return lambda target, name, input, schedule: {member: name.removeprefix(prefix) if prefix else name}


def _assessment(target: Target, name: str, input: str, schedule: str) -> dict[str, Any]:
    return {"assessmentTemplateArn": target["Arn"]}


_TEMPLATED: dict[str, tuple[str, str, Callable[[Target, str, str, str], dict[str, Any]]]] = {
    "codebuild": ("codebuild", "StartBuild", _named("projectName", "project/")),
    "codepipeline": ("codepipeline", "StartPipelineExecution", _named("name")),
    "ecs": ("ecs", "RunTask", _run_task),
    "events": ("events", "PutEvents", _put_events),
    "firehose": ("firehose", "PutRecord", _firehose),
    "inspector": ("inspector", "StartAssessmentRun", _assessment),
    "kinesis": ("kinesis", "PutRecord", _put_record),
    "lambda": ("lambda", "Invoke", _invoke),
    "sagemaker": ("sagemaker", "StartPipelineExecution", _pipeline),
    "sns": ("sns", "Publish", _publish),
    "sqs": ("sqs", "SendMessage", _send_message),
    "states": ("stepfunctions", "StartExecution", _start_execution),
}
_PARAMETERS = {
    "EcsParameters": "ecs", "EventBridgeParameters": "events", "KinesisParameters": "kinesis",
    "SageMakerPipelineParameters": "sagemaker", "SqsParameters": "sqs",
}  # fmt: skip
_NEEDED = ("EcsParameters", "EventBridgeParameters", "KinesisParameters")
