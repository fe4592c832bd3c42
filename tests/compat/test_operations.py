"""Every operation of AWS's model is answered: done as AWS does it, or refused with a typed error."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from .conftest import ROOT

MODEL = botocore.session.get_session().get_service_model("lambda")
NAMES = sorted(MODEL.operation_names)
ARN = "arn:aws:lambda:us-east-1:000000000000:"
NOBODY = "00000000-0000-0000-0000-000000000000"
KNOWN = {
    "Arn": ARN + "layer:nowhere:1",
    "Resource": ARN + "function:nowhere",
    "ResourceArn": ARN + "function:nowhere",
    "Role": "arn:aws:iam::000000000000:role/r",
    "FunctionName": "nowhere",
    "Name": "nowhere",
    "LayerName": "nowhere",
    "CapacityProviderName": "nowhere",
    "CodeSigningConfigArn": ARN + "code-signing-config:csc-00000000000000000",
    "UUID": NOBODY,
    "Action": "lambda:InvokeFunction",
    "Principal": "s3.amazonaws.com",
    "StatementId": "s",
    "FunctionVersion": "1",
    "VersionNumber": 1,
    "Policy": "{}",
    "Qualifier": "live",
    "CallbackId": "YWJj",
    "CheckpointToken": "YWJj",
    "DurableExecutionArn": f"{ARN}function:f:1/durable-execution/n/{NOBODY}",
}


def minimal(shape: Shape, name: str = "") -> Any:
    """What the model requires, with values that it allows."""
    if isinstance(shape, StructureShape):
        return {member: minimal(shape.members[member], member) for member in shape.required_members}
    if isinstance(shape, ListShape):
        return [minimal(shape.member, name)]
    if isinstance(shape, MapShape):
        return {"k": minimal(shape.value)}
    if name in KNOWN and shape.type_name in ("string", "integer", "long"):
        return KNOWN[name]
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    return {"blob": b"x", "boolean": True, "timestamp": 0}.get(shape.type_name, shape.metadata.get("min", 1))


@pytest.mark.promise(65)
@pytest.mark.parametrize("name", NAMES)
def test_is_answered(api: Any, name: str) -> None:
    operation = MODEL.operation_model(name)
    request = minimal(operation.input_shape) if operation.input_shape else {}
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    try:
        response = getattr(api, method)(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert code.endswith("Exception"), error
        assert status == 501 if code == "NotImplementedException" else 400 <= status < 500, error
        if code == "NotImplementedException":
            assert f"| {name} | implemented |" not in (ROOT / "docs" / "lambda-api.md").read_text()
    else:
        assert 200 <= response["ResponseMetadata"]["HTTPStatusCode"] < 300


@pytest.mark.promise(65)
def test_the_table_is_true() -> None:
    spec = importlib.util.spec_from_file_location("lambda_api", ROOT / "docs" / "lambda_api.py")
    assert spec is not None and spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    table, true = (set(text.splitlines()[7:]) for text in (page.PAGE.read_text(), page.text()))
    assert table
    # A newer botocore may know operations that the page was written without; they are refused.
    assert all(line.endswith("| refused |") for line in true ^ table)
    assert len(page.implemented()) >= 65
