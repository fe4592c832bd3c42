"""How AWS words what is wrong with a Lambda request, where that is more than the model has."""

from __future__ import annotations

from ...aws.validate import Wording
from .configuration import RUNTIMES

WORDING = Wording(
    # AWS's sets have an order of their own, and more than the model has.
    enums={
        "EventSourcePosition": "[LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
        "InvokeMode": "[RESPONSE_STREAM, BUFFERED]",
        "RecursiveLoop": "[Terminate, Allow]",
    },
    # Of the runtimes, AWS prints two sets.
    enums_at={
        "compatibleRuntimes": f"[{RUNTIMES}]",
        "compatibleRuntime":
        "[ruby3.5, ruby2.6, dotnetcore1.0, python3.7, nodejs8.10, nasa, ruby2.7, python2.7-greengrass, "
        "dotnetcore2.0, python3.8, java21, dotnet6, dotnetcore2.1, python3.9, java11, nodejs6.10, provided, "
        "dotnetcore3.1, dotnet8, java25, java17, nodejs, nodejs4.3, java8.al2, go1.x, dotnet10, nodejs20.x, "
        "go1.9, byol, nodejs10.x, provided.al2023, nodejs22.x, python3.10, java8, nodejs12.x, python3.11, "
        "nodejs24.x, nodejs8.x, python3.12, nodejs14.x, nodejs8.9, nodejs26.x, python3.13, python3.14, "
        "nodejs16.x, python3.15, provided.al2, nodejs4.3-edge, nodejs18.x, ruby3.2, python3.4, ruby3.3, "
        "ruby3.4, ruby2.5, python3.6, python2.7]",
    },
    patterns={
        "LayerVersionArn": "(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}"
        ":layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)",
        "TaggableResource": "arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}"
        ":(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)"
        "|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}"
        "-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)",
    },
    # Lists whose members must not be null, as AWS says beside their other rules.
    full_lists=frozenset({"ArchitecturesList", "CompatibleArchitectures", "LayerList"}),
    # Members newer than the rest of their operation: AWS complains of them last, unlike the model's order.
    later=frozenset({"compatibleArchitectures"}),
    # A function's runtime is refused by the operation, which says more than the enum.
    exempt=frozenset({("Runtime", "runtime")}),
)  # fmt: skip
