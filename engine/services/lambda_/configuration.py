"""Lambda's FunctionConfiguration: a request's members checked as AWS checks them, and what AWS adds.

engine/config.py has the engine's own settings of a function, which these become when it is hosted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ... import limits
from ...aws.faults import Fault
from ...durable.state import Record
from ...hosting.interpreters import RUNTIMES as PYTHONS
from ...hosting.interpreters import prepared
from .control import Control
from .responses import changed, invalid

LAYERS = 5
# What AWS still takes for a new function, in the order in which it lists them.
RUNTIMES = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, "
    "python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, "
    "java11, dotnet6, nodejs18.x, provided.al2, java8.al2"
)
_GONE = frozenset(
    {
        "dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "go1.x", "java8", "nodejs", "nodejs10.x",
        "nodejs12.x", "nodejs14.x", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "provided", "python2.7",
        "python3.6", "python3.7", "ruby2.5", "ruby2.7",
    }
)  # fmt: skip
# Kept and returned as they are.
_KEPT = (
    "Architectures",
    "Description",
    "Handler",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
    "EphemeralStorage",
)
# An empty one removes the one there was.
_DEAD_LETTERS = re.compile(r"arn:aws[a-z-]*:(sqs|sns):[a-z0-9-]+:\d{12}:[a-zA-Z0-9_-]{1,256}(\.fifo)?")
_NO_QUEUE = (
    "Error occurred while SendMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The "
    "specified queue does not exist."
)
_NO_TOPIC = "Error occurred while Publish. SNS Error Code: NotFound. SNS Error Message: Topic does not exist"
_OPTIONAL = ("DeadLetterConfig", "KMSKeyArn", "FileSystemConfigs")
_STORAGE_MAX = 10_240  # MB
_REFUSED = {
    "ImageConfig": "Container images",
    "TenancyConfig": "Environments of a tenant's own",
    "PublishTo": "Managed instances",
    "CapacityProviderConfig": "Capacity providers",
    "DurableConfig": "Durable functions",
    "AcceleratorConfig": "Accelerators",
    "RuntimeConfig": "Customer-managed runtimes",
}


def defaults(control: Control, name: str) -> Record:
    """What a new function has unless its request sets it."""
    return {
        "FunctionName": name,
        "FunctionArn": control.place.function(name),
        "Description": "",
        "Timeout": int(limits.TIMEOUT_DEFAULT),
        "MemorySize": limits.MEMORY_DEFAULT,
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }


def applied(control: Control, record: Record, request: Mapping[str, Any]) -> Record:
    """A record as a create or update request changes it. Raises Fault."""
    refuse(request)
    if (role := request.get("Role")) and role.split(":")[4] != control.place.account:
        raise Fault("AccessDeniedException", "Cross-account pass role is not allowed.")
    new = changed(record, request, _KEPT, _OPTIONAL)
    _at_most("Timeout", new["Timeout"], int(limits.TIMEOUT_MAX))
    _at_most("MemorySize", new["MemorySize"], limits.MEMORY_MAX)
    _at_most("EphemeralStorage", new["EphemeralStorage"]["Size"], _STORAGE_MAX)
    if request.get("Runtime") is not None:
        new["RuntimeVersionConfig"] = {
            "RuntimeVersionArn": _runtime(control, new["FunctionName"], request["Runtime"])
        }
    if request.get("Environment") is not None:
        _environment(new, request["Environment"])
    if request.get("Layers") is not None:
        _layers(control, new, request["Layers"])
    if request.get("LoggingConfig") is not None:
        new["LoggingConfig"] = _logging(new, request["LoggingConfig"])
    if request.get("SnapStart") is not None:
        apply_on = request["SnapStart"].get("ApplyOn", "None")
        new["SnapStart"] = {"ApplyOn": apply_on, "OptimizationStatus": "Off"}
    if request.get("TracingConfig") is not None:
        new["TracingConfig"] = {"Mode": request["TracingConfig"].get("Mode", "PassThrough")}
    if request.get("VpcConfig") is not None:
        _vpc(control, new, request["VpcConfig"])
    if new.get("FileSystemConfigs") and not new.get("VpcConfig", {}).get("SubnetIds"):
        arn = new["FileSystemConfigs"][0]["Arn"]
        raise invalid(f"Function must be configured to execute in a VPC to reference access point {arn}")
    if not new.get("DeadLetterConfig", {}).get("TargetArn"):
        new.pop("DeadLetterConfig", None)
    elif request.get("DeadLetterConfig"):
        _dead_letters(control, new["DeadLetterConfig"]["TargetArn"])
    return new


def _dead_letters(control: Control, arn: str) -> None:
    """Raises Fault for what no dead letter can be sent to."""
    if not _DEAD_LETTERS.fullmatch(arn):
        raise invalid(f"The dead-letter target {arn} is none: name an SQS queue or an SNS topic by its ARN")
    if arn.split(":")[3] != control.place.region:
        raise invalid(f"The dead-letter target {arn} is not in the function's region, {control.place.region}")
    if not control.exists(arn):
        raise invalid(_NO_QUEUE if ":sqs:" in arn else _NO_TOPIC)


def refuse(request: Mapping[str, Any]) -> None:
    """Raises Fault for what is not offered."""
    for member, what in _REFUSED.items():
        if request.get(member):
            raise invalid(f"{member}: {what} are not offered here")


def _at_most(member: str, value: int, most: int) -> None:
    """The model allows more to functions on managed instances."""
    if value > most:
        raise invalid(
            f"'{member}' value failed to satisfy constraint: Member must have value less than or equal to {most}"
        )


def _runtime(control: Control, name: str, runtime: str) -> str:
    """The ARN of the runtime's version. Raises Fault for one that AWS does not take; warns of one that this server does
    not run."""
    if runtime in _GONE:
        raise invalid(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    if runtime not in control.runtimes and not prepared(runtime):
        if runtime in RUNTIMES.split(", "):
            control.warn(
                f"{name} has the runtime {runtime}: it can be created and read back, but not invoked: this server "
                f"runs {', '.join(control.runtimes)}"
                + (f" (`stoker python add {runtime[6:]}` may add it)" if runtime in PYTHONS else "")
            )
            return _runtime_arn(control, runtime)
        raise invalid(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{RUNTIMES}] or be a valid ARN"
        )
    return _runtime_arn(control, runtime)


def _runtime_arn(control: Control, runtime: str) -> str:
    return f"arn:aws:lambda:{control.place.region}::runtime:{hashlib.sha256(runtime.encode()).hexdigest()}"


def _environment(new: Record, environment: Mapping[str, Any]) -> None:
    variables: dict[str, str] = environment.get("Variables") or {}
    reserved = [name for name in variables if name in limits.RESERVED_DEPLOYED]
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    text = msgspec.json.encode(variables)
    if len(text) > limits.ENVIRONMENT_BYTES:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {text.decode()}"
        )
    new["Environment"] = {"Variables": variables}


def _layers(control: Control, new: Record, arns: list[str]) -> None:
    if len(arns) > LAYERS:
        raise invalid(f"Cannot reference more than {LAYERS} layers.")
    layers: dict[str, Record] = {}
    seen: dict[str, str] = {}
    for arn in arns:
        layer_arn, _, number = arn.rpartition(":")
        region, account, name = arn.split(":")[3], arn.split(":")[4], layer_arn.rsplit(":", 1)[-1]
        if region != control.place.region:
            raise invalid(
                "Layers are not in the same region as the function. "
                f"Layers are expected to be in region {control.place.region}."
            )
        if layer_arn in seen:
            raise invalid(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{seen[layer_arn]} and {arn} are versions of the same layer."
            )
        seen[layer_arn] = arn
        if account != control.place.account:
            raise Fault(
                "AccessDeniedException",
                f"User: arn:aws:iam::{control.place.account}:root is not authorized to perform: lambda:GetLayerVersion "
                f"on resource: {arn} because no resource-based policy allows the lambda:GetLayerVersion action",
            )
        layer = control.state.get("layer", name, number)
        if layer is None:
            raise invalid(f"Layer version {arn} does not exist.")
        layers[arn] = layer
    for member in ("Layers", "_layers", "_layers_unzipped"):
        new.pop(member, None)
    if layers:
        new["Layers"] = [{"Arn": arn, "CodeSize": r["Content"]["CodeSize"]} for arn, r in layers.items()]
        new["_layers"] = [r["_digest"] for r in layers.values()]
        new["_layers_unzipped"] = sum(r["_unzipped"] for r in layers.values())
    check_size(new)


def check_size(record: Record) -> None:
    """Raises Fault when code and layers are too large together."""
    size = record.get("_unzipped", 0) + record.get("_layers_unzipped", 0)
    if size >= limits.UNZIPPED_BYTES:
        raise invalid(
            f"Function code combined with layers exceeds the maximum allowed size of {limits.UNZIPPED_BYTES} bytes. "
            f"The actual size is {size} bytes."
        )


def _logging(new: Record, request: Mapping[str, Any]) -> dict[str, Any]:
    before = new["LoggingConfig"]
    form = request.get("LogFormat", before["LogFormat"])
    out: dict[str, Any] = {"LogFormat": form}
    if form == "JSON":
        for member in ("ApplicationLogLevel", "SystemLogLevel"):
            out[member] = request.get(member) or before.get(member, "INFO")
    elif request.get("ApplicationLogLevel") or request.get("SystemLogLevel"):
        raise invalid(
            "Cannot specify log level when LogFormat is 'Text'. "
            "To configure log levels, set LogFormat to 'JSON'."
        )
    out["LogGroup"] = request.get("LogGroup") or before["LogGroup"]
    return out


def _vpc(control: Control, new: Record, request: Mapping[str, Any]) -> None:
    """Kept and returned; a function runs in this machine's network all the same."""
    subnets, groups = request.get("SubnetIds") or [], request.get("SecurityGroupIds") or []
    if bool(subnets) != bool(groups):
        raise invalid("SubnetIds and SecurityIds must coexist or be both empty list.")
    new["VpcConfig"] = {
        "SubnetIds": subnets,
        "SecurityGroupIds": groups,
        "VpcId": control.vpc_of(subnets) if subnets else "",
        "Ipv6AllowedForDualStack": bool(request.get("Ipv6AllowedForDualStack")),
    }
