"""sam, cdk and serverless, each unmodified, deploy a function, an API and a queue: what they say is done is there.

moto's server has what is not Stoker's: buckets, roles, SSM's parameters and ECR.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apis import send
from clients import ABSENT_FRAMEWORK, CDK, SAM, SERVERLESS
from delivered import ACCOUNT, logged
from served import REGION, ROOT, RUNTIME, Served
from stacks import outputs

from .apis.sockets.web_sockets import opened

APPS = ROOT / "tests/frameworks"
CODE = APPS / "cdk/src/app.py"
pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("frameworks") / "state", "--aws", "moto")
    yield served
    assert served.stop() == 0


def command(server: Served, folder: Path, *words: str, **more: str) -> str:
    """Runs a program of the user's against the server; its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = str(folder / "nowhere")
    environment |= {
        "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION, "AWS_CONFIG_FILE": nowhere, "RUNTIME": RUNTIME,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_EC2_METADATA_DISABLED": "true", "SAM_CLI_TELEMETRY": "0",
        "SLS_TELEMETRY_DISABLED": "1", "SLS_NOTIFICATIONS_MODE": "off", "CDK_DISABLE_VERSION_CHECK": "1",
        "HOME": str(folder), **more,
    }  # fmt: skip
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def application(name: str, folder: Path, present: Path) -> Path:
    """A copy of one of the applications."""
    if not present.exists():
        pytest.skip(f"there is no {name} here ({ABSENT_FRAMEWORK})")
    made = folder / name
    shutil.copytree(APPS / name, made)
    return made


def works(server: Served, stack: str) -> None:
    """A request to the API is a message in the queue, which the function gets."""
    found = outputs(server.client("cloudformation"), stack)
    reply = send(server, found["ApiId"], "/orders", "POST", {"content-type": "text/plain"}, "a book")
    assert (reply.status, reply.json) == (202, {"queued": "a book"})
    logged(server, f"/aws/lambda/{found['FunctionName']}", "got a book")


def is_gone(server: Served, stack: str) -> None:
    functions = server.client().list_functions()["Functions"]
    assert [each["FunctionName"] for each in functions if each["FunctionName"].startswith(stack)] == []
    assert "QueueUrls" not in server.client("sqs").list_queues(QueueNamePrefix=stack)


@pytest.mark.promise(226)
def test_sam_deploy(whole: Served, tmp_path: Path) -> None:
    folder = application("sam", tmp_path, SAM)
    (folder / "src").mkdir()
    shutil.copy(CODE, folder / "src/app.py")
    template = folder / "template.yaml"
    template.write_text(template.read_text().replace("python3.11", RUNTIME))
    deploy = (str(SAM), "deploy", "--stack-name", "sam-shop", "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
              "--no-confirm-changeset", "--no-fail-on-empty-changeset")  # fmt: skip
    command(whole, folder, *deploy)
    works(whole, "sam-shop")
    assert "No changes to deploy" in command(whole, folder, *deploy)
    command(whole, folder, str(SAM), "delete", "--stack-name", "sam-shop", "--no-prompts", "--region", REGION)
    is_gone(whole, "sam-shop")


@pytest.mark.promise(226)
def test_cdk_deploy(whole: Served, tmp_path: Path) -> None:
    program = CDK / "node_modules/.bin/cdk"
    folder = application("cdk", tmp_path, program)
    (folder / "node_modules").symlink_to(CDK / "node_modules")
    more = {"STACK": "CdkShop"}
    assert "bootstrapped" in command(
        whole, folder, str(program), "bootstrap", f"aws://{ACCOUNT}/{REGION}", **more
    )
    written = command(
        whole, folder, str(program), "deploy", "--require-approval", "never", "--outputs-file", "o", **more
    )
    assert "CdkShop" in written
    assert json.loads((folder / "o").read_text())["CdkShop"] == outputs(
        whole.client("cloudformation"), "CdkShop"
    )
    works(whole, "CdkShop")
    found = outputs(whole.client("cloudformation"), "CdkShop")
    assert (
        send(whole, found["RestId"], "/prod/any", "POST", {"content-type": "text/plain"}, "a pen").status
        == 202
    )
    with opened(whole, found["ChatId"]) as socket:
        socket.send("a hat")
        logged(whole, f"/aws/lambda/{found['FunctionName']}", "got a hat")
    command(whole, folder, str(program), "destroy", "--force", **more)
    is_gone(whole, "CdkShop")


@pytest.mark.promise(226)
def test_serverless_deploy(whole: Served, tmp_path: Path) -> None:
    program = SERVERLESS / "node_modules/.bin/serverless"
    folder = application("serverless", tmp_path, program)
    shutil.copy(CODE, folder / "app.py")
    more: dict[str, Any] = {"SERVICE": "sls-shop"}
    assert "Service deployed to stack sls-shop-dev" in command(whole, folder, str(program), "deploy", **more)
    works(whole, "sls-shop-dev")
    command(whole, folder, str(program), "remove", **more)
    is_gone(whole, "sls-shop-dev")
