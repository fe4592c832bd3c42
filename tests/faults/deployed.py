"""Functions with a layer each on a server, and what of them lies in its state directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from served import ECHO, ROLE, RUNTIME

from engine.hosting.archives import pack

SOURCE = "import os\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_FUNCTION_NAME']\n"


def deployed(api: Any, name: str, folder: Path, note: str = "") -> None:
    (folder / "app.py").write_text(f"{SOURCE}# {name} {note}\n")
    layer = folder / "layer.py"
    layer.write_text(f"{ECHO}# {name}")
    arn = api.publish_layer_version(LayerName=name, Content={"ZipFile": pack(layer)})["LayerVersionArn"]
    api.create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(folder / "app.py")}, Layers=[arn],
    )  # fmt: skip
    api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})


def works(api: Any, names: list[str]) -> None:
    for name in names:
        response = api.invoke(FunctionName=name)
        assert json.loads(response["Payload"].read()) == name


def trees(state: Path) -> set[str]:
    return {path.name for path in (state / "code").iterdir() if len(path.name) == 64}
