"""Provisioned concurrency is a part of the reserved one; and what is no JSON number is refused in an event."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import until

HELD = """
import os, time
def handler(event, context):
    if event:
        open(event + "." + context.function_version, "w").close()
        while not os.path.exists(event): time.sleep(0.002)
    return context.function_version
"""
Deploy = Callable[..., str]


def refused(api: Any, **request: Any) -> Any:
    with pytest.raises(api.exceptions.ClientError) as caught:
        api.invoke(**request)
    return caught.value


@pytest.mark.promise(185)
def test_what_is_provisioned_is_not_left_for_others(api: Any, deploy: Deploy, tmp_path: Path) -> None:
    name = deploy(HELD, Timeout=60)
    version = api.publish_version(FunctionName=name)["Version"]
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    assert json.loads(api.invoke(FunctionName=name)["Payload"].read()) == "$LATEST"
    api.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=1
    )
    error = refused(api, FunctionName=name)
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert error.response["Error"]["Code"] == "TooManyRequestsException"
    assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert "retry-after" not in error.response["ResponseMetadata"]["HTTPHeaders"]
    assert json.loads(api.invoke(FunctionName=name, Qualifier=version)["Payload"].read()) == version
    gate = tmp_path / "gate"
    held = threading.Thread(
        target=api.invoke,
        kwargs={"FunctionName": name, "Qualifier": version, "Payload": json.dumps(str(gate))},
    )
    held.start()
    until((tmp_path / f"gate.{version}").exists)
    assert refused(api, FunctionName=name, Qualifier=version).response["Reason"] == error.response["Reason"]
    gate.touch()
    held.join()
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    assert json.loads(api.invoke(FunctionName=name)["Payload"].read()) == "$LATEST"


@pytest.mark.promise(186)
@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_what_is_no_number_is_refused(api: Any, deploy: Deploy, word: str, kind: str) -> None:
    name = deploy(HELD)
    for payload in (word, f'{{"x": [1, {word}]}}'):
        error = refused(api, FunctionName=name, Payload=payload.encode(), InvocationType=kind)
        assert error.response["Error"]["Code"] == "InvalidRequestContentException"
        text = f"Non-standard token '{word}': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow"
        assert text in error.response["Error"]["Message"]
