"""`stoker new`: what it makes passes its own tests, and deploys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from served import RUNTIME, Run, Served
from stacks import outputs
from support import until

from engine.cli.new import samples

NAMES = ["access-log", "echo", "http-api", "ledger", "numbers", "orders", "thumbnail"]


@pytest.mark.promise(217)
def test_what_there_is(run: Run, tmp_path: Path) -> None:
    done, out, _ = run("new")
    assert done == 0
    assert [line.split()[0] for line in out.splitlines()] == NAMES == list(samples())
    assert run("new", "a b")[0] == 2
    assert run("new", "shop", "--template", "shops")[2].startswith(
        "stoker new: --template shops: there are access-log"
    )
    assert run("new", "shop")[0] == 0
    assert run("new", "shop") == (2, "", "stoker new: shop is there already\n")


@pytest.mark.slow
@pytest.mark.promise(217)
@pytest.mark.parametrize("sample", NAMES)
def test_its_tests_pass_with_plain_pytest(run: Run, tmp_path: Path, sample: str) -> None:
    assert run("new", "project", "--template", sample)[0] == 0
    assert f"Runtime: {RUNTIME}" in (tmp_path / "project/template.yaml").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path / "project",
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.promise(217)
def test_it_deploys(run: Run, server: Served, cloud: Any, tmp_path: Path, name: str) -> None:
    """Each that needs nothing but this server; what they need of the interpreter is there."""
    for sample in ("echo", "http-api", "orders"):
        stack = f"{name}-{sample}"
        assert run("new", stack, "--template", sample)[0] == 0
        done, _, err = run("deploy", f"{stack}/template.yaml", "--use-system")
        assert (done, err) == (0, "")
    found = outputs(cloud, f"{name}-echo")
    with urllib.request.urlopen(found["Url"]) as response:
        assert json.load(response)["requestContext"]["http"]["method"] == "GET"
    sqs, found = server.client("sqs"), outputs(cloud, f"{name}-orders")
    batch = json.loads((tmp_path / f"{name}-orders/events/batch.json").read_text())
    for n in (0, 3):  # a right one, and one that never will be
        sqs.send_message(QueueUrl=found["Queue"], MessageBody=batch["Records"][n]["body"])
    logs = server.client("logs")
    resource = cloud.describe_stack_resource(StackName=f"{name}-orders", LogicalResourceId="Orders")
    function = resource["StackResourceDetail"]["PhysicalResourceId"]

    def priced() -> bool:
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return False
        return any('"orderId": "A-1001"' in event["message"] for event in found)

    until(priced, 60, "the priced order")
    for sample in ("echo", "http-api", "orders"):
        assert run("delete", f"{name}-{sample}")[0] == 0
